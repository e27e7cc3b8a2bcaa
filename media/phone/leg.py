"""The media of one call: what was agreed, from whom it takes packets, what it says and hears.

States follow from what is there: without an agreement nothing is taken or sent; with one, packets are taken by
`SourceLock`, and sound goes where they come from. `tick` is called each 20 ms by the worker: first `take_in`, then
`said`, then, when the room is mixed, `say`.
"""

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from media import rtcp, rtp
from media.phone import description, ports
from media.phone.audio import SILENCE_DBOV, Samples, frame_samples, level, silence
from media.phone.description import Agreement, Local, NotAcceptable, Payload
from media.phone.dtmf import Pressed, ToneDetector, Twins
from media.phone.messages import (
    Digit,
    DigitPressed,
    Direction,
    LegStatistics,
    MediaBack,
    MediaTimeout,
    Message,
    Played,
    Profile,
    Started,
    VideoAgreed,
)
from media.phone.player import How, Player
from media.phone.receiver import Receiver
from media.phone.sdes import Crypto
from media.phone.sender import Sender
from media.phone.sourcelock import Address
from media.phone.tones import comfort_noise
from media.phone.videoleg import VideoLeg
from media.phone.wire import Wire
from media.sourcetime import middle, ntp
from media.tap import AccessUnit

log = logging.getLogger(__name__)

PACKETS_PER_TICK = 50
"""Of one leg: 2500 a second, fifty times what a phone sends."""
CONTROL_EVERY_S = 5.0
PROBES, PROBE_EVERY_S = 10, 1.0
LEVEL_FRAMES = 5
"""Levels are looked at in every fifth frame."""

Emit = Callable[[Message], None]
OpenVideo = Callable[[], VideoLeg | None]


