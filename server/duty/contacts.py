"""Whom a step of a chain means: people of a site with the means to reach them."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Contact:
    """Somebody on a call list."""

    name: str
    phone: str = ""
    """A number to dial or to text; empty: none is known."""
    user: str = ""
    """His account here, if he has one."""


class CallList(Protocol):
    """Who is whose: the rota."""

    def reach(self, site: str, who: str, at: float) -> tuple[Contact, ...]:
        """`on_duty`, `deputy` or `leader` of a site at a moment, first the one to be called first."""
        ...


class NobodyListed:
    """A site without a rota."""

    def reach(self, site: str, who: str, at: float) -> tuple[Contact, ...]:
        return ()
