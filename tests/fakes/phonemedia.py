"""A phone worker that moves no sound: it answers every offer, and plays every prompt at once or when told to."""

import asyncio
from typing import Any

from media.phone.messages import DigitPressed, LegEnded, MediaTimeout, Played
from server.phones.media import PhoneMediaDown, PhoneMediaRefused

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\n"


class FakePhoneMedia:
    """`listener` is the phone service. `log` is everything that was commanded, in order."""

    def __init__(self) -> None:
        self.listener: Any = None
        self.log: list[tuple[str, ...]] = []
        self.legs: set[str] = set()
        self.rooms: dict[str, str] = {}
        self.refuses: PhoneMediaRefused | PhoneMediaDown | None = None
        self.plays_at_once = True
        self.delay_s = 0.0
        self.playing: dict[str, str] = {}

    def did(self, *words: str) -> list[tuple[str, ...]]:
        return [one for one in self.log if one[: len(words)] == words]

    def press(self, leg: str, digits: str) -> None:
        for digit in digits:
            self.listener.digit(DigitPressed(leg=leg, digit=digit, source="rtp", duration_ms=100))

    def fall_silent(self, leg: str) -> None:
        self.listener.media_timeout(MediaTimeout(leg=leg, silent_s=15.0, ever=True))

    def break_leg(self, leg: str) -> None:
        self.listener.leg_ended(LegEnded(leg=leg, reason="failed", detail="a socket failed"))

    async def _do(self, *words: str) -> None:
        await asyncio.sleep(self.delay_s)
        if self.refuses is not None:
            raise self.refuses
        self.log.append(words)

    async def make_offer(self, leg: str, profile: object = None, direction: str = "sendrecv") -> str:
        await self._do("make_offer", leg, direction)
        self.legs.add(leg)
        return SDP + f"a={direction}\r\n"

    async def take_answer(self, leg: str, sdp: str) -> None:
        await self._do("take_answer", leg, sdp)

    async def answer_offer(self, leg: str, sdp: str, profile: object = None, direction: str = "sendrecv") -> str:
        await self._do("answer_offer", leg, sdp)
        self.legs.add(leg)
        return SDP + ("a=recvonly\r\n" if "a=sendonly" in sdp else f"a={direction}\r\n")

    async def drop(self, leg: str) -> None:
        await self._do("drop", leg)

    async def join(self, leg: str, client: Any, room: str, name: str = "phone") -> None:
        await self._do("join", leg, room)
        self.rooms[leg] = room

    def select(self, leg: str, track: str) -> None:
        self.log.append(("select", leg, track))

    def wish_picture(self, leg: str) -> None:
        self.log.append(("wish_picture", leg))

    async def leave(self, leg: str) -> None:
        await self._do("leave", leg)
        self.rooms.pop(leg, None)

    async def mute(self, leg: str, muted: bool) -> None:
        await self._do("mute", leg, str(muted))

    async def play(self, leg: str, *sounds: object, prompt: str = "", repeat: int = 1, over_room: bool = False) -> None:
        await self._do("play", leg, str(getattr(sounds[0], "name", "tone")))
        self.log += [("play", leg, str(getattr(sound, "name", "tone"))) for sound in sounds[1:]]
        self.playing[leg] = prompt
        if self.plays_at_once and repeat:
            self.listener.played(Played(leg=leg, prompt=prompt, how="finished"))

    async def stop(self, leg: str) -> None:
        await self._do("stop", leg)
        self.playing.pop(leg, None)

    async def inject_digit(self, leg: str, digit: str, duration_ms: int = 160) -> None:
        await self._do("inject_digit", leg, digit)
        self.listener.digit(DigitPressed(leg=leg, digit=digit, source="info", duration_ms=duration_ms))

    async def close(self, leg: str, reason: str = "") -> None:
        self.log.append(("close", leg, reason))
        self.legs.discard(leg)
        self.rooms.pop(leg, None)
