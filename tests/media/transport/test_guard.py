"""What a stranger's packets may cost."""

from media.transport.guard import MAX_SOURCES, StrangerGuard


def test_a_source_gets_its_rate_and_no_more() -> None:
    guard = StrangerGuard(packets_per_s=10)
    assert sum(guard.admits("192.0.2.1", now=0) for _ in range(50)) == 10
    assert sum(guard.admits("192.0.2.1", now=0.5) for _ in range(50)) == 5


def test_one_source_does_not_use_up_another_ones() -> None:
    guard = StrangerGuard(packets_per_s=1)
    assert guard.admits("192.0.2.1", now=0)
    assert not guard.admits("192.0.2.1", now=0)
    assert guard.admits("192.0.2.2", now=0)


def test_memory_is_bounded() -> None:
    guard = StrangerGuard(packets_per_s=1)
    for number in range(MAX_SOURCES + 100):
        guard.admits(str(number), now=0)
    assert len(guard) == MAX_SOURCES
