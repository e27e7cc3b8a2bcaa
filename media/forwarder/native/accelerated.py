"""The forwarder whose packets C moves. This side keeps the numbers, the lifetimes and what is seldom asked.

Everything that happens per packet is in forwarder.c; here are the same control steps as in
`media.forwarder.reference`, on C's structures instead of objects. A C structure lives from its `*_new` to its `*_free`,
both called here; between two calls C holds no pointer to what is freed here.
"""

import math
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from media import rtp
from media.bandwidth import Estimate
from media.forwarder.interface import (
    Counters,
    Handed,
    Kind,
    PacketSink,
    RouteCounters,
    RouteSpec,
    SourceCounters,
    SourceSpec,
    Told,
)
from media.forwarder.native.binding import Library, address_of
from media.forwarder.sendbatch import RUN_PACKETS, destination
from media.forwarder.tables import draw, renumbering, transport_id
from media.rtcp import ReportBlock
from media.transport.srtp import SrtpPair
from media.transport.stun import Address
from media.transportcc import Statuses

KEYFRAME_PATIENCE_S = 3.0
_TAPPED = 5
_KINDS = {1: Kind.STUN, 2: Kind.DTLS, 3: Kind.RTCP, 4: Kind.UNBOUND, 6: Kind.NEWS}
_CODECS = {"VP8": 1, "VP9": 2, "H264": 3, "AV1": 4}
_ARRIVAL = struct.Struct("=dI4x")
_COUNTER_NAMES = tuple(each.name for each in fields(Counters))
_COUNTERS = struct.Struct(f"={len(_COUNTER_NAMES)}Q")
_MAX_MISSING = 256
_NOT_PROTECTED = 1
_CNAME_BYTES = 31


class NativeEstimate:
    """An `Estimate` that C makes; it holds as long as its peer."""

    def __init__(self, calls: Any, told: Any) -> None:
        self._calls = calls
        self._told = told

    @property
    def known(self) -> bool:
        return bool(self._told.known)

    @known.setter
    def known(self, known: bool) -> None:
        self._told.known = known

    @property
    def arranged_bps(self) -> float:
        arranged: float = self._told.arranged_bps
        return arranged

    @arranged_bps.setter
    def arranged_bps(self, arranged_bps: float) -> None:
        self._told.arranged_bps = arranged_bps

    @property
    def estimate_bps(self) -> float:
        estimate: float = self._told.estimate_bps
        return estimate

    @property
    def acked_bps(self) -> float | None:
        acked: float = self._told.acked_bps
        return acked if acked >= 0 else None

    @property
    def rtt_s(self) -> float:
        rtt: float = self._told.rtt_s
        return rtt

    @property
    def loss(self) -> float:
        loss: float = self._told.loss
        return loss

    @property
    def congested_at(self) -> float | None:
        at: float = self._told.congested_at
        return at if at > -math.inf else None

    @property
    def numbered(self) -> bool:
        return bool(self._told.numbered)

    def begin_probe(self, now: float, lasts_s: float) -> None:
        self._calls.begin_probe(self._told, now, lasts_s)

    def feedback(self, statuses: Statuses, now: float) -> bool:
        body = statuses.pack()
        return bool(self._calls.estimator_feedback(self._told, body, len(body), now))

    def remb(self, bitrate_bps: int, now: float) -> None:
        self._calls.estimator_remb(self._told, float(bitrate_bps), now)


class _Peer:
    """`state` is C's; the rest is what Python needs to close it."""

    __slots__ = ("addresses", "destination", "estimate", "routes", "sources", "srtp", "state")

    def __init__(self, state: Any) -> None:
        self.state = state
        self.estimate: NativeEstimate | None = None
        self.srtp: SrtpPair | None = None
        self.destination: Address | None = None
        self.addresses: set[Address] = set()
        self.sources: set[int] = set()
        self.routes: set[int] = set()


class _Source:
    __slots__ = ("peer", "sink", "spec", "state")

    def __init__(self, state: Any, peer: _Peer, spec: SourceSpec) -> None:
        self.state = state
        self.peer = peer
        self.spec = spec
        self.sink: PacketSink | None = None

    def routes(self) -> list[int]:
        return [self.state.routes[index].number for index in range(self.state.route_count)]


