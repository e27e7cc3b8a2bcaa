"""Packets on a TCP connection: each behind its length, two bytes (RFC 4571 section 2). Pure."""

MAX_FRAME_BYTES = 2048
"""Nobody sends media packets larger than a path takes; a longer frame is no ICE peer."""


class FramingError(Exception):
    """What came is no sequence of frames."""


class Deframer:
    """Bytes in, packets out. Holds at most one frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are complete now. Empty frames keep a connection alive and mean nothing.

        Raises:
            FramingError: a frame of more than `MAX_FRAME_BYTES`.
        """
        self._buffer += data
        packets, at = [], 0
        while len(self._buffer) - at >= 2:
            length = self._buffer[at] << 8 | self._buffer[at + 1]
            if length > MAX_FRAME_BYTES:
                raise FramingError(f"A frame of {length} bytes is longer than {MAX_FRAME_BYTES}.")
            if len(self._buffer) - at < 2 + length:
                break
            if length:
                packets.append(bytes(self._buffer[at + 2 : at + 2 + length]))
            at += 2 + length
        del self._buffer[:at]
        return packets


def frame(packet: bytes) -> bytes:
    """A packet with its length."""
    return len(packet).to_bytes(2, "big") + packet
