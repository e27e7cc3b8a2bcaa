"""What a user agent server asks of a well-formed request before it looks at what it says (RFC 3261 section 8.2).

The order is the RFC's: method, Request-URI, extensions, body. Authentication and merged requests are
asked elsewhere. Each refusal says which rule it was, for the log and for the person who looks for it.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from signaling.sip.message import IMPLEMENTED, Request


class Refusal(NamedTuple):
    status: int
    fields: tuple[tuple[str, str], ...]
    why: str


@dataclass(frozen=True, slots=True)
class Admission:
    """What this server takes. Types and option tags in lower case, methods in upper case."""

    methods: AbstractSet[str]
    extensions: AbstractSet[str] = frozenset()
    body_types: AbstractSet[str] = frozenset({"application/sdp"})
    answer_types: AbstractSet[str] = frozenset({"application/sdp"})
    """What a response with a body would hold; asked only of INVITE and OPTIONS (406)."""
    schemes: AbstractSet[str] = frozenset({"sip", "sips"})

    def refuse(self, request: Request) -> Refusal | None:
        """None when nothing speaks against the request. ACK and CANCEL are never refused for an extension (8.2.2.3)."""
        if request.method not in self.methods:
            status = 405 if request.method in IMPLEMENTED else 501
            return Refusal(
                status, (("Allow", ", ".join(sorted(self.methods))),), f"{request.method} is not taken here."
            )
        if request.uri.scheme not in self.schemes:
            return Refusal(416, (), f"The scheme {request.uri.scheme} is not understood.")
        if request.method in ("ACK", "CANCEL"):
            return None
        unknown = sorted(request.headers.tokens("Require") - self.extensions)
        if unknown:
            return Refusal(420, (("Unsupported", ", ".join(unknown)),), f"Extensions are asked for: {unknown}.")
        return self._body(request)

    def _body(self, request: Request) -> Refusal | None:
        types = ", ".join(sorted(self.body_types))
        if request.body and request.content_type not in self.body_types:
            disposition = request.headers.first("Content-Disposition") or ""
            if "handling=optional" not in disposition.lower().replace(" ", ""):
                return Refusal(415, (("Accept", types),), f"A body of type {request.content_type!r} is not read here.")
        encodings = request.headers.tokens("Content-Encoding") - {"identity"}
        if request.body and encodings:
            return Refusal(415, (("Accept-Encoding", "identity"),), "An encoded body is not read here.")
        wanted = request.headers.tokens("Accept")
        if request.method in ("INVITE", "OPTIONS") and wanted and not self._acceptable(wanted):
            return Refusal(406, (), f"None of our types is accepted: {sorted(wanted)}.")
        return None

    def _acceptable(self, wanted: AbstractSet[str]) -> bool:
        return any(one in ("*/*", "application/*") or one in self.answer_types for one in wanted)
