"""When a disk will be full."""

import pytest

from server.system.forecast import full_in_s, slope, taken

HOUR = 3600.0


def going(change: float, hours: int = 10, start: float = 1e12) -> list[tuple[float, float]]:
    return [(n * HOUR, start + change * n * HOUR) for n in range(hours + 1)]


def test_a_disk_that_shrinks_steadily_is_full_when_its_line_says() -> None:
    samples = going(-1e6)
    assert slope(samples) == pytest.approx(-1e6)
    assert full_in_s(samples, 5e9) == pytest.approx(5000.0)


def test_noise_does_not_turn_the_line() -> None:
    samples = [(at, free + (-1) ** n * 1e8) for n, (at, free) in enumerate(going(-1e6, 48))]
    assert slope(samples) == pytest.approx(-1e6, rel=0.05)


@pytest.mark.parametrize(
    "samples",
    [[], going(-1e6)[:2], [(0.0, 9.0), (10.0, 8.0), (20.0, 7.0)], going(0.0), going(1e6), going(-0.001)],
    ids=["none", "two", "short", "still", "grows", "slow"],
)
def test_nothing_is_said_where_nothing_is_known(samples: list[tuple[float, float]]) -> None:
    assert full_in_s(samples, 5e9) is None


def test_samples_are_kept_for_a_while_and_no_more_than_so_many() -> None:
    samples: list[tuple[float, float]] = []
    for n in range(20):
        samples = taken(samples, (n * HOUR, 1.0), keep_s=10 * HOUR, most=5)
    assert [at / HOUR for at, _ in samples] == [15, 16, 17, 18, 19]
    assert taken(samples, (2 * HOUR, 1.0), keep_s=10 * HOUR, most=5) == [(2 * HOUR, 1.0)]
