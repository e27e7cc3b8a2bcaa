"""The phone worker: legs, rooms and one clock. Run as `python -m media.phone.worker --fd N`.

N is one end of a socket pair on which `media.phone.messages` are spoken. Each 20 ms everything that came is taken in,
the rooms are mixed and every leg gets its frame; nothing is done for a single packet. It ends when its link closes;
nothing of it needs to be kept.
"""

import asyncio
import contextlib
import os
import resource
import signal
import time
from collections import Counter
from functools import partial
from pathlib import Path

import structlog

from config.settings import PhoneMediaSettings
from media.childprocess import fd_of_arguments, run_process, serve_link
from media.door import DoorSender
from media.link import Link, LinkError
from media.phone import ports
from media.phone.audio import Samples
from media.phone.clock import TickClock
from media.phone.description import NotAcceptable
from media.phone.leg import Leg
from media.phone.messages import (
    COMMANDS,
    AnswerOffer,
    AnyCommand,
    Beat,
    Close,
    Command,
    Configure,
    Drop,
    Hear,
    InjectDigit,
    Join,
    Leave,
    LegEnded,
    Levels,
    MakeOffer,
    Message,
    Mute,
    NeedPicture,
    Play,
    Profile,
    Ready,
    Refused,
    Reply,
    SendDigits,
    Show,
    Stop,
    TakeAnswer,
    WishPicture,
)
from media.phone.pictures import Relay
from media.phone.player import Player
from media.phone.portpool import NoPort, PortPool
from media.phone.prompts import NoPrompt, Prompts
from media.phone.publishing import OpusTrack
from media.phone.rooms import Rooms
from media.phone.videoleg import VideoLeg
from media.sdp import SdpError
from media.tap import AccessUnit, TapError, Unpacker
from media.taplistener import READ_BYTES, listen

log = structlog.get_logger()

TICKS_PER_S = 50
CONTROL_TICKS = 5
"""RTCP sockets are looked at, and time-outs, each 100 ms."""
LEVEL_TICKS, STATISTICS_TICKS, QUARANTINE_TICKS = 25, 250, 50
BEAT_S = 1.0
MAX_LEGS = 2000
MAX_PLAYED_S = 120.0
LINK_FULL_BYTES = 1 << 20
"""With more waiting the server is slow: levels, statistics and beats are left out."""
NICE = -5
EXIT_CANNOT_BEGIN = 3


def _pairs(leg: Leg) -> list[ports.PortPair]:
    """Its sockets."""
    return [leg.pair] if leg.video is None else [leg.pair, leg.video.pair]


class LegRefused(Exception):
    """A command that did nothing."""

    def __init__(self, error: str, detail: str) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail


