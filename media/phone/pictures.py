"""Pictures between a phone and a room: RTP of the phone with numbers of ours, access units as RTP to it. Pure.

Nothing is decoded or encoded. The phone gets one track at a time and sees it from its next key frame on; its own
packets keep their times and order.
"""

import secrets
from collections.abc import Iterator

from media import rtp
from media.errors import RtpError
from media.keyframes import STAP_A
from media.packetize import MAX_PAYLOAD_BYTES, h264_payloads, nal_type, split_annex_b
from media.phone.videodescription import CLOCK_RATE
from media.tap import AccessUnit

MAX_SINGLE_BYTES = 60_000
"""Of a unit in packetization mode 0: what does not fit into an IP packet is cut in pieces by the kernel."""
_NAL_AUD, _NAL_FILLER = 9, 12
MAX_PAUSE_S = 10.0


class Relay:
    """The phone's packets, for the door."""

    def __init__(self, ssrc: int, payload_type: int) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self._theirs: int | None = None
        self._shift = 0
        self._split = False
        self._last = secrets.randbits(15)

    def packets(self, packet: bytes) -> list[bytes]:
        """None for one that is no RTP. A sender that began anew goes on in the same count. A unit too large for the
        door (packetization mode 0 has no other way) goes in pieces, and what comes later is counted on from there."""
        try:
            start, end = rtp.payload_range(packet)
        except RtpError:
            return []
        _, second, sequence, timestamp, ssrc = rtp.HEADER.unpack_from(packet)
        if ssrc != self._theirs:
            self._theirs = ssrc
            self._shift = self._last + 1 - sequence & 0xFFFF
        number = sequence + self._shift & 0xFFFF
        late = number - self._last & 0xFFFF >= 0x8000
        payload = packet[start:end]
        whole = len(payload) <= MAX_PAYLOAD_BYTES or not 0 < nal_type(payload) < STAP_A
        if late and (self._split or not whole):
            return []  # its number is another packet's by now
        pieces = [payload] if whole else list(h264_payloads([payload]))
        made = []
        for index, piece in enumerate(pieces):
            marker = second & 0x80 if index == len(pieces) - 1 else 0
            header = rtp.HEADER.pack(0x80, marker | self.payload_type, number + index & 0xFFFF, timestamp, self.ssrc)
            made.append(header + piece)
        if pieces and not late:
            self._last = number + len(pieces) - 1 & 0xFFFF
            self._shift = self._shift + len(pieces) - 1 & 0xFFFF
            self._split = self._split or len(pieces) > 1
        return made


class Show:
    """The room's picture, for the phone."""

    def __init__(self) -> None:
        self.ssrc = secrets.randbits(32) | 1
        self.track = ""
        self.packets = self.octets = self.pictures = 0
        self.timestamp = secrets.randbits(31)
        self.wished = False
        """The phone has asked for a key frame."""
        self._sequence = secrets.randbits(15)
        self._waiting = True
        self._theirs: int | None = None
        """Timestamp of the last unit, as the track counts."""
        self._shown_at: float | None = None

    @property
    def needs_key(self) -> bool:
        """Whether a key frame would help."""
        return (self._waiting or self.wished) and bool(self.track)

    def show(self, track: str) -> None:
        """Another track, or none."""
        if track != self.track:
            self.track, self._waiting, self._theirs = track, True, None

    def wait_for_key(self) -> None:
        """Something has not been sent."""
        self._waiting = True

    def unit(self, unit: AccessUnit, now: float, payload_type: int, *, fragments: bool) -> Iterator[bytes]:
        """RTP packets of one picture; none before the first key frame."""
        if unit.track != self.track or (self._waiting and not unit.key):
            return
        if unit.after_gap and not unit.key:
            self._waiting = True
            return
        self._waiting = False
        self.wished = self.wished and not unit.key
        self._advance(unit.timestamp, now)
        units = split_annex_b(unit.data)
        payloads = list(h264_payloads(units)) if fragments else _single(units)
        self.pictures += 1
        for index, payload in enumerate(payloads):
            self._sequence = self._sequence + 1 & 0xFFFF
            self.packets += 1
            self.octets += len(payload)
            second = payload_type | (0x80 if index == len(payloads) - 1 else 0)
            header = rtp.HEADER.pack(0x80, second, self._sequence, self.timestamp & 0xFFFFFFFF, self.ssrc)
            yield header + payload

    def _advance(self, timestamp: int, now: float) -> None:
        """Times go on through a change of the track: by the clock there, by the track's own count else."""
        if self._theirs is not None and 0 < timestamp - self._theirs < MAX_PAUSE_S * CLOCK_RATE:
            self.timestamp += timestamp - self._theirs
        elif self._shown_at is not None:
            self.timestamp += max(1, round((now - self._shown_at) * CLOCK_RATE))
        self._theirs, self._shown_at = timestamp, now


def _single(units: list[bytes]) -> list[bytes]:
    return [each for each in units if nal_type(each) not in (_NAL_AUD, _NAL_FILLER) and len(each) <= MAX_SINGLE_BYTES]
