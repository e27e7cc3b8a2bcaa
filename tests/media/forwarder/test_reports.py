"""What a route's receiver is told and says, in the forwarder in Python."""

from collections.abc import Iterator

import pytest

from media.forwarder.reports import MAX_LOSSES, REMEMBERED, RouteReports
from media.rtcp import ReportBlock, SenderReport, SourceDescription, parse
from media.sourcetime import middle
from tests.fakes.stage import LOW, ROUTE, VIEWER, Stage


@pytest.fixture
def stage() -> Iterator[Stage]:
    stage = Stage()
    yield stage
    stage.close()


def block(fraction_lost: int = 0, last_report: int = 0, delay: int = 0) -> ReportBlock:
    return ReportBlock(5000, fraction_lost, 0, 0, 450, last_report, delay)


def control(stage: Stage) -> list[bytes]:
    found = [each for each in stage.datagrams() if 192 <= each[1] <= 223]
    return [stage.end.receive_session.unprotect_rtcp(each) for each in found]


def test_a_report_tells_the_publishers_clock_in_the_routes_time(stage: Stage) -> None:
    stage.forwarder.send_reports(LOW, 1 << 40, 90_000, 0, 1)
    assert control(stage) == []  # nothing was sent yet
    stage.both(2, key=(LOW,))
    packets = stage.got()
    stage.forwarder.send_reports(LOW, 1 << 40, 90_000, VIEWER % 7, 7)
    stage.forwarder.send_reports(LOW, 1 << 40, 90_000, (VIEWER + 1) % 7, 7)
    (data,) = control(stage)
    report, description = parse(data)
    assert isinstance(report, SenderReport)
    shift = int.from_bytes(packets[0][4:8], "big") - 93_000
    assert (report.ssrc, report.ntp, report.packets) == (5000, 1 << 40, len(packets))
    assert (report.timestamp - 90_000 - shift) % (1 << 32) == 0
    assert description == SourceDescription(((5000, ""),))


def test_losses_are_counted_since_the_last_question(stage: Stage) -> None:
    for lost in (0, 128, 64):
        stage.forwarder.reported(VIEWER, block(lost), 1.0)
    told = stage.forwarder.told(ROUTE)
    assert (told.loss, told.jitter_s, told.rtt_s) == (0.25, 0.005, None)
    assert stage.forwarder.told(ROUTE).loss == 0
    for lost in (0,) * MAX_LOSSES + (255,) * 5:
        stage.forwarder.reported(VIEWER, block(lost), 1.0)
    assert stage.forwarder.told(ROUTE).loss == 0


def test_the_echo_of_a_report_gives_the_round_trip_while_it_is_remembered() -> None:
    reports = RouteReports()
    for second in range(REMEMBERED + 1):
        reports.write(1, "me", second << 32, 0, (1, 1), float(second))
    reports.heard(block(0, middle(0), 0), 9.0)
    assert reports.take(90_000).rtt_s is None
    reports.heard(block(0, middle(8 << 32), 32_768), 9.0)
    assert reports.take(90_000).rtt_s == 0.5
    reports.heard(block(0, middle(8 << 32), 1 << 31), 9.0)
    assert reports.take(90_000).rtt_s == 0.0
