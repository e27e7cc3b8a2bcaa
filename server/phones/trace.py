"""The messages of each call, for the page: a bounded ring without secrets. Pure.

What goes in is cut at once: no digest response, no nonce, no SRTP key, no digit that was pressed (a PIN) is kept.
"""

import re
from collections import OrderedDict, deque
from dataclasses import dataclass, field

MAX_MESSAGES = 100
"""Of one call; the oldest of more are forgotten, the first two stay."""
MAX_BYTES = 4096
MAX_STRANGERS = 32
"""Calls that nobody has let in yet."""
_CALL_ID = re.compile(rb"^(?:call-id|i)[ \t]*:[ \t]*([^\r\n]{1,200})", re.IGNORECASE | re.MULTILINE)
_SECRET = re.compile(
    r"^((?:Proxy-)?Authorization|(?:WWW|Proxy)-Authenticate|Authentication-Info|Identity)\s*:.*$", re.I | re.M
)
_KEYS = re.compile(r"^(a=(?:crypto|key-mgmt|ice-pwd|fingerprint)[: ]).*$", re.I | re.M)
_SIGNAL = re.compile(r"^(Signal\s*=\s*).*$", re.I | re.M)
_REPLACED = r"\1 (hidden)"


@dataclass(frozen=True, slots=True)
class Step:
    at: float
    """UTC."""
    sent: bool
    peer: str
    transport: str
    line: str
    """First line."""
    text: str


@dataclass(slots=True)
class Ladder:
    call_id: str
    began: float
    first: deque[Step] = field(default_factory=lambda: deque(maxlen=2))
    later: deque[Step] = field(default_factory=lambda: deque(maxlen=MAX_MESSAGES - 2))
    total: int = 0

    def steps(self) -> list[Step]:
        return [*self.first, *self.later]


def hidden(data: bytes) -> str:
    """A message as it may be shown."""
    text = data[:MAX_BYTES].decode("utf-8", "replace").replace("\r\n", "\n")
    text = _SECRET.sub(r"\1: (hidden)", text)
    text = _KEYS.sub(_REPLACED, text)
    head, gap, body = text.partition("\n\n")
    if "application/dtmf" in head.lower():
        body = _SIGNAL.sub(_REPLACED, body) if "=" in body else "(hidden)"
    return head + gap + body


def call_id_of(data: bytes) -> str:
    """ "" where there is none."""
    found = _CALL_ID.search(data[: 8 << 10])
    return found[1].decode("utf-8", "replace").strip() if found else ""


class Trace:
    """By Call-ID: calls of ours, and those that were let in. What strangers send waits in a small ring of its own until
    its call is let in, so that a flood of theirs pushes out nothing."""

    def __init__(self, calls: int) -> None:
        self._limit = calls
        self._ladders: OrderedDict[str, Ladder] = OrderedDict()
        self._strangers: OrderedDict[str, Ladder] = OrderedDict()

    def note(self, sent: bool, data: bytes, peer: str, transport: str, at: float) -> None:
        if not self._limit:
            return
        call_id = call_id_of(data)
        ladder = self._ladders.get(call_id) or self._strangers.get(call_id)
        if ladder is None:
            if not call_id or not data.startswith(b"INVITE "):
                return
            ladder = Ladder(call_id, at)
            _put(self._ladders if sent else self._strangers, ladder, self._limit if sent else MAX_STRANGERS)
        line = data.split(b"\r\n", 1)[0][:200].decode("utf-8", "replace")
        step = Step(at, sent, peer, transport, line, hidden(data))
        ladder.total += 1
        (ladder.first if len(ladder.first) < 2 else ladder.later).append(step)

    def keep(self, call_id: str) -> None:
        """This call was let in."""
        ladder = self._strangers.pop(call_id, None)
        if ladder is not None:
            _put(self._ladders, ladder, self._limit)

    def ladder(self, call_id: str) -> Ladder | None:
        return self._ladders.get(call_id)


def _put(ladders: OrderedDict[str, Ladder], ladder: Ladder, limit: int) -> None:
    ladders[ladder.call_id] = ladder
    while len(ladders) > limit:
        ladders.popitem(last=False)
