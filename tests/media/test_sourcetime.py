"""The publisher's clock, passed on."""

from media.sourcetime import PATIENCE_S, SourceTime, middle, ntp


def test_time_goes_on_from_the_last_sender_report() -> None:
    time = SourceTime(90000)
    time.reported(5 << 32, 1000, now=10)
    assert time.at(12, 0.0, (0, 0.0)) == (7 << 32, 1000 + 180000)
    assert time.last_report == (middle(5 << 32), 10)


def test_a_publisher_without_reports_gets_our_clock_after_a_while() -> None:
    time = SourceTime(8000)
    assert time.at(100, 50.0, (400, 99.5)) is None
    assert time.at(100 + PATIENCE_S, 55.0, (400, 104.5)) == (ntp(55.0), 400 + 4000)


def test_ntp_counts_from_1900() -> None:
    assert ntp(0.5) == 2208988800 << 32 | 1 << 31
    assert middle(0x0123456789ABCDEF) == 0x456789AB
