"""Requests and responses: from bytes, to bytes (RFC 3261 section 7).

`parse` reads in two steps. First the shape: start line, header lines, body; then the fields without which nobody can
answer or match the message (Via, From, To, Call-ID, CSeq), and those whose wrong value RFC 4475 wants refused. What
only an application can judge (schemes, extensions, body types) is left to `admission`. A message from the net either
becomes a `Request` or a `Response` or raises `MessageError`: there is no other way out.
"""

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypeAlias

from signaling.sip.address import Address, parse_address
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.grammar import TOKEN, number
from signaling.sip.headers import Headers
from signaling.sip.uri import SipUri, Uri, parse_uri
from signaling.sip.via import Via, parse_via

MAX_BYTES = 64 << 10
"""A UDP datagram cannot hold more; over TCP nothing in signaling needs more."""
MAX_HEAD = 32 << 10
"""Start line and header fields. An answer copies some of them and adds its own, and must stay below MAX_BYTES."""
MAX_HEADERS = 128
MAX_VIAS = 71
"""Each hop adds one and takes one from Max-Forwards, which begins at 70; more is a loop or hostile."""

IMPLEMENTED = frozenset(
    "INVITE ACK CANCEL BYE OPTIONS REGISTER MESSAGE INFO UPDATE PRACK SUBSCRIBE NOTIFY REFER PUBLISH".split()
)
"""Methods that this program has heard of; others get 501."""

MAX_ADDRESSES = 128
"""In one list: Contact, Route, Record-Route."""
MAX_REPAIRED_VIA = 512
"""Characters of a malformed Via that are looked at to answer it."""
MAX_REPAIRED = 8
"""Parameters of it that are kept."""

_STATUS = re.compile(r"[1-6][0-9]{2}")
_VERSION = re.compile(r"SIP/[0-9]{1,9}\.[0-9]{1,9}", re.IGNORECASE)
_CALL_ID = re.compile(r"[A-Za-z0-9\-.!%*_+`'~()<>:\\\"/\[\]?{}@]+")
_SINGLE = ("Call-ID", "CSeq", "From", "To", "Max-Forwards", "Content-Length", "Content-Type", "Expires")
"""Fields that may stand in a message once."""

REASONS = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    439: "First Hop Lacks Outbound Support",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    603: "Decline",
}


_NOWHERE = SipUri("invalid")
_READ = ("from_", "to", "call_id", "cseq", "contacts")
"""What a message keeps once it was read."""


class CSeq(NamedTuple):
    number: int
    method: str

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


@dataclass(frozen=True)
class _Message:
    headers: Headers
    body: bytes = b""

    @cached_property
    def via(self) -> Via:
        """The topmost."""
        values = self.headers.values("Via")
        if not values:
            raise MessageError("There is no Via.")
        return parse_via(values[0])

    @cached_property
    def from_(self) -> Address:
        return parse_address(self._one("From"))

    @cached_property
    def to(self) -> Address:
        return parse_address(self._one("To"))

    @cached_property
    def call_id(self) -> str:
        value = self._one("Call-ID")
        if not _CALL_ID.fullmatch(value) or value.count("@") > 1:
            raise MessageError("The Call-ID is malformed.")
        return value

    @cached_property
    def cseq(self) -> CSeq:
        """The number is below 2**31 (RFC 3261 section 8.1.1.5)."""
        words = self._one("CSeq").split()
        if len(words) != 2 or not TOKEN.fullmatch(words[1]):
            raise MessageError("The CSeq is malformed.")
        return CSeq(number(words[0], 2**31 - 1, "The number in CSeq"), words[1])

    @cached_property
    def contacts(self) -> list[Address]:
        """Without `*`."""
        return [parse_address(value) for value in self._list("Contact") if value != "*"]

    @property
    def content_type(self) -> str:
        """In lower case without parameters, "" when there is none."""
        return (self.headers.first("Content-Type") or "").split(";", 1)[0].strip().lower().replace(" ", "")

    def addresses(self, name: str) -> list[Address]:
        """Route, Record-Route, Path and the like."""
        return [parse_address(value) for value in self._list(name)]

    def _list(self, name: str) -> list[str]:
        values = self.headers.values(name)
        if len(values) > MAX_ADDRESSES:
            raise MessageError(f"{name} lists more than {MAX_ADDRESSES} addresses.")
        return values

    def _one(self, name: str) -> str:
        value = self.headers.first(name)
        if value is None:
            raise MessageError(f"There is no {name}.")
        return value

    def _serialize(self, start: str) -> bytes:
        headers = self.headers.without("Content-Length").added(("Content-Length", str(len(self.body))))
        if "\r" in start or "\n" in start:
            raise LocalSipError("A start line cannot hold a line break.")
        data = f"{start}\r\n{headers.serialize()}\r\n".encode() + self.body
        if len(data) > MAX_BYTES:
            raise LocalSipError(f"A message of {len(data)} bytes is larger than {MAX_BYTES}.")
        return data


