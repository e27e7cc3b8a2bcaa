"""Keys for SRTP that stand in the session description (RFC 4568, RFC 7714). Pure, but for the making of keys."""

import base64
import binascii
import secrets
from dataclasses import dataclass

from pylibsrtp import Policy

from media.sdp import MediaSection, number


@dataclass(frozen=True, slots=True)
class Suite:
    name: str
    profile: int
    """libsrtp's number."""
    key_bytes: int
    """Key and salt together."""


SUITES = (
    Suite("AES_CM_128_HMAC_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    Suite("AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    Suite("AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
    Suite("AES_CM_128_HMAC_SHA1_32", Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
)
"""Offered in this order: what every phone has comes first."""
_BY_NAME = {suite.name: suite for suite in SUITES}
MAX_LINES = 16


@dataclass(frozen=True, slots=True)
class Crypto:
    """One `a=crypto` line."""

    tag: int
    suite: Suite
    key: bytes
    """Master key and salt."""

    def same_key(self, other: "Crypto") -> bool:
        """Whether what is protected by the one goes on with the other, whatever its tag."""
        return (self.suite, self.key) == (other.suite, other.key)

    def line(self) -> str:
        return f"a=crypto:{self.tag} {self.suite.name} inline:{base64.b64encode(self.key).decode()}"


def new(tag: int, suite: Suite) -> Crypto:
    return Crypto(tag, suite, secrets.token_bytes(suite.key_bytes))


def read(section: MediaSection) -> tuple[Crypto, ...]:
    """The lines that we can use. One with a master key identifier, several keys or session parameters that change what
    is protected is passed over (RFC 4568 6.3: what is not understood is not used)."""
    lines = (_line(value) for value in section.attributes.all("crypto")[:MAX_LINES])
    return tuple(line for line in lines if line is not None)


def _line(value: str) -> Crypto | None:
    fields = value.split()
    if len(fields) != 3:
        return None
    tag, suite = number(fields[0], 999_999_999), _BY_NAME.get(fields[1].upper())
    method, _, rest = fields[2].partition(":")
    if tag is None or suite is None or method.lower() != "inline" or ";" in rest:
        return None
    encoded, *further = rest.split("|")
    if len(further) > 1 or any(":" in each for each in further):
        return None
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return Crypto(tag, suite, key) if len(key) == suite.key_bytes else None
