"""Levels in packets become the speaker that a subscriber is told, and the voices that it gets in a large room."""

import asyncio
import itertools

from media import rtp
from media.codecmatch import AUDIO_LEVEL
from media.messages import SpeakerChanged
from media.subscriber import LARGE_ROOM, LOUDEST
from tests.fakes.mediaserver import MemoryLink, running_worker
from tests.fakes.rawpeer import AUDIO, RawPeer

SPEECH, QUIET = 30, 90
"""dB below overload."""


class Microphone:
    """A publisher of sound whose packets say how loud they are."""

    def __init__(self, link: MemoryLink, name: str, ssrc: int) -> None:
        self.peer = RawPeer(link, name)
        self.track = f"{name}/1"
        self.loud = False
        self._ssrc = ssrc
        self._numbers = itertools.count(ssrc)

    async def open(self) -> None:
        await self.peer.publish(self.peer.offer(video=False, audio=True) + f"a=extmap:1 {AUDIO_LEVEL}\r\n")
        await self.peer.connect()

    def speak(self) -> None:
        number = next(self._numbers)
        packet = rtp.pack(
            self._ssrc.to_bytes(4, "big") + bytes(30),
            payload_type=AUDIO,
            sequence=number & 0xFFFF,
            timestamp=number * 960,
            ssrc=self._ssrc,
            elements=[(1, bytes((SPEECH if self.loud else QUIET,))), (4, b"1")],
        )
        assert self.peer.srtp is not None
        self.peer.send(self.peer.srtp.send_session.protect(packet))


async def talk(microphones: list[Microphone], packets: int) -> None:
    for _ in range(packets):
        for microphone in microphones:
            microphone.speak()
        await asyncio.sleep(0.02)


async def test_the_speaker_is_told_and_a_large_room_gets_the_loudest_voices() -> None:
    async with running_worker() as (link, _):
        microphones = [Microphone(link, f"m{index}", 1000 + index) for index in range(LARGE_ROOM + 1)]
        for microphone in microphones:
            await microphone.open()
        viewer = RawPeer(link, "viewer")
        await viewer.subscribe(*[microphone.track for microphone in microphones])
        await viewer.connect()
        await talk(microphones, 30)
        microphones[2].loud = True
        await talk(microphones, 60)
        changed = await link.event(SpeakerChanged)
        assert (changed.peer, changed.track) == ("viewer", microphones[2].track)
        for index in (0, 4):
            microphones[index].loud = True
        await talk(microphones, 40)
        await viewer.listen(0.1)
        viewer.received.clear()
        await talk(microphones, 10)
        await viewer.listen(0.2)
        heard = {int.from_bytes(packet.payload[:4], "big") - 1000 for packet in viewer.received}
        assert heard == {0, 2, 4}
        assert len(heard) == LOUDEST
        for microphone in microphones:
            microphone.loud = False
        await talk(microphones, 150)
        await link.event(SpeakerChanged, lambda each: each.track == "")
