"""The UDP sockets of legs: an even port and the odd one above it, with the kernel's time of arrival."""

import contextlib
import socket
import struct
from dataclasses import dataclass
from ipaddress import ip_address

from media.phone.portpool import NoPort, PortPool
from media.phone.sourcelock import Address
from media.transport.udpsocket import advertised

MAX_PACKET_BYTES = 2048
RECEIVE_BUFFER_BYTES = 64 << 10
MAPPED = "::ffff:"
TRIES = 20
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")


@dataclass(frozen=True, slots=True)
class Datagram:
    data: bytes
    address: Address
    arrived_at: float | None
    """UTC; None where the kernel does not say."""


class PortPair:
    """The sockets of one leg."""

    def __init__(self, host: str, port: int) -> None:
        """Raises:
        OSError: one of the two is used.
        """
        self.port = port
        self.wide = host == "::"
        """Of both families: IPv4 addresses are written as IPv6 to these sockets."""
        self.rtp = _bound(host, port)
        try:
            self.rtcp = _bound(host, port + 1)
        except OSError:
            self.rtp.close()
            raise

    def close(self) -> None:
        self.rtp.close()
        self.rtcp.close()


def _bound(host: str, port: int) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        with contextlib.suppress(OSError):
            opened.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        opened.bind((host, port))
    except OSError:
        opened.close()
        raise
    return opened


def take(pool: PortPool, host: str) -> PortPair:
    """A free pair of the range.

    Raises:
        NoPort: none is free, or other programs have those that we tried.
    """
    for _ in range(TRIES):
        port = pool.take()
        try:
            return PortPair(host, port)
        except OSError:
            pool.give_up(port)
    raise NoPort(f"{TRIES} ports of the range are used by other programs.")


def receive(opened: socket.socket, most: int, size: int = MAX_PACKET_BYTES) -> list[Datagram]:
    """What the socket holds, up to a bound. What is larger than `size` is dropped."""
    taken: list[Datagram] = []
    for _ in range(most):
        try:
            data, ancillary, flags, address = opened.recvmsg(size, socket.CMSG_SPACE(_TIMESPEC.size))
        except BlockingIOError:
            break
        except OSError:
            continue  # an ICMP error of something we sent
        if flags & socket.MSG_TRUNC:
            continue
        taken.append(Datagram(data, (address[0].removeprefix(MAPPED), address[1]), _arrival(ancillary)))
    return taken


def _arrival(ancillary: list[tuple[int, int, bytes]]) -> float | None:
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return float(seconds + nanoseconds * 1e-9)
    return None


def told(host: str, signalled: str) -> str:
    """The address that a phone is told: the one that is listened on. For a wildcard, ours on the way to where its
    signalling comes from, of the same family; where that is not known, this machine's IPv4 address.
    """
    if not ip_address(host).is_unspecified:
        return host
    reachable = signalled and (host == "::" or ":" not in signalled)
    return (_towards(signalled) if reachable else None) or next(iter(advertised("0.0.0.0", ())), "127.0.0.1")


def _towards(address: str) -> str | None:
    """None where there is no way. Nothing is sent."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.connect((address, 9))
        except OSError:
            return None
        return str(tried.getsockname()[0])


def send(opened: socket.socket, packet: bytes, to: Address) -> bool:
    """Whether the kernel took it."""
    try:
        opened.sendto(packet, to)
    except OSError:  # full, or an ICMP error of an earlier one
        return False
    return True