@dataclass(frozen=True)
class Request(_Message):
    method: str = ""
    uri: Uri = _NOWHERE

    def serialize(self) -> bytes:
        """Content-Length is written by us, last, and always right."""
        return self._serialize(f"{self.method} {self.uri} SIP/2.0")

    @property
    def max_forwards(self) -> int:
        """70 where there is none (RFC 2543 had none)."""
        value = self.headers.first("Max-Forwards")
        return 70 if value is None else number(value, 255, "Max-Forwards")

    def stamped(self, via: Via) -> "Request":
        """With another topmost Via; what was read of the other fields is kept."""
        values = [str(via), *self.headers.values("Via")[1:]]
        headers = Headers([*(("Via", value) for value in values), *self.headers.without("Via")])
        made = replace(self, headers=headers)
        vars(made).update({name: value for name, value in vars(self).items() if name in _READ}, via=via)
        return made

    def reply(
        self, status: int, *fields: tuple[str, str], tag: str = "", body: bytes = b"", reason: str = ""
    ) -> "Response":
        """What RFC 3261 section 8.2.6 wants copied: Via, From, To, Call-ID, CSeq, and Timestamp in a 100.

        `tag` goes into To where the request had none and the status is not 100.
        """
        to = self.headers.first("To")
        if tag and status > 100:
            with suppress(MessageError):
                if self.to.tag is None:
                    to = str(self.to.with_tag(tag))
        copied = [("Via", value) for value in self.headers.lines("Via")]
        for name in ("From", "To", "Call-ID", "CSeq"):
            if (value := to if name == "To" else self.headers.first(name)) is not None:
                copied.append((name, value))
        if status == 100 and (timestamp := self.headers.first("Timestamp")) is not None:
            copied.append(("Timestamp", timestamp))
        headers = Headers([*copied, *fields])
        return Response(headers, body, status, reason or REASONS.get(status, "Unknown"))


@dataclass(frozen=True)
class Response(_Message):
    status: int = 0
    reason: str = ""

    def serialize(self) -> bytes:
        return self._serialize(f"SIP/2.0 {self.status} {self.reason}")


Message: TypeAlias = Request | Response


def split_head(data: bytes) -> tuple[list[str], int]:
    """The lines of the head, unfolded, and where the body begins. Empty lines in front are skipped (7.5)."""
    start = 0
    while data.startswith(b"\r\n", start):
        start += 2
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        raise MessageError("The header fields do not end with an empty line.")
    if end - start > MAX_HEAD:
        raise MessageError(f"The header fields are larger than {MAX_HEAD} bytes.", 513)
    try:
        text = data[start:end].decode("utf-8")
    except UnicodeDecodeError as problem:
        raise MessageError("The header fields are not UTF-8.") from problem
    lines: list[list[str]] = []
    for line in text.split("\r\n"):
        if line[:1] in (" ", "\t"):
            if len(lines) < 2:
                raise MessageError("The start line is folded.")
            lines[-1].append(line.strip(" \t"))
        elif len(lines) > MAX_HEADERS:
            raise MessageError(f"There are more than {MAX_HEADERS} header fields.", 513)
        else:
            lines.append([line])
    return [" ".join(parts) for parts in lines], end + 4


def parse_fields(lines: list[str], lenient: bool = False) -> Headers:
    """Raises MessageError for a line that is no header field; lenient: leaves it out."""
    fields: list[tuple[str, str]] = []
    for line in lines:
        name, colon, value = line.partition(":")
        name = name.rstrip(" \t")
        proper = colon and TOKEN.fullmatch(name) and "\r" not in value and "\n" not in value
        if not proper and not lenient:
            raise MessageError("A header line has no proper name or holds a lone CR or LF.")
        if proper:
            fields.append((name, value.strip(" \t")))
    return Headers(fields)


