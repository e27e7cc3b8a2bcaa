"""Session timers (RFC 4028): a call whose other end has silently gone is ended.

Whoever is the refresher sends a re-INVITE or an UPDATE at half of the interval; the other side sends a BYE when none
came, min(32, interval / 3) seconds before the end. Pure: `now` in seconds, monotonic.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal

from signaling.sip.errors import MessageError
from signaling.sip.grammar import number, parameter, parse_parameters
from signaling.sip.message import Request, Response

MIN_SE = 90
"""The lowest interval that may be asked for, seconds (section 5)."""
DEFAULT = 1800
"""The interval that we ask for, seconds (section 4)."""
LONGEST = 2**31 - 1


class Due(Enum):
    REFRESH = auto()
    BYE = auto()


@dataclass(frozen=True, slots=True)
class SessionExpires:
    seconds: int
    refresher: Literal["uac", "uas"] | None = None

    def __str__(self) -> str:
        return f"{self.seconds};refresher={self.refresher}" if self.refresher else str(self.seconds)


def read_session_expires(message: Request | Response) -> SessionExpires | None:
    value = message.headers.first("Session-Expires")
    if value is None:
        return None
    seconds, semicolon, rest = value.partition(";")
    refresher = parameter(parse_parameters(semicolon + rest), "refresher")
    if refresher is not None and refresher not in ("uac", "uas"):
        raise MessageError("The refresher of a session is neither uac nor uas.")
    found: Literal["uac", "uas"] | None = "uac" if refresher == "uac" else "uas" if refresher == "uas" else None
    return SessionExpires(number(seconds, LONGEST, "Session-Expires"), found)


def read_min_se(message: Request | Response) -> int:
    value = message.headers.first("Min-SE")
    return MIN_SE if value is None else max(MIN_SE, number(value.split(";", 1)[0], LONGEST, "Min-SE"))


def answer_session(request: Request, ours: int = DEFAULT, minimum: int = MIN_SE) -> SessionExpires | None:
    """What the called side puts into its 2xx (section 9, table 2); None: no session timer.

    Raises MessageError with 422 when the interval is too small; answer it with Min-SE `minimum`. A caller without
    `Supported: timer` cannot refresh, so we do.
    """
    supported = "timer" in request.headers.tokens("Supported") | request.headers.tokens("Require")
    asked = read_session_expires(request)
    if asked is not None and asked.seconds < minimum:
        if supported:
            raise MessageError(f"The session interval is below {minimum} s.", 422, request)
        asked = SessionExpires(minimum, asked.refresher)
    seconds = max(min(asked.seconds if asked else ours, ours), read_min_se(request), minimum)
    if not supported:
        return SessionExpires(seconds, "uas")
    return SessionExpires(seconds, asked.refresher if asked and asked.refresher else "uac")


def retry_interval(response: Response, asked: int) -> int:
    """What to ask for after a 422: its Min-SE (section 7.3)."""
    return max(asked, read_min_se(response))


class SessionTimer:
    """Runs from each 2xx to an INVITE or UPDATE that carries Session-Expires."""

    def __init__(self, seconds: int, refresher: bool, now: float) -> None:
        self._refresh_at: float | None = None
        self._bye_at: float | None = None
        self._start(seconds, refresher, now)

    def refreshed(self, seconds: int, refresher: bool, now: float) -> None:
        """A refresh was answered 2xx, or we answered one; the roles may change with it."""
        self._start(seconds, refresher, now)

    def next_timeout(self) -> float | None:
        return self._refresh_at if self._refresh_at is not None else self._bye_at

    def timeout(self, now: float) -> Due | None:
        """REFRESH once, BYE once."""
        if self._bye_at is not None and now >= self._bye_at:
            self._refresh_at = self._bye_at = None
            return Due.BYE
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            return Due.REFRESH
        return None

    def _start(self, seconds: int, refresher: bool, now: float) -> None:
        self._refresh_at = now + seconds / 2 if refresher else None
        self._bye_at = now + seconds - min(32.0, seconds / 3)
