"""Many datagrams in one system call: sendmmsg, with UDP segmentation offload for runs of equal packets.

Packets are built in one arena. `add` names a piece of it for one destination; with `segment` set, the kernel cuts the
piece into datagrams of that length (UDP GSO: one walk through the network stack instead of many). `flush` sends all.
The header arrays are packed as raw memory, because that costs a third of filling cffi structures.

Where a destination's path cannot segment (EINVAL, EIO of old kernels and cards) its packets go one by one from then on.
"""

import errno
import socket
import struct
import sys
from dataclasses import dataclass
from typing import Any

from cffi import FFI

from media.transport.stun import Address

ARENA_BYTES = 384 << 10
"""Stays in the second-level cache."""
MAX_MESSAGES = 256
RUN_PACKETS = 16
"""Longest run: thin uplinks of mines must not be hit by a burst."""
MAX_PACKET_BYTES = 2048 + 64

_MESSAGE = struct.Struct("=QI4xQQQQi4xI4x")
"""struct mmsghdr on 64-bit Linux: name, its length, iovec, 1, control, its length, flags, sent."""
_VECTOR = struct.Struct("=QQ")
_CONTROL = struct.Struct("=QIIH6x")
"""struct cmsghdr with a 16-bit value."""
_CONTROL_BYTES = 24
_SOL_UDP, _UDP_SEGMENT = 17, 103
_DONT_WAIT = 0x40
_SEGMENTATION_ERRORS = frozenset((errno.EINVAL, errno.EIO, errno.EOPNOTSUPP, errno.EMSGSIZE))
_FULL = frozenset((errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS))

_ffi = FFI()
_ffi.cdef("int sendmmsg(int, void *, unsigned int, int);")


@dataclass(slots=True, eq=False)
class Destination:
    """Where a peer is, as the kernel wants it. Must live as long as a message names it, that is until `flush`."""

    address: Address
    name: bytes
    pointer: int
    keep: Any
    segments: bool


def destination(address: Address, *, segments: bool) -> Destination:
    """Raises:
    OSError: not an IP address.
    """
    host, port = address[0], address[1]
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host)
        name = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI16sI", port, 0, packed, 0)
    else:
        name = struct.pack("=H", socket.AF_INET) + struct.pack("!H4s8x", port, socket.inet_pton(socket.AF_INET, host))
    keep = _ffi.from_buffer(name)
    return Destination(address, name, _address_of(keep), keep, segments)


def _address_of(cdata: Any) -> int:
    return int(_ffi.cast("uintptr_t", cdata))


def can_batch() -> bool:
    """Whether the raw layouts above are this machine's."""
    return sys.platform == "linux" and struct.calcsize("P") == 8 and sys.byteorder == "little"


class SendBatch:
    """Collects messages; `dropped` and `fallbacks` count packets not sent and destinations that cannot segment."""

    def __init__(self, sock: socket.socket, arena: bytearray, *, gso: bool) -> None:
        self._socket = sock
        self._view = memoryview(arena)
        self._fast = can_batch()
        self.gso = gso and self._fast
        self.messages = 0
        self.dropped = 0
        self.fallbacks = 0
        self._owners: list[Destination | None] = [None] * MAX_MESSAGES
        self._pieces: list[tuple[int, int, int]] = [(0, 0, 0)] * MAX_MESSAGES
        if self._fast:
            self._library = _ffi.dlopen(None)
            self._headers, self._headers_pointer, self._headers_at = _memory(MAX_MESSAGES * _MESSAGE.size)
            self._vectors, self._vectors_pointer, self._vectors_at = _memory(MAX_MESSAGES * _VECTOR.size)
            self._arena_pointer = _ffi.from_buffer(arena)
            self._arena_at = _address_of(self._arena_pointer)
            self._controls: dict[int, tuple[int, Any]] = {}

    @property
    def how(self) -> str:
        """In words."""
        if not self._fast:
            return "one system call per packet"
        return "sendmmsg with UDP GSO" if self.gso else "sendmmsg"

    def add(self, to: Destination, start: int, length: int, segment: int) -> None:
        """`segment` = 0 for one datagram."""
        index = self.messages
        self._owners[index] = to
        self._pieces[index] = (start, length, segment)
        self.messages = index + 1
        if self._fast:
            control, control_length = 0, 0
            if segment:
                known = self._controls.get(segment)
                control = known[0] if known else self._new_control(segment)
                control_length = _CONTROL_BYTES
            vector = index * 16
            _VECTOR.pack_into(self._vectors, vector, self._arena_at + start, length)
            _MESSAGE.pack_into(
                self._headers,
                index * 64,
                to.pointer,
                len(to.name),
                self._vectors_at + vector,
                1,
                control,
                control_length,
                0,
                0,
            )

    def _new_control(self, segment: int) -> int:
        memory, pointer, at = _memory(_CONTROL_BYTES)
        _CONTROL.pack_into(memory, 0, 18, _SOL_UDP, _UDP_SEGMENT, segment)
        self._controls[segment] = (at, (memory, pointer))
        return at

    def flush(self) -> None:
        """Send what was added. What the kernel does not take is dropped and counted."""
        count, self.messages = self.messages, 0
        if not self._fast:
            for index in range(count):
                self._one_by_one(index)
            return
        done = 0
        while done < count:
            sent = self._library.sendmmsg(
                self._socket.fileno(), self._headers_pointer + done * _MESSAGE.size, count - done, _DONT_WAIT
            )
            if sent > 0:
                done += sent
                continue
            if _ffi.errno in _FULL:
                self.dropped += sum(self._packets(index) for index in range(done, count))
                return
            self._failed(done, _ffi.errno)
            done += 1

    def _failed(self, index: int, error: int) -> None:
        owner = self._owners[index]
        if error in _SEGMENTATION_ERRORS and self._pieces[index][2] and owner is not None:
            owner.segments = False
            self.fallbacks += 1
            self._one_by_one(index)
        else:
            self.dropped += self._packets(index)

    def _packets(self, index: int) -> int:
        _, length, segment = self._pieces[index]
        return -(-length // segment) if segment else 1

    def _one_by_one(self, index: int) -> None:
        owner = self._owners[index]
        start, length, segment = self._pieces[index]
        assert owner is not None
        for offset in range(start, start + length, segment or length):
            try:
                end = min(offset + (segment or length), start + length)
                self._socket.sendto(self._view[offset:end], owner.address)
            except OSError:
                self.dropped += 1


def _memory(size: int) -> tuple[bytearray, Any, int]:
    memory = bytearray(size)
    pointer = _ffi.from_buffer("char[]", memory)
    return memory, pointer, _address_of(pointer)
