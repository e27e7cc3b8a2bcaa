"""Who may do what, as the user agent asks it. The rules themselves belong to whoever runs it; `OpenGate` lets all in.

A gate is asked three times: before a byte is read (`listens`), with every request that could be read (`pace`), and with
each request that wants something outside of a dialog (`admit`). It is told what went wrong, so that it can ban.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from signaling.sip.callevents import Profile
from signaling.sip.message import Request
from signaling.sip.transactionlayer import Flow

PLAIN = Profile()
Misdeed: TypeAlias = Literal["malformed", "wrong_digest", "refused", "unframed"]


@dataclass(frozen=True, slots=True)
class Admitted:
    who: str
    """`phone:{name}` or `trunk:{name}`."""
    profile: Profile = PLAIN


@dataclass(frozen=True, slots=True)
class Turned:
    """Turned away. `status` 0: dropped without a word."""

    rule: str
    why: str
    status: int = 403
    fields: tuple[tuple[str, str], ...] = ()
    misdeed: Misdeed | None = None
    quiet: bool = False
    """A first challenge: nobody needs to hear of it."""


class Gate(Protocol):
    def listens(self, flow: Flow, now: float) -> bool:
        """False: this source is banned, nothing of it is read."""
        ...

    def pace(self, request: Request, flow: Flow, now: float) -> Turned | None:
        """Rates and scanners, before anything is kept of the request."""
        ...

    def admit(self, request: Request, flow: Flow, now: float) -> Admitted | Turned:
        """INVITE, MESSAGE, OPTIONS, REGISTER outside of a dialog."""
        ...

    def noted(self, misdeed: Misdeed, flow: Flow, now: float) -> None: ...


class OpenGate:
    """For tests and for networks that are fenced otherwise."""

    def __init__(self, profile: Profile = PLAIN) -> None:
        self.profile = profile

    def listens(self, flow: Flow, now: float) -> bool:
        return True

    def pace(self, request: Request, flow: Flow, now: float) -> Turned | None:
        return None

    def admit(self, request: Request, flow: Flow, now: float) -> Admitted | Turned:
        return Admitted("trunk:any", self.profile)

    def noted(self, misdeed: Misdeed, flow: Flow, now: float) -> None:
        return None
