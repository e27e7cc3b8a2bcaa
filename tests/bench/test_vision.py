"""The bench of key spots itself: what it plays is found, and what it counts as wrong is wrong."""

from tests.bench.vision import Events, bench, crossing, goals, intrusion, visits
from tests.fakes.walks import Walk, seen


def test_one_seed_of_both_sets_is_counted_and_judged_as_played() -> None:
    result = bench([3001], scale=0.15)
    for name in ("first", "second"):
        one = result["sets"][name]
        assert one["crossing"]["passes"] == 9
        assert one["crossing"]["errors"] == 0
        assert (one["intrusion"]["recall"], one["intrusion"]["false"]) == (1.0, 0)
        assert one["belt"]["right"] == 1.0
    assert [one["name"] for one in goals(result) if not one["ok"]] == []


def test_what_is_missed_and_what_is_too_much_is_counted() -> None:
    walks = [Walk(1, 4, (0.5, 0.9), (0.5, 0.3))]
    assert crossing(seen(walks, 6, missed=0.0), entered=0, left=2)[:2] == (3, 2)
    stays = [(walk, True) for walk, _ in visits(1, 3)]
    score = Events()
    intrusion(stays, seen([], 60), score)
    assert (score.events, score.found, score.false) == (3, 0, 0)
    intrusion([], seen([Walk(1, 9, (0.6, 0.8), (0.6, 0.8))], 20), score)
    assert (score.events, score.found, score.false) == (3, 0, 1)
    assert score.told()["precision"] == 0.0
