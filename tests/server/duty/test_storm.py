"""A storm of alerts: red goes at once, the rest is gathered and held to a rate, and nothing is lost."""

from hypothesis import given
from hypothesis import strategies as st

from server.duty.storm import BATCH, StormGuard, Waiting


def waiting(number: int, *, red: bool = False, address: str = "sms 1", since: float = 0.0) -> Waiting:
    return Waiting(f"m{number}", address, red, since)


def test_red_goes_at_once_and_the_others_are_gathered() -> None:
    guard = StormGuard(5, 600.0, 5.0)
    calm = [waiting(n, since=float(n)) for n in range(3)]
    assert guard.batches([*calm, waiting(9, red=True, since=4.0)], 4.0) == [(waiting(9, red=True, since=4.0),)]
    assert guard.batches(calm, 5.0) == [tuple(calm)]


def test_what_is_real_never_goes_with_a_drill_and_goes_before_it() -> None:
    guard = StormGuard(5, 600.0, 0.0)
    for red in (True, False):
        rung = Waiting("m1", "sms 1", red, 0.0, drill=True)
        real = Waiting("m2", "sms 1", red, 0.0)
        assert guard.batches([rung, real], 1.0) == [(real,), (rung,)]


def test_beyond_the_rate_the_others_wait_together_and_red_does_not() -> None:
    guard = StormGuard(2, 600.0, 0.0)
    for at in (0.0, 1.0):
        assert guard.batches([waiting(1)], at)
        guard.sent("sms 1", at)
    held = [waiting(2), waiting(3)]
    assert guard.batches(held, 2.0) == []
    assert guard.batches([*held, waiting(4, red=True)], 3.0) == [(waiting(4, red=True),)]
    assert guard.batches([waiting(5, address="sms 2")], 3.0), "another address has a rate of its own"
    assert guard.batches(held, 601.0) == [tuple(held)]


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans(), st.integers(0, 1)), max_size=120), st.integers(1, 3))
def test_every_message_goes_once_and_red_never_waits(events: list[tuple[float, bool, int]], most: int) -> None:
    guard = StormGuard(most, 20.0, 3.0)
    queue: list[Waiting] = []
    gone: list[str] = []
    now = 0.0

    def turn() -> None:
        for batch in guard.batches(queue, now):
            assert len(batch) <= BATCH
            assert len({one.address for one in batch}) == len({one.red for one in batch}) == 1
            guard.sent(batch[0].address, now)
            for one in batch:
                queue.remove(one)
                gone.append(one.message)

    for number, (wait, red, address) in enumerate(events):
        now += wait
        queue.append(waiting(number, red=red, address=f"sms {address}", since=now))
        turn()
        assert not any(one.red for one in queue)
    for _ in range(200):
        now += 1.0
        turn()
    assert sorted(gone) == sorted(f"m{number}" for number in range(len(events)))
