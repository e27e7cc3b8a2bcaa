"""Length-prefixed messages over a stream socket, between the server and its worker processes.

A frame is a 4-byte big-endian length and that many bytes of UTF-8 JSON. A longer frame than `MAX_FRAME_BYTES`, or
bytes that are no message of the expected union, is an error of the other side: `LinkError`.
"""

import asyncio
import struct
from typing import Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

MAX_FRAME_BYTES = 1 << 20
"""1 MiB: an SDP is at most 64 KiB, an evidence picture below 700 KiB in base64."""

_LENGTH = struct.Struct("!I")
T = TypeVar("T")


class LinkError(Exception):
    """The other side broke the framing or sent what is no message."""


class Link(Generic[T]):
    """One end. `T` is the union of messages that arrive here."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, incoming: TypeAdapter[T]) -> None:
        self._reader = reader
        self._writer = writer
        self._incoming = incoming

    async def receive(self) -> T | None:
        """The next message, or None when the other side has closed.

        Raises:
            LinkError: a frame too long, or not a message.
        """
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            if length > MAX_FRAME_BYTES:
                raise LinkError(f"A frame of {length} bytes is longer than {MAX_FRAME_BYTES}.")
            body = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        try:
            return self._incoming.validate_json(body)
        except ValidationError as error:
            raise LinkError(f"A frame of {length} bytes is no message: {error.errors()[0]['msg']}.") from error

    def send(self, message: BaseModel) -> None:
        """Queue a message; it leaves in order."""
        body = message.model_dump_json().encode()
        if len(body) > MAX_FRAME_BYTES:
            raise LinkError(f"Our own message of {len(body)} bytes is longer than {MAX_FRAME_BYTES}.")
        self._writer.write(_LENGTH.pack(len(body)) + body)

    @property
    def waiting_bytes(self) -> int:
        """Bytes queued and not yet taken by the kernel."""
        return self._writer.transport.get_write_buffer_size()

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()
