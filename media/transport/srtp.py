"""SRTP keys from DTLS and libsrtp contexts that work in place (RFC 5764, RFC 7714).

pylibsrtp's own `Session.protect` copies a packet in and out. Here the same library's functions are called on memory
that we own: `context`, a pointer and a length cell. `self_test` proves once per process that both ways agree; where
they do not (another libsrtp with other signatures) `Protection` falls back to the copying way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pylibsrtp
from pylibsrtp import Policy, Session
from pylibsrtp._binding import ffi, lib

REPLAY_WINDOW = 1024
TAG_BYTES = 16
"""Most that protecting adds to an RTP packet with the profiles below."""
RTCP_TRAILER_BYTES = 20
"""Tag and the four bytes of index and E flag."""

AUTHENTICATION_FAILURE = 7
REPLAYED = (9, 10)
_CANNOT_PROCESS = 6


@dataclass(frozen=True, slots=True)
class Profile:
    """One protection profile: OpenSSL's name, libsrtp's number, lengths in bytes."""

    name: bytes
    number: int
    key_bytes: int
    salt_bytes: int

    @property
    def exported_bytes(self) -> int:
        return 2 * (self.key_bytes + self.salt_bytes)


PROFILES = (
    Profile(b"SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    Profile(b"SRTP_AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
    Profile(b"SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
)
"""Ours is the choice, in this order: GCM costs a third of CM with SHA-1."""


@dataclass(frozen=True, slots=True)
class SrtpKeys:
    """Master key and salt for each direction."""

    profile: Profile
    send: bytes
    receive: bytes


def split_keys(profile: Profile, exported: bytes, *, server: bool = True) -> SrtpKeys:
    """client key | server key | client salt | server salt (RFC 5764 4.2); `server` says which one we are."""
    k, s = profile.key_bytes, profile.salt_bytes
    client = exported[:k] + exported[2 * k : 2 * k + s]
    ours = exported[k : 2 * k] + exported[2 * k + s : 2 * (k + s)]
    return SrtpKeys(profile, ours, client) if server else SrtpKeys(profile, client, ours)


class SrtpPair:
    """Both contexts of one peer. The raw contexts live as long as this object: keep it while a table holds them."""

    def __init__(self, keys: SrtpKeys) -> None:
        self._send = Session(_policy(keys.send, keys.profile, Policy.SSRC_ANY_OUTBOUND))
        self._receive = Session(_policy(keys.receive, keys.profile, Policy.SSRC_ANY_INBOUND))
        self.send_context: Any = self._send._srtp[0]
        self.receive_context: Any = self._receive._srtp[0]
        self.profile = keys.profile

    @property
    def send_session(self) -> Session:
        return self._send

    @property
    def receive_session(self) -> Session:
        return self._receive

    def protect_rtcp(self, packet: bytes) -> bytes:
        """Raises:
        pylibsrtp.Error: the context is worn out.
        """
        protected: bytes = self._send.protect_rtcp(packet)
        return protected

    def unprotect_rtcp(self, packet: bytes) -> bytes | None:
        """None when authentication or replay protection refuses it."""
        try:
            plain: bytes = self._receive.unprotect_rtcp(packet)
        except (pylibsrtp.Error, ValueError):
            return None
        return plain


def _policy(key: bytes, profile: Profile, ssrc_type: int) -> Policy:
    policy = Policy(key=key, ssrc_type=ssrc_type, srtp_profile=profile.number)
    policy.window_size = REPLAY_WINDOW
    policy.allow_repeat_tx = True  # a plain resend is byte-identical, see media.forwarder
    return policy


InPlace = Callable[[Any, Any, Any], int]
"""(context, pointer, length cell) to a libsrtp status; 0 is ok."""


def in_place_functions() -> tuple[InPlace, InPlace] | None:
    """`srtp_protect` and `srtp_unprotect` on memory of ours, for `SrtpPair`'s contexts; None where the test fails."""
    return (lib.srtp_protect, lib.srtp_unprotect) if _self_test() else None


def copying_functions() -> tuple[InPlace, InPlace]:
    """The same by way of pylibsrtp's own copying, for `SrtpPair`'s sessions."""
    return _by_copy("protect"), _by_copy("unprotect")


def _by_copy(method: str) -> InPlace:
    def process(session: Session, pointer: Any, length: Any) -> int:
        try:
            result: bytes = getattr(session, method)(bytes(ffi.buffer(pointer, length[0])))
        except ValueError:
            return _CANNOT_PROCESS
        except pylibsrtp.Error as error:
            return pylibsrtp.ERRORS.index(str(error)) if str(error) in pylibsrtp.ERRORS else 1
        ffi.memmove(pointer, result, len(result))
        length[0] = len(result)
        return 0

    return process


def _self_test() -> bool:
    """Protect and unprotect one known packet both ways; any difference means another libsrtp than we know."""
    keys = split_keys(PROFILES[0], bytes(range(PROFILES[0].exported_bytes)))
    packet = bytes([0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]) + b"in place"
    expected = SrtpPair(keys).send_session.protect(packet)
    raw = SrtpPair(keys)
    back = SrtpPair(SrtpKeys(keys.profile, keys.receive, keys.send))
    memory = bytearray(packet) + bytes(TAG_BYTES)
    pointer, length = ffi.from_buffer("char[]", memory), ffi.new("int *", len(packet))
    if lib.srtp_protect(raw.send_context, pointer, length) != 0 or bytes(memory[: length[0]]) != expected:
        return False
    unprotected: bool = lib.srtp_unprotect(back.receive_context, pointer, length) == 0
    return unprotected and bytes(memory[: length[0]]) == packet


def pointer_to(memory: bytearray) -> Any:
    """A C pointer to memory that Python keeps; the bytearray must not be resized while it is in use."""
    return ffi.from_buffer("char[]", memory)


def length_cell() -> Any:
    """One C int."""
    return ffi.new("int *")
