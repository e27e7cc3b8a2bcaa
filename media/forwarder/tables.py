"""What the reference forwarder knows of each peer, source and route: plain slots, read in its loops."""

import random
from collections.abc import Mapping
from typing import Any

from media import rtp
from media.bandwidth import Bandwidth
from media.feedback import Reception, Resends
from media.forwarder.interface import PacketSink, RouteSpec, SourceSpec
from media.forwarder.reports import RouteReports
from media.forwarder.sendbatch import Destination
from media.forwarder.shaping import ALL_LAYERS, Prepared, Shaper
from media.pacing import Pacer
from media.packetcache import PacketCache
from media.transport.srtp import SrtpPair
from media.transport.stun import Address


class Peer:
    """One transport. `streams` and `repairs` say whose an SSRC is."""

    __slots__ = (
        "addresses",
        "arrivals",
        "bandwidth",
        "destination",
        "number",
        "pacer",
        "receive_context",
        "repairs",
        "routes",
        "send_context",
        "sent",
        "sources",
        "srtp",
        "streams",
        "transport_extension",
        "transport_next",
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.srtp: SrtpPair | None = None
        self.send_context: Any = None
        self.receive_context: Any = None
        self.destination: Destination | None = None
        self.addresses: set[Address] = set()
        self.streams: dict[int, Source] = {}
        self.repairs: dict[int, Source] = {}
        self.sources: set[int] = set()
        self.routes: set[int] = set()
        self.transport_extension = 0
        self.arrivals: list[tuple[int, float]] = []
        """Transport-wide sequence numbers and their time, since they were last asked for."""
        self.transport_next = 1
        self.sent: list[tuple[int, float, int]] = []
        """Of our own packets: transport-wide sequence number, time and bytes, which `bandwidth` has not seen yet."""
        self.bandwidth = Bandwidth()
        self.pacer: Pacer[tuple[Route, Prepared | bytes]] | None = None

    def note(self) -> None:
        """Tell the estimate what was sent."""
        self.bandwidth.sent(self.sent)
        self.sent.clear()


class Source:
    """One incoming track. Extended sequence number + `offset` = number."""

    __slots__ = (
        "batch",
        "batched_at",
        "bytes",
        "cache",
        "first",
        "groups",
        "key_at",
        "key_number",
        "key_timestamp",
        "keyframes",
        "last_arrival",
        "last_new",
        "last_number",
        "last_timestamp",
        "level_extension",
        "levels",
        "muted",
        "number",
        "offset",
        "payload_type",
        "peer",
        "reception",
        "resumes",
        "retimes",
        "routes",
        "seams",
        "sink",
        "spec",
        "ssrc",
        "switching",
        "timestamp_shift",
        "video",
        "waiting",
    )

    def __init__(self, number: int, peer: Peer, spec: SourceSpec, cache: PacketCache) -> None:
        self.number = number
        self.peer = peer
        self.spec = spec
        self.video = spec.video
        self.payload_type = spec.payload_type
        self.cache = cache
        self.ssrc = 0
        self.reception = Reception(spec.clock_rate)
        self.offset = 0
        self.seams = 0
        """How often the stream went on after a mute or with another SSRC: a tap is told one number missing for each."""
        self.first = 0
        """Extended numbers below this are from before a mute or another SSRC."""
        self.timestamp_shift = 0
        self.last_number = -1
        self.last_timestamp = 0
        self.last_arrival = 0.0
        self.bytes = 0
        self.muted = False
        self.last_new = 0.0
        self.resumes = False
        self.retimes = False
        self.key_number = -1
        self.key_timestamp = -1
        self.key_at = 0.0
        self.keyframes = 0
        self.sink: PacketSink | None = None
        self.level_extension = 0
        self.levels: list[int] = []
        self.routes: dict[int, Route] = {}
        self.waiting: list[Route] = []
        self.switching: list[Route] = []
        """Routes of other sources, and paused ones, that go on with this one as soon as they can."""
        self.groups: list[tuple[Mapping[int, int], int, list[Route]]] = []
        """Started routes that share a renumbering of header extensions, and the id of the transport-wide number."""
        self.batch: list[tuple[int, int, int, bytes]] = []
        """number, marker bit (0x80 or 0), timestamp, packet"""
        self.batched_at = 0.0
        """When the first of these came."""

    def regroup(self) -> None:
        """Call after any change of routes."""
        groups: dict[tuple[object, ...], tuple[Mapping[int, int], int, list[Route]]] = {}
        for route in self.routes.values():
            if route.started and not route.paused:
                key = (route.transport, *sorted(route.extensions.items()))
                groups.setdefault(key, (route.extensions, route.transport, []))[2].append(route)
        self.groups = list(groups.values())
        self.waiting = [route for route in self.routes.values() if not route.started and not route.paused]


def draw() -> tuple[int, int, int]:
    """Where a route begins: its first sequence number, what is added to timestamps, the first number of its repairs.

    Sequence numbers begin below 2^15, so that the receiver's rollover count is certain (RFC 3711 3.3.1).
    """
    return random.randrange(1, 0x4000), random.getrandbits(32), random.randrange(1, 0x4000)


def renumbering(source: SourceSpec, route: RouteSpec) -> dict[int, int]:
    """Header extensions that are passed on: the source's id to the route's."""
    return {
        identifier: route.extensions[uri]
        for uri, identifier in source.extensions.items()
        if uri in route.extensions and uri not in rtp.HOP_BY_HOP
    }


def transport_id(source: SourceSpec, route: RouteSpec) -> int:
    """The header extension in which packets of this route carry numbers of the transport; 0 = they do not."""
    repairs = not source.video or route.rtx_payload_type is not None
    return route.extensions.get(rtp.TRANSPORT_SEQUENCE, 0) if repairs else 0


class Route:
    """One track towards one peer: one source at a time."""

    __slots__ = (
        "descriptor",
        "drawn",
        "extensions",
        "keyed",
        "lag",
        "limits",
        "number",
        "octets",
        "opened_at",
        "packets",
        "paused",
        "payload_type",
        "peer",
        "pending",
        "reports",
        "resends",
        "resent",
        "rtx_sequence",
        "sequence_shift",
        "shaper",
        "source",
        "spec",
        "ssrc",
        "start",
        "started",
        "timestamp_shift",
        "transport",
    )

    def __init__(
        self, number: int, source: Source, peer: Peer, spec: RouteSpec, now: float, drawn: tuple[int, int, int]
    ) -> None:
        self.number = number
        self.drawn = drawn
        self.source = source
        self.peer = peer
        self.opened_at = now
        self.started = False
        self.start = 0
        self.sequence_shift = 0
        self.timestamp_shift = 0
        self.rtx_sequence = 0
        self.packets = 0
        self.octets = 0
        self.resent = 0
        self.paused = False
        self.pending: Source | None = None
        self.lag: int | None = None
        self.keyed = False
        """A key frame of what it waits for has begun since it waits."""
        self.limits = (ALL_LAYERS, ALL_LAYERS)
        self.shaper: Shaper | None = None
        self.reports = RouteReports()
        self.agree(spec)

    def agree(self, spec: RouteSpec) -> None:
        """What was sent under another agreement is not sent again: the same number must mean the same bytes."""
        self.spec = spec
        self.ssrc = spec.ssrc
        self.payload_type = spec.payload_type
        self.extensions = renumbering(self.source.spec, spec)
        self.resends = Resends()
        self.transport = transport_id(self.source.spec, spec)
        self.descriptor = self.extensions.get(self.source.spec.extensions.get(rtp.DEPENDENCY_DESCRIPTOR, 0), 0)
        if self.shaper is not None:
            self.shaper.descriptor = self.descriptor
            self.shaper.forget()
        elif self.started:
            self.start = self.source.last_number + 1
