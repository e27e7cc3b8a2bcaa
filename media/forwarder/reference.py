"""The forwarder in Python: tables of plain objects, one arena, libsrtp in place, sendmmsg with segmentation offload.

The cost per packet is what this file is about, so its loops are written out: no object per packet, attributes loaded
once per run, a run's packets laid behind each other in the arena so that the kernel can cut it.

A packet's way: `pump` (receive, look the address up) → `_media` (unprotect, look the SSRC up) → `_keep` (number it, put
it in the cache, note key frames) → the source's batch → `_fan_out` → `_send_run` for each route.
"""

import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence

import pylibsrtp

from media import rtp
from media.bandwidth import Estimate
from media.errors import RtpError
from media.feedback import Reception
from media.forwarder.interface import (
    HOLD_S,
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
from media.forwarder.sendbatch import ARENA_BYTES, MAX_MESSAGES, MAX_PACKET_BYTES, RUN_PACKETS, SendBatch, destination
from media.forwarder.shaping import ALL_LAYERS, Prepared, Shaper
from media.forwarder.tables import Peer, Route, Source, draw
from media.keyframes import is_keyframe_start
from media.pacing import PICTURE, REPAIR, SOUND, Pacer
from media.packetcache import PacketCache
from media.rtcp import ReportBlock
from media.transport.srtp import (
    REPLAYED,
    TAG_BYTES,
    SrtpPair,
    copying_functions,
    in_place_functions,
    length_cell,
    pointer_to,
)
from media.transport.stun import Address

RECEIVES_PER_PUMP = 64
BATCH_PACKETS = RUN_PACKETS
"""A source's packets are sent on when so many are together, or at the end of a pump."""
FAST_START_PACKETS = 60
FAST_START_S = 0.7
"""A group of pictures longer or older than this is not replayed: the receiver would keep its age as delay."""
PADDING_PACKETS, MAX_PADDING_PACKETS = 16, 64
"""How many of the newest packets serve as padding, and how many are sent at most in one call."""
MAX_SENT = 512
"""Packets that the estimate of their way has not seen yet."""
MAX_LEVELS = 64
MAX_HELD = 32
QUIET_S = 0.3
"""A route whose source has sent nothing for so long does not wait for a key frame of the next one to be whole."""
WHOLE_S = 0.5
"""So long after its beginning a key frame is not waited for any more when packets of the next picture come."""
LONGEST_PACKET_BYTES = MAX_PACKET_BYTES - TAG_BYTES
"""In plain form; other ids of header extensions may need a longer form of them than what came in."""
MAX_ARRIVALS = 8192
"""Kept of one peer between two reports of them."""
KEYFRAME_PATIENCE_S = 3.0
"""A route begins without a key frame when none was recognised for this long: the stream may be encrypted end to end."""

_HEADER = rtp.HEADER
_BEHIND_FIRST = struct.Struct("!BHII")
_SHORT = struct.Struct("!H")


class ReferenceForwarder:
    """See `media.forwarder.interface`."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        cache_packets: int,
        gso: bool,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._socket = sock
        self._clock = clock
        self._wall_clock = wall_clock
        self._cache_packets = cache_packets
        self._counters = Counters()
        self._by_address: dict[Address, Peer] = {}
        self._peers: dict[int, Peer] = {}
        self._sources: dict[int, Source] = {}
        self._routes: dict[int, Route] = {}
        self._batched: list[Source] = []
        self._gapped: set[Source] = set()
        self._pacing: set[Peer] = set()
        """Peers with packets that wait for their time."""
        in_place = in_place_functions()
        self._protect, self._unprotect = in_place or copying_functions()
        self._in_place = in_place is not None
        self._received = bytearray(MAX_PACKET_BYTES)
        self._received_view = memoryview(self._received)
        self._received_at = pointer_to(self._received)
        self._length = length_cell()
        self._arena = bytearray(ARENA_BYTES)
        self._arena_view = memoryview(self._arena)
        self._arena_at = pointer_to(self._arena)
        self._batch = SendBatch(sock, self._arena, gso=gso)
        self._filled = 0

    @property
    def name(self) -> str:
        how = "libsrtp in place" if self._in_place else "libsrtp by copying (another libsrtp than we know)"
        return f"Python, {how}, {self._batch.how}"

    @property
    def counters(self) -> Counters:
        self._counters.dropped_send += self._batch.dropped
        self._counters.gso_fallbacks += self._batch.fallbacks
        self._batch.dropped = self._batch.fallbacks = 0
        return self._counters

    # --- the way of a packet ---------------------------------------------------------------------------------------

    def pump(self) -> list[Handed]:
        handed: list[Handed] = []
        counters, received, by_address = self._counters, self._received, self._by_address
        for _ in range(RECEIVES_PER_PUMP):
            try:
                size, address = self._socket.recvfrom_into(self._received_view)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error of something we sent; the peer's consent decides about it
            if not size:
                counters.dropped_empty += 1
                continue
            counters.packets_in += 1
            counters.bytes_in += size
            first = received[0]
            peer = by_address.get(address)
            if peer is not None and 128 <= first <= 191 and size >= rtp.HEADER_BYTES:
                if 192 <= received[1] <= 223:
                    self._control(peer, address, size, handed)
                else:
                    self._media(peer, address, size, handed)
            else:
                self._other(peer, address, first, size, handed)
        self._finish()
        if self._pacing:
            self.release(self._clock())
        return handed

    def _finish(self) -> None:
        """Send on what is batched, but for what may be followed by more of its picture at once."""
        held: list[Source] = []
        for source in self._batched:
            if not source.batch or source in held:
                continue
            waits = source.video and not source.batch[-1][1] and len(held) < MAX_HELD
            if waits and self._clock() - source.batched_at < HOLD_S:
                held.append(source)
            else:
                self._fan_out(source)
        self._batched = held
        self._flush()

    @property
    def holds(self) -> bool:
        return bool(self._batched)

    def settle(self) -> None:
        if self._batched:
            for source in self._batched:
                if source.batch:
                    self._fan_out(source)
            self._batched = []
            self._flush()

    def _other(self, peer: Peer | None, address: Address, first: int, size: int, handed: list[Handed]) -> None:
        """RFC 7983: STUN may come from anywhere, all else only from an address that a peer has proven."""
        if first < 4:
            number = peer.number if peer else 0
            handed.append(Handed(Kind.STUN, number, address, bytes(self._received_view[:size])))
        elif peer is None:
            self._counters.dropped_stranger += 1
        elif 20 <= first <= 63:
            handed.append(Handed(Kind.DTLS, peer.number, address, bytes(self._received_view[:size])))
        else:
            self._counters.dropped_noise += 1

    def _control(self, peer: Peer, address: Address, size: int, handed: list[Handed]) -> None:
        plain = peer.srtp.unprotect_rtcp(bytes(self._received_view[:size])) if peer.srtp else None
        if plain is None:
            self._counters.dropped_srtcp += 1
        else:
            handed.append(Handed(Kind.RTCP, peer.number, address, plain))

    def _media(self, peer: Peer, address: Address, size: int, handed: list[Handed]) -> None:
        if peer.receive_context is None:
            self._counters.dropped_srtp_auth += 1
            return
        self._length[0] = size
        status = self._unprotect(peer.receive_context, self._received_at, self._length)
        if status:
            if status in REPLAYED:
                self._counters.dropped_srtp_replay += 1
            else:
                self._counters.dropped_srtp_auth += 1
            return
        packet = bytes(self._received_view[: self._length[0]])
        if peer.transport_extension:
            told = rtp.transport_sequence(packet, peer.transport_extension)
            if told is not None:
                if len(peer.arrivals) < MAX_ARRIVALS:
                    peer.arrivals.append((told, self._clock()))
                else:
                    self._counters.dropped_arrivals += 1
        source = peer.streams.get(int.from_bytes(packet[8:12], "big"))
        if source is not None:
            self._keep(source, packet)
        elif not self._repair(peer, packet):
            handed.append(Handed(Kind.UNBOUND, peer.number, address, packet))

    def inject(self, peer: int, packet: bytes) -> None:
        owner = self._peers[peer]
        source = owner.streams.get(int.from_bytes(packet[8:12], "big"))
        if source is not None:
            self._keep(source, packet)
        elif not self._repair(owner, packet):
            self._counters.dropped_unbound += 1
        self._finish()

    def _repair(self, peer: Peer, packet: bytes) -> bool:
        """A retransmission in a stream of its own (RFC 4588)."""
        source = peer.repairs.get(int.from_bytes(packet[8:12], "big"))
        if source is None:
            return False
        try:
            original = rtp.unwrap_rtx(packet, source.ssrc, source.payload_type)
        except RtpError:
            self._counters.dropped_rtp += 1
            return True
        if original is not None and packet[1] & 0x7F == source.spec.rtx_payload_type:
            sequence = int.from_bytes(original[2:4], "big")
            number = None if source.muted else source.reception.find(sequence)
            if number is not None and source.cache.get(number + source.offset) is None:
                self._counters.packets_repaired += 1
                source.reception.repaired(number)
                self._store(source, original, number, self._clock())
        return True

    def _keep(self, source: Source, packet: bytes) -> None:
        _, second, sequence, timestamp, _ = _HEADER.unpack_from(packet)
        if second & 0x7F != source.payload_type:
            self._counters.dropped_payload_type += 1
            return
        now = self._clock()
        reception = source.reception
        expected = reception.highest + 1
        extended = reception.arrived(sequence, timestamp, now)
        if extended > expected:
            self._gapped.add(source)
            if extended - expected > Reception.MAX_DROPOUT:
                source.resumes = (
                    True  # the sender began anew; a jump this wide would cost receivers their rollover count
                )
        source.last_arrival = now
        source.bytes += len(packet)
        self._store(source, packet, extended, now)

    def _store(self, source: Source, packet: bytes, extended: int, now: float) -> None:  # noqa: C901, PLR0912 - on the hot path
        if source.muted:
            self._counters.dropped_muted += 1
            return
        _, second, _, timestamp, _ = _HEADER.unpack_from(packet)
        if source.resumes:
            self._resume(source, extended, timestamp, now)
        if extended < source.first:
            self._counters.dropped_late += 1
            return
        try:
            start, end = rtp.payload_range(packet)
        except RtpError:
            self._counters.dropped_rtp += 1
            return
        number = extended + source.offset
        if source.timestamp_shift:
            timestamp = timestamp + source.timestamp_shift & 0xFFFFFFFF
            packet = b"".join((packet[:4], timestamp.to_bytes(4, "big"), packet[8:]))
        if not source.cache.put(number, packet):
            self._counters.dropped_duplicate += 1
            return
        if number > source.last_number:
            source.last_number, source.last_timestamp, source.last_new = number, timestamp, now
        if source.video:
            if end > start and is_keyframe_start(source.spec.codec, packet[start:end]):
                self._keyframe(source, number, timestamp, packet, now)
        else:
            if source.switching:
                self._go_over(source, number, timestamp, packet, now)
            if source.level_extension:
                self._note_level(source, packet)
        if source.sink is not None:
            source.sink(packet[start:end], second > 127, timestamp, number + source.seams & 0xFFFF, self._wall_clock())
        if not source.batch:
            source.batched_at = now
            self._batched.append(source)
        source.batch.append((number, second & 0x80, timestamp, packet))
        if len(source.batch) >= BATCH_PACKETS:
            self._fan_out(source)
        if source.switching and source.video:
            self._go_over_whole(source, number, second > 127, timestamp, now)

    def _note_level(self, source: Source, packet: bytes) -> None:
        value = rtp.extension(packet, source.level_extension)
        if value and len(source.levels) < MAX_LEVELS:
            source.levels.append(value[0])

    def _resume(self, source: Source, extended: int, timestamp: int, now: float) -> None:
        """The first packet after a mute or with another SSRC follows the last one that was sent on."""
        source.resumes = False
        source.first = extended
        if source.last_number < 0:
            return
        source.offset = source.last_number + 1 - extended
        source.seams += 1
        if source.retimes:
            source.retimes = False
            elapsed = int((now - source.last_new) * source.spec.clock_rate)
            source.timestamp_shift = source.last_timestamp + elapsed - timestamp & 0xFFFFFFFF

    def _keyframe(self, source: Source, number: int, timestamp: int, packet: bytes, now: float) -> None:
        if timestamp == source.key_timestamp:
            source.key_number = min(source.key_number, number)
            return
        source.keyframes += 1
        self._counters.keyframes += 1
        source.key_number, source.key_timestamp, source.key_at = number, timestamp, now
        if source.waiting:
            for route in source.waiting:
                if route.peer.send_context is not None:
                    self._start(route, number)
            source.regroup()
        if source.switching:
            hurried = [each for each in source.switching if each.paused or now - each.source.last_new > QUIET_S]
            source.switching = [each for each in source.switching if each not in hurried]
            for route in hurried:
                self._enter(route, source, number, timestamp, packet, now)
            for route in source.switching:
                route.keyed = True

    def _fan_out(self, source: Source) -> None:
        batch, source.batch = source.batch, []
        for extensions, transport, routes in source.groups:
            prepared = self._prepare(batch, extensions, transport)
            for route in routes:
                if route.shaper is None and route.peer.pacer is None:
                    self._send_run(route, prepared)
                else:
                    self._shape_and_pace(route, prepared)

    def _shape_and_pace(self, route: Route, prepared: list[Prepared]) -> None:
        if route.shaper is not None:
            prepared = route.shaper.shape(prepared, self._clock())
        pacer = route.peer.pacer
        if pacer is None:
            self._send_run(route, prepared)
            return
        priority = PICTURE if route.source.video else SOUND
        start = route.start
        for packet in prepared:
            if packet[0] >= start:
                pacer.push(priority, packet[4], (route, packet))
        self._pacing.add(route.peer)

    def _prepare(
        self, batch: list[tuple[int, int, int, bytes]], extensions: Mapping[int, int], transport: int
    ) -> list[Prepared]:
        prepared: list[Prepared] = []
        for number, marker, timestamp, packet in batch:
            if transport or packet[0] & 0x10:
                try:
                    packet = rtp.renumber_extensions(packet, extensions, transport)
                except RtpError:
                    packet = b""
                if not 0 < len(packet) <= LONGEST_PACKET_BYTES:
                    self._counters.dropped_rtp += 1
                    continue
            prepared.append((number, marker, timestamp, packet, len(packet)))
        return prepared

    def _send_run(self, route: Route, prepared: list[Prepared]) -> None:  # noqa: C901, PLR0912, PLR0915 - one loop
        """Rewrite, protect and queue packets for one route. The hottest loop of the program."""
        peer = route.peer
        to, context = peer.destination, peer.send_context
        if to is None or context is None:
            return
        batch, view, arena, arena_at = self._batch, self._arena_view, self._arena, self._arena_at
        length, protect = self._length, self._protect
        ssrc, payload_type, start = route.ssrc, route.payload_type, route.start
        sequence_shift, timestamp_shift = route.sequence_shift, route.timestamp_shift
        transport, transport_next, now = route.transport, peer.transport_next, 0.0
        if transport:
            now = self._clock()
        longest = RUN_PACKETS if to.segments else 1
        if (
            self._filled + len(prepared) * MAX_PACKET_BYTES > ARENA_BYTES
            or batch.messages + len(prepared) > MAX_MESSAGES
        ):
            self._flush()
        offset = run_start = self._filled
        run = segment = octets = packets = 0
        for number, marker, timestamp, packet, size in prepared:
            if number < start:
                continue
            view[offset : offset + size] = packet
            _BEHIND_FIRST.pack_into(
                arena,
                offset + 1,
                marker | payload_type,
                number + sequence_shift & 0xFFFF,
                timestamp + timestamp_shift & 0xFFFFFFFF,
                ssrc,
            )
            if transport:
                position = 17 if packet[12] == 0xBE and packet[0] & 0x0F == 0 else rtp.transport_position(packet)
                _SHORT.pack_into(arena, offset + position, transport_next)
                peer.sent.append((transport_next, now, size))
                transport_next = transport_next + 1 & 0xFFFF
            length[0] = size
            if protect(context, arena_at + offset, length):
                self._counters.dropped_protect += 1
                continue
            protected = length[0]
            packets += 1
            octets += size
            if run and (protected > segment or run >= longest):
                batch.add(to, run_start, offset - run_start, segment if run > 1 else 0)
                run_start, run = offset, 0
            if not run:
                segment = protected
            run += 1
            offset += protected
            if protected < segment:
                # Only the last packet of a run may be shorter.
                batch.add(to, run_start, offset - run_start, segment)
                run_start, run = offset, 0
        if run:
            batch.add(to, run_start, offset - run_start, segment if run > 1 else 0)
        self._filled = offset
        if transport:
            peer.transport_next = transport_next
            if len(peer.sent) > MAX_SENT:
                peer.note()
        route.packets += packets
        route.octets += octets - packets * 12
        self._counters.packets_out += packets
        self._counters.bytes_out += octets

    def _flush(self) -> None:
        if self._batch.messages:
            self._batch.flush()
        self._filled = 0

    # --- peers -----------------------------------------------------------------------------------------------------

    def send(self, address: Address, datagram: bytes) -> None:
        try:
            self._socket.sendto(datagram, address)
        except OSError:
            self._counters.dropped_send += 1

    def send_rtcp(self, peer: int, packet: bytes) -> None:
        owner = self._peers[peer]
        if owner.srtp is None or owner.destination is None:
            return
        try:
            protected = owner.srtp.protect_rtcp(packet)
        except (pylibsrtp.Error, ValueError):
            self._counters.dropped_protect += 1
            return
        self.send(owner.destination.address, protected)

    def admit(self, address: Address, peer: int) -> None:
        owner = self._peers[peer]
        before = self._by_address.get(address)
        if before is owner:
            return
        if before is not None:
            before.addresses.discard(address)
        owner.addresses.add(address)
        self._by_address[address] = owner

    def dismiss(self, address: Address, peer: int) -> None:
        owner = self._peers[peer]
        owner.addresses.discard(address)
        if self._by_address.get(address) is owner:
            del self._by_address[address]

    def open_peer(self, peer: int) -> None:
        self._peers[peer] = Peer(peer)

    def set_keys(self, peer: int, srtp: SrtpPair) -> None:
        self.settle()
        owner = self._peers[peer]
        owner.srtp = srtp
        owner.send_context = srtp.send_context if self._in_place else srtp.send_session
        owner.receive_context = srtp.receive_context if self._in_place else srtp.receive_session
        for number in owner.routes:
            self._begin(self._routes[number])

    def set_destination(self, peer: int, address: Address) -> None:
        self._peers[peer].destination = destination(address, segments=self._batch.gso)

    def bandwidth(self, peer: int) -> Estimate:
        owner = self._peers[peer]
        if owner.sent:
            owner.note()
        return owner.bandwidth

    def reported(self, peer: int, block: ReportBlock, now: float) -> None:
        for number in self._peers[peer].routes:
            route = self._routes[number]
            if route.ssrc == block.ssrc:
                route.reports.heard(block, now)
                return

    def heard(self, peer: int) -> float:
        return 0.0

    def told(self, route: int) -> Told:
        asked = self._routes[route]
        return asked.reports.take(asked.source.spec.clock_rate)

    def send_reports(self, source: int, ntp: int, timestamp: int, turn: int, turns: int) -> None:
        now, origin = self._clock(), self._sources[source]
        for route in origin.routes.values():
            peer = route.peer
            if peer.number % turns != turn or not route.started or not route.packets or route.paused:
                continue
            if peer.destination is None or peer.srtp is None:
                continue
            ours = timestamp + origin.timestamp_shift + self.route(route.number).timestamp_shift
            sent = route.packets, route.octets
            self.send_rtcp(peer.number, route.reports.write(route.ssrc, route.spec.cname, ntp, ours, sent, now))

    def pace(self, peer: int, rate_bps: float) -> None:
        self.settle()
        owner = self._peers[peer]
        if owner.pacer is not None and rate_bps:
            owner.pacer.rate_bps = rate_bps
        elif rate_bps:
            owner.pacer = Pacer(rate_bps, self._clock())
        elif owner.pacer is not None:
            owner.pacer.rate_bps = float("inf")
            self._drain(owner.pacer, float("inf"))
            owner.pacer = None
            self._pacing.discard(owner)
            self._flush()

    def release(self, now: float) -> float | None:
        dues: list[float] = []
        for peer in tuple(self._pacing):
            due = self._drain(peer.pacer, now) if peer.pacer is not None else None
            if due is None:
                self._pacing.discard(peer)
            else:
                dues.append(due)
        self._flush()
        return min(dues, default=None)

    def _drain(self, pacer: Pacer[tuple[Route, Prepared | bytes]], now: float) -> float | None:
        """What may leave leaves, packets of one route together."""
        run: list[Prepared] = []
        last: Route | None = None
        while (waited := pacer.pop(now)) is not None:
            route, what = waited
            if last is not None and (route is not last or isinstance(what, bytes) or len(run) == BATCH_PACKETS):
                self._send_run(last, run)
                run, last = [], None
            if isinstance(what, bytes):
                self._send_plain(route, what)
            else:
                run.append(what)
                last = route
        if last is not None:
            self._send_run(last, run)
        return pacer.due()

    def note_arrivals(self, peer: int, extension: int) -> None:
        self._peers[peer].transport_extension = extension

    def arrivals(self, peer: int) -> list[tuple[int, float]]:
        owner = self._peers[peer]
        taken, owner.arrivals = owner.arrivals, []
        return taken

    def close_peer(self, peer: int) -> None:
        self.settle()
        owner = self._peers[peer]
        for source in tuple(owner.sources):
            self.close_source(source)
        for route in tuple(owner.routes):
            self.close_route(route)
        for address in tuple(owner.addresses):
            self.dismiss(address, peer)
        self._pacing.discard(owner)
        del self._peers[peer]

    # --- sources ---------------------------------------------------------------------------------------------------

    def open_source(self, source: int, peer: int, spec: SourceSpec) -> None:
        owner = self._peers[peer]
        self._sources[source] = Source(source, owner, spec, PacketCache(self._cache_packets))
        owner.sources.add(source)

    def bind(self, peer: int, ssrc: int, source: int, *, rtx: bool) -> None:
        owner, target = self._peers[peer], self._sources[source]
        if rtx:
            owner.repairs = {each: of for each, of in owner.repairs.items() if of is not target}
            owner.repairs[ssrc] = target
            return
        if target.ssrc != ssrc:
            self._rebind(owner, target, ssrc)
        owner.streams[ssrc] = target

    def _rebind(self, owner: Peer, target: Source, ssrc: int) -> None:
        """The track goes on with another SSRC: numbers continue, and so does time, roughly."""
        owner.streams.pop(target.ssrc, None)
        target.ssrc = ssrc
        if target.reception.highest >= 0:
            target.reception = Reception(target.spec.clock_rate)
            target.resumes = target.retimes = True

    def mute(self, source: int, muted: bool) -> None:
        self.settle()
        target = self._sources[source]
        if target.muted and not muted:
            target.resumes = True
        target.muted = muted

    def note_levels(self, source: int, extension: int) -> None:
        self._sources[source].level_extension = extension

    def levels(self, source: int) -> list[int]:
        asked = self._sources[source]
        taken, asked.levels = asked.levels, []
        return taken

    def tap(self, source: int, sink: PacketSink | None) -> None:
        self._sources[source].sink = sink

    def close_source(self, source: int) -> None:
        self.settle()
        target = self._sources.pop(source, None)
        if target is None:
            return
        for route in tuple(target.routes):
            self.close_route(route)
        for switching in tuple(target.switching):
            self._take_back(switching)
        owner = target.peer
        owner.sources.discard(source)
        for table in (owner.streams, owner.repairs):
            for ssrc in [ssrc for ssrc, each in table.items() if each is target]:
                del table[ssrc]

    # --- routes ----------------------------------------------------------------------------------------------------

    def open_route(self, route: int, source: int, peer: int, spec: RouteSpec) -> None:
        self.settle()
        owner, origin = self._peers[peer], self._sources[source]
        opened = Route(route, origin, owner, spec, self._clock(), draw())
        self._routes[route] = origin.routes[route] = opened
        owner.routes.add(route)
        origin.regroup()
        if owner.srtp is not None:
            self._begin(opened)

    def _begin(self, route: Route) -> None:
        """Start what can start now: sound, and pictures whose group is short enough to be replayed."""
        source = route.source
        if route.started or route.paused:
            return
        if not source.video:
            self._start(route, source.last_number + 1)
            source.regroup()
            return
        run = self._short_group(source)
        if run is None:
            return
        self._start(route, source.key_number)
        source.regroup()
        self._counters.fast_starts += 1
        self._replay(route, run)

    def _short_group(self, source: Source) -> list[tuple[int, bytes]] | None:
        """The newest group of pictures, where it is whole, short and young enough to be replayed."""
        fresh = source.key_number >= 0 and self._clock() - source.key_at <= FAST_START_S
        if not fresh or source.last_number - source.key_number >= FAST_START_PACKETS:
            return None
        return source.cache.run(source.key_number, source.last_number)

    def _replay(self, route: Route, run: list[tuple[int, bytes]]) -> None:
        batch = [(number, packet[1] & 0x80, int.from_bytes(packet[4:8], "big"), packet) for number, packet in run]
        for first in range(0, len(batch), BATCH_PACKETS):
            prepared = self._prepare(batch[first : first + BATCH_PACKETS], route.extensions, route.transport)
            self._shape_and_pace(route, prepared)
        self._flush()

    def _start(self, route: Route, number: int) -> None:
        first, route.timestamp_shift, route.rtx_sequence = route.drawn
        route.started = True
        route.start = number
        route.sequence_shift = first - number
        if route.limits != (ALL_LAYERS, ALL_LAYERS):
            self._shape(route).limit(*route.limits)

    def set_route(self, route: int, spec: RouteSpec) -> None:
        self.settle()
        changed = self._routes[route]
        if changed.spec != spec:
            changed.agree(spec)
            self._drop_waiting(changed)
            changed.source.regroup()

    def close_route(self, route: int) -> None:
        self.settle()
        closed = self._routes.pop(route, None)
        if closed is not None:
            self._take_back(closed)
            self._drop_waiting(closed)
            closed.peer.routes.discard(route)
            closed.source.routes.pop(route, None)
            closed.source.regroup()

    def switch(self, route: int, source: int, lag: int | None) -> None:
        self.settle()
        asked = self._routes[route]
        self._take_back(asked)
        if not source:
            if asked.started:
                self._shape(asked).forget()
                self._drop_waiting(asked)
            asked.paused = True
            asked.source.regroup()
            return
        target = self._sources[source]
        if not asked.started:
            asked.paused = False
            self._move(asked, target)
            if asked.peer.srtp is not None:
                self._begin(asked)
        elif target is not asked.source or asked.paused:
            asked.pending, asked.lag, asked.keyed = target, lag, False
            target.switching.append(asked)
            self._go_over_early(asked, target)

    def _go_over_early(self, route: Route, source: Source) -> None:
        """A route that has sent nothing since a key frame in the cache need not wait for another."""
        run = self._short_group(source) if source.video else None
        if run is None or self._shape(route).ahead(source.key_timestamp, route.lag, source.key_at) <= 0:
            return
        source.switching.remove(route)
        self._enter(route, source, source.key_number, source.key_timestamp, run[0][1], source.key_at)
        self._counters.fast_starts += 1
        self._replay(route, run)

    def _go_over(self, source: Source, number: int, timestamp: int, packet: bytes, now: float) -> None:
        """Routes that waited for this source go on with this packet."""
        going, source.switching = source.switching, []
        for route in going:
            self._enter(route, source, number, timestamp, packet, now)

    def _go_over_whole(self, source: Source, number: int, marker: bool, timestamp: int, now: float) -> None:
        """Routes that send something now go on with this source when a key frame is here as a whole, so that what they
        send is seen until then; or when it will not be whole soon."""
        first = source.cache.get(source.key_number) if source.key_number >= 0 else None
        if first is None:
            return
        if timestamp == source.key_timestamp:
            if marker or number < source.last_number:
                going = source.switching if self._is_whole(source) else []
            else:
                huge = number - source.key_number >= source.cache.capacity // 2
                going = [each for each in source.switching if each.keyed and huge]
        else:
            going = [each for each in source.switching if each.keyed and now - source.key_at > WHOLE_S]
        if not going:
            return
        if source.batch:
            self._fan_out(source)
        source.switching = [each for each in source.switching if each not in going]
        kept = ((number, source.cache.get(number)) for number in range(source.key_number, source.last_number + 1))
        run = [(number, packet) for number, packet in kept if packet is not None]
        for route in going:
            self._enter(route, source, source.key_number, source.key_timestamp, first, source.key_at)
            self._replay(route, run)

    @staticmethod
    def _is_whole(source: Source) -> bool:
        """Whether all packets of the newest key frame are here."""
        for number in range(source.key_number, source.last_number + 1):
            packet = source.cache.get(number)
            if packet is None or int.from_bytes(packet[4:8], "big") != source.key_timestamp:
                return False
            if packet[1] > 127:
                return True
        return False

    def _enter(self, route: Route, source: Source, number: int, timestamp: int, packet: bytes, now: float) -> None:
        shaper = self._shape(route)
        if route.source.batch and route.source is not source:
            self._fan_out(route.source)
        shaper.enter(source.number, number, timestamp, packet, route.lag, now)
        route.pending, route.paused = None, False
        self._move(route, source)

    def _move(self, route: Route, source: Source) -> None:
        before = route.source
        if before is not source:
            before.routes.pop(route.number, None)
            before.regroup()
            source.routes[route.number] = route
            route.source = source
        source.regroup()

    def _drop_waiting(self, route: Route) -> None:
        pacer = route.peer.pacer
        if pacer is not None:
            pacer.drop(lambda waited: waited[0] is route)

    def _take_back(self, route: Route) -> None:
        if route.pending is not None:
            route.pending.switching.remove(route)
            route.pending = None

    def limit(self, route: int, temporal: int, spatial: int) -> None:
        self.settle()
        asked = self._routes[route]
        asked.limits = (temporal, spatial)
        if asked.started and (asked.shaper is not None or asked.limits != (ALL_LAYERS, ALL_LAYERS)):
            self._shape(asked).limit(temporal, spatial)

    def _shape(self, route: Route) -> Shaper:
        """The route's shaper, made when it is first needed."""
        shaper, source = route.shaper, route.source
        if shaper is not None:
            return shaper
        if source.batch:
            self._fan_out(source)
        shaper = Shaper(source.spec.codec, source.spec.clock_rate, source.number, route.start)
        shaper.descriptor = route.descriptor
        sent = source.cache.get(source.last_number) if route.packets else None
        if sent is not None and source.last_number >= route.start:
            shaper.resume(source.last_number, source.last_timestamp, sent, source.last_new)
        route.shaper, route.start = shaper, 0
        return shaper

    def resend(self, route: int, sequences: Sequence[int]) -> None:
        self.settle()
        asked = self._routes[route]
        source, now, rtt_s = asked.source, self._clock(), asked.peer.bandwidth.rtt_s
        self._counters.nacks_in += len(sequences)
        if not asked.started or (asked.transport and asked.spec.rtx_payload_type is None):
            return
        if asked.shaper is not None:
            self._resend_shaped(asked, asked.shaper, sequences, now)
            return
        for sequence in sequences:
            number = rtp.nearest(sequence - asked.sequence_shift, source.last_number, 16)
            packet = source.cache.get(number) if asked.start <= number <= source.last_number else None
            if packet is not None and asked.resends.grants(number, now, rtt_s):
                self._resend(asked, self._prepare_one(number, packet, asked))
        self._flush()

    def _resend_shaped(self, route: Route, shaper: Shaper, sequences: Sequence[int], now: float) -> None:
        """What was sent before the last change of source comes out of the cache of the source that it was of."""
        for sequence in sequences:
            outgoing = rtp.nearest(sequence - route.sequence_shift, shaper.sent, 16)
            found = shaper.find(outgoing)
            source = self._sources.get(found[0].source) if found else None
            if found is None or source is None:
                continue
            segment, number = found
            packet = source.cache.get(number)
            if packet is not None and route.resends.grants(outgoing, now, route.peer.bandwidth.rtt_s):
                prepared = self._prepare_one(number, packet, route)
                self._resend(route, [shaper.again(segment, *each[:4]) for each in prepared])
        self._flush()

    def _prepare_one(self, number: int, packet: bytes, route: Route) -> list[Prepared]:
        timestamp = int.from_bytes(packet[4:8], "big")
        return self._prepare([(number, packet[1] & 0x80, timestamp, packet)], route.extensions, route.transport)

    def _resend(self, route: Route, prepared: list[Prepared]) -> None:
        if prepared and route.spec.rtx_payload_type is not None:
            self._send_rtx(route, prepared[0], route.spec.rtx_payload_type)
        else:
            self._send_run(route, prepared)
        route.resent += len(prepared)
        self._counters.packets_resent += len(prepared)

    def _send_rtx(self, route: Route, prepared: Prepared, payload_type: int) -> None:
        """The original, rewritten for this route, wrapped (RFC 4588); sent as a run of one with nothing to rewrite."""
        number, marker, timestamp, packet, _ = prepared
        header = _BEHIND_FIRST.pack(
            marker | route.payload_type,
            number + route.sequence_shift & 0xFFFF,
            timestamp + route.timestamp_shift & 0xFFFFFFFF,
            route.ssrc,
        )
        original = b"".join((packet[:1], header, packet[rtp.HEADER_BYTES :]))
        wrapped = rtp.wrap_rtx(original, route.spec.rtx_ssrc, payload_type, route.rtx_sequence)
        route.rtx_sequence = route.rtx_sequence + 1 & 0xFFFF
        pacer = route.peer.pacer
        if pacer is None:
            self._send_plain(route, wrapped)
        else:
            pacer.push(REPAIR, len(wrapped), (route, wrapped))
            self._pacing.add(route.peer)

    def pad(self, route: int, size: int) -> int:
        self.settle()
        asked = self._routes[route]
        payload_type, shaper, source = asked.spec.rtx_payload_type, asked.shaper, asked.source
        if not asked.transport or payload_type is None or not asked.started or asked.paused:
            return 0
        newest = source.last_number if shaper is None else shaper.sent
        padded = 0
        for back in range(MAX_PADDING_PACKETS):
            if padded >= size:
                break
            number, segment = newest - back % PADDING_PACKETS, None
            if shaper is not None:
                found = shaper.find(number)
                if found is None or found[0].source != source.number:
                    continue
                segment, number = found
            packet = source.cache.get(number) if number >= asked.start else None
            for each in self._prepare_one(number, packet, asked) if packet is not None else ():
                whole = each if shaper is None or segment is None else shaper.again(segment, *each[:4])
                self._send_rtx(asked, whole, payload_type)
                padded += whole[4]
        self._flush()
        return padded

    def _send_plain(self, route: Route, packet: bytes) -> None:
        peer = route.peer
        to, context = peer.destination, peer.send_context
        if to is None or context is None:
            return
        if self._filled + len(packet) + TAG_BYTES > ARENA_BYTES or self._batch.messages == MAX_MESSAGES:
            self._flush()
        start = self._filled
        self._arena_view[start : start + len(packet)] = packet
        if route.transport:
            _SHORT.pack_into(self._arena, start + rtp.transport_position(packet), peer.transport_next)
            peer.sent.append((peer.transport_next, self._clock(), len(packet)))
            if len(peer.sent) > MAX_SENT:
                peer.note()
            peer.transport_next = peer.transport_next + 1 & 0xFFFF
        self._length[0] = len(packet)
        if self._protect(context, self._arena_at + start, self._length):
            self._counters.dropped_protect += 1
            return
        self._filled = start + self._length[0]
        self._batch.add(to, start, self._length[0], 0)
        self._counters.packets_out += 1
        self._counters.bytes_out += len(packet)

    # --- what is asked now and then --------------------------------------------------------------------------------

    def missing(self, source: int, now: float) -> list[int]:
        due = self._sources[source].reception.gaps.due(now)
        self._counters.nacks_out += len(due)
        return [number & 0xFFFF for number in due]

    def gapped(self) -> list[int]:
        self._gapped = {source for source in self._gapped if source.reception.gaps and source.number in self._sources}
        return [source.number for source in self._gapped]

    def report(self, source: int, ssrc: int, last_report: int, delay_s: float) -> ReportBlock:
        return self._sources[source].reception.report(ssrc, last_report, delay_s)

    def source(self, source: int) -> SourceCounters:
        asked = self._sources[source]
        reception = asked.reception
        return SourceCounters(
            packets=reception.received,
            octets=asked.bytes,
            received=reception.received,
            expected=reception.expected,
            jitter_s=reception.jitter / asked.spec.clock_rate,
            last_arrival=asked.last_arrival,
            last_timestamp=asked.last_timestamp,
            timestamp_shift=asked.timestamp_shift,
            keyframes=asked.keyframes,
            keyframe_at=asked.key_at,
            waiting=len(asked.waiting) + sum(not each.keyed for each in asked.switching),
            outages=reception.gaps.outages,
        )

    def route(self, route: int) -> RouteCounters:
        asked = self._routes[route]
        shift = asked.timestamp_shift
        if asked.shaper is not None:
            shift = shift + asked.shaper.timestamp_shift & 0xFFFFFFFF
        return RouteCounters(
            packets=asked.packets,
            octets=asked.octets,
            resent=asked.resent,
            timestamp_shift=shift,
            started=asked.started,
            source=asked.source.number,
            paused=asked.paused,
            switching=asked.pending.number if asked.pending else 0,
        )

    def start_impatient(self, source: int, now: float) -> None:
        """Begin routes that waited too long for a key frame that nobody recognises."""
        self.settle()
        origin = self._sources[source]
        late = [route for route in origin.waiting if now - route.opened_at > KEYFRAME_PATIENCE_S and route.peer.srtp]
        if late and origin.last_arrival and not origin.keyframes:
            for route in late:
                self._start(route, origin.last_number + 1)
            origin.regroup()
