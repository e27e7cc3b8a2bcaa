"""How others have somebody rung: what they ask, and what came of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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


class PhoneCaller(Protocol):
    """`target`: `site:{site}` (all registered phones of a site), `phone:{phone}`, or `tel:{number}` by a trunk."""

    @property
    def available(self) -> bool:
        """Phones are switched on, listen, and the phone worker runs."""
        ...

    def reachable(self, site: str) -> bool:
        """Whether a phone of this site is registered now."""
        ...

    async def ring(
        self,
        target: str,
        *,
        session: str | None = None,
        alert: str | None = None,
        site: str = "",
        by: str = "",
        timeout_s: float | None = None,
        menu: bool = True,
    ) -> Outcome:
        """Ring until somebody answers, or not. With `menu`, a person is who presses 1 ("I have it"); 2 is "call the
        next". With `session`, whoever answered is brought into the consultation, as a member of its phone's site (for
        `tel:` of `site`, or of the site that called). Cancelled, it stops ringing. What the net does raises nothing.
        """
        ...

    async def ring_group(
        self,
        targets: Sequence[str],
        *,
        mode: Literal["parallel", "sequential"] = "sequential",
        session: str | None = None,
        alert: str | None = None,
        site: str = "",
        by: str = "",
        timeout_s: float | None = None,
        menu: bool = True,
    ) -> tuple[Outcome, ...]:
        """In a row until a person has it, or all at once; the outcomes of those that were rung."""
        ...


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
