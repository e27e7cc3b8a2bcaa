"""What can go wrong with media, as one tree.

    MediaError
    ├── PacketError              theirs: bytes that are not what they claim; counted, logged at debug, dropped
    │   ├── StunError
    │   ├── RtpError
    │   └── RtcpError
    ├── TransportError           ends one peer; `reason` is the stable id of `PeerState`
    │   ├── DtlsFailed           dtls_failed
    │   ├── FingerprintMismatch  fingerprint_mismatch
    │   └── ClosedByPeer         closed_by_peer
    ├── CommandRefused           a command of the server that cannot be done; becomes `Refused`
    ├── NativeUnavailable        the accelerator cannot be used here, and why; what is in Python is used instead
    └── PortError                ours: the UDP port cannot be had

What is wrong with an SDP is `media.negotiation`'s `SdpError`.
"""

from typing import Literal

RefusalId = Literal["sdp_invalid", "no_common_codec", "unknown_peer", "unknown_track", "capacity", "stale", "invalid"]


class MediaError(Exception):
    """Root of this package's errors."""


class PacketError(MediaError):
    """Bytes from the net that are not what they claim to be."""


class StunError(PacketError):
    """Not a STUN message that we understand (RFC 8489)."""


class RtpError(PacketError):
    """Not an RTP packet (RFC 3550, RFC 8285)."""


class RtcpError(PacketError):
    """Not an RTCP compound packet (RFC 3550, RFC 4585)."""


class TransportError(MediaError):
    """One peer's transport is over."""

    reason = "closed"


class DtlsFailed(TransportError):
    """The handshake or the record layer gave up."""

    reason = "dtls_failed"


class FingerprintMismatch(TransportError):
    """The certificate shown in DTLS is not the one that the SDP announced (RFC 8122)."""

    reason = "fingerprint_mismatch"


class ClosedByPeer(TransportError):
    """The other end sent close_notify."""

    reason = "closed_by_peer"


class CommandRefused(MediaError):
    """A command that did nothing."""

    def __init__(self, error: RefusalId, detail: str) -> None:
        super().__init__(detail)
        self.error: RefusalId = error
        self.detail = detail


class PortError(MediaError):
    """The UDP port cannot be bound."""


class NativeUnavailable(MediaError):
    """Why the accelerator is not used, as a clause that follows a colon."""
