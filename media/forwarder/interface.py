"""What moves packets, as the rest of `media` sees it.

A forwarder owns the UDP socket's traffic. The control code tells it of peers, sources and routes by numbers of its own
choosing and calls `pump` when the socket is readable. The forwarder handles RTP entirely: unprotect once, keep the
plain packet once, rewrite and protect for each route. All else comes back as `Handed`.

A *source* is one incoming stream: a track, or one encoding of a simulcast track. Its packets get *numbers*: the
publisher's extended sequence numbers, made continuous over mutes and changes of SSRC. A *route* is a track towards one
peer: one source at a time. Its sequence numbers, timestamps and SSRC are the numbers plus constants, so that a receiver
never sees a seam and a request for a repair needs no table. Only a route that was told to `switch` or to `limit` its
layers has more to remember (`media.forwarder.shaping`), and only such a one pays for it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import Enum, auto
from typing import Protocol

from media.bandwidth import Estimate
from media.rtcp import ReportBlock
from media.transport.srtp import SrtpPair
from media.transport.stun import Address

PacketSink = Callable[[bytes, bool, int, int, float], None]
"""payload, marker, the track's own timestamp and number (16 bits; one is left out where the track goes on after a mute
or with another SSRC), wall clock of arrival"""


HOLD_S = 0.001
"""Packets of a picture leave together: so long its first waits for its last, at most, where `settle` is called then."""


class Kind(Enum):
    STUN = auto()
    DTLS = auto()
    RTCP = auto()
    """Unprotected."""
    UNBOUND = auto()
    """A plain RTP packet whose SSRC belongs to no source: `bind` it and hand it back by `inject`."""
    NEWS = auto()
    """No datagram: a report of this peer's was taken, and what is sent to it may have to be arranged anew."""


@dataclass(frozen=True, slots=True)
class Handed:
    """A datagram that is not for the forwarder."""

    kind: Kind
    peer: int
    """0 for STUN from an address that no peer has proven."""
    address: Address
    data: bytes


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One incoming track."""

    codec: str
    video: bool
    clock_rate: int
    payload_type: int
    """Packets of another payload type are dropped, but for RTX."""
    rtx_payload_type: int | None
    extensions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class RouteSpec:
    """One outgoing track."""

    ssrc: int
    payload_type: int
    rtx_ssrc: int
    rtx_payload_type: int | None
    extensions: Mapping[str, int]
    """With `rtp.TRANSPORT_SEQUENCE`, each packet of this route carries the next number of its peer's transport. A video
    route needs RTX for that: the same packet twice must be the same bytes, so without RTX it gets no numbers, and a
    sound route with numbers resends nothing."""
    cname: str = ""
    """In sender reports; at most 31 bytes."""


@dataclass(slots=True)
class SourceCounters:
    """Totals of one source."""

    packets: int = 0
    octets: int = 0
    received: int = 0
    expected: int = 0
    jitter_s: float = 0.0
    last_arrival: float = 0.0
    """Monotonic; 0 before the first packet."""
    last_timestamp: int = 0
    """Of the newest packet, in the source's own continuous time."""
    timestamp_shift: int = 0
    """What was added to the publisher's timestamps."""
    keyframes: int = 0
    keyframe_at: float = 0.0
    waiting: int = 0
    """Routes that cannot begin, or switch to this source, without a key frame that has not begun yet."""
    outages: int = 0


@dataclass(slots=True)
class RouteCounters:
    """Totals of one route."""

    packets: int = 0
    octets: int = 0
    """Payload with header extensions, as in sender reports."""
    resent: int = 0
    timestamp_shift: int = 0
    """From the source's time to the route's."""
    started: bool = False
    source: int = 0
    """What it sends now, or sent last; and while nothing is sent:"""
    paused: bool = False
    switching: int = 0
    """The source that it waits for; 0 = none."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the receiver of a route says of it."""

    loss: float = 0.0
    """0 to 1, mean of what it reported since the last question."""
    jitter_s: float = 0.0
    rtt_s: float | None = None
    """None until it has answered a sender report."""


@dataclass(slots=True)
class Counters:
    """Totals of the process; the names are those of `Beat.counters`."""

    packets_in: int = 0
    packets_out: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    dropped_empty: int = 0
    dropped_stranger: int = 0
    dropped_noise: int = 0
    dropped_stun: int = 0
    dropped_stun_rate: int = 0
    dropped_dtls: int = 0
    dropped_srtp_auth: int = 0
    dropped_srtp_replay: int = 0
    dropped_srtcp: int = 0
    dropped_rtp: int = 0
    dropped_rtcp: int = 0
    dropped_unbound: int = 0
    dropped_payload_type: int = 0
    dropped_muted: int = 0
    dropped_late: int = 0
    dropped_duplicate: int = 0
    dropped_protect: int = 0
    dropped_send: int = 0
    dropped_arrivals: int = 0
    nacks_in: int = 0
    nacks_out: int = 0
    packets_resent: int = 0
    packets_repaired: int = 0
    keyframe_requests: int = 0
    keyframes: int = 0
    fast_starts: int = 0
    gso_fallbacks: int = 0

    def totals(self) -> dict[str, float]:
        """Name to total."""
        return {each.name: float(getattr(self, each.name)) for each in fields(self)}


