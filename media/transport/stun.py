"""STUN messages as ICE uses them: binding requests and their answers (RFC 8489, RFC 8445).

Pure: bytes in, bytes out. `parse` checks the frame and the fingerprint; whether the sender knows our password is
asked separately (`Message.is_authentic`), because the password depends on the user name inside.
"""

import hmac
import struct
import zlib
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from media.errors import StunError

BINDING_REQUEST = 0x0001
BINDING_INDICATION = 0x0011
BINDING_SUCCESS = 0x0101
BINDING_ERROR = 0x0111

USERNAME = 0x0006
MESSAGE_INTEGRITY = 0x0008
ERROR_CODE = 0x0009
XOR_MAPPED_ADDRESS = 0x0020
PRIORITY = 0x0024
USE_CANDIDATE = 0x0025
SOFTWARE = 0x8022
FINGERPRINT = 0x8028
ICE_CONTROLLED = 0x8029
ICE_CONTROLLING = 0x802A

MAGIC_COOKIE = 0x2112A442
HEADER_BYTES = 20
MAX_MESSAGE_BYTES = 1280
"""A check is about 100 bytes; anything near an MTU is no check."""
MAX_ATTRIBUTES = 32

_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")
_FINGERPRINT_XOR = 0x5354554E

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Message:
    """One parsed message. `attributes` holds the first value of each type, in wire form."""

    type: int
    transaction: bytes
    """12 bytes."""
    attributes: dict[int, bytes]
    raw: bytes
    integrity_offset: int | None
    """Where the MESSAGE-INTEGRITY attribute begins."""

    @property
    def username(self) -> str:
        """`receiver:sender`; empty where there is none."""
        return self.attributes.get(USERNAME, b"").decode("utf-8", "replace")

    @property
    def nominates(self) -> bool:
        return USE_CANDIDATE in self.attributes

    def is_authentic(self, password: str) -> bool:
        """Whether MESSAGE-INTEGRITY was made with this short-term password (RFC 8489 14.5)."""
        if self.integrity_offset is None:
            return False
        expected = _integrity(self.raw[: self.integrity_offset], password)
        return hmac.compare_digest(expected, self.attributes[MESSAGE_INTEGRITY])


def parse(data: bytes) -> Message:
    """One datagram as a STUN message.

    Attributes behind MESSAGE-INTEGRITY other than FINGERPRINT are not covered by it and are ignored.

    Raises:
        StunError: wrong frame, attribute lengths, or fingerprint.
    """
    if not HEADER_BYTES <= len(data) <= MAX_MESSAGE_BYTES:
        raise StunError(f"A STUN message cannot have {len(data)} bytes.")
    kind, length, cookie, transaction = _HEADER.unpack_from(data)
    if cookie != MAGIC_COOKIE or kind & 0xC000 or length % 4 or length != len(data) - HEADER_BYTES:
        raise StunError("The STUN header's cookie or length is wrong.")
    attributes: dict[int, bytes] = {}
    integrity_offset: int | None = None
    offset = HEADER_BYTES
    for _ in range(MAX_ATTRIBUTES):
        if offset == len(data):
            return Message(kind, transaction, attributes, data, integrity_offset)
        attribute, value = _read_attribute(data, offset)
        if attribute == FINGERPRINT:
            _check_fingerprint(data, offset, value)
        elif integrity_offset is None:
            if attribute == MESSAGE_INTEGRITY:
                if len(value) != 20:
                    raise StunError(f"MESSAGE-INTEGRITY has 20 bytes, not {len(value)}.")
                integrity_offset = offset
            attributes.setdefault(attribute, value)
        offset += _ATTRIBUTE.size + (len(value) + 3 & ~3)
    raise StunError(f"A STUN message with more than {MAX_ATTRIBUTES} attributes is refused.")


def _read_attribute(data: bytes, offset: int) -> tuple[int, bytes]:
    if offset + _ATTRIBUTE.size > len(data):
        raise StunError("A STUN attribute's header is cut off.")
    attribute, length = _ATTRIBUTE.unpack_from(data, offset)
    start = offset + _ATTRIBUTE.size
    if start + (length + 3 & ~3) > len(data):
        raise StunError(f"STUN attribute 0x{attribute:04x} is longer than the message.")
    return attribute, data[start : start + length]


def _check_fingerprint(data: bytes, offset: int, value: bytes) -> None:
    if len(value) != 4 or offset + 8 != len(data):
        raise StunError("FINGERPRINT has 4 bytes and stands last.")
    if struct.unpack("!I", value)[0] != (zlib.crc32(data[:offset]) ^ _FINGERPRINT_XOR) & 0xFFFFFFFF:
        raise StunError("The STUN fingerprint does not match.")


def _with_length(head: bytes, length: int) -> bytes:
    return head[:2] + struct.pack("!H", length) + head[4:]


def _integrity(before: bytes, password: str) -> bytes:
    """HMAC over the message up to the attribute, its length field set as if the attribute ended it."""
    covered = _with_length(before, len(before) - HEADER_BYTES + 24)
    return hmac.digest(password.encode(), covered, "sha1")


def build(kind: int, transaction: bytes, attributes: list[tuple[int, bytes]], password: str) -> bytes:
    """A message with MESSAGE-INTEGRITY and FINGERPRINT behind the attributes given."""
    body = b"".join(
        _ATTRIBUTE.pack(attribute, len(value)) + value + bytes(-len(value) % 4) for attribute, value in attributes
    )
    message = _HEADER.pack(kind, len(body), MAGIC_COOKIE, transaction) + body
    message += _ATTRIBUTE.pack(MESSAGE_INTEGRITY, 20) + _integrity(message, password)
    message = _with_length(message, len(message) - HEADER_BYTES + 8)
    checksum = (zlib.crc32(message) ^ _FINGERPRINT_XOR) & 0xFFFFFFFF
    return message + _ATTRIBUTE.pack(FINGERPRINT, 4) + struct.pack("!I", checksum)


def binding_success(request: Message, address: Address, password: str) -> bytes:
    """The answer to a check: the address it came from, signed with our password."""
    mapped = xor_address(address, request.transaction)
    return build(BINDING_SUCCESS, request.transaction, [(XOR_MAPPED_ADDRESS, mapped)], password)


def xor_address(address: Address, transaction: bytes) -> bytes:
    """Value of XOR-MAPPED-ADDRESS (RFC 8489 14.2)."""
    ip = ip_address(address[0])
    mask = struct.pack("!I", MAGIC_COOKIE) + transaction
    family = 1 if ip.version == 4 else 2
    hidden = bytes(a ^ b for a, b in zip(ip.packed, mask, strict=False))
    return struct.pack("!xBH", family, address[1] ^ MAGIC_COOKIE >> 16) + hidden


def read_xor_address(value: bytes, transaction: bytes) -> Address:
    """Raises:
    StunError: neither an IPv4 nor an IPv6 address.
    """
    if len(value) < 4 or (value[1], len(value)) not in {(1, 8), (2, 20)}:
        raise StunError("XOR-MAPPED-ADDRESS holds no address.")
    (port,) = struct.unpack_from("!H", value, 2)
    mask = struct.pack("!I", MAGIC_COOKIE) + transaction
    plain = bytes(a ^ b for a, b in zip(value[4:], mask, strict=False))
    ip = IPv4Address(plain) if value[1] == 1 else IPv6Address(plain)
    return str(ip), port ^ MAGIC_COOKIE >> 16
