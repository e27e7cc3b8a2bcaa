"""What the forwarder in use costs on this machine: packets of a loopback publisher to loopback subscribers."""

import contextlib
import socket
import time
from dataclasses import dataclass

from media import rtp
from media.forwarder.choice import Choice, new_forwarder
from media.forwarder.interface import Forwarder, RouteSpec, SourceSpec
from media.transport.srtp import PROFILES, SrtpPair, split_keys

SUBSCRIBERS, BURST, PACKET_BYTES = 50, 10, 1100
_PUBLISHER, _SOURCE, _SSRC, _FIRST_ROUTE = 1, 2, 1000, 100


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU time per packet sent, and what sent it."""

    name: str
    us_per_packet: float
    packets: int


def measure(choice: Choice, *, gso: bool, seconds: float) -> Measured:
    """Bursts of ten packets to fifty subscribers, until so many seconds have passed.

    Raises:
        PortError: `native` is demanded and cannot be had.
        OSError: there is no loopback address.
    """
    with contextlib.ExitStack() as stack:
        server, camera, *viewers = (stack.enter_context(_udp()) for _ in range(SUBSCRIBERS + 2))
        forwarder = new_forwarder(choice, server, cache_packets=64, gso=gso)
        end = _connect(forwarder, camera, viewers)
        until, spent, sequence = time.monotonic() + seconds, 0.0, 0
        while time.monotonic() < until:
            for _ in range(BURST):
                sequence += 1
                camera.sendto(end.send_session.protect(_packet(sequence)), server.getsockname())
            before = time.thread_time()
            forwarder.pump()
            spent += time.thread_time() - before
            for viewer in viewers:
                _empty(viewer)
        sent = int(forwarder.counters.packets_out)
        for peer in range(_PUBLISHER, _PUBLISHER + SUBSCRIBERS + 1):
            forwarder.close_peer(peer)
        return Measured(forwarder.name, spent / max(sent, 1) * 1e6, sent)


def _connect(forwarder: Forwarder, camera: socket.socket, viewers: list[socket.socket]) -> SrtpPair:
    """Gives the publisher's end of its keys."""
    for peer, sock in enumerate((camera, *viewers), _PUBLISHER):
        forwarder.open_peer(peer)
        forwarder.set_keys(peer, SrtpPair(split_keys(PROFILES[0], bytes((peer,)) * PROFILES[0].exported_bytes)))
        forwarder.set_destination(peer, sock.getsockname())
    forwarder.admit(camera.getsockname(), _PUBLISHER)
    forwarder.open_source(_SOURCE, _PUBLISHER, SourceSpec("opus", False, 48_000, 96, None, {}))
    forwarder.bind(_PUBLISHER, _SSRC, _SOURCE, rtx=False)
    for peer in range(_PUBLISHER + 1, _PUBLISHER + 1 + len(viewers)):
        forwarder.open_route(_FIRST_ROUTE + peer, _SOURCE, peer, RouteSpec(_SSRC + peer, 96, 0, None, {}))
    exported = bytes((_PUBLISHER,)) * PROFILES[0].exported_bytes
    return SrtpPair(split_keys(PROFILES[0], exported, server=False))


def _packet(sequence: int) -> bytes:
    return rtp.pack(
        bytes(PACKET_BYTES - rtp.HEADER_BYTES), payload_type=96, sequence=sequence, timestamp=sequence * 90, ssrc=_SSRC
    )


def _udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def _empty(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.recv(2048)
