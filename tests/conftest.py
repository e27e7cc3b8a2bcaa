"""Rules for all tests.

A test marked `peer` needs a real program. Where the program is missing the test is skipped with the reason; with
`CI=true` or `LAMPROOM_STRICT=1` that is a failure, so that nothing is believed to be tested that was not.
"""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

settings.register_profile("lamproom", deadline=None)  # how long an example takes depends on what else runs
settings.load_profile("lamproom")

STRICT = os.environ.get("CI", "").lower() in ("1", "true") or os.environ.get("LAMPROOM_STRICT") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if STRICT and report.skipped and item.get_closest_marker("peer") is not None and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not be skipped here: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was not tested."""
    skipped = len(terminalreporter.stats.get("skipped", ()))
    if skipped:
        terminalreporter.write_line(f"{skipped} tests did not run; the reasons stand above (-rs).")