def _start(line: str, headers: Headers, body: bytes) -> Message:
    first, _, rest = line.partition(" ")
    if first.upper() == "SIP/2.0":
        code, space, reason = rest.partition(" ")
        if not space or not _STATUS.fullmatch(code) or "\r" in reason or "\n" in reason:
            raise MessageError("The status line is malformed.")
        return Response(headers, body, int(code), reason)
    if _VERSION.fullmatch(first):
        raise MessageError("The response speaks another version of SIP.", 505)
    words = line.split(" ")
    if not TOKEN.fullmatch(first):
        raise MessageError("The request line is malformed.")
    placeholder = Request(headers, body, first)
    if len(words) != 3 or not _VERSION.fullmatch(words[2]):
        raise MessageError("The request line is malformed.", 400, placeholder)
    if words[2].upper() != "SIP/2.0":
        raise MessageError("The request speaks another version of SIP.", 505, placeholder)
    try:
        uri = parse_uri(words[1])
    except MessageError as problem:
        raise MessageError(problem.detail, 400, placeholder) from problem
    if isinstance(uri, SipUri) and uri.headers:
        raise MessageError("The URI of the request line holds header fields.", 400, placeholder)
    return Request(headers, body, first, uri)


def _check(message: Message) -> None:
    headers = message.headers
    for name in _SINGLE:
        if len(headers.lines(name)) > 1:
            raise MessageError(f"{name} is given more than once.")
    vias = headers.values("Via")
    if len(vias) > MAX_VIAS:
        raise MessageError(f"There are more than {MAX_VIAS} Vias.", 483)
    for via in vias[1:]:
        parse_via(via)
    _ = message.via, message.from_, message.to, message.call_id, message.contacts
    cseq = message.cseq
    for name in ("Route", "Record-Route"):
        message.addresses(name)
    if isinstance(message, Request):
        _ = message.max_forwards
        if cseq.method != message.method:
            status = 400 if message.method in IMPLEMENTED else 501  # RFC 4475 section 3.1.2.18
            raise MessageError("The method in CSeq is not that of the request.", status)


def _length(headers: Headers, available: int) -> int:
    declared = headers.first("Content-Length")
    if declared is None:
        return available
    length = number(declared, MAX_BYTES, "Content-Length")
    if length > available:
        raise MessageError("The message is shorter than its Content-Length says.")
    return length


def parse(data: bytes) -> Message:
    """One whole message: a datagram, or what `stream` has cut out of a connection.

    Bytes behind Content-Length are cut off (RFC 3261 section 18.3). Raises MessageError.
    """
    if len(data) > MAX_BYTES:
        raise MessageError(f"The message is larger than {MAX_BYTES} bytes.", 513)
    lines, begin = split_head(data)
    headers = parse_fields(lines[1:], lenient=True)
    body = data[begin:]
    message: Message | None = None
    try:
        message = _start(lines[0], headers, body)
        if len(headers) != len(lines) - 1:
            parse_fields(lines[1:])
        _check(message)
        length = _length(headers, len(body))
    except MessageError as problem:
        seen = message if message is not None else problem.request
        raise MessageError(problem.detail, problem.status, answerable(seen)) from problem
    if length == len(body):
        return message
    if isinstance(message, Request):
        return Request(headers, body[:length], message.method, message.uri)
    return Response(headers, body[:length], message.status, message.reason)


def answerable(message: Message | None) -> Request | None:
    """The request, if a response can be addressed and the other side could match it; an ACK is never answered.

    From, To and Call-ID may be missing (RFC 4475 section 3.3.1): the answer then has none either. Of a topmost Via of
    another version, or with parameters that cannot be read, those before the first of these are kept, and no other Via.
    """
    if not isinstance(message, Request) or message.method == "ACK" or message.headers.first("CSeq") is None:
        return None
    try:
        _ = message.via
    except MessageError:
        via = _readable_via(message.headers.first("Via") or "")
        return None if via is None else replace(message, headers=message.headers.with_("Via", str(via)))
    return message


def _readable_via(text: str) -> Via | None:
    via: Via | None = None
    place, *parameters = text[:MAX_REPAIRED_VIA].split(";")
    transport = place.partition("/")[2].partition("/")[2]
    with suppress(MessageError):
        via = parse_via(f"SIP/2.0/{transport}")
        for one in parameters[:MAX_REPAIRED]:
            via = parse_via(f"{via};{one}")
    return via
