"""The one UDP socket, and the addresses at which it can be reached.

A server on the loopback address is to be reached by every browser of its own machine. Firefox takes part in no check
between a loopback address and another, and offers no loopback address of its own. So for 127.0.0.1 the socket is bound
to every address, and the kernel lets nothing in but what came by the loopback device: what a machine sends to itself
passes that device whatever address it is sent to, and nothing from outside does.
"""

import ctypes
import socket
import struct
from ipaddress import ip_address

import ifaddr

from media.errors import PortError

BUFFER_BYTES = 8 << 20
"""Asked for in both directions; the kernel gives at most `net.core.rmem_max` and `wmem_max`."""


_LOOPBACK = "127.0.0.1"
_ANY = "0.0.0.0"
_LOOPBACK_DEVICE = "lo"
# A program for the kernel's packet filter, Linux's linux/filter.h: code, jumps, operand.
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_ATTACH_FILTER = 26
_LOAD_WORD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_INTERFACE_INDEX = 0xFFFFF000 + 8
"""Where a program reads the number of the device by which a packet came."""


def bind(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket.

    Raises:
        PortError: the address or port cannot be had.
    """
    family = socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        sock.setblocking(False)
        sock.bind((_ANY if host == _LOOPBACK and _keep_within(sock) else host, port))
    except OSError as error:
        sock.close()
        raise PortError(f"UDP port {port} on {host} cannot be bound: {error.strerror}.") from error
    return sock


def _keep_within(sock: socket.socket) -> bool:
    """Let nothing in but what came by the loopback device; False where the system has no such filter."""
    try:
        device = socket.if_nametoindex(_LOOPBACK_DEVICE)
    except OSError:
        return False
    program = b"".join(
        _INSTRUCTION.pack(*instruction)
        for instruction in (
            (_LOAD_WORD, 0, 0, _INTERFACE_INDEX),
            (_JUMP_IF_EQUAL, 0, 1, device),
            (_RETURN, 0, 0, 0xFFFFFFFF),
            (_RETURN, 0, 0, 0),
        )
    )
    held = ctypes.create_string_buffer(program, len(program))
    filter_ = _PROGRAM.pack(len(program) // _INSTRUCTION.size, ctypes.addressof(held))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, filter_)
    except OSError:
        return False
    return True


def advertised(host: str, advertise: tuple[str, ...], bound: str = "") -> tuple[str, ...]:
    """Addresses that browsers are told: those configured, or the one listened on, or all of this machine.

    Link-local addresses are left out. For the IPv4 wildcard, loopback comes last; for a loopback address first.

    Args:
        bound: the address that the socket has, which `bind` may have chosen wider than `host`.
    """
    if advertise:
        return advertise
    if not ip_address(bound or host).is_unspecified:
        return (host,)
    inside = ip_address(host).is_loopback
    return tuple(sorted(_own(ip_address(host).version), key=lambda each: ip_address(each).is_loopback != inside))


def _own(version: int) -> tuple[str, ...]:
    """This machine's IPv4 addresses."""
    found = [
        str(each.ip)
        for adapter in ifaddr.get_adapters()
        for each in adapter.ips
        if each.is_IPv4 and version == 4 and not ip_address(str(each.ip)).is_link_local
    ]
    return tuple(dict.fromkeys(found))
