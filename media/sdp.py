"""Session descriptions as lines and attributes (RFC 8866), and nothing of what they mean.

`parse` reads a text once, from front to back, in time linear to its length; `media.negotiation` gives it a meaning.
A text from the net either becomes a `Description` or raises `SdpError`: there is no other way out.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

MAX_BYTES = 64 << 10
MAX_MEDIA = 32
MAX_CANDIDATES = 64

TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`{|}~]+")
"""RFC 8866 section 9, token."""
_NUMBER = re.compile(r"[0-9]{1,10}")
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x85\u2028\u2029]")
"""Control characters and line breaks that another reader would take for the end of a line."""

ErrorKind = Literal["sdp_invalid", "no_common_codec", "stale"]


class SdpError(Exception):
    """The other side's description cannot be used. `detail` is a full sentence for the log and the diagnosis card."""

    def __init__(self, kind: ErrorKind, detail: str) -> None:
        super().__init__(detail)
        self.kind: ErrorKind = kind
        self.detail = detail


class _Attributes:
    """The `a=` lines of one level, by name, each name's values in order."""

    __slots__ = ("_values", "connection")

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}
        self.connection = ""
        """The `c=` line of the level; WebRTC does not use it."""

    def add(self, line: str) -> None:
        name, _, value = line.partition(":")
        self._values.setdefault(name, []).append(value)

    def first(self, name: str) -> str | None:
        """The value of the first `a=name:value`, "" for a bare `a=name`, None without one."""
        values = self._values.get(name)
        return values[0] if values else None

    def all(self, name: str) -> tuple[str, ...]:
        return tuple(self._values.get(name, ()))

    def __contains__(self, name: str) -> bool:
        return name in self._values


@dataclass(frozen=True, slots=True)
class MediaSection:
    """One m-line and what hangs on it."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    attributes: _Attributes = field(default_factory=_Attributes)


@dataclass(frozen=True, slots=True)
class Description:
    """A whole session description."""

    session_id: int
    version: int
    attributes: _Attributes
    media: tuple[MediaSection, ...]


def number(text: str, highest: int) -> int | None:
    """A plain decimal number from 0 to `highest`, or None."""
    if not _NUMBER.fullmatch(text):
        return None
    value = int(text)
    return value if value <= highest else None


def is_token(text: str, longest: int = 64) -> bool:
    return len(text) <= longest and TOKEN.fullmatch(text) is not None


def invalid(detail: str) -> SdpError:
    return SdpError("sdp_invalid", detail)


def parse(text: str) -> Description:
    """Read a description.

    Raises:
        SdpError: too long, too many m-lines or candidates, control characters, or not SDP.
    """
    _check_limits(text)
    lines = text.split("\n")
    if lines[0].rstrip("\r") != "v=0":
        raise invalid("The description does not begin with v=0.")
    session_id = version = 0
    session = _Attributes()
    media: list[MediaSection] = []
    attributes = session
    for position, raw in enumerate(lines):
        line = raw.rstrip("\r")
        if not line:
            continue
        if len(line) < 2 or line[1] != "=":
            raise invalid(f"Line {position + 1} of the description is not of the form x=value.")
        kind, value = line[0], line[2:]
        if kind == "a":
            attributes.add(value.strip(" \t"))
        elif kind == "m":
            media.append(_media(value, position + 1))
            attributes = media[-1].attributes
        elif kind == "c":
            attributes.connection = value.strip(" \t")
        elif kind == "o" and not media:
            session_id, version = _origin(value)
    return Description(session_id, version, session, tuple(media))


def _check_limits(text: str) -> None:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise invalid(f"The description is longer than {MAX_BYTES} bytes.")
    if text.count("\nm=") > MAX_MEDIA:
        raise invalid(f"The description has more than {MAX_MEDIA} m-lines.")
    if text.count("\na=candidate:") > MAX_CANDIDATES:
        raise invalid(f"The description has more than {MAX_CANDIDATES} candidates.")
    # A CR is allowed only as the first half of a line end.
    if "\r" in text and text.count("\r") != text.count("\r\n"):
        raise invalid("The description has a carriage return inside a line.")
    if _FORBIDDEN.search(text.replace("\r\n", "\n")):
        raise invalid("The description has a control character.")


def _media(value: str, position: int) -> MediaSection:
    parts = value.split()
    if len(parts) < 4:
        raise invalid(f"The m-line in line {position} has fewer than four fields.")
    port = number(parts[1].partition("/")[0], 65535)
    if port is None:
        raise invalid(f"The m-line in line {position} has no port.")
    if not all(map(TOKEN.fullmatch, (parts[0], *parts[2].split("/"), *parts[3:]))):
        raise invalid(f"The m-line in line {position} has a field that is no token.")
    return MediaSection(parts[0], port, parts[2], tuple(parts[3:]))


def _origin(value: str) -> tuple[int, int]:
    """Session id and version; a name where a number belongs counts as 0, as nothing depends on it."""
    parts = value.split()
    digits = [part if part.isascii() and part.isdigit() and len(part) < 20 else "0" for part in parts[1:3]]
    digits += ["0"] * (2 - len(digits))
    return int(digits[0]), int(digits[1])


def write(lines: Iterable[str]) -> str:
    """Lines to text."""
    return "".join(f"{line}\r\n" for line in lines)