class Leg:
    """See the module's head."""

    def __init__(
        self, leg: str, pair: ports.PortPair, address: str, profile: Profile, emit: Emit, now: float, *,
        learn_s: float, first_packet_s: float, silent_s: float, open_video: OpenVideo = lambda: None,
    ) -> None:  # fmt: skip
        """`open_video` gives ports for pictures, when they are first wanted; None where there are none."""
        self.leg = leg
        self.pair = pair
        self.profile = profile
        self.room: str | None = None
        self.muted = False
        self.video: VideoLeg | None = None
        self.hand_in: Callable[[bytes], object] | None = None
        """Where the phone's pictures go."""
        self.player: Player | None = None
        self.agreement: Agreement | None = None
        self.receiver: Receiver | None = None
        self.sender: Sender | None = None
        self.said_dbov = self.heard_dbov = SILENCE_DBOV
        self._local = Local(address, pair.port, pair.port + 1, secrets.randbits(62))
        self._version = 0
        self._emit = emit
        self._wire = Wire(leg, pair, learn_s)
        self._first_packet_s, self._silent_s = first_packet_s, silent_s
        self._offered: tuple[tuple[Crypto, ...], tuple[Payload, ...], Direction, tuple[Crypto, ...] | None] | None = (
            None
        )
        self._open_video = open_video
        self._told_video = VideoAgreed(leg=leg, receives=False, sends=False)
        self._cname = secrets.token_hex(8)
        self._twins = Twins()
        self._tones: ToneDetector | None = None
        self._since = now
        """Since when packets are to come."""
        self._heard_at: float | None = None
        self._timed_out = False
        self._probes = 0
        self._probe_at = now
        self._control_at = now + CONTROL_EVERY_S
        self._last_report: tuple[int, float] = (0, 0.0)
        self._remote: tuple[float | None, float | None, float | None] = (None, None, None)
        self._packets = 0
        self._frames = 0

    # --- descriptions -------------------------------------------------------------------------------------------------

    def make_offer(self, profile: Profile, direction: Direction) -> str:
        """Our offer; with an agreement, it keeps codecs and keys."""
        self.profile = profile
        payloads = description.our_payloads(profile)
        cryptos, pictures = description.our_cryptos(profile), description.our_cryptos(profile)
        if self.agreement is None and profile.video:
            self._want_video()
        if self.agreement is not None:
            payloads = self.agreement.payloads + tuple(
                each for each in payloads if each.codec not in {one.codec for one in self.agreement.payloads}
            )
            cryptos = (self.agreement.ours,) if self.agreement.ours is not None else ()
            agreed = self.agreement.video
            pictures = (agreed.ours,) if agreed is not None and agreed.ours is not None else ()
        self._offered = cryptos, payloads, direction, pictures if self.video is not None else None
        self._version += 1
        return description.offer(
            self._local, self._version, profile, direction, cryptos, payloads, self.agreement, pictures
        )

    def _want_video(self) -> None:
        if self.video is None and (video := self._open_video()) is not None:
            self.video = video
            self._local = replace(self._local, video_port=video.pair.port)

    def take_answer(self, sdp: str, now: float) -> None:
        """Raises:
        SdpError, NotAcceptable: nothing changed.
        """
        if self._offered is None:
            raise NotAcceptable("There is no offer of ours that waits for an answer.")
        cryptos, payloads, direction, pictures = self._offered
        agreement = description.accept(description.read(sdp), self.profile, cryptos, payloads, direction, pictures)
        self._agree(agreement, now)

    def answer_offer(self, sdp: str, profile: Profile, direction: Direction, now: float) -> str:
        """Raises:
        SdpError, NotAcceptable: nothing changed.
        """
        remote = description.read(sdp)
        if remote.video is not None and profile.video:
            self._want_video()
        answer, agreement = description.answer(
            remote, self._local, self._version + 1, profile, direction, self.agreement
        )
        self._version += 1
        self.profile, self._offered = profile, None
        self._agree(agreement, now)
        return answer

    def drop_offer(self) -> None:
        self._offered = None

    def _agree(self, agreement: Agreement, now: float) -> None:
        before, self.agreement = self.agreement, agreement
        if self.receiver is None or self.receiver.codec != agreement.sending.codec:
            self.receiver = Receiver(agreement)
        else:
            self.receiver.agree(agreement)
        if self.sender is None:
            self.sender = Sender(agreement, self.profile.ptime_ms)
        else:
            self.sender.agree(agreement)
        if agreement.events is not None:
            self._tones = None
        elif self._tones is None or before is None or before.sending.codec != agreement.sending.codec:
            self._tones = ToneDetector(self.receiver.rate)
        if self._wire.agree(agreement, self.profile, now):
            self._probes = 0
        self._agree_video(agreement, now)
        if before is None or before.direction != agreement.direction:
            self._since = now
            if before is not None and not _receives(before.direction):
                self._heard_at = now if self._heard_at is not None else None

    def _agree_video(self, agreement: Agreement, now: float) -> None:
        video, agreed = self.video, agreement.video
        if video is None:
            return
        video.agree(agreed, self.profile, now)
        told = VideoAgreed(
            leg=self.leg, receives=video.receives, sends=video.sends,
            profile_level_id=agreed.sending.profile_level_id if agreed is not None else "",
        )  # fmt: skip
        if told != self._told_video:
            self._told_video = told
            self._emit(told)

    @property
    def rate(self) -> int:
        """Of what it says and hears."""
        return self.receiver.rate if self.receiver is not None else 8000

    # --- what comes ---------------------------------------------------------------------------------------------------

    def take_in(self, now: float, wall_to_now: float) -> None:
        """Everything that waits at both sockets. `wall_to_now` turns the kernel's times into ours."""
        for datagram in ports.receive(self.pair.rtp, PACKETS_PER_TICK):
            at = now if datagram.arrived_at is None else min(now, max(now - 1.0, datagram.arrived_at + wall_to_now))
            if rtp.is_rtcp(datagram.data) and datagram.data[0] >> 6 == 2:
                self._control(datagram, now)
            else:
                self._media(datagram, at, now)
        if self.receiver is not None:
            self._digits(self.receiver.tick(now), "rtp", now)
        if self.video is not None:
            self.video.take_in(now, wall_to_now, self.hand_in)

    def unit(self, unit: AccessUnit, now: float) -> None:
        """A picture of the room."""
        if self.video is not None:
            proved = self._wire.lock.destination()
            self.video.unit(unit, now, proved[0] if proved is not None else "")

    def take_in_control(self, now: float) -> None:
        for datagram in ports.receive(self.pair.rtcp, 10):
            self._control(datagram, now)
        if self.video is not None:
            self.video.take_in_control(now)

    def _media(self, datagram: ports.Datagram, at: float, now: float) -> None:
        receiver, agreement = self.receiver, self.agreement
        opened = self._wire.open(datagram, now, receiver.knows if receiver is not None else lambda _: False)
        if opened is None or receiver is None or agreement is None:
            return
        packet, first = opened
        if first:
            self._started(datagram.address, packet)
        self._heard(now)
        if _receives(agreement.direction):
            self._packets += 1
            self._digits(receiver.packet(packet, at), "rtp", now)

    def _started(self, address: Address, packet: bytes) -> None:
        assert self.receiver is not None
        self._emit(
            Started(
                leg=self.leg, address=address[0], port=address[1], ssrc=int.from_bytes(packet[8:12], "big"),
                codec=self.receiver.codec, encrypted=self._wire.encrypted,
            )
        )  # fmt: skip

    def _heard(self, now: float) -> None:
        self._heard_at = now
        if self._timed_out:
            self._timed_out = False
            self._emit(MediaBack(leg=self.leg))

    def _digits(self, pressed: list[Pressed], source: str, now: float) -> None:
        for each in pressed:
            if self._twins.fresh(each.digit, source, now):
                self._emit(
                    DigitPressed.model_validate(
                        {
                            "leg": self.leg, "digit": each.digit, "source": source,
                            "duration_ms": round(each.duration_s * 1000),
                        }
                    )
                )  # fmt: skip

    def inject(self, digit: Digit, duration_ms: int, now: float) -> None:
        """A digit by SIP INFO."""
        self._digits([Pressed(digit, duration_ms / 1000)], "info", now)

    # --- sound --------------------------------------------------------------------------------------------------------

    def said(self, now: float) -> Samples | None:
        """The phone's next frame, for the room; None when it says nothing, is muted or on hold."""
        self._frames += 1
        if self.receiver is None or self.agreement is None or not _receives(self.agreement.direction):
            return None
        sound = self.receiver.frame(now)
        if sound is None:
            return None
        if self._tones is not None:
            self._digits(self._tones.frame(sound), "rtp", now)
        if self._frames % LEVEL_FRAMES == 0:
            self.said_dbov = max(self.said_dbov, level(sound))
        return None if self.muted else sound

    def say(self, heard: Samples | None, now: float) -> None:
        """A frame towards the phone: the room's, or what is played."""
        sender, agreement = self.sender, self.agreement
        if sender is None or agreement is None:
            return
        sound = self._with_prompt(heard)
        to = self._wire.lock.destination()
        if not _sends(agreement.direction):
            sender.skip(1)
            return
        if to is None:
            to = self._unlearned(now)
            if to is None:
                sender.skip(1)
                return
        if self._frames % LEVEL_FRAMES == 0:
            self.heard_dbov = max(self.heard_dbov, level(sound))
        for packet in sender.frame(sound):
            self._wire.send(packet, to)

    def _with_prompt(self, heard: Samples | None) -> Samples:
        samples = frame_samples(self.rate)
        player = self.player
        if player is None or player.rate != self.rate:
            if heard is None or not heard.any():
                return comfort_noise(samples, self._frames * samples)
            return heard
        sound = player.frame(samples)
        if player.over_room and heard is not None:
            sound = heard + sound
        if player.over:
            self._played("finished")
        return sound

    def _unlearned(self, now: float) -> Address | None:
        """Where to send while nothing has come: see `Profile.unheard`."""
        signalled = self._wire.lock.signalled()
        if signalled is None or signalled[1] == 0:
            return None
        if self.profile.unheard == "send":
            return signalled
        if self._probes >= PROBES or now < self._probe_at:
            return None
        self._probes += 1
        self._probe_at = now + PROBE_EVERY_S
        assert self.sender is not None
        for packet in self.sender.frame(silence(frame_samples(self.rate))):
            self._wire.send(packet, signalled)
        return None

    def skip(self, frames: int) -> None:
        """The worker was too late for these frames."""
        if self.sender is not None:
            self.sender.skip(frames)

    # --- prompts ------------------------------------------------------------------------------------------------------

    def play(self, player: Player) -> None:
        self._played("replaced")
        self.player = player

    def stop(self) -> None:
        self._played("stopped")

    def _played(self, how: How) -> None:
        if self.player is not None:
            self._emit(Played(leg=self.leg, prompt=self.player.prompt, how=how))
            self.player = None

    # --- reports and time-outs ----------------------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Reports that are due, and silence that has lasted too long. A few times a second."""
        if self.video is not None:
            self.video.look(now)
        if now >= self._control_at:
            self._control_at = now + CONTROL_EVERY_S
            self._report(now)
        agreement = self.agreement
        if agreement is None or not _receives(agreement.direction) or self._timed_out:
            return
        ever = self._heard_at is not None
        since = max(self._since, self._heard_at or 0.0)
        if now - since >= (self._silent_s if ever else self._first_packet_s):
            self._timed_out = True
            self._emit(MediaTimeout(leg=self.leg, silent_s=round(now - since, 1), ever=ever))

    def _report(self, now: float) -> None:
        sender, receiver, agreement = self.sender, self.receiver, self.agreement
        if sender is None or receiver is None or agreement is None:
            return
        middle_bits, came = self._last_report
        block = receiver.report(middle_bits, now - came)
        blocks = (block,) if block is not None else ()
        packets: list[rtcp.Packet] = [
            rtcp.SenderReport(sender.ssrc, ntp(time.time()), sender.timestamp, sender.packets, sender.octets, blocks)
            if sender.packets
            else rtcp.ReceiverReport(sender.ssrc, blocks),
            rtcp.SourceDescription(((sender.ssrc, self._cname),)),
        ]
        self._wire.report(packets)

    def _control(self, datagram: ports.Datagram, now: float) -> None:
        packets = self._wire.reports(datagram)
        for each in packets:
            if isinstance(each, rtcp.SenderReport):
                self._last_report = middle(each.ntp), now
            if isinstance(each, rtcp.SenderReport | rtcp.ReceiverReport):
                self._reported(each.reports)

    def _reported(self, blocks: tuple[rtcp.ReportBlock, ...]) -> None:
        assert self.sender is not None
        assert self.receiver is not None
        for block in blocks:
            if block.ssrc != self.sender.ssrc:
                continue
            rtt = None
            if block.last_report:
                ticks = middle(ntp(time.time())) - block.last_report - block.delay & 0xFFFFFFFF
                rtt = ticks / 65536 * 1000 if ticks < 0x80000000 else None
            jitter_ms = block.jitter / self.receiver.clock_rate * 1000
            self._remote = block.fraction_lost / 256, jitter_ms, rtt

    def levels(self) -> tuple[float, float]:
        """The loudest that it said and heard since the last call, dBov."""
        told = round(self.said_dbov, 1), round(self.heard_dbov, 1)
        self.said_dbov = self.heard_dbov = SILENCE_DBOV
        return told

    def statistics(self) -> LegStatistics:
        receiver, sender = self.receiver, self.sender
        dropped = self._wire.dropped + receiver.dropped if receiver is not None else self._wire.dropped
        if receiver is not None and receiver.jitter.duplicates:
            dropped = dropped + Counter(duplicate=receiver.jitter.duplicates)
        loss, jitter_ms, rtt_ms = self._remote
        return LegStatistics(
            leg=self.leg,
            codec=receiver.codec if receiver is not None else "",
            encrypted=self._wire.encrypted,
            packets_in=self._packets,
            packets_out=sender.packets if sender is not None else 0,
            lost=receiver.jitter.missing if receiver is not None else 0,
            concealed=receiver.concealed if receiver is not None else 0,
            late=receiver.jitter.late if receiver is not None else 0,
            jitter_ms=round(receiver.reception.jitter / receiver.clock_rate * 1000, 2) if receiver is not None else 0.0,
            delay_ms=round(receiver.jitter.held_s * 1000, 1) if receiver is not None else 0.0,
            remote_loss=loss,
            remote_jitter_ms=jitter_ms,
            rtt_ms=rtt_ms,
            video_in=self.video.packets if self.video is not None else 0,
            video_out=self.video.show.packets if self.video is not None else 0,
            pictures_out=self.video.show.pictures if self.video is not None else 0,
            dropped=dict(dropped),
        )

    def say_goodbye(self) -> None:
        """BYE, where reports went."""
        if self.video is not None:
            self.video.say_goodbye()
        if self.sender is not None:
            self._wire.report([rtcp.ReceiverReport(self.sender.ssrc), rtcp.Bye((self.sender.ssrc,))])


def _receives(direction: Direction) -> bool:
    return direction in ("sendrecv", "recvonly")


def _sends(direction: Direction) -> bool:
    return direction in ("sendrecv", "sendonly")
