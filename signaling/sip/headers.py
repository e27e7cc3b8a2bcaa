"""Header fields in their order, as text, under their long names (RFC 3261 sections 7.3 and 20).

A `Headers` never changes; `with_`, `without` and `added` give new ones. Values are unfolded and stripped, otherwise as
they came; reading one as an address, a Via or a number is the business of `message` and the modules behind it.
"""

import re
from collections.abc import Iterable, Iterator

from signaling.sip.errors import LocalSipError
from signaling.sip.grammar import TOKEN, split

COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
"""One-letter names (RFC 3261 section 7.3.3 and the IANA registry)."""

_NAMES = (
    *COMPACT.values(),
    *("Accept", "Accept-Encoding", "Accept-Language", "Allow", "Authentication-Info", "Authorization", "CSeq"),
    *("Content-Disposition", "Date", "Expires", "Max-Forwards", "MIME-Version", "Min-Expires", "Min-SE", "Path"),
    *("Organization", "Priority", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Require", "RAck", "RSeq"),
    *("Record-Route", "Reply-To", "Require", "Retry-After", "Route", "Server", "Service-Route", "Timestamp"),
    *("Unsupported", "User-Agent", "Warning", "WWW-Authenticate", "Replaces", "Reason", "Subscription-State"),
    *("P-Asserted-Identity", "Privacy", "Flow-Timer", "Content-Language", "Call-Info", "Alert-Info", "Error-Info"),
)
_KNOWN = {spelling: name for name in _NAMES for spelling in (name, name.lower())} | {
    spelling: name for letter, name in COMPACT.items() for spelling in (letter, letter.upper())
}
"""What a name is usually written as, and its lower case, to the usual spelling."""
_BREAK = re.compile(r"[\r\n]")


def long_name(name: str) -> str:
    """The usual spelling; a name that is not known keeps its own."""
    return _KNOWN.get(name) or _KNOWN.get(name.lower(), name)


def _key(name: str) -> str:
    """Under which a field is found: its usual spelling, or the lower case of a name that is not known."""
    return _KNOWN.get(name) or _KNOWN.get(lower := name.lower(), lower)


class Headers:
    """(name, value) pairs. Names are compared without case, a compact name is its long one."""

    __slots__ = ("_fields", "_where")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields = tuple((long_name(name), value) for name, value in fields)
        self._where: dict[str, list[str]] = {}
        for name, value in self._fields:
            self._where.setdefault(_key(name), []).append(value)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: str) -> bool:
        return _key(name) in self._where

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    def __hash__(self) -> int:
        return hash(self._fields)

    def __repr__(self) -> str:
        return f"Headers({list(self._fields)!r})"

    def lines(self, name: str) -> list[str]:
        """The values as they stand, one for each line."""
        return list(self._where.get(_key(name), ()))

    def first(self, name: str) -> str | None:
        found = self._where.get(_key(name))
        return found[0] if found else None

    def values(self, name: str) -> list[str]:
        """The values of a list, over all lines and commas. Raises MessageError when a quote is not closed."""
        return [part.strip() for line in self._where.get(_key(name), ()) for part in split(line, ",")]

    def tokens(self, name: str) -> frozenset[str]:
        """A list of option tags, methods or types, in lower case, without parameters and empty places."""
        words = (value.split(";", 1)[0].strip().lower() for value in self.values(name))
        return frozenset(word for word in words if word)

    def with_(self, name: str, value: str) -> "Headers":
        """This value in the place of all old ones."""
        return Headers([*self.without(name), (name, value)])

    def without(self, *names: str) -> "Headers":
        gone = {_key(name) for name in names}
        return Headers((name, value) for name, value in self._fields if _key(name) not in gone)

    def added(self, *fields: tuple[str, str]) -> "Headers":
        return Headers([*self._fields, *fields])

    def serialize(self) -> str:
        """The lines with CRLF. Raises LocalSipError for a name or a value that would begin another line."""
        for name, value in self._fields:
            if not TOKEN.fullmatch(name) or _BREAK.search(value):
                raise LocalSipError(f"The header field {name!r} cannot be written: a line break or a wrong name.")
        return "".join(f"{name}: {value}\r\n" for name, value in self._fields)
