"""How others have somebody rung: what they ask, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Result = Literal[
    "answered_by_person", "next", "declined", "busy", "no_answer", "unreachable", "refused", "cancelled"
]  # fmt: skip
ORDER: tuple[Result, ...] = (
    "answered_by_person", "next", "declined", "busy", "no_answer", "refused", "unreachable", "cancelled",
)  # fmt: skip
"""Of several phones that rang together, the first of these is what came of it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of ringing `target`."""

    target: str
    result: Result
    reason: str = ""
    """A stable id: `pressed_1`, `pressed_2`, `answered`, `no_key`, `phones_off`, `not_registered`, `ring_timeout`,
    `busy`, `rejected`, the rule that refused, ..."""
    answered_by: str = ""
    """`phone:...` or `trunk:...`."""
    seconds: float = 0.0
    call: str = ""
    status: int = 0
    name: str = ""
    """What people call whoever answered."""


def best(outcomes: Sequence[Outcome]) -> Outcome:
    """Of phones that rang together."""
    return min(outcomes, key=lambda one: ORDER.index(one.result))


def result_of(cause: str, status: int) -> Result:
    """Of a call of ours that was not answered."""
    if status in (486, 600):
        return "busy"
    if status in (603, 607):
        return "declined"
    if cause == "no_answer" or status in (408, 480, 487):
        return "no_answer"
    if cause == "cancelled":
        return "no_answer"
    return "unreachable"


def masked(number: str) -> str:
    """A telephone number as others may see it."""
    return f"***{number[-4:]}" if len(number) > 4 else "***"
