"""Small things that stand in bodies and fields of calls: keys, fragments of responses, Replaces."""

from signaling.sip.errors import MessageError
from signaling.sip.grammar import number
from signaling.sip.message import Request

DIGITS = frozenset("0123456789*#ABCD")


def unescaped(text: str) -> str:
    parts = text.split("%")
    out = [parts[0]]
    for part in parts[1:]:
        try:
            out.append(chr(int(part[:2], 16)) + part[2:])
        except ValueError:
            out.append("%" + part)
    return "".join(out)


def read_digit(request: Request) -> tuple[str, int] | None:
    """A key of `application/dtmf-relay` (Signal=5, Duration=160) or `application/dtmf` (the key alone)."""
    text = request.body[:200].decode("ascii", "replace")
    if request.content_type == "application/dtmf":
        digit = text.strip().upper()
        return (digit, 160) if digit in DIGITS and len(digit) == 1 else None
    if request.content_type != "application/dtmf-relay":
        return None
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            found[name.strip().lower()] = value.strip()
    digit = found.get("signal", "").upper()
    digit = {"10": "*", "11": "#"}.get(digit, digit)
    if len(digit) != 1 or digit not in DIGITS:
        return None
    try:
        return digit, number(found.get("duration", "160"), 10_000, "Duration")
    except MessageError:
        return digit, 160


def wants_picture(request: Request) -> bool:
    """`picture_fast_update` of `application/media_control+xml` (RFC 5168). The text is searched, not parsed as XML."""
    media_control = request.content_type == "application/media_control+xml"
    return media_control and b"<picture_fast_update" in request.body[:2000]


def read_fragment(body: bytes) -> int | None:
    """The status in a `message/sipfrag`; None where there is none."""
    words = body[:100].decode("ascii", "replace").split()
    if len(words) < 2 or words[0].upper() != "SIP/2.0" or not words[1].isdigit() or len(words[1]) != 3:
        return None
    return int(words[1])


def read_replaces(value: str) -> tuple[str, str, str] | None:
    """(Call-ID, to-tag, from-tag) of a Replaces (RFC 3891); None when it is malformed."""
    call_id, *rest = (part.strip() for part in value.split(";"))
    tags = dict(part.split("=", 1) for part in rest if "=" in part)
    if not call_id or "to-tag" not in tags or "from-tag" not in tags:
        return None
    return call_id, tags["to-tag"], tags["from-tag"]
