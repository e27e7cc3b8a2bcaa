"""A telephone with a camera and a screen: H.264 by FFmpeg over sockets of its own, whole pictures when it is asked."""

import asyncio
import socket
import time
from fractions import Fraction
from typing import Any

import av
import numpy as np

from media import rtcp
from media.depacketize import Depacketizer
from media.packetize import h264_payloads, split_annex_b
from media.rtp import HEADER, is_rtcp, payload_range

PER_S = 15
WIDTH, HEIGHT = 320, 240


class VideoPhone:
    """The pictures of one call; the sound is another's."""

    def __init__(self, payload_type: int = 99, *, fragments: bool = True, limit: int = 1100) -> None:
        self.payload_type = payload_type
        self.fragments = fragments
        self.limit = limit
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.remote: tuple[str, int] = ("127.0.0.1", 9)
        self.asked = 0
        """PLI and FIR that came."""
        self.decoded: list[tuple[int, int]] = []
        """Sizes of the pictures that were decoded."""
        self.largest = 0
        """Bytes of a packet that came."""
        self._whole = True
        self._ssrc, self._theirs = 0x1234567, 0
        self._sequence = 65000
        self._depacketizer = Depacketizer("H264", "theirs")
        self._decoder: Any = av.CodecContext.create("h264", "r")
        encoder: Any = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        encoder.time_base, encoder.framerate, encoder.bit_rate = Fraction(1, 90000), PER_S, 300_000
        encoder.options = {
            "preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "g": "100000", "forced-idr": "1",
            "x264-params": "scenecut=0:repeat-headers=1",
        }  # fmt: skip
        self._encoder = encoder

    def lines(self) -> tuple[str, ...]:
        """For a description."""
        mode = 1 if self.fragments else 0
        return (
            f"m=video {self.socket.getsockname()[1]} RTP/AVP {self.payload_type}",
            f"a=rtpmap:{self.payload_type} H264/90000",
            f"a=fmtp:{self.payload_type} profile-level-id=42e01f;packetization-mode={mode}",
            "a=rtcp-fb:* nack pli", "a=rtcp-mux", "a=sendrecv",
        )  # fmt: skip

    async def run(self) -> None:
        """Until cancelled."""
        loop, number = asyncio.get_running_loop(), 0
        began = loop.time()
        while True:
            self._send(number)
            number += 1
            while loop.time() < began + number / PER_S:
                self._take()
                await asyncio.sleep(0.005)

    def _send(self, number: int) -> None:
        picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
        picture[number % 200 : number % 200 + 40, :] = 200
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = number * 90000 // PER_S, Fraction(1, 90000)
        if self._whole:
            frame.pict_type = av.video.frame.PictureType.I
            self._whole = False
        for packet in self._encoder.encode(frame):
            units = split_annex_b(bytes(packet))
            payloads = list(h264_payloads(units, self.limit)) if self.fragments else units
            for index, payload in enumerate(payloads):
                self._sequence = self._sequence + 1 & 0xFFFF
                second = self.payload_type | (0x80 if index == len(payloads) - 1 else 0)
                head = HEADER.pack(0x80, second, self._sequence, number * 90000 // PER_S, self._ssrc)
                self.socket.sendto(head + payload, self.remote)

    def _take(self) -> None:
        while True:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                return
            if is_rtcp(data):
                self._report(data)
                continue
            self.largest = max(self.largest, len(data))
            _, second, sequence, timestamp, self._theirs = HEADER.unpack_from(data)
            start, end = payload_range(data)
            unit = self._depacketizer.push(data[start:end], bool(second & 0x80), timestamp, sequence, time.time())
            while unit is not None:
                self._decode(unit.data)
                unit = self._depacketizer.pop()

    def _report(self, data: bytes) -> None:
        for each in rtcp.parse(data):
            if isinstance(each, rtcp.Pli | rtcp.Fir):
                self.asked += 1
                self._whole = True

    def _decode(self, data: bytes) -> None:
        for frame in self._decoder.decode(av.Packet(data)):
            self.decoded.append((frame.width, frame.height))

    def ask(self) -> None:
        """For a whole picture."""
        packets: list[rtcp.Packet] = [rtcp.ReceiverReport(self._ssrc), rtcp.Pli(self._ssrc, self._theirs)]
        self.socket.sendto(rtcp.compound(packets), self.remote)

    def close(self) -> None:
        self.socket.close()
