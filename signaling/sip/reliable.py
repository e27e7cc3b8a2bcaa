"""Reliable provisional responses (RFC 3262): RSeq, PRACK, RAck.

The called side repeats one 1xx after T1, doubling, until its PRACK comes or 64*T1 is over, and sends the next only
then. The calling side acknowledges each once and in order; a repeat or a gap is dropped.
"""

from typing import NamedTuple

from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.grammar import TOKEN, number
from signaling.sip.message import CSeq, Request, Response
from signaling.sip.transaction import LONGEST, T1

HIGHEST = 2**32 - 1


class RAck(NamedTuple):
    number: int
    cseq: CSeq

    def __str__(self) -> str:
        return f"{self.number} {self.cseq}"


def read_rack(request: Request) -> RAck:
    """Raises MessageError (400)."""
    words = (request.headers.first("RAck") or "").split()
    if len(words) != 3 or not TOKEN.fullmatch(words[2]):
        raise MessageError("The RAck of a PRACK is malformed.", 400, request)
    return RAck(number(words[0], HIGHEST, "RAck"), CSeq(number(words[1], 2**31 - 1, "RAck"), words[2]))


class ReliableSender:
    """The called side of one INVITE. `first` is the first RSeq, 1 to 2**31 - 1, better random (section 3)."""

    def __init__(self, cseq: CSeq, first: int) -> None:
        self._cseq = cseq
        self._next = first
        self._open: Response | None = None
        self._number = 0
        self._at = self._every = self._until = 0.0
        self.failed = False
        """64*T1 went by without a PRACK: answer the INVITE 504."""

    @property
    def waiting(self) -> bool:
        return self._open is not None

    def send(self, response: Response, now: float) -> Response:
        """The response with Require: 100rel and RSeq. Raises LocalSipError while another waits for its PRACK."""
        if self._open is not None or not 100 < response.status < 200:
            raise LocalSipError("A reliable response is a 1xx above 100, one at a time.")
        self._number, self._next = self._next, self._next + 1
        headers = response.headers.added(("Require", "100rel"), ("RSeq", str(self._number)))
        self._open = Response(headers, response.body, response.status, response.reason)
        self._every, self._at, self._until = T1, now + T1, now + LONGEST
        return self._open

    def prack(self, request: Request) -> int:
        """The status to answer the PRACK with: 200, or 481 when it acknowledges nothing that is open."""
        if self._open is None or read_rack(request) != RAck(self._number, self._cseq):
            return 481
        self._open = None
        return 200

    def next_timeout(self) -> float | None:
        return min(self._at, self._until) if self._open is not None else None

    def timeout(self, now: float) -> Response | None:
        """The response to send again, if it is time."""
        if self._open is None:
            return None
        if now >= self._until:
            self._open, self.failed = None, True
            return None
        if now < self._at:
            return None
        self._every *= 2
        self._at = now + self._every
        return self._open


class ReliableReceiver:
    """The calling side, one for each early dialog."""

    def __init__(self) -> None:
        self._last: int | None = None

    def receive(self, response: Response) -> RAck | None:
        """What to put into a PRACK; None for an unreliable response, a repeat, or one out of order (section 4)."""
        text = response.headers.first("RSeq")
        if not 100 < response.status < 200 or text is None or "100rel" not in response.headers.tokens("Require"):
            return None
        given = number(text, HIGHEST, "RSeq")
        if given == 0 or (self._last is not None and given != self._last + 1):
            return None
        self._last = given
        return RAck(given, response.cseq)
