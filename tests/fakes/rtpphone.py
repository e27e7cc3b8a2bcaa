"""A telephone made by hand: its own UDP sockets and descriptions, G.711 by FFmpeg, no code of ours on the way."""

import asyncio
import contextlib
import itertools
import re
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import pylibsrtp

from media.phone.audio import Samples

_HEADER = struct.Struct("!BBHII")
NAMES = {0: "pcm_mulaw", 8: "pcm_alaw", 9: "g722", 111: "libopus"}
RATES = {0: 8000, 8: 8000, 9: 16000, 111: 48000}
MAPS = {0: "PCMU/8000", 8: "PCMA/8000", 9: "G722/8000", 111: "opus/48000/2"}
TICKS = {0: 160, 8: 160, 9: 160, 111: 960}


@dataclass
class Got:
    """One RTP packet that came."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    marker: bool
    payload: bytes
    at: float


@dataclass
class RtpPhone:
    """Both directions of one call. `got` fills while it runs."""

    payload_type: int = 0
    dtmf: int | None = 101
    direction: str = "sendrecv"
    key: str = ""
    """base64, with it SRTP (AES_CM_128_HMAC_SHA1_80)."""
    host: str = "127.0.0.1"
    got: list[Got] = field(default_factory=list)
    reports: list[bytes] = field(default_factory=list)
    remote: tuple[str, int] = ("127.0.0.1", 9)
    ssrc: int = 4711
    sequence: int = 65500
    timestamp: int = 4294960000
    losing: frozenset[int] = frozenset()
    """Packets, counted from the first, that are not sent."""

    def __post_init__(self) -> None:
        self.socket = self._bound()
        self.control = self._bound()
        context: Any = av.CodecContext.create(NAMES[self.payload_type], "w")
        context.sample_rate, context.layout, context.format = RATES[self.payload_type], "mono", "s16"
        if self.payload_type == 111:
            context.bit_rate = 32000
        context.open()
        self._encoder = context
        decoder: Any = av.CodecContext.create(NAMES[self.payload_type], "r")
        decoder.sample_rate, decoder.layout = RATES[self.payload_type], "mono"
        self._decoder = decoder
        self._counted = itertools.count()
        self._out: pylibsrtp.Session | None = None
        self._in: pylibsrtp.Session | None = None
        self._pts = 0

    def _bound(self) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((self.host, 0))
        opened.setblocking(False)
        return opened

    @property
    def rate(self) -> int:
        return RATES[self.payload_type]

    # --- descriptions ---

    def sdp(self, *, address: str = "", protocol: str = "", tag: int = 1, further: tuple[str, ...] = ()) -> str:
        """An offer or an answer: the two look alike."""
        port, control = self.socket.getsockname()[1], self.control.getsockname()[1]
        formats = f"{self.payload_type}" + (f" {self.dtmf}" if self.dtmf else "")
        lines = [
            "v=0", f"o=phone 1 1 IN IP4 {self.host}", "s=call", f"c=IN IP4 {address or self.host}", "t=0 0",
            f"m=audio {port} {protocol or ('RTP/SAVP' if self.key else 'RTP/AVP')} {formats}",
            f"a=rtpmap:{self.payload_type} {MAPS[self.payload_type]}", f"a=rtcp:{control}", f"a={self.direction}",
        ]  # fmt: skip
        if self.dtmf:
            lines += [f"a=rtpmap:{self.dtmf} telephone-event/{48000 if self.payload_type == 111 else 8000}"]
        if self.key:
            lines.append(f"a=crypto:{tag} AES_CM_128_HMAC_SHA1_80 inline:{self.key}")
        return "\r\n".join([*lines, *further]) + "\r\n"

    def take(self, sdp: str) -> None:
        """The other side's description: where to send, and its key."""
        address = re.search(r"c=IN IP4 (\S+)", sdp)
        port = re.search(r"m=audio (\d+)", sdp)
        assert address is not None
        assert port is not None
        self.remote = (address[1], int(port[1]))
        crypto = re.search(r"a=crypto:\d+ AES_CM_128_HMAC_SHA1_80 inline:(\S+)", sdp)
        if crypto is not None and self.key:
            import base64

            profile = pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
            keys = base64.b64decode(self.key), base64.b64decode(crypto[1])
            kinds = pylibsrtp.Policy.SSRC_ANY_OUTBOUND, pylibsrtp.Policy.SSRC_ANY_INBOUND
            policies = [pylibsrtp.Policy(key, kind, profile) for key, kind in zip(keys, kinds, strict=True)]
            self._out, self._in = pylibsrtp.Session(policies[0]), pylibsrtp.Session(policies[1])

    # --- sound ---

    def packet(
        self, payload: bytes, *, payload_type: int | None = None, marker: bool = False, ticks: int = -1
    ) -> bytes:
        second = (self.payload_type if payload_type is None else payload_type) | (0x80 if marker else 0)
        made = _HEADER.pack(0x80, second, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc) + payload
        self.sequence += 1
        self.timestamp += TICKS[self.payload_type] if ticks < 0 else ticks
        return made

    def send(self, packet: bytes) -> None:
        if self._out is not None:
            packet = self._out.protect(packet)
        if next(self._counted) not in self.losing:
            self.socket.sendto(packet, self.remote)

    def encode(self, frame: Samples) -> bytes:
        sound = av.AudioFrame.from_ndarray(np.rint(frame).astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        sound.sample_rate, sound.pts = self.rate, self._pts
        self._pts += len(frame)
        return b"".join(bytes(packet) for packet in self._encoder.encode(sound))

    async def say(self, sound: Samples) -> None:
        """Speak, 50 packets a second, and listen meanwhile."""
        loop = asyncio.get_running_loop()
        size, began = self.rate // 50, loop.time()
        for number in range(len(sound) // size):
            await asyncio.sleep(max(0.0, began + number * 0.02 - loop.time()))
            self.send(self.packet(self.encode(sound[number * size : (number + 1) * size])))
            self.listen()

    async def hush(self, seconds: float) -> None:
        """Say nothing and listen."""
        for _ in range(round(seconds / 0.01)):
            await asyncio.sleep(0.01)
            self.listen()

    async def press(self, digit: int, packets: int = 8) -> None:
        """A digit by RFC 4733."""
        assert self.dtmf is not None
        for number in range(packets + 2):
            ends = number >= packets - 1
            duration = min(packets, number + 1) * 160
            payload = bytes((digit, 0x8A if ends else 0x0A)) + duration.to_bytes(2, "big")
            self.send(self.packet(payload, payload_type=self.dtmf, marker=number == 0, ticks=0))
            await asyncio.sleep(0.02)
            self.listen()
        self.timestamp += packets * 160

    def listen(self) -> None:
        now = asyncio.get_running_loop().time()
        for opened, is_control in ((self.socket, False), (self.control, True)):
            with contextlib.suppress(BlockingIOError):
                while True:
                    data = opened.recv(2048)
                    if is_control or 192 <= data[1] <= 223:
                        self.reports.append(data if self._in is None else self._in.unprotect_rtcp(data))
                        continue
                    if self._in is not None:
                        data = self._in.unprotect(data)
                    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
                    assert first == 0x80
                    self.got.append(
                        Got(second & 0x7F, sequence, timestamp, ssrc, second > 127, data[_HEADER.size :], now)
                    )

    def heard(self) -> Samples:
        """All that came, decoded, gaps closed."""
        parts = [np.zeros(0, np.int16)]
        for each in self.got:
            if each.payload_type == self.payload_type:
                parts += [frame.to_ndarray().reshape(-1) for frame in self._decoder.decode(av.Packet(each.payload))]
        return np.concatenate(parts).astype(np.float32)

    def close(self) -> None:
        self.socket.close()
        self.control.close()


@contextlib.asynccontextmanager
async def phone(**how: Any) -> AsyncIterator[RtpPhone]:
    made = RtpPhone(**how)
    try:
        yield made
    finally:
        made.close()
