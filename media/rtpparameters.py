"""What two ends agreed on, apart from how SDP writes it: codecs, header extensions, transports.

`media.negotiation` makes these out of SDP; the transport and the router work with these alone.
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["audio", "video"]


@dataclass(frozen=True, slots=True)
class Codec:
    """One payload type."""

    payload_type: int
    name: str
    """VP8, H264, VP9, AV1, opus, ... as in SDP."""
    clock_rate: int
    channels: int = 1
    parameters: tuple[tuple[str, str], ...] = ()
    """fmtp, in the order given."""
    feedback: tuple[str, ...] = ()
    """`nack`, `nack pli`, `ccm fir`, `goog-remb`, `transport-cc`."""
    rtx_payload_type: int | None = None


@dataclass(frozen=True, slots=True)
class LocalTransport:
    """Our end of one peer: ICE-lite, DTLS passive."""

    ufrag: str
    password: str
    fingerprint: str
    """`sha-256 AB:CD:...`"""
    candidates: tuple[tuple[str, int], ...]
    """Addresses and UDP ports, best first."""
    tcp: tuple[tuple[str, int], ...] = ()
    """Addresses and ports that take ICE over TCP, best first."""


@dataclass(frozen=True, slots=True)
class RemoteTransport:
    """The other end."""

    ufrag: str
    password: str
    fingerprints: tuple[tuple[str, str], ...]
    """(hash name in lower case, upper-case hex with colons)"""
    setup: Literal["active", "passive", "actpass"]


@dataclass(frozen=True, slots=True)
class PublishedMedia:
    """One m-line of a publisher, as answered."""

    mid: str
    kind: Kind
    codecs: tuple[Codec, ...]
    """What we answered, in the publisher's order; the first is what will be sent."""
    extensions: dict[str, int]
    """URI to id."""
    ssrcs: tuple[int, ...] = ()
    """Declared media SSRCs (not RTX); empty where the offer names none (then MID or RID tells)."""
    rtx: dict[int, int] = field(default_factory=dict)
    """RTX SSRC to media SSRC."""
    rids: tuple[str, ...] = ()
    """Simulcast layers that we accepted, in the order of the offer."""
    simulcast: tuple[int, ...] = ()
    """SSRCs of a simulcast without RIDs, the smallest picture first."""
    stream: str = ""
    active: bool = True
    """False when the publisher stopped sending on this m-line."""


@dataclass(frozen=True, slots=True)
class WantedTrack:
    """A track that a subscriber is to get."""

    track: str
    kind: Kind
    codec: Codec
    """As the publisher sends it."""
    stream: str
    ssrc: int
    rtx_ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class SendingMedia:
    """One m-line towards a subscriber, as accepted."""

    mid: str
    track: str
    payload_type: int
    rtx_payload_type: int | None
    extensions: dict[str, int]
