"""What ringing by telephone needs of the part that has telephones. Without one, a step by phone says so."""

from typing import Protocol


class PhoneOutcome(Protocol):
    """How a call ended."""

    @property
    def result(self) -> str:
        """`answered_by_person`, `next`, `declined`, `busy`, `no_answer`, `unreachable`, `refused` or `cancelled`."""
        ...

    @property
    def reason(self) -> str: ...
    @property
    def answered_by(self) -> str: ...
    @property
    def name(self) -> str:
        """What people call whoever answered; may be empty."""
        ...


class Phones(Protocol):
    """Rings telephones. Cancelling `ring` ends the ringing; it never raises for what the net does."""

    @property
    def available(self) -> bool: ...

    def reachable(self, site: str) -> bool:
        """Whether a desk telephone of that site is registered."""
        ...

    async def ring(
        self,
        target: str,
        *,
        session: str | None = None,
        alert: str | None = None,
        by: str = "",
        timeout_s: float = 30.0,
        menu: bool = True,
        drill: bool = False,
    ) -> PhoneOutcome:
        """`target`: `site:{site}` for all its desk telephones, `tel:{number}` for a number. `drill`: says so first."""
        ...
