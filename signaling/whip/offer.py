"""What a WHIP or WHEP door must know of an SDP before the media worker reads it whole, and ICE fragments.

Only lines are looked at; whether the SDP is any good is for `media.negotiation` to say.
"""

import re
from dataclasses import dataclass

CONTENT_TYPE = "application/sdp"
FRAGMENT_TYPE = "application/trickle-ice-sdpfrag"
MAX_SDP_BYTES = 64 * 1024

_CREDENTIAL = re.compile(r"^a=ice-(ufrag|pwd):(\S{1,256})\s*$", re.MULTILINE)


class FragmentError(ValueError):
    """A PATCH body that is no trickle-ICE SDP fragment (RFC 8840)."""


@dataclass(frozen=True, slots=True)
class Fragment:
    """ICE credentials of a fragment; candidates are of no use to an ICE-lite end and are not kept."""

    ufrag: str
    password: str


def offered(sdp: str) -> dict[str, str]:
    """mid to kind (`audio`, `video`, ...), in the order of the offer."""
    found: dict[str, str] = {}
    kind = ""
    for line in sdp.splitlines():
        if line.startswith("m="):
            kind = line[2:].split(" ", 1)[0]
        elif line.startswith("a=mid:") and kind:
            found[line[6:].strip()] = kind
    return found


def credentials(sdp: str) -> Fragment | None:
    """The first ICE user fragment and password in an SDP or a fragment."""
    named: dict[str, str] = {}
    for name, value in _CREDENTIAL.findall(sdp):
        named.setdefault(name, value)
    return Fragment(named["ufrag"], named["pwd"]) if len(named) == 2 else None


def parse_fragment(body: str) -> Fragment | None:
    """Credentials of a PATCH body; None when it only brings candidates.

    Raises:
        FragmentError: neither credentials nor candidates in it.
    """
    found = credentials(body)
    if found is None and "a=candidate:" not in body and "a=end-of-candidates" not in body:
        raise FragmentError("The fragment holds neither ICE credentials nor candidates.")
    return found


def with_credentials(sdp: str, fragment: Fragment) -> str:
    """The offer of before with new ICE credentials: an ICE restart by PATCH (RFC 9725 section 4.3.3)."""
    value = {"ufrag": fragment.ufrag, "pwd": fragment.password}
    return _CREDENTIAL.sub(lambda match: f"a=ice-{match[1]}:{value[match[1]]}", sdp)


def fragment_of(answer: str) -> str:
    """Our answer's ICE credentials and candidates, as the body of a 200 to an ICE restart."""
    kept = ("a=ice-lite", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:", "a=end-of-candidates")
    session = [line for line in answer.splitlines() if line.startswith("a=ice-lite")]
    for section in answer.split("\nm=")[1:2]:
        lines = section.splitlines()
        session += [f"m={lines[0].strip()}"]
        session += [line for line in lines if line.startswith("a=mid:") or line.startswith(kept)]
    return "\r\n".join([*session, ""])