class _Route:
    """Which source it is of, C decides: `state.source.number`."""

    __slots__ = ("peer", "spec", "state")

    def __init__(self, state: Any, peer: _Peer, spec: RouteSpec) -> None:
        self.state = state
        self.peer = peer
        self.spec = spec


class NativeForwarder:
    """See `media.forwarder.interface`."""

    def __init__(
        self,
        library: Library,
        sock: socket.socket,
        *,
        cache_packets: int,
        gso: bool,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._ffi, self._calls = library.ffi, library.calls
        self._socket = sock
        self._gso = gso
        self._clock = clock
        self._own_clock = clock is not time.monotonic
        self._wall_clock = wall_clock
        self._cache_packets = cache_packets
        self._counters = Counters()
        self._by_address: dict[Address, _Peer] = {}
        self._peers: dict[int, _Peer] = {}
        self._sources: dict[int, _Source] = {}
        self._routes: dict[int, _Route] = {}
        self._gapped: set[int] = set()
        setup = self._ffi.new("struct setup *")
        setup.descriptor, setup.run_packets = sock.fileno(), RUN_PACKETS
        setup.seed = int.from_bytes(struct.pack("=d", time.time()), "little")
        setup.protect, setup.unprotect = library.protect, library.unprotect
        setup.protect_rtcp, setup.unprotect_rtcp = library.protect_rtcp, library.unprotect_rtcp
        self._state = self._ffi.gc(self._made(self._calls.forwarder_new(setup)), self._calls.forwarder_free)
        self._totals = self._ffi.buffer(self._ffi.addressof(self._state, "counters"))
        self._due = self._ffi.new("uint16_t[]", _MAX_MISSING)
        self._heard = self._ffi.new("struct heard *")

    def _made(self, pointer: Any) -> Any:
        if pointer == self._ffi.NULL:
            raise MemoryError
        return pointer

    def _tell_time(self) -> None:
        """C reads the machine's clock itself unless there is another one."""
        if self._own_clock:
            self._state.now = self._clock()

    @property
    def name(self) -> str:
        return f"C accelerator, libsrtp in place, {'sendmmsg with UDP GSO' if self._gso else 'sendmmsg'}"

    @property
    def counters(self) -> Counters:
        for name, value in zip(_COUNTER_NAMES, _COUNTERS.unpack(self._totals), strict=True):
            if value:
                setattr(self._counters, name, getattr(self._counters, name) + value)
        self._totals[:] = bytes(_COUNTERS.size)
        return self._counters

    # --- packets ----------------------------------------------------------------------------------------------------

    def pump(self) -> list[Handed]:
        self._tell_time()
        count = self._calls.pump(self._state)
        return self._take(count) if count else []

    def _take(self, count: int) -> list[Handed]:
        """What C has for us; taps are served at once."""
        handed: list[Handed] = []
        for index in range(count):
            each = self._state.handed[index]
            data = bytes(self._ffi.buffer(each.bytes, each.size))
            if each.kind != _TAPPED:
                handed.append(Handed(_KINDS[each.kind], each.number, self._address(each), data))
                continue
            source = self._sources.get(each.number)
            if source is not None and source.sink is not None:
                source.sink(data, bool(each.marker), each.timestamp, each.sequence, self._wall_clock())
        return handed

    def _address(self, handed: Any) -> Address:
        raw = bytes(self._ffi.buffer(getattr(handed, "from").bytes, getattr(handed, "from").length))
        if len(raw) <= 16:
            return socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big")
        host = socket.inet_ntop(socket.AF_INET6, raw[8:24])
        flow, scope = int.from_bytes(raw[4:8], "big"), int.from_bytes(raw[24:28], "little")
        return (host, int.from_bytes(raw[2:4], "big"), flow, scope)  # type: ignore[return-value] # as recvfrom has it

    def _name(self, address: Address) -> Any:
        packed = destination(address, segments=False).name
        name = self._ffi.new("struct name *")
        self._ffi.memmove(name.bytes, packed, len(packed))
        if len(address) > 3:  # the scope of a link-local address
            name.bytes[24:28] = int(address[3]).to_bytes(4, "little")
        name.length = len(packed)
        return name

    def inject(self, peer: int, packet: bytes) -> None:
        owner = self._peers[peer]
        self._tell_time()
        if not self._calls.inject(self._state, owner.state, packet, len(packet)):
            self._counters.dropped_unbound += 1
        self._take(self._state.handed_count)

    @property
    def holds(self) -> bool:
        return bool(self._state.held_count)

    def settle(self) -> None:
        if self._state.held_count:
            self._tell_time()
            self._calls.settle(self._state)

    def send(self, address: Address, datagram: bytes) -> None:
        try:
            self._socket.sendto(datagram, address)
        except OSError:
            self._counters.dropped_send += 1

    def send_rtcp(self, peer: int, packet: bytes) -> None:
        owner = self._peers[peer]
        if owner.srtp is None or owner.destination is None:
            return
        status = self._calls.send_rtcp(self._state, owner.state, packet, len(packet))
        if status == _NOT_PROTECTED:
            self._counters.dropped_protect += 1
        elif status:
            self._counters.dropped_send += 1

    # --- peers ------------------------------------------------------------------------------------------------------

    def admit(self, address: Address, peer: int) -> None:
        owner = self._peers[peer]
        before = self._by_address.get(address)
        if before is owner:
            return
        if before is not None:
            before.addresses.discard(address)
        if not self._calls.admit(self._state, self._name(address), owner.state):
            raise MemoryError
        owner.addresses.add(address)
        self._by_address[address] = owner

    def dismiss(self, address: Address, peer: int) -> None:
        owner = self._peers[peer]
        owner.addresses.discard(address)
        if self._by_address.get(address) is owner:
            del self._by_address[address]
            self._calls.dismiss(self._state, self._name(address))

    def open_peer(self, peer: int) -> None:
        self._peers[peer] = _Peer(self._made(self._calls.peer_new(peer)))

    def set_keys(self, peer: int, srtp: SrtpPair) -> None:
        self.settle()
        owner = self._peers[peer]
        owner.state.send_context = self._ffi.cast("void *", address_of(srtp.send_context))
        owner.state.receive_context = self._ffi.cast("void *", address_of(srtp.receive_context))
        owner.srtp = srtp  # after C has let go of the contexts of the one before
        for number in owner.routes:
            self._begin(self._routes[number])

    def set_destination(self, peer: int, address: Address) -> None:
        owner = self._peers[peer]
        owner.state.destination = self._name(address)[0]
        owner.state.segments = self._gso
        owner.destination = address

    def bandwidth(self, peer: int) -> Estimate:
        owner = self._peers[peer]
        if owner.estimate is None:
            owner.estimate = NativeEstimate(self._calls, self._made(self._calls.estimate(owner.state)))
        return owner.estimate

    def reported(self, peer: int, block: ReportBlock, now: float) -> None:
        self._calls.heard_report(self._peers[peer].state, block.pack(), now)

    def heard(self, peer: int) -> float:
        at: float = self._peers[peer].state.heard_at
        return at

    def told(self, route: int) -> Told:
        asked, heard = self._routes[route], self._heard
        self._calls.take_heard(asked.state, heard)
        loss = heard.losses / 256 / heard.reports if heard.reports else 0.0
        rtt = heard.rtt_s if heard.rtt_s >= 0 else None
        return Told(loss, heard.jitter / asked.state.source.clock_rate, rtt)

    def send_reports(self, source: int, ntp: int, timestamp: int, turn: int, turns: int) -> None:
        self._tell_time()
        self._calls.send_reports(self._state, self._sources[source].state, ntp, timestamp, turn, turns)

    def pace(self, peer: int, rate_bps: float) -> None:
        self.settle()
        self._tell_time()
        if not self._calls.pace(self._state, self._peers[peer].state, rate_bps):
            raise MemoryError

    def release(self, now: float) -> float | None:
        self._tell_time()
        due: float = self._calls.release(self._state, now)
        return due if due < math.inf else None

    def pad(self, route: int, size: int) -> int:
        self.settle()
        self._tell_time()
        padded: int = self._calls.pad(self._state, self._routes[route].state, max(0, size))
        return padded

    def note_levels(self, source: int, extension: int) -> None:
        self._sources[source].state.level_extension = extension

    def levels(self, source: int) -> list[int]:
        state = self._sources[source].state
        count, state.level_count = state.level_count, 0
        return list(state.levels[0:count])

    def note_arrivals(self, peer: int, extension: int) -> None:
        if not self._calls.peer_notes(self._peers[peer].state, extension):
            raise MemoryError

    def arrivals(self, peer: int) -> list[tuple[int, float]]:
        state = self._peers[peer].state
        count, state.arrival_count = state.arrival_count, 0
        if not count:
            return []
        raw = self._ffi.buffer(state.arrivals, count * _ARRIVAL.size)
        return [(sequence, at) for at, sequence in _ARRIVAL.iter_unpack(raw)]

    def close_peer(self, peer: int) -> None:
        self.settle()
        owner = self._peers[peer]
        for source in tuple(owner.sources):
            self.close_source(source)
        for route in tuple(owner.routes):
            self.close_route(route)
        for address in tuple(owner.addresses):
            self.dismiss(address, peer)
        del self._peers[peer]
        self._calls.peer_free(self._state, owner.state)

    # --- sources ----------------------------------------------------------------------------------------------------

    def open_source(self, source: int, peer: int, spec: SourceSpec) -> None:
        owner = self._peers[peer]
        state = self._calls.source_new(
            self._state,
            source,
            owner.state,
            _CODECS.get(spec.codec, 0),
            spec.video,
            spec.clock_rate,
            spec.payload_type,
            -1 if spec.rtx_payload_type is None else spec.rtx_payload_type,
            self._cache_packets,
        )
        self._sources[source] = _Source(self._made(state), owner, spec)
        owner.sources.add(source)

    def bind(self, peer: int, ssrc: int, source: int, *, rtx: bool) -> None:
        if not self._calls.bind_stream(self._peers[peer].state, ssrc, self._sources[source].state, rtx):
            raise MemoryError

    def mute(self, source: int, muted: bool) -> None:
        self.settle()
        self._calls.mute(self._sources[source].state, muted)

    def tap(self, source: int, sink: PacketSink | None) -> None:
        tapped = self._sources[source]
        tapped.sink = sink
        tapped.state.tapped = sink is not None

    def close_source(self, source: int) -> None:
        self.settle()
        target = self._sources.pop(source, None)
        if target is None:
            return
        for route in target.routes():
            self.close_route(route)
        target.peer.sources.discard(source)
        self._gapped.discard(source)
        self._calls.source_free(self._state, target.state)

    # --- routes -----------------------------------------------------------------------------------------------------

    def _agreement(self, source: _Source, spec: RouteSpec) -> Any:
        agreed = self._ffi.new("struct agreement *")
        agreed.ssrc, agreed.payload_type, agreed.rtx_ssrc = spec.ssrc, spec.payload_type, spec.rtx_ssrc
        agreed.rtx_payload_type = -1 if spec.rtx_payload_type is None else spec.rtx_payload_type
        mapping = renumbering(source.spec, spec)
        for before, after in _small(mapping).items():
            agreed.renumbering.mapping[before] = after
        agreed.renumbering.transport = transport_id(source.spec, spec) & 0xFF
        cname = spec.cname.encode()[:_CNAME_BYTES]
        agreed.cname_size = len(cname)
        self._ffi.memmove(agreed.cname, cname, len(cname))
        agreed.descriptor = mapping.get(source.spec.extensions.get(rtp.DEPENDENCY_DESCRIPTOR, 0), 0)
        return agreed

    def open_route(self, route: int, source: int, peer: int, spec: RouteSpec) -> None:
        self.settle()
        owner, origin = self._peers[peer], self._sources[source]
        self._tell_time()
        state = self._calls.route_new(
            self._state, route, origin.state, owner.state, self._agreement(origin, spec), *draw()
        )
        opened = self._routes[route] = _Route(self._made(state), owner, spec)
        owner.routes.add(route)
        if owner.srtp is not None:
            self._begin(opened)

    def _begin(self, route: _Route) -> None:
        self._tell_time()
        self._calls.begin(self._state, route.state)

    def set_route(self, route: int, spec: RouteSpec) -> None:
        self.settle()
        changed = self._routes[route]
        if changed.spec != spec:
            changed.spec = spec
            source = self._sources[changed.state.source.number]
            self._calls.route_agree(changed.state, self._agreement(source, spec))

    def close_route(self, route: int) -> None:
        self.settle()
        closed = self._routes.pop(route, None)
        if closed is not None:
            closed.peer.routes.discard(route)
            self._calls.route_free(closed.state)

    def switch(self, route: int, source: int, lag: int | None) -> None:
        self.settle()
        asked = self._routes[route]
        target = self._sources[source].state if source else self._ffi.NULL
        self._tell_time()
        told = self._ffi.NULL if lag is None else self._ffi.new("int64_t *", lag)
        if not self._calls.switch_route(self._state, asked.state, target, told):
            raise MemoryError

    def limit(self, route: int, temporal: int, spatial: int) -> None:
        self.settle()
        self._tell_time()
        if not self._calls.limit_route(self._state, self._routes[route].state, temporal, spatial):
            raise MemoryError

    def resend(self, route: int, sequences: Sequence[int]) -> None:
        self.settle()
        asked = self._routes[route]
        self._tell_time()
        numbers = self._ffi.new("uint16_t[]", [sequence & 0xFFFF for sequence in sequences])
        self._calls.resend(self._state, asked.state, numbers, len(sequences))

    # --- what is asked now and then ---------------------------------------------------------------------------------

    def missing(self, source: int, now: float) -> list[int]:
        count = self._calls.missing(self._state, self._sources[source].state, now, self._due)
        return list(self._due[0:count])

    def gapped(self) -> list[int]:
        if self._state.gaps_opened:
            self._state.gaps_opened = 0
            for number, source in self._sources.items():
                if source.state.gapped:
                    source.state.gapped = 0
                    self._gapped.add(number)
        if self._gapped:
            self._gapped = {number for number in self._gapped if self._sources[number].state.reception.gap_count}
        return list(self._gapped)

    def start_impatient(self, source: int, now: float) -> None:
        self.settle()
        self._tell_time()
        self._calls.start_impatient(self._state, self._sources[source].state, now, KEYFRAME_PATIENCE_S)

    def report(self, source: int, ssrc: int, last_report: int, delay_s: float) -> ReportBlock:
        reception = self._sources[source].state.reception
        total = _expected(reception)
        expected = total - reception.expected_before
        lost = expected - (reception.received - reception.received_before)
        reception.expected_before, reception.received_before = total, reception.received
        fraction = min(255, lost * 256 // expected) if expected > 0 and lost > 0 else 0
        delay = int(delay_s * 65536) & 0xFFFFFFFF if last_report else 0
        highest = reception.highest - 0x10000 & 0xFFFFFFFF
        jitter = min(int(reception.jitter), 0xFFFFFFFF)
        return ReportBlock(ssrc, fraction, total - reception.received, highest, jitter, last_report, delay)

    def source(self, source: int) -> SourceCounters:
        asked = self._sources[source]
        state = asked.state
        reception = state.reception
        return SourceCounters(
            packets=reception.received,
            octets=state.octets,
            received=reception.received,
            expected=_expected(reception),
            jitter_s=reception.jitter / asked.spec.clock_rate,
            last_arrival=state.last_arrival,
            last_timestamp=state.last_timestamp,
            timestamp_shift=state.timestamp_shift,
            keyframes=state.keyframes,
            keyframe_at=state.key_at,
            waiting=self._calls.awaited(state),
            outages=reception.outages,
        )

    def route(self, route: int) -> RouteCounters:
        state = self._routes[route].state
        return RouteCounters(
            packets=state.packets,
            octets=state.octets,
            resent=state.resent,
            timestamp_shift=self._calls.route_timestamp_shift(state),
            started=bool(state.started),
            source=state.source.number,
            paused=bool(state.paused),
            switching=state.pending.number if state.pending else 0,
        )


def _expected(reception: Any) -> int:
    return int(reception.highest - reception.base + 1) if reception.highest >= 0 else 0


def _small(mapping: Mapping[int, int]) -> dict[int, int]:
    """Ids that a header extension can have (RFC 8285)."""
    return {before: after for before, after in mapping.items() if 0 < before < 256 and 0 < after < 256}