class PhoneWorker:
    """Everything of this process."""

    def __init__(self, link: Link[AnyCommand], configure: Configure) -> None:
        self._link = link
        self._settings = PhoneMediaSettings.model_validate(configure.settings)
        self._tap_address = configure.tap_address
        self._pool = PortPool(self._settings.rtp_port_min, self._settings.rtp_port_max)
        self._quarantined: dict[int, ports.PortPair] = {}
        self._legs: dict[str, Leg] = {}
        self._published: dict[str, tuple[OpusTrack, DoorSender, bytes]] = {}
        self._doors: dict[str, DoorSender] = {}
        self._rooms = Rooms()
        self._taps: dict[str, asyncio.StreamWriter] = {}
        """Of each track that comes: whatever is written there asks for a key frame."""
        self._prompts = Prompts(self._settings.prompts, Path(configure.speech) if configure.speech else None)
        self._clock = TickClock(time.monotonic())
        self._ticks = 0
        self._taken_in_quarantine = 0
        self._dropped: Counter[str] = Counter()
        """Of legs that have ended."""

    async def run(self) -> None:
        """Serve until the link closes.

        Raises:
            LinkError: the server sent what is no message.
        """
        await asyncio.to_thread(self._prompts.preload)
        self._clock = TickClock(time.monotonic())
        server = await listen(self._tap_address, self._read_units)
        self._link.send(Ready(ports=(self._settings.rtp_port_min, self._settings.rtp_port_max)))
        try:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(self._run_clock())
                await self._commands()
                ticking.cancel()
        except* LinkError as broken:
            raise broken.exceptions[0] from broken
        finally:
            server.close()
            self.close()

    # --- commands -----------------------------------------------------------------------------------------------------

    async def _commands(self) -> None:
        while (command := await self._link.receive()) is not None:
            if isinstance(command, Hear):
                self.hear(command)
            elif isinstance(command, Show | NeedPicture | WishPicture):
                self._about_pictures(command)
            elif isinstance(command, Configure):
                log.warning("configured_twice")
            else:
                self._answer(command)

    def _about_pictures(self, message: Show | NeedPicture | WishPicture) -> None:
        leg = self._legs.get(message.leg)
        video = leg.video if leg is not None else None
        if video is None:
            return
        match message:
            case Show():
                video.show.show(message.track)
            case NeedPicture():
                video.ask()
            case WishPicture():
                video.wish()

    def _answer(self, command: Command) -> None:
        try:
            sdp = self.obey(command)
        except LegRefused as refused:
            log.info("refused", command=type(command).__name__, leg=command.leg, error=refused.error)
            self._refuse(command, refused.error, refused.detail)
        except NotAcceptable as error:
            self._refuse(command, "not_acceptable", str(error))
        except SdpError as error:
            self._refuse(command, "sdp_invalid", error.detail)
        except NoPrompt as error:
            self._refuse(command, "no_such_prompt", str(error))
        else:
            self._send(Reply(request=command.request, sdp=sdp))

    def _refuse(self, command: Command, error: str, detail: str) -> None:
        self._send(Refused.model_validate({"request": command.request, "error": error, "detail": detail}))

    def obey(self, command: Command) -> str:
        """Do it; the description that answers it, if any.

        Raises:
            LegRefused, NotAcceptable, SdpError, NoPrompt: nothing was done.
        """
        match command:
            case MakeOffer():
                return self._leg_or_new(command.leg, command.profile).make_offer(command.profile, command.direction)
            case AnswerOffer():
                return self._answer_offer(command)
            case Close():
                if (closed := self._legs.get(command.leg)) is not None:
                    self._end(closed)
                return ""
        leg = self._legs.get(command.leg)
        if leg is None:
            raise LegRefused("unknown_leg", f"There is no leg {command.leg}.")
        self._obey_about(leg, command)
        return ""

    def _obey_about(self, leg: Leg, command: Command) -> None:
        now = time.monotonic()
        match command:
            case TakeAnswer():
                leg.take_answer(command.sdp, now)
                self._changed(leg)
            case Drop():
                leg.drop_offer()
            case Join():
                self._join(leg, command)
            case Leave():
                self._rooms.leave(leg)
                self._unpublish(leg)
            case Mute():
                leg.muted = command.muted
            case Play():
                leg.play(self._player(leg, command))
            case Stop():
                leg.stop()
            case SendDigits():
                if leg.sender is None:
                    raise LegRefused("invalid", "Nothing has been agreed with this leg yet.")
                leg.sender.press(command.digits, command.tone_ms / 1000, command.gap_ms / 1000)
            case InjectDigit():
                leg.inject(command.digit, command.duration_ms, now)

    def _leg_or_new(self, name: str, profile: Profile) -> Leg:
        known = self._legs.get(name)
        if known is not None:
            return known
        if len(self._legs) >= MAX_LEGS:
            raise LegRefused("capacity", f"There are {MAX_LEGS} legs already.")
        settings = self._settings
        host = profile.listen_host or settings.listen_host
        try:
            pair = ports.take(self._pool, host)
        except NoPort as error:
            raise LegRefused("capacity", str(error)) from error
        told = profile.advertise or str(settings.advertise or "") or ports.told(host, profile.signalled_ip)
        leg = Leg(
            name, pair, told, profile, self._send, time.monotonic(),
            learn_s=settings.learn_s, first_packet_s=settings.first_packet_s, silent_s=settings.silent_s,
            open_video=partial(self._open_video, name, host),
        )  # fmt: skip
        self._legs[name] = leg
        return leg

    def _open_video(self, name: str, host: str) -> VideoLeg | None:
        """Without ports a call has its sound alone."""
        try:
            pair = ports.take(self._pool, host)
        except NoPort as error:
            log.warning("no_pictures", leg=name, reason=str(error))
            return None
        return VideoLeg(name, pair, self._settings.learn_s, time.monotonic())

    def _answer_offer(self, command: AnswerOffer) -> str:
        new = command.leg not in self._legs
        leg = self._leg_or_new(command.leg, command.profile)
        try:
            sdp = leg.answer_offer(command.sdp, command.profile, command.direction, time.monotonic())
        except (NotAcceptable, SdpError):
            if new:
                del self._legs[leg.leg]
                for pair in _pairs(leg):
                    self._pool.give_up(pair.port)
                    pair.close()
            raise
        self._changed(leg)
        return sdp

    def _changed(self, leg: Leg) -> None:
        """Its codec may be another now."""
        self._rooms.changed(leg)
        if leg.leg in self._published:
            self._published[leg.leg][0].change(leg.rate)
        if leg.player is not None and leg.player.rate != leg.rate:
            leg.stop()

    def _join(self, leg: Leg, command: Join) -> None:
        before = self._published.get(leg.leg)
        self._unpublish(leg)
        self._rooms.join(leg, command.room)
        if not command.door:
            return
        try:
            token = bytes.fromhex(command.token)
        except ValueError as error:
            raise LegRefused("invalid", "The token is not hexadecimal.") from error
        door = self._doors.setdefault(command.door, DoorSender(command.door))
        if before is not None and before[0].source == (command.ssrc, command.payload_type):
            track = before[0]  # a source that goes on keeps its numbers, or browsers are silent until they catch up
            track.change(leg.rate)
        else:
            track = OpusTrack(leg.rate, command.ssrc, command.payload_type)
        self._published[leg.leg] = track, door, token
        if leg.video is not None and command.video_ssrc:
            leg.video.relay = Relay(command.video_ssrc, command.video_payload_type)
            leg.hand_in = partial(door.send, token)

    def _unpublish(self, leg: Leg) -> None:
        leg.hand_in = None
        published = self._published.pop(leg.leg, None)
        if published is not None and not any(each[1] is published[1] for each in self._published.values()):
            self._doors.pop(published[1].address, None)
            published[1].close()

    def _player(self, leg: Leg, command: Play) -> Player:
        sounds = [self._prompts.samples(sound, leg.rate) for sound in command.sounds]
        if sum(map(len, sounds)) > MAX_PLAYED_S * leg.rate:
            raise LegRefused("invalid", f"More than {MAX_PLAYED_S:.0f} s are to be played.")
        return Player(command.prompt, sounds, command.repeat, command.over_room, leg.rate)

    def _end(self, leg: Leg) -> None:
        self._rooms.leave(leg)
        self._unpublish(leg)
        if self._legs.pop(leg.leg, None) is None:
            return
        last = leg.statistics()
        self._dropped.update(last.dropped)
        self._send(last)
        leg.say_goodbye()
        for pair in _pairs(leg):
            self._pool.release(pair.port, time.monotonic())
            self._quarantined[pair.port] = pair

    def hear(self, command: Hear) -> None:
        self._rooms.hear(command.room, command.tracks)

    def close(self) -> None:
        """End all legs."""
        for leg in list(self._legs.values()):
            self._end(leg)
        for pair in self._quarantined.values():
            pair.close()
        self._quarantined.clear()

    # --- taps ---------------------------------------------------------------------------------------------------------

    async def _read_units(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a media worker, with one track."""
        unpacker = Unpacker()
        try:
            while data := await reader.read(READ_BYTES):
                now, wall_to_now = time.monotonic(), time.monotonic() - time.time()
                for unit in unpacker.feed(data):
                    self._taps[unit.track] = writer
                    self.unit(unit, min(now, max(now - 1.0, unit.arrived_at + wall_to_now)))
        except (TapError, ConnectionError) as error:
            log.warning("tap_closed", reason=str(error))
        finally:
            for track in [track for track, each in self._taps.items() if each is writer]:
                del self._taps[track]
            writer.close()

    def unit(self, unit: AccessUnit, arrived_at: float) -> None:
        """One packet of a track."""
        if unit.codec == "opus":
            self._rooms.unit(unit, arrived_at)
        elif unit.codec == "H264":
            for leg in self._legs.values():
                leg.unit(unit, arrived_at)

    # --- time ---------------------------------------------------------------------------------------------------------

    async def _run_clock(self) -> None:
        beat_at = 0.0
        while True:
            await asyncio.sleep(max(0.0, self._clock.next_at() - time.monotonic()))
            skip, run = self._clock.due(time.monotonic())
            if skip:
                self._skip(skip)
            for _ in range(run):
                self.tick(time.monotonic())
            if time.monotonic() >= beat_at:  # by the clock: a machine that leaves out ticks is slow, not stuck
                beat_at = time.monotonic() + BEAT_S
                self._send(self._beat())

    def _skip(self, frames: int) -> None:
        for leg in self._legs.values():
            leg.skip(frames)
        for track, _, _ in self._published.values():
            track.skip(frames)

    def tick(self, now: float) -> None:
        """One frame of everything."""
        self._ticks += 1
        wall_to_now = now - time.time()
        legs = list(self._legs.values())
        said: dict[str, Samples] = {}
        for leg in legs:
            leg.take_in(now, wall_to_now)
            sound = leg.said(now)
            if sound is not None:
                said[leg.leg] = sound
        heard = self._rooms.mix(said, now)
        for leg in legs:
            leg.say(heard.get(leg.leg), now)
        for name, (track, door, token) in self._published.items():
            door.send(token, track.packet(said.get(name)))
        self._look_around(legs, now)

    def _look_around(self, legs: list[Leg], now: float) -> None:
        """What need not be done in each tick."""
        if self._ticks % CONTROL_TICKS == 0:
            for leg in legs:
                leg.take_in_control(now)
                leg.look(now)
            self._ask_for_keys(legs, now)
        if self._ticks % LEVEL_TICKS == 0:
            levels = {leg.leg: leg.levels() for leg in legs if leg.room}
            if levels:
                self._send(Levels(legs=levels))
        for number, leg in enumerate(legs):
            if (self._ticks + number) % STATISTICS_TICKS == 0:
                self._send(leg.statistics())
        if self._ticks % QUARANTINE_TICKS == 0:
            self._look_at_quarantine(now)

    def _ask_for_keys(self, legs: list[Leg], now: float) -> None:
        for leg in legs:
            video = leg.video
            tap = self._taps.get(video.show.track) if video is not None else None
            if video is not None and tap is not None and not tap.is_closing() and video.wants_key(now):
                tap.write(b"k")

    def _look_at_quarantine(self, now: float) -> None:
        for port, pair in self._quarantined.items():
            came = len(ports.receive(pair.rtp, 200)) + len(ports.receive(pair.rtcp, 10))
            if came:
                self._taken_in_quarantine += came
                self._pool.heard(port, now)
        for port in self._pool.due(now):
            self._quarantined.pop(port).close()

    def _beat(self) -> Beat:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        doors = self._doors.values()
        counters: dict[str, float] = {
            "dropped_quarantine": self._taken_in_quarantine,
            "ports_free": self._pool.free,
            "ports_quarantined": len(self._quarantined),
            "door_packets": sum(door.sent for door in doors),
            "dropped_door": sum(door.dropped for door in doors),
        }
        dropped = Counter(self._dropped)
        for leg in self._legs.values():
            dropped.update(leg.statistics().dropped)
        counters |= {f"dropped_{reason}": float(count) for reason, count in dropped.items()}
        return Beat(
            legs=len(self._legs), rooms=len(self._rooms), cpu_s=usage.ru_utime + usage.ru_stime,
            late_ticks=self._clock.late, skipped_ticks=self._clock.skipped, counters=counters,
        )  # fmt: skip

    def _send(self, message: Message) -> None:
        replaced = not isinstance(message, Reply | Refused | LegEnded | Ready)
        if replaced and self._link.waiting_bytes > LINK_FULL_BYTES:
            return
        with contextlib.suppress(ConnectionError, RuntimeError):  # the server is gone: we end soon
            self._link.send(message)


async def _work(link: Link[AnyCommand], first: Configure) -> int:
    try:
        await PhoneWorker(link, first).run()
    except OSError as error:
        log.error("phone_worker_cannot_begin", reason=str(error))
        return EXIT_CANNOT_BEGIN
    return 0


def main() -> None:
    """Entry of the process."""
    fd = fd_of_arguments("Sound of phones for one server.")
    with contextlib.suppress(OSError):  # where we may: a frame that comes late is not heard at all
        os.nice(NICE)
    run_process(lambda: serve_link(fd, COMMANDS, Configure, _work), ignored=(signal.SIGINT, signal.SIGTERM))


if __name__ == "__main__":
    main()
