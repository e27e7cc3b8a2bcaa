"""The one UDP socket, and the addresses at which it can be reached."""

import socket
from ipaddress import ip_address

import ifaddr

from media.errors import PortError

BUFFER_BYTES = 8 << 20
"""Asked for in both directions; the kernel gives at most `net.core.rmem_max` and `wmem_max`."""


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
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise PortError(f"UDP port {port} on {host} cannot be bound: {error.strerror}.") from error
    return sock


def advertised(host: str, advertise: tuple[str, ...]) -> tuple[str, ...]:
    """Addresses that browsers are told: those configured, or the one listened on, or all of this machine.

    For the IPv4 wildcard, loopback comes last and link-local addresses are left out.
    """
    if advertise:
        return advertise
    address = ip_address(host)
    if not address.is_unspecified:
        return (host,)
    found = [
        str(each.ip)
        for adapter in ifaddr.get_adapters()
        for each in adapter.ips
        if each.is_IPv4 and address.version == 4 and not ip_address(str(each.ip)).is_link_local
    ]
    return tuple(sorted(dict.fromkeys(found), key=lambda each: ip_address(each).is_loopback))