class Forwarder(Protocol):
    """See the module's head. Numbers given here (peers, sources, routes) are positive and never used twice."""

    @property
    def name(self) -> str:
        """What moves the packets, in words."""

    @property
    def counters(self) -> Counters: ...

    def pump(self) -> Sequence[Handed]:
        """Take what the socket holds, up to a bound; forward RTP; give back the rest."""

    def inject(self, peer: int, packet: bytes) -> None:
        """A plain packet that was handed up as `UNBOUND`."""

    @property
    def holds(self) -> bool:
        """Whether packets wait for the rest of their picture: `settle` is to be called `HOLD_S` later."""

    def settle(self) -> None:
        """Send what waits so."""

    def send(self, address: Address, datagram: bytes) -> None:
        """As it is: STUN, DTLS."""

    def send_rtcp(self, peer: int, packet: bytes) -> None:
        """Protect and send a compound packet; nothing happens while the peer has no keys or no address."""

    def admit(self, address: Address, peer: int) -> None:
        """Packets from this address are this peer's."""

    def dismiss(self, address: Address, peer: int) -> None:
        """They are no longer."""

    def open_peer(self, peer: int) -> None: ...

    def set_keys(self, peer: int, srtp: SrtpPair) -> None: ...

    def set_destination(self, peer: int, address: Address) -> None: ...

    def close_peer(self, peer: int) -> None:
        """With its addresses, keys, sources and routes."""

    def bandwidth(self, peer: int) -> Estimate:
        """What is thought of the way to this peer, by its reports on all that was sent to it with a number of the
        transport. Holds until the next packet; ask again each time."""

    def reported(self, peer: int, block: ReportBlock, now: float) -> None:
        """A receiver report that came with something else and was handed up. Where a forwarder takes compound packets
        of receiver reports and transport-wide feedback itself, it hands up the first one under each SSRC all the
        same."""

    def heard(self, peer: int) -> float:
        """When a report of this peer's was taken last without being handed up; monotonic, 0 = never."""

    def told(self, route: int) -> Told:
        """What its receiver said since the last call."""

    def send_reports(self, source: int, ntp: int, timestamp: int, turn: int, turns: int) -> None:
        """Sender reports on what this source's routes have sent, each with its name, to peers whose number is `turn`
        modulo `turns`.

        Args:
            ntp: this moment by the publisher's clock, 64 bits.
            timestamp: this moment in the publisher's own timestamps.
        """

    def pace(self, peer: int, rate_bps: float) -> None:
        """Let RTP leave for this peer no faster (`media.pacing`); 0 = as it comes."""

    def release(self, now: float) -> float | None:
        """Send what paced peers may get by now; when to call again, None while nothing waits. `pump` does it too."""

    def pad(self, route: int, size: int) -> int:
        """Send about so many bytes again, of the newest packets as repairs, to see what the way carries; gives the
        bytes sent: 0 where the route has no RTX and numbers of the transport, or has sent nothing."""

    def note_levels(self, source: int, extension: int) -> None:
        """Keep the audio levels (RFC 6464) of this source, in the header extension of this id; 0 = no longer."""

    def levels(self, source: int) -> Sequence[int]:
        """What was kept since the last call, in the order of arrival: 128 where it is speech, plus the level below
        overload in dB (0 to 127)."""

    def note_arrivals(self, peer: int, extension: int) -> None:
        """Keep the transport-wide sequence numbers of all that this peer sends, in the header extension of this id;
        0 = no longer."""

    def arrivals(self, peer: int) -> Sequence[tuple[int, float]]:
        """What was kept since the last call: number (16 bits) and monotonic time, in the order of arrival, whatever
        stream they were of."""

    def open_source(self, source: int, peer: int, spec: SourceSpec) -> None: ...

    def bind(self, peer: int, ssrc: int, source: int, *, rtx: bool) -> None:
        """Packets with this SSRC belong to this source, as media or as retransmissions of it."""

    def mute(self, source: int, muted: bool) -> None: ...

    def tap(self, source: int, sink: PacketSink | None) -> None: ...

    def close_source(self, source: int) -> None:
        """With its routes."""

    def open_route(self, route: int, source: int, peer: int, spec: RouteSpec) -> None:
        """Starts at once where the cache holds a short enough group of pictures, else at the next key frame."""

    def set_route(self, route: int, spec: RouteSpec) -> None:
        """Another agreement on a running route."""

    def close_route(self, route: int) -> None: ...

    def switch(self, route: int, source: int, lag: int | None) -> None:
        """Go on with another source of the same track (same codec, clock rate and header extensions) at its next key
        frame, sound at its next packet; what is sent now goes on until then: where it still comes, until the key frame
        is there as a whole. The source that is sent now takes an
        earlier call back. 0 = send nothing from now on: what still waits to be sent is dropped, and nothing that was
        sent is sent again.

        The receiver sees one stream: sequence numbers go on by one, timestamps by what the two sources' clocks say,
        picture ids and TL0PICIDX of VP8 and VP9 by one.

        Args:
            lag: a timestamp of the new source minus one of the route's present source for the same moment, both in the
                sources' own continuous time; None = not known, then the times of arrival decide.
        """

    def limit(self, route: int, temporal: int, spatial: int) -> None:
        """Leave out temporal and spatial layers above these; 7 = none. Numbers close up behind what is left out.

        VP8 and VP9 by their payload descriptors, AV1 where its dependency descriptor was agreed upon. Less begins with
        the next frame, more where the stream says that a receiver can follow.
        """

    def resend(self, route: int, sequences: Sequence[int]) -> None:
        """Answer a NACK."""

    def missing(self, source: int, now: float) -> Sequence[int]:
        """Sequence numbers (16 bits) that the publisher should be asked for now."""

    def start_impatient(self, source: int, now: float) -> None:
        """Begin routes that waited too long for a key frame that nobody recognises."""

    def gapped(self) -> Sequence[int]:
        """Sources for which `missing` may have something."""

    def report(self, source: int, ssrc: int, last_report: int, delay_s: float) -> ReportBlock: ...

    def source(self, source: int) -> SourceCounters: ...

    def route(self, route: int) -> RouteCounters: ...
