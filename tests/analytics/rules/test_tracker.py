from analytics.plugin import Detection
from analytics.rules.tracker import LOST_S, MAX_TRACKS, Tracker
from tests.fakes.walks import Walk, seen


def person(x: float, y: float = 0.5, size: float = 0.2) -> Detection:
    return Detection("person", 0.9, (x - size / 4, y - size, x + size / 4, y))


def test_one_who_walks_is_one_and_the_same() -> None:
    tracker = Tracker()
    numbers = set()
    for at, things in seen([Walk(0, 5, (0.1, 0.8), (0.9, 0.8))], 5, missed=0.15):
        numbers |= {track.number for track in tracker.feed(things, at)[0]}
    assert len(numbers) == 1
    assert abs(tracker.tracks[0].speed[0] - 0.16) < 0.06


def test_two_who_cross_stay_two() -> None:
    tracker = Tracker()
    walks = [Walk(0, 4, (0.1, 0.70), (0.9, 0.70)), Walk(0, 4, (0.9, 0.80), (0.1, 0.80))]
    for at, things in seen(walks, 4, missed=0.0):
        tracker.feed(things, at)
    ends = {track.number: track.foot[0] for track in tracker.tracks}
    assert sorted(ends) == [1, 2]
    assert ends[1] > 0.8 > 0.2 > ends[2]


def test_a_gap_is_bridged_and_a_longer_one_is_not() -> None:
    tracker = Tracker()
    tracker.feed([person(0.3)], 0.0)
    tracker.feed([person(0.3)], 0.2)
    assert tracker.feed([], 0.2 + LOST_S)[1] == []
    seen_again, lost = tracker.feed([person(0.31)], 0.3 + LOST_S)
    assert (seen_again[0].number, lost) == (1, [])
    _, lost = tracker.feed([], 0.4 + 2 * LOST_S)
    assert [track.number for track in lost] == [1]
    assert tracker.tracks == []


def test_one_far_away_is_somebody_else() -> None:
    tracker = Tracker()
    tracker.feed([person(0.1)], 0.0)
    (track,), _ = tracker.feed([person(0.8)], 0.2)
    assert track.number == 2
    assert not track.sure


def test_a_flood_is_held_to_a_limit() -> None:
    tracker = Tracker()
    for round_ in range(3):
        tracker.feed([person(n / 1000, size=0.0005) for n in range(999)], round_ / 10)
    assert len(tracker.tracks) <= MAX_TRACKS
