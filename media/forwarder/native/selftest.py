"""The accelerator must forward a few known packets rightly before it is given any other. Costs some milliseconds."""

import select
import socket

import pylibsrtp

from media import rtp
from media.errors import NativeUnavailable
from media.forwarder.interface import RouteSpec, SourceSpec
from media.forwarder.native.accelerated import NativeForwarder
from media.forwarder.native.binding import Library
from media.transport.srtp import PROFILES, SrtpPair, split_keys

_PUBLISHER, _SUBSCRIBER, _SOURCE, _ROUTE = 1, 2, 3, 4
_SENT = 12
_WAIT_S = 1.0
_PAYLOAD_TYPE, _SSRC = 100, 5000


def prove(library: Library) -> None:
    """Packets go in by one loopback socket and come out at another, for each protection profile.

    Raises:
        NativeUnavailable: what came out is not what should have.
    """
    for profile in PROFILES:
        with _udp() as server, _udp() as publisher, _udp() as subscriber:
            forwarder = NativeForwarder(library, server, cache_packets=64, gso=True)
            ends = {}
            for number in (_PUBLISHER, _SUBSCRIBER):
                exported = bytes((number,)) * profile.exported_bytes
                forwarder.open_peer(number)
                forwarder.set_keys(number, SrtpPair(split_keys(profile, exported)))
                ends[number] = SrtpPair(split_keys(profile, exported, server=False))
            forwarder.admit(publisher.getsockname(), _PUBLISHER)
            forwarder.set_destination(_SUBSCRIBER, subscriber.getsockname())
            forwarder.open_source(_SOURCE, _PUBLISHER, SourceSpec("opus", False, 48_000, 96, None, {"urn:a": 3}))
            forwarder.bind(_PUBLISHER, 1, _SOURCE, rtx=False)
            forwarder.open_route(
                _ROUTE, _SOURCE, _SUBSCRIBER, RouteSpec(_SSRC, _PAYLOAD_TYPE, _SSRC + 1, None, {"urn:a": 7})
            )
            for number in range(_SENT):
                publisher.sendto(ends[_PUBLISHER].send_session.protect(_packet(number, 1)), server.getsockname())
            _ready(server)
            handed = forwarder.pump()
            got = [_plain(ends[_SUBSCRIBER], _received(subscriber)) for _ in range(_SENT)]
            forwarder.close_peer(_PUBLISHER)
            forwarder.close_peer(_SUBSCRIBER)
        first, shift = got[0][2:4], int.from_bytes(got[0][4:8], "big")
        wanted = [_packet(number, None, int.from_bytes(first, "big"), shift) for number in range(_SENT)]
        if handed or got != wanted or forwarder.counters.packets_out != _SENT:
            raise NativeUnavailable("its self-test gave other packets than it should")


def _packet(number: int, ssrc: int | None, sequence: int = 0, timestamp: int = 0) -> bytes:
    """What is sent with this SSRC, or what should come out."""
    return rtp.pack(
        bytes((number,)) * 200,
        payload_type=96 if ssrc else _PAYLOAD_TYPE,
        sequence=sequence + number,
        timestamp=timestamp + 960 * number,
        ssrc=ssrc or _SSRC,
        marker=number % 2 == 0,
        elements=[(3 if ssrc else 7, b"\x05")],
    )


def _udp() -> socket.socket:
    try:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
    except OSError as error:
        raise NativeUnavailable(f"its self-test had no socket: {error}") from error
    sock.setblocking(False)
    return sock


def _ready(sock: socket.socket) -> None:
    if not select.select([sock], [], [], _WAIT_S)[0]:
        raise NativeUnavailable("its self-test lost a packet")


def _received(sock: socket.socket) -> bytes:
    _ready(sock)
    return sock.recv(4096)


def _plain(end: SrtpPair, datagram: bytes) -> bytes:
    try:
        plain: bytes = end.receive_session.unprotect(datagram)
    except pylibsrtp.Error as error:
        raise NativeUnavailable(f"its self-test gave a packet that cannot be read: {error}") from error
    return plain
