"""Which packets came and when: reports read back, built from arrivals in any order, and read by rules of the draft."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtcp, transportcc
from media.errors import RtcpError
from media.transportcc import MAX_STATUSES, TICKS_PER_S, Arrivals, Statuses

DELTAS = st.one_of(st.none(), st.integers(0, 255), st.integers(-0x8000, 0x7FFF))
MANY = st.lists(st.tuples(DELTAS, st.integers(1, 40)), max_size=40).map(
    lambda runs: tuple(delta for delta, count in runs for _ in range(count))
)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFF), st.integers(0, 255), MANY)
def test_what_is_packed_comes_back(base: int, reference: int, count: int, deltas: tuple[int | None, ...]) -> None:
    report = rtcp.TransportFeedback(1, 2, Statuses(base, reference, count, deltas))
    packed = report.pack()
    assert len(packed) % 4 == 0
    assert rtcp.parse(rtcp.compound([rtcp.ReceiverReport(1), report])) == [rtcp.ReceiverReport(1), report]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        report = transportcc.parse(body)
    except RtcpError:
        return
    assert transportcc.parse(report.pack()).deltas == report.deltas


def test_the_draft_s_example_chunks_are_read() -> None:
    """Section 3.1.3 and 3.1.4: 221 lost packets; then vectors of one and of two bits."""
    head = bytes.fromhex("000500f200000107")
    body = head + bytes.fromhex("00dd9f1ccd50") + bytes(range(1, 9)) + bytes.fromhex("09 0a fffe 0b 0c")
    report = transportcc.parse(body)
    assert (report.base, report.reference, report.count, len(report.deltas)) == (5, 1, 7, 242)
    assert report.deltas[:221] == (None,) * 221
    first = [None if delta is None else 1 for delta in report.deltas[221:235]]
    assert first == [None, 1, 1, 1, 1, 1, None, None, None, 1, 1, 1, None, None]
    # 0 (lost), 3 (reserved, taken for lost), 1, 1, 1, 0, 0
    assert [None if delta is None else 1 for delta in report.deltas[235:]] == [None, None, 1, 1, 1, None, None]


@pytest.mark.parametrize("chunk", ["0000", "2000"])
def test_a_run_of_nothing_is_refused(chunk: str) -> None:
    with pytest.raises(RtcpError):
        transportcc.parse(bytes.fromhex("0005000100000107" + chunk * 4))


def test_a_report_on_too_many_packets_is_refused() -> None:
    with pytest.raises(RtcpError):
        transportcc.parse(bytes.fromhex("00052001000001071fff0002"))


def test_reports_of_one_datagram_speak_of_a_few_thousand_packets_at_most() -> None:
    report = rtcp.TransportFeedback(1, 2, Statuses(0, 0, 0, (None,) * 1000))
    assert len(rtcp.parse(rtcp.compound([report] * 2))) == 2
    with pytest.raises(RtcpError):
        rtcp.parse(rtcp.compound([report] * 3))


def told(reports: list[Statuses]) -> dict[int, float | None]:
    """Sequence number (16 bits) to seconds; a later report counts."""
    found: dict[int, float | None] = {}
    for report in reports:
        ticks = report.reference * transportcc.REFERENCE_TICKS
        for index, delta in enumerate(report.deltas):
            number = report.base + index & 0xFFFF
            if delta is None:
                found.setdefault(number, None)
            else:
                ticks += delta
                found[number] = ticks / TICKS_PER_S
    return found


def test_losses_are_told_within_a_report_and_between_two() -> None:
    arrivals = Arrivals()
    arrivals.arrived([(65534, 1.0), (65535, 1.01), (2, 1.02)])
    first = arrivals.reports(1.1)
    assert told(first) == {65534: 1.0, 65535: 1.01, 0: None, 1: None, 2: 1.02}
    assert arrivals.reports(1.2) == []
    arrivals.arrived([(5, 1.25)])
    [second] = arrivals.reports(1.3)
    assert told([second]) == {3: None, 4: None, 5: 1.25}
    assert [first[0].count, second.count] == [0, 1]


def test_a_packet_that_was_called_lost_is_told_when_it_comes() -> None:
    arrivals = Arrivals()
    arrivals.arrived([(10, 1.0), (12, 1.01)])
    assert told(arrivals.reports(1.1))[11] is None
    arrivals.arrived([(11, 1.12), (13, 1.13)])
    assert told(arrivals.reports(1.2)) == {11: 1.12, 12: 1.01, 13: 1.13}
    arrivals.arrived([(14, 1.24)])
    assert told(arrivals.reports(1.3)) == {14: 1.24}


def test_of_a_number_that_comes_twice_the_first_counts() -> None:
    arrivals = Arrivals()
    arrivals.arrived([(10, 1.0), (10, 1.05)])
    assert told(arrivals.reports(1.1)) == {10: 1.0}


def test_a_sender_that_begins_anew_is_not_told_of_what_it_never_sent() -> None:
    arrivals = Arrivals()
    arrivals.arrived([(10, 1.0)])
    arrivals.reports(1.1)
    arrivals.arrived([(30_000, 1.2), (30_001, 1.21)])
    assert told(arrivals.reports(1.3)) == {30_000: 1.2, 30_001: 1.21}


@given(st.integers(0, 2**32), st.integers(0, 0xFFFF), st.floats(0, 0.4), st.integers(1, 900))
def test_every_arrival_is_told_whatever_was_lost_or_overtaken(seed: int, start: int, loss: float, count: int) -> None:
    die = random.Random(seed)
    sent = [(start + number & 0xFFFF, 5 + number * die.choice((0, 0.001, 0.01))) for number in range(count)]
    came = sorted(
        ((number, at + die.choice((0, 0, 0.03))) for number, at in sent if die.random() >= loss),
        key=lambda each: each[1],
    )
    expected = {number & 0xFFFF: at for number, at in came}
    arrivals = Arrivals()
    reports: list[Statuses] = []
    while came:
        taken = die.randrange(1, 200)
        arrivals.arrived(came[:taken])
        made = arrivals.reports(came[:taken][-1][1])
        for report in made:
            assert len(rtcp.TransportFeedback(1, 2, report).pack()) < 1200
            assert len(report.deltas) <= MAX_STATUSES
        reports += made
        came = came[taken:]
    heard = {number: at for number, at in told(reports).items() if at is not None}
    assert heard.keys() == expected.keys()
    assert all(abs(at - expected[number]) <= 1 / TICKS_PER_S for number, at in heard.items())
