"""Addresses with a display name and parameters: From, To, Contact, Route, Record-Route (RFC 3261 section 20.10)."""

from dataclasses import dataclass, replace

from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.grammar import (
    QUOTED,
    Parameters,
    format_parameters,
    only_tokens,
    parameter,
    parse_parameters,
    quote,
    unquote,
    with_parameter,
)
from signaling.sip.uri import Uri, parse_uri


@dataclass(frozen=True, slots=True)
class Address:
    """`"display" <uri>;parameters`. The display name is without quotes and back-slashes."""

    uri: Uri
    display: str = ""
    parameters: Parameters = ()

    def __str__(self) -> str:
        if "\r" in self.display or "\n" in self.display:
            raise LocalSipError("A display name may not hold a line break.")
        name = f"{quote(self.display)} " if self.display else ""
        return f"{name}<{self.uri}>{format_parameters(self.parameters)}"

    @property
    def tag(self) -> str | None:
        """None without a tag; requests of RFC 2543 times may have none."""
        return self.parameter("tag") or None

    def parameter(self, name: str) -> str | None:
        return parameter(self.parameters, name)

    def with_tag(self, tag: str) -> "Address":
        return replace(self, parameters=with_parameter(self.parameters, "tag", tag))


def parse_address(text: str) -> Address:
    """One address. Without angle brackets what stands behind the first `;` belongs to the header field, and the URI may
    hold neither `?` nor a comma (RFC 3261 section 20).
    """
    text = text.strip()
    display = ""
    if quoted := QUOTED.match(text):
        display = unquote(quoted[0])
        text = text[quoted.end() :].lstrip()
        if not text.startswith("<"):
            raise MessageError("A display name is not followed by an address in angle brackets.")
    address, semicolon, rest = text.partition(";")
    before, bracket, after = text.partition("<")
    if "<" not in address:
        if "?" in address or "," in address:
            raise MessageError("An address with a question mark or a comma stands outside angle brackets.")
        return Address(parse_uri(address.rstrip()), "", parse_parameters(semicolon + rest))
    if not only_tokens(before):
        raise MessageError("A display name that is not quoted holds other characters than tokens may.")
    inside, bracket, parameters = after.partition(">")
    if not bracket:
        raise MessageError("An angle bracket is not closed.")
    return Address(parse_uri(inside), display or before.strip(), parse_parameters(parameters))
