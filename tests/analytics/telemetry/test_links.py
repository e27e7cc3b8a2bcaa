"""Connections of sources, as they are told."""

from analytics.telemetry.links import FIRST_WAIT_S, Link, Links, Patience


def test_turns_are_told_once_and_a_first_failure_too() -> None:
    told: list[tuple[str, bool, str]] = []
    now = iter(range(100))
    links = Links(lambda: float(next(now)), lambda link: told.append((link.name, link.up, link.reason)))
    link = links.add("meter", ["hongqi"])
    for _ in range(3):
        links.down(link, "out of reach")
    links.up(link)
    links.up(link)
    links.down(link, "closed")
    assert told == [("meter", False, "out of reach"), ("meter", True, ""), ("meter", False, "closed")]
    assert link == Link("meter", frozenset({"hongqi"}), False, "closed", link.since, 1)


def test_waits_grow_to_their_end_and_start_anew_after_success() -> None:
    patience = Patience(4.0, jitter=lambda low, high: high)
    assert [patience.wait_s() for _ in range(5)] == [FIRST_WAIT_S, 1.0, 2.0, 4.0, 4.0]
    patience.well()
    assert patience.wait_s() == FIRST_WAIT_S
