"""What any m-line of a telephone says, of sound or of pictures: where to, how encrypted, which way. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from media.phone import sdes
from media.phone.messages import Direction, Profile
from media.phone.sourcelock import Address
from media.sdp import Description, MediaSection, number

PLAIN, SECURE = ("RTP/AVP", "RTP/AVPF"), ("RTP/SAVP", "RTP/SAVPF")
_DIRECTIONS: tuple[Direction, ...] = ("sendrecv", "sendonly", "recvonly", "inactive")


class NotAcceptable(Exception):
    """Nothing in the description that we can do (SIP 488)."""


class Keys(Protocol):
    """Those of an agreement."""

    @property
    def ours(self) -> sdes.Crypto | None: ...
    @property
    def theirs(self) -> sdes.Crypto | None: ...


@dataclass(frozen=True, slots=True)
class Section:
    """What is read of one m-line."""

    address: Address | None
    """None: port 0 or no address."""
    control: Address | None
    mux: bool
    cryptos: tuple[sdes.Crypto, ...]
    secure: bool
    """RTP/SAVP: it must be encrypted."""
    direction: Direction
    """As it said, seen from its side."""
    protocol: str


def usable(described: Description, kind: str) -> int | None:
    """Index of the first m-line of this kind that is RTP and not switched off."""
    for index, section in enumerate(described.media):
        if section.kind == kind and section.port and section.protocol in PLAIN + SECURE:
            return index
    return None


def read_section(described: Description, section: MediaSection) -> Section:
    host = _host(section.attributes.connection or described.attributes.connection)
    zero = host is not None and ip_address(host).is_unspecified
    address = (host, section.port) if host is not None and not zero else None
    direction = _direction(section) or _direction(described) or "sendrecv"
    if zero and direction in ("sendrecv", "recvonly"):  # c=0.0.0.0 is how RFC 2543 said hold: it hears nothing
        direction = "sendonly" if direction == "sendrecv" else "inactive"
    return Section(
        address=address,
        control=_control(section, address),
        mux="rtcp-mux" in section.attributes,
        cryptos=sdes.read(section),
        secure=section.protocol in SECURE,
        direction=direction,
        protocol=section.protocol,
    )


def rtpmaps(section: MediaSection) -> dict[str, list[str]]:
    """Format to the parts of its encoding in lower case: name, clock rate, channels."""
    maps = {}
    for value in section.attributes.all("rtpmap"):
        form, _, mapped = value.partition(" ")
        maps[form] = mapped.strip().lower().split("/")
    return maps


def _host(connection: str) -> str | None:
    """`IN IP4 192.0.2.1`: addresses only, names are not looked up."""
    parts = connection.split()
    if len(parts) != 3 or parts[0] != "IN":
        return None
    try:
        address = ip_address(parts[2].partition("/")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return None if address.is_multicast else str(mapped or address)


def _control(section: MediaSection, address: Address | None) -> Address | None:
    if address is None:
        return None
    told = (section.attributes.first("rtcp") or "").split()
    port = number(told[0], 65535) if told else None
    return (address[0], port or min(65535, address[1] + 1))


def _direction(level: MediaSection | Description) -> Direction | None:
    return next((each for each in _DIRECTIONS if each in level.attributes), None)


def mirrored(theirs: Direction, wanted: Direction) -> Direction:
    """What we do when they do this and we want that (RFC 3264 6.1)."""
    sends = theirs in ("sendrecv", "recvonly") and wanted in ("sendrecv", "sendonly")
    receives = theirs in ("sendrecv", "sendonly") and wanted in ("sendrecv", "recvonly")
    return "sendrecv" if sends and receives else "sendonly" if sends else "recvonly" if receives else "inactive"


# --- keys ------------------------------------------------------------------------------------------------------------


def answered_keys(
    section: Section, profile: Profile, before: Keys | None
) -> tuple[sdes.Crypto | None, sdes.Crypto | None]:
    """Our key and theirs, in answer to an offer.

    Raises:
        NotAcceptable: encryption refused or missing.
    """
    theirs = section.cryptos[0] if section.cryptos and profile.srtp != "off" else None
    if theirs is None and (section.secure or profile.srtp == "require"):
        raise NotAcceptable(
            "The offer wants encryption that we may not use."
            if profile.srtp == "off" or section.secure
            else "The offer is not encrypted, and must be."
        )
    return _our_key(theirs, before), theirs


def _our_key(theirs: sdes.Crypto | None, before: Keys | None) -> sdes.Crypto | None:
    """With the same key of theirs ours stays too, so that a hold does not begin SRTP anew."""
    if theirs is None:
        return None
    if before is not None and before.ours is not None and before.theirs is not None:
        if before.theirs.same_key(theirs):
            return replace(before.ours, tag=theirs.tag)
    return sdes.new(theirs.tag, theirs.suite)


def accepted_keys(
    section: Section, profile: Profile, cryptos: Sequence[sdes.Crypto]
) -> tuple[sdes.Crypto | None, sdes.Crypto | None]:
    """Our key, of those that were offered, and theirs, by their answer.

    Raises:
        NotAcceptable: encryption is missing.
    """
    for crypto in section.cryptos:
        ours = next((each for each in cryptos if (each.tag, each.suite) == (crypto.tag, crypto.suite)), None)
        if ours is not None:
            return ours, crypto
    if profile.srtp == "require" or section.secure:
        raise NotAcceptable("The answer is not encrypted, and must be.")
    return None, None
