"""Random histories of a forwarder: made from a seed, played on any implementation, told as what came out.

Two implementations are equal when they tell the same of the same history: every datagram to each peer to the byte (keys
and random beginnings are the same), what was handed up, what taps got, every counter and every answer.
"""

import contextlib
import random
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pylibsrtp

from media import rtcp, rtp
from media.errors import RtcpError, RtpError
from media.forwarder.interface import Forwarder, Kind, RouteSpec, SourceSpec
from media.sourcetime import middle, ntp
from media.transport.srtp import PROFILES, SrtpPair, split_keys
from media.transportcc import Statuses

ROTATION, LEVEL, PLAYOUT = "urn:3gpp:video-orientation", "urn:level", "urn:playout"
TRANSPORT_ID, DESCRIPTOR_ID = 5, 6
CODECS = ("VP8", "VP9", "H264", "AV1", "H265", "opus")
RTX_PAYLOAD_TYPE = 97
WAIT_BYTES = 1 << 22

Make = Callable[[socket.socket, bool, Callable[[], float], Callable[[], float]], Forwarder]
"""socket, gso, clock, wall clock"""
Step = tuple[Any, ...]


def udp(host: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 0))
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WAIT_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, WAIT_BYTES)
    return sock


class Picture:
    """What all packets of one picture share."""

    def __init__(self, camera: "Camera", key: bool, chance: random.Random) -> None:
        camera.picture += 1
        self.key = key
        self.layer = 0 if key else chance.randrange(3)
        camera.base += self.layer == 0
        self.identifier, self.base, self.wide = camera.picture, camera.base, camera.wide
        self.sync = chance.random() < 0.4
        self.spatial = 0 if key else chance.randrange(2)
        self.plain = chance.random() < 0.1

    def payload(self, codec: str, size: int, first: bool, last: bool, chance: random.Random) -> bytes:
        """Begins like a packet of a picture of this codec."""
        body = chance.randbytes(max(size, 8))
        wide = bytes((0x80 | self.identifier >> 8 & 0x7F, self.identifier & 0xFF))
        identifier = wide if self.wide else bytes((self.identifier & 0x7F,))
        base = bytes((self.base & 0xFF,))
        match codec:
            case "VP8" if self.plain:
                return bytes((0x10 * first, 1 - self.key)) + body
            case "VP8":
                layer = bytes((self.layer << 6 | self.sync << 5,))
                return bytes((0x80 | 0x10 * first, 0xE0)) + identifier + base + layer + bytes((1 - self.key,)) + body
            case "VP9" if self.plain:
                return bytes((0x08 * first | 0x40 * (not self.key),)) + body
            case "VP9":
                head = 0xA0 | 0x08 * first | 0x04 * last | 0x40 * (not self.key)
                return (
                    bytes((head,))
                    + identifier
                    + bytes((self.layer << 5 | self.sync << 4 | self.spatial << 1,))
                    + base
                    + body
                )
            case "H264":
                return bytes((0x65 if self.key else 0x41,)) + body
            case "AV1":
                return bytes((0x18 if self.key and first else 0x10,)) + body
            case _:
                return body

    def descriptor(self, first: bool, last: bool) -> bytes:
        """Of AV1: three templates, of temporal layers 0, 1 and 2."""
        head = bytes((first << 7 | last << 6 | (5 + self.layer), 0, 1))
        if not (self.key and first):
            return head
        bits = 0b1000_0_000101_00001_01_01_11 << 3 | 0  # structure present; first id 5; then 0, +1 temporal, +1, end
        return head + (0x80).to_bytes(1, "big") + (bits & 0xFFFFFF).to_bytes(3, "big")


@dataclass(slots=True)
class Told:
    """What a history gave."""

    out: dict[tuple[int, bytes], list[bytes]] = field(default_factory=dict)
    """By peer and SSRC; between streams the order has no meaning."""
    handed: list[tuple[Any, ...]] = field(default_factory=list)
    tapped: list[tuple[Any, ...]] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    counters: dict[str, float] = field(default_factory=dict)


