"""SIP and SIPS URIs (RFC 3261 section 19.1, RFC 5118 for IPv6), and others as far as one must carry them on."""

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import unquote

from signaling.sip.errors import MessageError
from signaling.sip.grammar import Parameters, format_parameters, number, parameter

_ESCAPED = r"|%[0-9A-Fa-f]{2}"
_USER = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]{_ESCAPED})+")
_PASSWORD = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,]{_ESCAPED})*")
_PARAMETER = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]{_ESCAPED})+")
_HEADERS = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$&=]{_ESCAPED})+")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._\-]*[A-Za-z0-9.])?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*")
_OPAQUE = re.compile(r"[!-;=?-~]+")
"""Visible ASCII without `<` and `>`."""
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_THREE_COLONS = re.compile(r"\[[0-9A-Fa-f:]{0,30}:::[0-9]{1,3}(?:\.[0-9]{1,3}){3}\]")
_MUST_MATCH = {"user", "ttl", "method", "maddr", "transport"}
"""Parameters that count in a comparison even when only one side has them (19.1.4)."""


@dataclass(frozen=True, slots=True)
class SipUri:
    """`sip:user:password@host:port;parameters?headers`, escaped as it came; IPv6 hosts keep their brackets."""

    host: str
    user: str | None = None
    port: int | None = None
    parameters: Parameters = ()
    scheme: str = "sip"
    password: str | None = None
    headers: str = ""

    def __str__(self) -> str:
        user = "" if self.user is None else self.user
        if self.password is not None:
            user += f":{self.password}"
        at = "@" if self.user is not None else ""
        port = "" if self.port is None else f":{self.port}"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{at}{self.host}{port}{format_parameters(self.parameters)}{headers}"

    def parameter(self, name: str) -> str | None:
        """ "" for a parameter without a value, None without the parameter. Names and values are unescaped once."""
        if not any("%" in key for key, _ in self.parameters):
            value = parameter(self.parameters, name)
            return value if value is None else unquote(value)
        return next((unquote(value or "") for key, value in self.parameters if unquote(key).lower() == name), None)

    def address_of_record(self) -> "SipUri":
        """What names a user: no port, password, parameters and headers, host in lower case (RFC 3261 10.3 step 5)."""
        user = None if self.user is None else unquote(self.user)
        return SipUri(self.host.lower(), user, scheme=self.scheme)

    def bare(self) -> "SipUri":
        """Without `headers`, as it may stand in a request line."""
        return replace(self, headers="")


@dataclass(frozen=True, slots=True)
class OtherUri:
    """A URI of another scheme, `tel:` among them: carried on, not understood."""

    scheme: str
    rest: str

    def __str__(self) -> str:
        return f"{self.scheme}:{self.rest}"


Uri: TypeAlias = SipUri | OtherUri


def parse_host(text: str) -> str:
    """A host name, an IPv4 address or an IPv6 address in brackets, as it stands. Three colons before an IPv4 address,
    which the grammar of RFC 3261 asks for by mistake, become two (RFC 5118 section 4.10).

    Names of digits only are let through: GB/T 28181 domains are ten digits. A last label of digits makes RFC 3261
    expect an IPv4 address, so `1.2.3.400` is refused.
    """
    if text.startswith("["):
        if _THREE_COLONS.fullmatch(text):
            text = text.replace(":::", "::")
        if not text.endswith("]") or not is_ipv6(text[1:-1]):
            raise MessageError("An IPv6 address in brackets is malformed.")
        return text
    if not _HOST.fullmatch(text) or ".." in text or len(text) > 253:
        raise MessageError("A host name is malformed.")
    if text[-1].isdigit() and text.count(".") == 3 and text.replace(".", "").isdigit() and not _IPV4.fullmatch(text):
        raise MessageError("An IPv4 address is malformed.")
    return text


def is_ipv6(text: str) -> bool:
    """Without brackets and without a zone."""
    if len(text) > 45 or "%" in text:
        return False
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def host_of(address: str) -> str:
    """An IP address as it stands in a URI or a Via: IPv6 in brackets."""
    return f"[{address}]" if ":" in address and not address.startswith("[") else address


def parse_host_port(text: str) -> tuple[str, int | None]:
    """`host`, `host:port`, `[v6]`, `[v6]:port`; white space around the colon only where the caller took none out."""
    if text.startswith("["):
        address, bracket, rest = text.partition("]")
        host, colon, port = address + bracket, rest[:1], rest[1:]
        if colon not in ("", ":"):
            raise MessageError("Something stands behind an IPv6 address.")
    else:
        host, colon, port = text.partition(":")
    if not colon:
        return parse_host(host), None
    value = number(port, 65535, "A port")
    if port != port.strip():
        raise MessageError("A port is surrounded by white space.")
    return parse_host(host), value


def _parse_parameters(text: str) -> Parameters:
    """Of a URI: no white space, no quotes, other characters than in a header field."""
    found: list[tuple[str, str | None]] = []
    seen: set[str] = set()
    for piece in text.split(";"):
        name, equals, value = piece.partition("=")
        name = name.lower()
        if not _PARAMETER.fullmatch(name) or (equals and value and not _PARAMETER.fullmatch(value)):
            raise MessageError("A URI parameter is malformed.")
        if name in seen:
            raise MessageError("A URI parameter is given twice.")
        seen.add(name)
        found.append((name, value if equals else None))
    return tuple(found)


def parse_uri(text: str) -> Uri:
    """Raises MessageError. Nothing is stripped: white space in a URI is an error (RFC 4475 section 3.1.2.14)."""
    scheme, colon, rest = text.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise MessageError("A URI has no scheme.")
    scheme = scheme.lower()
    if scheme not in ("sip", "sips"):
        if not _OPAQUE.fullmatch(rest):
            raise MessageError("A URI has characters that no URI may have.")
        return OtherUri(scheme, rest)
    before, at, after = rest.partition("@")
    user: str | None = None
    password: str | None = None
    if at:
        user, colon, secret = before.partition(":")
        password = secret if colon else None
        if not _USER.fullmatch(user) or not _PASSWORD.fullmatch(secret):
            raise MessageError("The user part of a URI is malformed.")
    else:
        after = rest
    after, question, headers = after.partition("?")
    if question and not _HEADERS.fullmatch(headers):
        raise MessageError("The header part of a URI is malformed.")
    place, semicolon, parameters = after.partition(";")
    host, port = parse_host_port(place)
    return SipUri(host, user, port, _parse_parameters(parameters) if semicolon else (), scheme, password, headers)


def _header_set(headers: str) -> frozenset[str]:
    return frozenset(unquote(one) for one in headers.lower().split("&")) if headers else frozenset()


def same_uri(one: Uri, other: Uri) -> bool:
    """RFC 3261 section 19.1.4. `sip:host` and `sip:host:5060` differ there, and here."""
    if isinstance(one, OtherUri) or isinstance(other, OtherUri):
        return one == other
    if (one.scheme, one.host.lower(), one.port) != (other.scheme, other.host.lower(), other.port):
        return False
    if (one.user is None) != (other.user is None) or unquote(one.user or "") != unquote(other.user or ""):
        return False
    if unquote(one.password or "") != unquote(other.password or ""):
        return False
    mine = {unquote(key).lower(): unquote(value or "").lower() for key, value in one.parameters}
    yours = {unquote(key).lower(): unquote(value or "").lower() for key, value in other.parameters}
    if any(mine[key] != yours[key] for key in mine.keys() & yours.keys()):
        return False
    if (mine.keys() ^ yours.keys()) & _MUST_MATCH:
        return False
    return _header_set(one.headers) == _header_set(other.headers)
