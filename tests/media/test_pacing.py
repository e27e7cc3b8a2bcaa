"""When packets leave: virtual time."""

from media.pacing import BURST_S, LONGEST_S, PICTURE, REPAIR, SOUND, Pacer


def drain(pacer: Pacer[int], start: float, until: float, step: float = 0.001) -> list[tuple[float, int]]:
    left = []
    for tick in range(round((until - start) / step)):
        now = start + tick * step
        while (what := pacer.pop(now)) is not None:
            left.append((now, what))
    return left


def test_a_burst_leaves_at_the_rate() -> None:
    pacer = Pacer[int](1_000_000, 0.0)
    for number in range(20):
        pacer.push(PICTURE, 1250, number)
    left = drain(pacer, 0.0, 0.3)
    assert [what for _, what in left] == list(range(20))
    # 20 packets of 10 ms each, of which the bucket lets one through ahead
    assert 0.17 <= left[-1][0] <= 0.19
    assert len([at for at, _ in left if at < 0.05]) <= 5 + BURST_S / 0.01 + 1


def test_sound_overtakes_and_repairs_come_before_pictures() -> None:
    pacer = Pacer[int](100_000, 0.0)
    for number in range(3):
        pacer.push(PICTURE, 1250, number)
    assert pacer.pop(0.0) == 0
    pacer.push(REPAIR, 1250, 10)
    pacer.push(SOUND, 100, 20)
    assert [what for _, what in drain(pacer, 0.0, 1.0)] == [20, 10, 1, 2]


def test_nothing_waits_longer_than_the_bound() -> None:
    pacer = Pacer[int](100_000, 0.0)
    for number in range(200):
        pacer.push(PICTURE, 1250, number)
    left = drain(pacer, 0.0, 10.0, 0.005)
    assert len(left) == 200
    # 250 kB at 100 kbit/s would take 20 s; the rate is that at which the rest leaves in time, again and again
    assert left[100][0] < LONGEST_S
    assert left[-1][0] < LONGEST_S * 10


def test_due_says_when_to_come_back() -> None:
    pacer = Pacer[int](1_000_000, 5.0)
    assert pacer.due() is None
    for number in range(4):
        pacer.push(PICTURE, 1250, number)
    while pacer.pop(5.0) is not None:
        pass
    due = pacer.due()
    assert due is not None
    assert due > 5.0
    assert pacer.pop(due - 0.001) is None
    assert pacer.pop(due + 0.000001) is not None


def test_quiet_time_is_not_saved_up() -> None:
    pacer = Pacer[int](1_000_000, 0.0)
    for number in range(10):
        pacer.push(PICTURE, 1250, number)
    assert len(drain(pacer, 100.0, 100.001)) <= 3


def test_what_is_dropped_takes_no_time() -> None:
    pacer = Pacer[int](1_000_000, 0.0)
    for number in range(40):
        pacer.push(PICTURE, 1250, number)
    assert pacer.pop(0.0) == 0
    pacer.drop(lambda number: number < 39)
    assert pacer.waiting_bytes == 1250
    assert [what for _, what in drain(pacer, 0.0, 0.05)] == [39]
    assert pacer.due() is None
