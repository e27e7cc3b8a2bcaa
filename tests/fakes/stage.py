"""A forwarder between a publisher with two encodings and sound, whose packets come by `inject`, and one subscriber."""

import itertools
import socket
import time

from media import rtp
from media.forwarder.interface import RouteSpec, SourceSpec
from media.forwarder.reference import ReferenceForwarder
from media.transport.srtp import PROFILES, SrtpPair, split_keys

CAMERA, VIEWER, LOW, HIGH, ROUTE, VOICE, VOICE_ROUTE = range(1, 8)
SSRCS = {LOW: 11, HIGH: 22, VOICE: 33}


class Stage:
    """A publisher with two encodings and sound, and one subscriber."""

    def __init__(self, codec: str = "VP8", *, rtx: bool = False) -> None:
        self.codec = codec
        self.server, self.viewer = udp(), udp()
        self.now = 100.0
        self.forwarder = ReferenceForwarder(self.server, cache_packets=256, gso=True, clock=lambda: self.now)
        exported = bytes((VIEWER,)) * PROFILES[0].exported_bytes
        for number in (CAMERA, VIEWER):
            self.forwarder.open_peer(number)
        self.forwarder.set_keys(VIEWER, SrtpPair(split_keys(PROFILES[0], exported)))
        self.end = SrtpPair(split_keys(PROFILES[0], exported, server=False))
        self.forwarder.set_destination(VIEWER, self.viewer.getsockname())
        video = SourceSpec(codec, True, 90000, 96, 97, {})
        for source, spec in ((LOW, video), (HIGH, video), (VOICE, SourceSpec("opus", False, 48000, 111, None, {}))):
            self.forwarder.open_source(source, CAMERA, spec)
            self.forwarder.bind(CAMERA, SSRCS[source], source, rtx=False)
        self.forwarder.open_route(ROUTE, LOW, VIEWER, RouteSpec(5000, 100, 5001, 101 if rtx else None, {}))
        self.forwarder.open_route(VOICE_ROUTE, VOICE, VIEWER, RouteSpec(6000, 111, 0, None, {}))
        self.sequences = {LOW: 100, HIGH: 60_000, VOICE: 7}
        self.timestamps = {LOW: 90_000, HIGH: 4_000_000_000, VOICE: 0}
        self.pictures = {LOW: 5, HIGH: 3000}

    def close(self) -> None:
        self.server.close()
        self.viewer.close()

    def frame(self, source: int, *, key: bool = False, packets: int = 2) -> None:
        """One frame of an encoding; `tick` moves the time of both."""
        self.pictures[source] += 1
        picture = self.pictures[source]
        for index in range(packets):
            head = bytes((0x90 if index == 0 else 0x80, 0x80, 0x80 | picture >> 8, picture & 0xFF))
            payload = head + bytes((0 if key else 1, source)) + bytes(50)
            if self.codec == "H264":
                payload = bytes((0x65 if key else 0x61,)) + bytes((source,) * 20)
            self.inject(source, payload, 96, marker=index == packets - 1)

    def sound(self) -> None:
        self.timestamps[VOICE] += 960
        self.inject(VOICE, bytes(20), 111, marker=False)

    def inject(self, source: int, payload: bytes, payload_type: int, *, marker: bool) -> None:
        self.forwarder.inject(CAMERA, self.packet(source, payload, payload_type, marker=marker))

    def packet(self, source: int, payload: bytes, payload_type: int, *, marker: bool) -> bytes:
        self.sequences[source] = self.sequences[source] + 1 & 0xFFFF
        return rtp.pack(
            payload,
            payload_type=payload_type,
            sequence=self.sequences[source],
            timestamp=self.timestamps[source] & 0xFFFFFFFF,
            ssrc=SSRCS[source],
            marker=marker,
        )

    def tick(self, seconds: float = 1 / 30) -> None:
        self.now += seconds
        for source in (LOW, HIGH):
            self.timestamps[source] += round(seconds * 90_000)

    def both(self, frames: int, *, key: tuple[int, ...] = ()) -> None:
        for index in range(frames):
            self.tick()
            for source in (LOW, HIGH):
                self.frame(source, key=index == 0 and source in key, packets=source - 1)

    def datagrams(self) -> list[bytes]:
        self.forwarder.settle()
        time.sleep(0.0005)
        found = []
        while True:
            try:
                found.append(self.viewer.recv(4096))
            except BlockingIOError:
                return found

    def got(self) -> list[bytes]:
        return [self.end.receive_session.unprotect(each) for each in self.datagrams()]


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    return sock


def numbers(packets: list[bytes]) -> list[int]:
    return [int.from_bytes(packet[2:4], "big") for packet in packets]


def times(packets: list[bytes]) -> list[int]:
    return list(dict.fromkeys(int.from_bytes(packet[4:8], "big") for packet in packets))


def origins(packets: list[bytes]) -> list[int]:
    """Which source each packet is of."""
    return [packet[12 + 5] for packet in packets]


def steps(values: list[int], modulus: int) -> set[int]:
    return {(after - before) % modulus for before, after in itertools.pairwise(values)}