class Camera:
    """The sending end of one source."""

    def __init__(self, peer: int, source: int, codec: str, chance: random.Random) -> None:
        self.peer = peer
        self.source = source
        self.codec = codec
        self.ssrc = source * 1000
        self.sequence = chance.randrange(0x10000)
        self.timestamp = chance.getrandbits(32)
        self.picture, self.base, self.wide = chance.getrandbits(15), chance.getrandbits(8), chance.random() < 0.7
        self.lost: list[bytes] = []


class History:
    """Steps of one seed. Every random decision is made here, so that playing them is the same each time."""

    def __init__(self, seed: int, steps: int = 120, *, wild: bool = True) -> None:
        self.chance = random.Random(seed)
        self.wild = wild
        self.numbers = 0
        self.peers: list[int] = []
        self.cameras: list[Camera] = []
        self.routes: list[int] = []
        self.tracks: dict[int, tuple[int, str]] = {}
        self.steps: list[Step] = []
        for _ in range(self.chance.randint(1, 2)):
            self._publisher()
        for _ in range(self.chance.randint(1, 4)):
            self._viewer()
        for _ in range(steps):
            self._any()
        self.steps.append(("ask",))

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _publisher(self) -> None:
        peer = self._number()
        self.peers.append(peer)
        self.steps += [("open", peer), ("keys", peer, self.chance.randrange(3)), ("admit", peer)]
        self.steps += [("reach", peer), ("note", peer, self.chance.choice((0, TRANSPORT_ID)))]
        for codec in self.chance.sample(CODECS, 2):
            extensions = {ROTATION: 3, rtp.MID: 4, LEVEL: 9, PLAYOUT: self.chance.choice((12, 200))}
            extensions[rtp.DEPENDENCY_DESCRIPTOR] = DESCRIPTOR_ID
            rtx = self.chance.choice((None, RTX_PAYLOAD_TYPE))
            spec = SourceSpec(codec, codec != "opus", 48_000 if codec == "opus" else 90_000, 96, rtx, extensions)
            for _ in range(self.chance.choice((1, 2, 3))):  # encodings
                self._source(peer, codec, spec)

    def _source(self, peer: int, codec: str, spec: SourceSpec) -> None:
        camera = Camera(peer, self._number(), codec, self.chance)
        self.cameras.append(camera)
        rtx = spec.rtx_payload_type
        self.steps.append(("source", camera.source, peer, spec))
        self.steps.append(("bind", peer, camera.ssrc, camera.source, False))
        if rtx:
            self.steps.append(("bind", peer, camera.ssrc + 1, camera.source, True))

    def _viewer(self) -> None:
        peer = self._number()
        self.peers.append(peer)
        first: list[Step] = [("keys", peer, self.chance.randrange(3)), ("admit", peer), ("reach", peer)]
        self.chance.shuffle(first)
        self.steps.append(("open", peer))
        late = self.chance.random() < 0.3
        self.steps += first[: self.chance.randint(0, 3)] if late else first
        for camera in self.chance.sample(self.cameras, self.chance.randint(1, len(self.cameras))):
            self._route(camera, peer)
        self.steps += first if late else []

    def _spec(self) -> RouteSpec:
        extensions = {
            uri: self.chance.choice((1, 2, 7, 14, 15, 90))
            for uri in self.chance.sample((ROTATION, LEVEL, PLAYOUT, rtp.MID), self.chance.randint(0, 3))
        }
        if self.chance.random() < 0.7:
            extensions[rtp.DEPENDENCY_DESCRIPTOR] = 11
        if self.chance.random() < 0.6:
            extensions[rtp.TRANSPORT_SEQUENCE] = self.chance.choice((5, 5, 20))
        rtx = self.chance.choice((None, 101))
        name = self.chance.choice(("", "a", "abcd", "0123456789abcdef", "n" * 31))
        return RouteSpec(
            self.numbers * 7 + 1, self.chance.choice((96, 100)), self.numbers * 7 + 2, rtx, extensions, name
        )

    def _route(self, camera: Camera, peer: int) -> None:
        route = self._number()
        self.routes.append(route)
        self.steps.append(("route", route, camera.source, peer, self._spec()))
        self.tracks[route] = camera.peer, camera.codec

    def _layers(self) -> None:
        """A route goes on with another encoding, pauses, or leaves layers out."""
        chance, route = self.chance, self.chance.choice(self.routes)
        encodings = [each.source for each in self.cameras if (each.peer, each.codec) == self.tracks[route]]
        if encodings and chance.random() < 0.6:
            source = chance.choice((*encodings, *encodings, 0))
            self.steps.append(("switch", route, source, chance.choice((None, 0, -90_000, 12_345, 1 << 31))))
        else:
            self.steps.append(("limit", route, chance.choice((0, 1, 2, 7)), chance.choice((0, 1, 7, 7))))

    def _any(self) -> None:
        chance, pick = self.chance, self.chance.random()
        if not self.cameras:
            self._publisher()
        camera = chance.choice(self.cameras)
        if pick < 0.55:
            self._frame(camera)
        elif pick < 0.62:
            self.steps.append(("wait", chance.choice((0.004, 0.02, 0.12, 0.8, 3.2))))
        elif pick < 0.70 and self.routes:
            self.steps.append(("nack", chance.choice(self.routes), [chance.random() for _ in range(6)]))
        elif pick < 0.74:
            self._repair(camera)
        elif pick < 0.79 and self.routes:
            self._layers()
        elif pick < 0.86:
            self._feedback()
        elif pick < 0.92:
            self._control(camera)
        elif self.wild:
            self._stranger(camera)

    def _feedback(self) -> None:
        """What viewers say, and what is asked of what they said."""
        chance, peer = self.chance, self.chance.choice(self.peers)
        match chance.randrange(8):
            case 0:
                self.steps.append(("remb", peer, chance.choice((30_000, 400_000, 5_000_000))))
            case 1:
                self.steps.append(("probe", peer, chance.choice((0.03, 0.5))))
            case 2 | 3 if self.cameras:
                turns = chance.choice((1, 1, 2))
                self.steps.append(("reports", chance.choice(self.cameras).source, chance.randrange(turns), turns))
            case 4:
                for _ in range(30):
                    self.steps.append(("hear", peer, chance.getrandbits(32), False))
            case _:
                broken = self.wild and chance.random() < 0.3
                self.steps += [("hear", peer, chance.getrandbits(32), False), ("wait", 0.02)]
                self.steps.append(("hear", peer, chance.getrandbits(32), broken))

    def _control(self, camera: Camera) -> None:
        if self.chance.random() < 0.5:
            self._control_source(camera)
        else:
            self._control_others(camera)

    def _control_source(self, camera: Camera) -> None:
        chance = self.chance
        match chance.randrange(6):
            case 5:
                self.steps.append(("levels", camera.source, chance.choice((0, 9, 9))))
            case 0:
                self.steps.append(("mute", camera.source, chance.random() < 0.4))
            case 1:
                camera.ssrc += 10
                self.steps += [("expect", camera.peer, camera.ssrc, camera.source)]
            case 2:
                self.steps.append(("tap", camera.source, chance.random() < 0.7))
            case 3:
                camera.sequence += chance.choice((40, 400, 5000, 0x9000))
                camera.timestamp += chance.choice((0, 3000, 0x7FFFFFFF))
            case _ if len(self.cameras) > 2:
                self.cameras.remove(camera)
                self.steps.append(("unsource", camera.source))

    def _control_others(self, camera: Camera) -> None:
        chance = self.chance
        match chance.randrange(10):
            case 7:
                rate = chance.choice((0, 60_000, 800_000, 5_000_000, 50_000_000))
                self.steps.append(("pace", chance.choice(self.peers), rate))
            case 8 if self.routes:
                self.steps.append(("pad", chance.choice(self.routes), chance.choice((0, 500, 20_000))))
            case 0 if len(self.peers) < 12:
                self._viewer()
            case 1 if len(self.peers) > 3:
                peer = chance.choice(self.peers)
                self.peers.remove(peer)
                self.cameras = [each for each in self.cameras if each.peer != peer]
                self.steps.append(("close", peer))
            case 2 if self.routes:
                self.steps.append(("agree", chance.choice(self.routes), self._spec()))
            case 3 if self.routes:
                self.steps.append(("unroute", self.routes.pop(chance.randrange(len(self.routes)))))
            case 4:
                self._route(camera, chance.choice(self.peers))
            case 5:
                self.steps.append(("keys", chance.choice(self.peers), chance.randrange(3)))
            case 6:
                self.steps.append(("move", chance.choice(self.peers)))
            case _:
                self.steps.append(("ask",))

    def _frame(self, camera: Camera) -> None:
        """A picture, with what the net does to it."""
        chance, packets = self.chance, []
        picture = Picture(camera, chance.random() < 0.2, chance)
        camera.timestamp += 3000
        count = chance.choice((1, 3, 10, 10, 20, 70)) if camera.codec != "opus" else 1
        size = chance.choice((30, 200, 1080))
        for number in range(count):
            camera.sequence += 1
            many = size if number < count - 1 else chance.randint(8, size)
            if chance.random() < 0.1:
                many = chance.randint(8, 1400)
            packets.append(self._packet(camera, picture, many, number == 0, number == count - 1))
        if self.wild:
            for _ in range(chance.choice((0, 0, 0, 1, 3))):
                camera.lost.append(packets.pop(chance.randrange(len(packets))) if packets else b"")
            if chance.random() < 0.2:
                chance.shuffle(packets)
            if chance.random() < 0.2 and packets:
                packets.append(chance.choice(packets))
        camera.lost = [each for each in camera.lost[-6:] if each]
        if chance.random() < 0.25:  # in two parts, with something between them
            cut = chance.randint(0, len(packets))
            self.steps.append(("send", camera.peer, packets[:cut]))
            between: list[Step] = [("wait", chance.choice((0.0, 0.004, 0.6)))]
            if self.routes:
                between.append(("nack", chance.choice(self.routes), [chance.random() for _ in range(3)]))
            self.steps.append(chance.choice(between))
            packets = packets[cut:]
        self.steps.append(("send", camera.peer, packets))

    def _single(self, camera: Camera, size: int) -> bytes:
        """A picture of one packet."""
        return self._packet(camera, Picture(camera, True, self.chance), size, True, True)

    def _packet(self, camera: Camera, picture: Picture, size: int, first: bool, last: bool) -> bytes:
        chance = self.chance
        packet = rtp.pack(
            picture.payload(camera.codec, size, first, last, chance),
            payload_type=96 if chance.random() < 0.97 else 99,
            sequence=camera.sequence,
            timestamp=camera.timestamp,
            ssrc=camera.ssrc,
            marker=last,
            elements=self._elements(camera, picture.descriptor(first, last)),
        )
        if chance.random() < 0.05:  # contributing sources
            packet = bytes((packet[0] | 2,)) + packet[1:12] + chance.randbytes(8) + packet[12:]
        if chance.random() < 0.05:  # padding
            packet = bytes((packet[0] | 0x20,)) + packet[1:] + bytes(3) + b"\x04"
        return packet

    def _elements(self, camera: Camera, descriptor: bytes) -> list[tuple[int, bytes]]:
        chance, kind = self.chance, self.chance.random()
        told = [(DESCRIPTOR_ID, descriptor)] if camera.codec == "AV1" and kind < 0.95 else []
        if kind < 0.3:
            return told
        sequence = (camera.sequence & 0xFFFF).to_bytes(2, "big")
        elements = [(TRANSPORT_ID, sequence), (4, b"0"), (3, b"\x01"), (9, b"abc")]
        if kind > 0.8:
            elements.append((200 if kind > 0.9 else 12, chance.randbytes(chance.randint(0, 20))))
        return told + chance.sample(elements, chance.randint(1, len(elements)))

    def _repair(self, camera: Camera) -> None:
        if camera.lost:
            lost = self.chance.choice(camera.lost)
            with contextlib.suppress(RtpError):
                wrapped = rtp.wrap_rtx(lost, camera.ssrc // 10 * 10 + 1, RTX_PAYLOAD_TYPE, self.chance.getrandbits(15))
                self.steps.append(("send", camera.peer, [wrapped]))

    def _stranger(self, camera: Camera) -> None:
        chance = self.chance
        kind = chance.randrange(8)
        size = chance.choice((0, 1, 11, 12, 13, 40, 1500, 3000))
        raw = bytes((chance.choice((0, 2, 3, 4, 19, 20, 63, 64, 127, 128, 144, 191, 192)),)) + chance.randbytes(size)
        match kind:
            case 0:
                self.steps.append(("stranger", raw))
            case 1:
                self.steps.append(("stranger", b""))
            case 2:
                self.steps.append(("raw", chance.choice(self.peers), raw))
            case 3:
                self.steps.append(("rtcp", chance.choice(self.peers), chance.randbytes(4 * chance.randint(2, 9))))
            case 4:
                self.steps.append(("broken", camera.peer, self._single(camera, 50), chance.random()))
            case 5:
                self.steps.append(("again",))
            case _:
                packet = bytearray(self._single(camera, 40))
                for _ in range(chance.randint(1, 4)):
                    packet[chance.choice((0, 12, 13, 14, 15, 16, 17, -1))] = chance.getrandbits(8)
                cut = chance.randint(12, len(packet))
                self.steps.append(("inject", camera.peer, bytes((packet[0] & 0x3F | 0x80,)) + bytes(packet[1:cut])))


class Player:
    """Plays a history on one forwarder, with sockets of its own."""

    def __init__(self, make: Make, *, gso: bool) -> None:
        self.server, self.stranger = udp(), udp()
        self.now = 1000.0
        self.told = Told()
        self.forwarder = make(self.server, gso, lambda: self.now, lambda: self.now + 1e9)
        self.sockets: dict[int, socket.socket] = {}
        self.ends: dict[int, SrtpPair] = {}
        self.receivers: dict[int, SrtpPair] = {}
        self.sequences: dict[int, list[int]] = {}
        self.ssrcs: dict[int, int] = {}
        self.expected: dict[tuple[int, int], int] = {}
        self.sources: set[int] = set()
        self.routes: dict[int, int] = {}
        self.sent: list[tuple[int, bytes]] = []
        self.numbers: dict[int, list[int]] = {}
        """By peer: numbers of the transport that it got."""
        self.echoes: list[int] = []
        self.watching: dict[int, list[int]] = {}
        """By peer: SSRCs that were ever meant for it."""
        self.news = 0

    def play(self, steps: Sequence[Step], seed: int) -> Told:
        random.seed(seed)
        for verb, *arguments in steps:
            getattr(self, f"_{verb}")(*arguments)
            self.told.answers.append(self.forwarder.holds)
        self.forwarder.settle()
        self._drain()
        self.told.counters = self.forwarder.counters.totals()
        for peer in tuple(self.sockets):
            self._close(peer)
        self.server.close()
        self.stranger.close()
        return self.told

    def _drain(self) -> None:
        for peer, sock in self.sockets.items():
            for datagram in _all(sock):
                control = 192 <= datagram[1] <= 223
                self.told.out.setdefault((peer, datagram[4:8] if control else datagram[8:12]), []).append(datagram)
                with contextlib.suppress(pylibsrtp.Error, ValueError):
                    plain = self.receivers[peer].receive_session.unprotect(datagram)
                    ssrc = int.from_bytes(plain[8:12], "big")
                    self.sequences.setdefault(ssrc, []).append(int.from_bytes(plain[2:4], "big"))
                    for identifier in (5, 20):
                        number = rtp.transport_sequence(plain, identifier)
                        if number is not None:
                            self.numbers.setdefault(peer, []).append(number)

    def _pump(self) -> None:
        labels = {sock.getsockname(): peer for peer, sock in self.sockets.items()}
        for _ in range(4):
            for handed in self.forwarder.pump():
                who = labels.get(handed.address, -1)
                if handed.kind is Kind.NEWS or (handed.kind is Kind.RTCP and self._takes(handed.peer, handed.data)):
                    self.news += handed.kind is Kind.NEWS
                    continue
                self.told.handed.append((handed.kind, handed.peer, who, handed.data))
                ssrc = int.from_bytes(handed.data[8:12], "big")
                source = self.expected.get((handed.peer, ssrc))
                if handed.kind is Kind.UNBOUND and source in self.sources:
                    self.forwarder.bind(handed.peer, ssrc, source, rtx=False)
                    self.forwarder.inject(handed.peer, handed.data)
        self._drain()

    def _takes(self, peer: int, data: bytes) -> bool:
        """What one forwarder takes itself and the other hands up is taken here."""
        kinds, offset = [], 0
        try:
            packets = rtcp.parse(data)
        except RtcpError:
            return False
        while offset < len(data):
            kinds.append((data[offset + 1], data[offset] & 0x1F))
            offset += 4 + 4 * int.from_bytes(data[offset + 2 : offset + 4], "big")
        if not all(kind in (201, 202) or (kind, form) == (205, 15) for kind, form in kinds):
            return False
        for packet in packets:
            if isinstance(packet, rtcp.TransportFeedback):
                refused = not self.forwarder.bandwidth(peer).feedback(packet.statuses, self.now)
                self.forwarder.counters.dropped_rtcp += refused
            elif isinstance(packet, rtcp.ReceiverReport):
                for block in packet.reports:
                    self.forwarder.reported(peer, block, self.now)
        return True

    def _hear(self, peer: int, seed: int, broken: bool) -> None:
        """Reports of a viewer, made of what it got; some are broken."""
        if peer not in self.sockets or peer not in self.ends:
            return
        chance = random.Random(seed)
        blocks = [
            rtcp.ReportBlock(
                ssrc, chance.getrandbits(8), 5, 9, chance.getrandbits(20), chance.choice((0, *self.echoes[-3:])), 7000
            )
            for ssrc in self.watching.get(peer, [])[-4:]
        ]
        packets: list[rtcp.Packet] = [rtcp.ReceiverReport(peer, tuple(blocks))]
        if chance.random() < 0.5:
            packets.append(rtcp.SourceDescription(((peer, chance.choice(("", "viewer"))),)))
        got = self.numbers.get(peer, [0])
        for _ in range(chance.randint(0, 2)):
            count = chance.choice((0, 1, 3, 12, 60))
            base = got[-min(len(got), count + chance.randint(1, 9))]
            small = (None, *range(0, 200, 40)) if chance.random() < 0.7 else (None, 3, 400, -60)
            deltas = tuple(chance.choice(small) for _ in range(count))
            reference = int(self.now * 15.625) & 0xFFFFFF
            packets.append(rtcp.TransportFeedback(peer, 1, Statuses(base, reference, 0, deltas)))
        if chance.random() < 0.1:
            packets.append(chance.choice((rtcp.Pli(peer, 1), rtcp.Bye((peer,)))))
        data = bytearray(rtcp.compound(packets))
        if broken:
            for _ in range(chance.randint(1, 3)):
                data[chance.randrange(len(data))] = chance.getrandbits(8)
            data = data[: 4 * chance.randint(2, len(data) // 4)]
            data[0:2] = bytes((0x80 | data[0] & 0x3F, 201))
        self._raw(peer, self.ends[peer].send_session.protect_rtcp(bytes(data)))

    def _remb(self, peer: int, bitrate_bps: int) -> None:
        if peer in self.sockets:
            self.forwarder.bandwidth(peer).remb(bitrate_bps, self.now)

    def _probe(self, peer: int, lasts_s: float) -> None:
        if peer in self.sockets:
            self.forwarder.bandwidth(peer).begin_probe(self.now, lasts_s)

    def _reports(self, source: int, turn: int, turns: int) -> None:
        if source in self.sources:
            time = ntp(self.now)
            self.echoes.append(middle(time))
            self.forwarder.send_reports(source, time, 123_456, turn, turns)
            self._drain()

    def _open(self, peer: int) -> None:
        self.sockets[peer] = udp()
        self.forwarder.open_peer(peer)

    def _keys(self, peer: int, profile: int) -> None:
        if peer in self.sockets:
            random_state = random.getstate()
            chosen = PROFILES[profile]
            exported = random.Random(peer * 7 + len(self.told.answers)).randbytes(chosen.exported_bytes)
            random.setstate(random_state)
            self.ends[peer] = SrtpPair(split_keys(chosen, exported, server=False))
            self.receivers[peer] = SrtpPair(split_keys(chosen, exported, server=False))
            self.forwarder.set_keys(peer, SrtpPair(split_keys(chosen, exported)))
            self._drain()

    def _admit(self, peer: int) -> None:
        self.forwarder.admit(self.sockets[peer].getsockname(), peer)

    def _reach(self, peer: int) -> None:
        self.forwarder.set_destination(peer, self.sockets[peer].getsockname())

    def _note(self, peer: int, extension: int) -> None:
        self.forwarder.note_arrivals(peer, extension)

    def _move(self, peer: int) -> None:
        """Another address of the same peer."""
        if peer in self.sockets:
            before = self.sockets[peer]
            self._drain()
            self.forwarder.dismiss(before.getsockname(), peer)
            self.sockets[peer] = udp()
            self._admit(peer)
            self._reach(peer)
            before.close()

    def _close(self, peer: int) -> None:
        self._drain()
        self.forwarder.close_peer(peer)
        self.sockets.pop(peer).close()
        self.routes = {route: owner for route, owner in self.routes.items() if self._is_there(route)}
        self.sources = {source for source in self.sources if self._has(source)}

    def _is_there(self, route: int) -> bool:
        try:
            self.forwarder.route(route)
        except KeyError:
            return False
        return True

    def _has(self, source: int) -> bool:
        try:
            self.forwarder.source(source)
        except KeyError:
            return False
        return True

    def _source(self, source: int, peer: int, spec: SourceSpec) -> None:
        if peer in self.sockets:
            self.forwarder.open_source(source, peer, spec)
            self.sources.add(source)

    def _unsource(self, source: int) -> None:
        self.forwarder.close_source(source)
        self.sources.discard(source)
        self.routes = {route: owner for route, owner in self.routes.items() if self._is_there(route)}

    def _bind(self, peer: int, ssrc: int, source: int, rtx: bool) -> None:
        if source in self.sources:
            self.forwarder.bind(peer, ssrc, source, rtx=rtx)

    def _expect(self, peer: int, ssrc: int, source: int) -> None:
        self.expected[peer, ssrc] = source

    def _route(self, route: int, source: int, peer: int, spec: RouteSpec) -> None:
        if source in self.sources and peer in self.sockets:
            self.forwarder.open_route(route, source, peer, spec)
            self.routes[route] = spec.ssrc
            self.watching.setdefault(peer, []).append(spec.ssrc)
            self._drain()

    def _unroute(self, route: int) -> None:
        self.forwarder.close_route(route)
        self.routes.pop(route, None)

    def _agree(self, route: int, spec: RouteSpec) -> None:
        if route in self.routes:
            self.forwarder.set_route(route, spec)
            self.routes[route] = spec.ssrc

    def _switch(self, route: int, source: int, lag: int | None) -> None:
        if route in self.routes and (not source or source in self.sources):
            self.forwarder.switch(route, source, lag)
            self._drain()

    def _limit(self, route: int, temporal: int, spatial: int) -> None:
        if route in self.routes:
            self.forwarder.limit(route, temporal, spatial)
            self._drain()

    def _levels(self, source: int, extension: int) -> None:
        if source in self.sources:
            self.forwarder.note_levels(source, extension)

    def _pace(self, peer: int, rate_bps: int) -> None:
        if peer in self.sockets:
            self.forwarder.pace(peer, rate_bps)
            self._drain()

    def _pad(self, route: int, size: int) -> None:
        if route in self.routes:
            self.told.answers.append(self.forwarder.pad(route, size))
            self._drain()

    def _mute(self, source: int, muted: bool) -> None:
        if source in self.sources:
            self.forwarder.mute(source, muted)

    def _tap(self, source: int, on: bool) -> None:
        if source in self.sources:
            told = self.told.tapped
            self.forwarder.tap(source, (lambda *what: told.append((source, *what))) if on else None)

    def _wait(self, seconds: float) -> None:
        self.now += seconds
        if self.forwarder.holds and seconds > 0.01:
            self.forwarder.settle()
        self.told.answers.append(self.forwarder.release(self.now))
        self._drain()

    def _send(self, peer: int, packets: Sequence[bytes]) -> None:
        if peer not in self.sockets or peer not in self.ends:
            return
        for packet in packets:
            with contextlib.suppress(pylibsrtp.Error, ValueError):
                protected = self.ends[peer].send_session.protect(packet)
                self.sent.append((peer, protected))
                self.sockets[peer].sendto(protected, self.server.getsockname())
        self._pump()

    def _again(self) -> None:
        """The net repeats what it carried."""
        for peer, protected in self.sent[-3:]:
            if peer in self.sockets:
                self.sockets[peer].sendto(protected, self.server.getsockname())
        self._pump()

    def _raw(self, peer: int, datagram: bytes) -> None:
        if peer in self.sockets:
            self.sockets[peer].sendto(datagram, self.server.getsockname())
            self._pump()

    def _broken(self, peer: int, packet: bytes, where: float) -> None:
        if peer in self.sockets and peer in self.ends:
            with contextlib.suppress(pylibsrtp.Error):
                protected = bytearray(self.ends[peer].send_session.protect(packet))
                protected[int(where * len(protected))] ^= 0x55
                self._raw(peer, bytes(protected))

    def _rtcp(self, peer: int, body: bytes) -> None:
        if peer in self.sockets and peer in self.ends:
            packet = bytes((0x80, 201)) + (len(body) // 4).to_bytes(2, "big") + body
            self._raw(peer, self.ends[peer].send_session.protect_rtcp(packet))
            self.forwarder.send_rtcp(peer, packet)
            self._drain()

    def _stranger(self, datagram: bytes) -> None:
        self.stranger.sendto(datagram, self.server.getsockname())
        self._pump()

    def _inject(self, peer: int, packet: bytes) -> None:
        if peer in self.sockets:
            self.forwarder.inject(peer, packet)
            self._drain()

    def _nack(self, route: int, where: Sequence[float]) -> None:
        if route in self.routes:
            seen = self.sequences.get(self.routes[route], [])
            wanted = [seen[int(each * len(seen))] for each in where if seen] + [int(where[0] * 0xFFFF)]
            self.forwarder.resend(route, wanted)
            self._drain()

    def _estimate(self, peer: int) -> tuple[object, ...]:
        told = self.forwarder.bandwidth(peer)
        return (
            *(told.estimate_bps, told.acked_bps, told.rtt_s, told.loss),
            *(told.congested_at, told.known, told.numbered),
        )

    def _ask(self) -> None:
        answers = self.told.answers
        answers.append(sorted(self.forwarder.gapped()))
        for source in sorted(self.sources):
            answers.append(self.forwarder.missing(source, self.now))
            answers.append(self.forwarder.report(source, 9, 7, 0.25))
            self.forwarder.start_impatient(source, self.now)
            answers.append(list(self.forwarder.levels(source)))
            answers.append(asdict(self.forwarder.source(source)))
        for peer in sorted(self.sockets):
            answers.append(list(self.forwarder.arrivals(peer)))
            answers.append(self._estimate(peer))
        for route in sorted(self.routes):
            answers.append(self.forwarder.told(route))
            answers.append(asdict(self.forwarder.route(route)))
        self._drain()


def _all(sock: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(sock.recv(65_536))
        except BlockingIOError:
            return found


def main(library: str, histories: int) -> None:
    """Play histories on an object built with sanitizers, and bytes of no sense besides; they end the process."""
    from media.forwarder.native.accelerated import NativeForwarder
    from media.forwarder.native.binding import load

    loaded = load(Path(library))

    def make(sock: socket.socket, gso: bool, clock: Callable[[], float], wall: Callable[[], float]) -> Forwarder:
        return NativeForwarder(loaded, sock, cache_packets=64, gso=gso, clock=clock, wall_clock=wall)

    for seed in range(histories):
        history = History(10_000 + seed)
        publisher = history.peers[0]
        for _ in range(300):
            packet = bytearray(history.chance.choice(_packets(history.steps)))
            for _ in range(history.chance.randint(0, 6)):
                packet[history.chance.randrange(min(len(packet), 40))] = history.chance.getrandbits(8)
            packet[0] = packet[0] & 0x3F | 0x80
            cut = history.chance.choice((len(packet), history.chance.randint(12, len(packet))))
            history.steps.append(("inject", publisher, bytes(packet[:cut])))
        Player(make, gso=seed % 2 == 0).play(history.steps, seed)
    fenced = "libasan" in Path("/proc/self/maps").read_text()
    print("fenced" if fenced else "open", histories)


def _packets(steps: Sequence[Step]) -> list[bytes]:
    return [packet for step in steps if step[0] == "send" for packet in step[2]]


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
