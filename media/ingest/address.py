"""Which addresses cameras may be fetched from.

A camera's address comes from settings and from people, and is opened by this server: it must not become a way to reach
what only this server can reach (server-side request forgery). So: two schemes only; the name is resolved once and the
connection goes to exactly that address; loopback, link-local, multicast and unspecified addresses and those of cloud
metadata services are refused unless allowed by name. What is denied is denied, whatever else allows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit, urlunsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SCHEMES = {"rtsp": 554, "rtsps": 322}
_METADATA = (ip_network("100.100.100.200/32"), ip_network("fd00:ec2::254/128"))
MAX_URL_CHARACTERS = 1024


class AddressRefused(Exception):
    """A camera may not be fetched from there; the message says why, without the password."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Networks beyond the built-in rule. `deny` wins."""

    allow: tuple[Network, ...] = ()
    deny: tuple[Network, ...] = ()


def parse_url(url: str) -> SplitResult:
    """A camera's URL, checked.

    Raises:
        AddressRefused: not rtsp:// or rtsps://, no host, or characters that no URL has.
    """
    if len(url) > MAX_URL_CHARACTERS:
        raise AddressRefused(f"The address has more than {MAX_URL_CHARACTERS} characters.")
    if any(character <= " " or character == "\x7f" for character in url):
        raise AddressRefused("The address has spaces or control characters in it; write them as %20 and so on.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise AddressRefused(f"The address {masked(url)} cannot be read: {error}.") from error
    if parts.scheme not in SCHEMES:
        raise AddressRefused(f"A camera's address begins with rtsp:// or rtsps://, not with {parts.scheme[:16]!r}.")
    if not parts.hostname:
        raise AddressRefused(f"The address {masked(url)} names no host.")
    if port == 0:
        raise AddressRefused(f"The address {masked(url)} has the port 0.")
    return parts


def port_of(parts: SplitResult) -> int:
    return parts.port or SCHEMES[parts.scheme]


def masked(url: str) -> str:
    """A URL for logs and screens: no user's password, no query (some cameras take the password there)."""
    head, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at:
        authority = f"{user.partition(':')[0]}:***@{host}"
    return f"{head}{separator}{authority}{slash}{path.partition('?')[0]}{'?***' if '?' in path else ''}"


def check_address(address: str, policy: Policy) -> Address:
    """One resolved address, canonical.

    Raises:
        AddressRefused: with the rule that refuses it.
    """
    try:
        ip = _canonical(ip_address(address.partition("%")[0]))
    except ValueError as error:
        raise AddressRefused(f"{address!r} is no IP address.") from error
    if any(_holds(network, ip) for network in policy.deny):
        raise AddressRefused(f"{ip} is in a network that the settings deny (ingest.deny_networks).")
    if any(_holds(network, ip) for network in policy.allow):
        return ip
    if (kind := _special(ip)) is not None:
        raise AddressRefused(f"{ip} is {kind}; allow it in ingest.allow_networks if a camera is really there.")
    return ip


def _canonical(ip: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, Teredo, NAT64), or itself."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip.sixtofour is not None:
        return ip.sixtofour
    if ip.teredo is not None:
        return ip.teredo[1]
    if ip in IPv6Network("64:ff9b::/96"):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _holds(network: Network, ip: Address) -> bool:
    return network.version == ip.version and ip in network


def _special(ip: Address) -> str | None:
    if ip.is_loopback:
        return "a loopback address"
    if any(_holds(network, ip) for network in _METADATA):
        return "the address of a cloud's metadata service"
    if ip.is_link_local:
        return "a link-local address"
    if ip.is_multicast:
        return "a multicast address"
    if ip.is_unspecified or (isinstance(ip, IPv4Address) and int(ip) >> 24 == 0):
        return "no address of a machine"
    if ip == IPv4Address("255.255.255.255"):
        return "the broadcast address"
    return None


def choose(addresses: Sequence[str], policy: Policy) -> Address:
    """The first address of a name. If the policy refuses *any* of them, the name is refused: a name that points both to
    a camera and to this server is no camera's.

    Raises:
        AddressRefused: none, or one that is refused.
    """
    if not addresses:
        raise AddressRefused("The name has no address.")
    checked = [check_address(address, policy) for address in addresses]
    return checked[0]


def connect_url(parts: SplitResult, ip: Address) -> str:
    """The URL with the host's name replaced by the address that was checked."""
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    userinfo, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{userinfo}{at}{host}:{port_of(parts)}", fragment=""))
