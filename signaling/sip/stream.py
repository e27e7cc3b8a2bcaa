"""Cutting messages out of a TCP, TLS or WebSocket byte stream (RFC 3261 section 18.3).

Over a stream Content-Length is mandatory and nothing but it says where a message ends; one wrong length and the rest of
the connection is noise. So every error here is the end of the connection.
"""

from signaling.sip.errors import MessageError
from signaling.sip.grammar import number
from signaling.sip.message import MAX_BYTES, parse_fields, split_head

PING = b"\r\n\r\n"
"""Keep-alive of RFC 5626 section 4.4.1, to be answered with one CRLF."""
PONG = b"\r\n"


class StreamFramer:
    """Feed bytes as they come, take whole messages (still bytes) out."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._needed = 0
        self.pings = 0
        """Double CRLFs between messages that came since this was last set to 0."""

    @property
    def waiting(self) -> int:
        """Bytes of a message that is not whole yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Raises MessageError: close the connection then. Work is linear in the bytes fed, however they are cut."""
        self._buffer += data
        messages: list[bytes] = []
        while message := self._next():
            messages.append(message)
        if len(self._buffer) > MAX_BYTES:
            raise MessageError(f"A message on a stream is larger than {MAX_BYTES} bytes.", 513)
        return messages

    def _next(self) -> bytes:
        if not self._needed:
            self._skip_empty_lines()
            end = self._buffer.find(b"\r\n\r\n", self._searched)
            if end < 0:
                self._searched = max(0, len(self._buffer) - 3)
                return b""
            self._needed = self._whole(bytes(self._buffer[: end + 4]))
        if len(self._buffer) < self._needed:
            return b""
        message = bytes(self._buffer[: self._needed])
        del self._buffer[: self._needed]
        self._needed = self._searched = 0
        return message

    def _skip_empty_lines(self) -> None:
        start = 0
        while self._buffer.startswith(PING, start):
            self.pings += 1
            start += 4
        if self._buffer.startswith(PONG, start) and len(self._buffer) > start + 2 and self._buffer[start + 2] != 13:
            start += 2
        if start:
            del self._buffer[:start]
            self._searched = 0

    @staticmethod
    def _whole(head: bytes) -> int:
        lines, begin = split_head(head)
        lengths = parse_fields(lines[1:]).lines("Content-Length")
        if len(lengths) != 1:
            raise MessageError("A message on a stream has no single Content-Length.")
        length = number(lengths[0], MAX_BYTES, "Content-Length")
        if begin + length > MAX_BYTES:
            raise MessageError(f"A message on a stream is larger than {MAX_BYTES} bytes.", 513)
        return begin + length
