"""One Via value (RFC 3261 section 20.42), `rport` (RFC 3581) and what a receiver writes into it (18.2.1)."""

from dataclasses import dataclass, replace

from signaling.sip.errors import MessageError
from signaling.sip.grammar import (
    TOKEN,
    Parameters,
    format_parameters,
    number,
    parameter,
    parse_parameters,
    with_parameter,
)
from signaling.sip.uri import is_ipv6, parse_host

MAGIC = "z9hG4bK"
"""How a branch begins that is unique all over the world (RFC 3261 section 8.1.1.7)."""


@dataclass(frozen=True, slots=True)
class Via:
    transport: str
    """Upper case: UDP, TCP, TLS, SCTP, WS, WSS or something not known here."""
    host: str
    port: int | None = None
    parameters: Parameters = ()

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {self.host}{port}{format_parameters(self.parameters)}"

    @property
    def branch(self) -> str:
        """ "" when there is none."""
        return parameter(self.parameters, "branch") or ""

    @property
    def unique(self) -> bool:
        """Whether the branch may name a transaction. A bare magic cookie may not (RFC 4475 section 3.2.1)."""
        return self.branch[: len(MAGIC)].lower() == MAGIC.lower() and len(self.branch) > len(MAGIC)

    @property
    def sent_by(self) -> tuple[str, int]:
        default = 5061 if self.transport in ("TLS", "WSS") else 5060
        return self.host.lower(), default if self.port is None else self.port

    def received_from(self, host: str, port: int) -> "Via":
        """With `received` where the packet came from elsewhere than it says, and `rport` filled in where asked for."""
        parameters = self.parameters
        asked = parameter(parameters, "rport") is not None
        if asked or self.host.strip("[]").lower() != host.lower():
            parameters = with_parameter(parameters, "received", host)
        if asked:
            parameters = with_parameter(parameters, "rport", str(port))
        return replace(self, parameters=parameters)

    def answer_to(self) -> tuple[str, int]:
        """Where a response over UDP goes (RFC 3261 section 18.2.2, RFC 3581 section 4); IPv6 without brackets."""
        host = parameter(self.parameters, "maddr") or parameter(self.parameters, "received") or self.host
        port = parameter(self.parameters, "rport") or ""
        return host.strip("[]"), int(port) if port.isascii() and port.isdigit() else self.sent_by[1]


def parse_via(text: str) -> Via:
    """White space around the slashes and the colon is allowed. `received` may hold an IPv6 address with or without
    brackets (RFC 5118 section 4.5).
    """
    place, semicolon, rest = text.strip().partition(";")
    protocol, slash, remainder = place.partition("/")
    version, second, remainder = remainder.partition("/")
    words = remainder.split(None, 1)
    if not slash or not second or len(words) != 2:
        raise MessageError("A Via is malformed.")
    if protocol.strip().upper() != "SIP" or version.strip() != "2.0" or not TOKEN.fullmatch(words[0]):
        raise MessageError("A Via names another protocol than SIP/2.0.")
    host, port = _sent_by(words[1])
    parameters = parse_parameters(semicolon + rest)
    for name, highest in (("rport", 65535), ("ttl", 255)):
        if value := parameter(parameters, name):
            number(value, highest, f"The Via parameter {name}")
    for name in ("received", "maddr"):
        if (value := parameter(parameters, name)) is not None and not is_ipv6(value):
            parse_host(value)
    return Via(words[0].upper(), host, port, parameters)


def _sent_by(text: str) -> tuple[str, int | None]:
    """`host`, `host : port`, `[v6] : port`."""
    text = text.strip()
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        host, rest = host + bracket, rest.lstrip()
    else:
        host, colon, port = text.partition(":")
        host, rest = host.rstrip(), colon + port
    if rest and not rest.startswith(":"):
        raise MessageError("Something stands behind the host of a Via.")
    return parse_host(host), number(rest[1:], 65535, "A port") if rest else None
