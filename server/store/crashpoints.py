"""Places where a test may kill this process, so that every instant around a commit is tried and not only random ones.

Nothing happens unless the environment variable `LAMPROOM_CRASH_AT` names the point, alone (`commit.before`) or with
the number of the visit that kills (`commit.before:7`).
"""

import os
import signal

VARIABLE = "LAMPROOM_CRASH_AT"

POINTS = (
    "alert.row",
    "alert.timeline",
    "alert.audit",
    "commit.before",
    "commit.after",
    "alert.published",
    "telemetry.rows",
    "telemetry.committed",
)
"""Every point of alerts and telemetry."""

ESCALATION_POINTS = ("escalation.row", "escalation.entries", "commit.before", "commit.after")
"""Every point of a step of an escalation."""

_visits: dict[str, int] = {}


def crashpoint(name: str) -> None:
    """Kill this process, without any clean-up, if the environment says so."""
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    point, _, visit = wanted.partition(":")
    if point != name:
        return
    _visits[name] = _visits.get(name, 0) + 1
    if _visits[name] >= int(visit or 1):
        os.kill(os.getpid(), signal.SIGKILL)
