"""A phone worker and phones made by hand: what is said at one end is measured at the other."""

import asyncio
import base64
import itertools
import secrets
from pathlib import Path

import numpy as np
import pytest

from media.phone.audio import silence
from media.phone.messages import (
    AnswerOffer,
    Beat,
    Close,
    DigitPressed,
    InjectDigit,
    Join,
    Leave,
    LegStatistics,
    Levels,
    MakeOffer,
    MediaBack,
    MediaTimeout,
    Mute,
    Play,
    Played,
    Profile,
    Prompt,
    SendDigits,
    Started,
    Stop,
    TakeAnswer,
    Tone,
)
from tests.fakes.phoneworker import PhoneLink, running_phone_worker
from tests.fakes.rtpphone import RtpPhone, phone
from tests.fakes.sound import dominant, level, share_at, tone


async def both_in_room(link: PhoneLink, *phones: RtpPhone, room: str = "session:1") -> None:
    for number, each in enumerate(phones):
        await link.dial(f"leg{number}", each)
        await link.call(Join(leg=f"leg{number}", room=room))


def assert_heard(telephone: RtpPhone, frequency: float, sent_level: float, tolerance: float = 1.5) -> None:
    """The tone in its level, for a quarter of a second on end: a busy machine may cost frames."""
    sound, size = telephone.heard(), telephone.rate // 4
    found = [
        (round(dominant(part, telephone.rate), 1), round(level(part), 1))
        for at in range(0, len(sound) - size, size // 2)
        if (part := sound[at : at + size]).any()
    ]
    assert any(abs(one - frequency) <= 3 and abs(two - sent_level) <= tolerance for one, two in found), found


@pytest.mark.parametrize("payload_type", [0, 8, 9, 111])
async def test_two_phones_hear_each_other(tmp_path: Path, payload_type: int) -> None:
    async with running_phone_worker(tmp_path) as link, phone(payload_type=payload_type) as one, phone() as two:
        await both_in_room(link, one, two)
        first, second = tone(440, 1.0, one.rate), tone(1000, 1.0, two.rate)
        await asyncio.gather(one.say(first), two.say(second))
        assert_heard(one, 1000, level(second))
        assert_heard(two, 440, level(first))
        assert share_at(one.heard()[-one.rate // 4 :], 440, one.rate) < 0.01
        started = await link.event(Started, lambda each: each.leg == "leg0")
        assert (started.port, started.ssrc, started.encrypted) == (one.socket.getsockname()[1], one.ssrc, False)


async def test_what_goes_to_a_phone_is_a_stream_without_seams(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path) as link, phone() as one, phone() as two:
        await both_in_room(link, one, two)
        await asyncio.gather(one.say(tone(440, 1.0, 8000)), two.say(silence(8000)))
        packets = two.got
        assert len(packets) >= 20
        steps = [
            ((after.sequence - before.sequence) & 0xFFFF, (after.timestamp - before.timestamp) & 0xFFFFFFFF)
            for before, after in itertools.pairwise(packets)
        ]
        # A worker that was too late for frames leaves a gap in time, never in the numbers, and marks what follows.
        assert {one for one, _ in steps} == {1}
        assert {two % 160 for _, two in steps} == {0}
        assert [each.marker for each in packets[1:]] == [two > 160 for _, two in steps]
        assert steps.count((1, 160)) > len(steps) / 2
        assert len({each.ssrc for each in packets}) == 1


async def test_encrypted_calls(tmp_path: Path) -> None:
    key = base64.b64encode(secrets.token_bytes(30)).decode()
    async with running_phone_worker(tmp_path) as link, phone(key=key) as one, phone() as two:
        await link.dial("leg0", one, Profile(srtp="require"))
        await link.dial("leg1", two)
        for leg in ("leg0", "leg1"):
            await link.call(Join(leg=leg, room="session:1"))
        sound = tone(700, 0.9, 8000)
        await asyncio.gather(one.say(sound), two.say(sound))
        assert_heard(one, 700, level(sound))
        assert_heard(two, 700, level(sound))
        assert (await link.event(Started, lambda each: each.leg == "leg0")).encrypted
        one._out = None
        await one.say(sound[:1600])
        await one.hush(0.1)
        await link.call(Close(leg="leg0"))
        last = [each for each in link.all(LegStatistics) if each.leg == "leg0"][-1]
        assert last.dropped["srtp"] == 10


async def test_encryption_is_refused_or_wanted_as_the_profile_says(tmp_path: Path) -> None:
    key = base64.b64encode(secrets.token_bytes(30)).decode()
    async with running_phone_worker(tmp_path) as link, phone(key=key) as secret, phone() as plain:
        for sdp, srtp in ((secret.sdp(), "off"), (plain.sdp(), "require")):
            profile = Profile.model_validate({"srtp": srtp})
            assert await link.refused(AnswerOffer(leg="a", sdp=sdp, profile=profile)) == "not_acceptable"
        assert await link.refused(Join(leg="a", room="r")) == "unknown_leg"
        best_effort = secret.sdp(protocol="RTP/AVP")
        assert "crypto" in (await link.call(AnswerOffer(leg="a", sdp=best_effort))).sdp
        assert "crypto" not in (await link.call(AnswerOffer(leg="b", sdp=best_effort, profile=Profile(srtp="off")))).sdp


async def test_our_call_and_their_answer(tmp_path: Path) -> None:
    key = base64.b64encode(secrets.token_bytes(30)).decode()
    async with running_phone_worker(tmp_path) as link, phone() as plain, phone(key=key) as secret:
        for leg, each in (("a", plain), ("b", secret)):
            offer = (await link.call(MakeOffer(leg=leg, profile=Profile(codecs=("PCMU", "PCMA"))))).sdp
            assert "m=audio" in offer
            assert " RTP/AVP 0 8 101" in offer
            each.take(offer)
            await link.call(TakeAnswer(leg=leg, sdp=each.sdp(protocol="RTP/AVP")))
            await link.call(Join(leg=leg, room="session:1"))
        sound = tone(600, 0.9, 8000)
        await asyncio.gather(plain.say(sound), secret.say(sound))
        assert_heard(plain, 600, level(sound))
        assert_heard(secret, 600, level(sound))


async def test_digits_both_ways(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path) as link, phone() as one:
        await link.dial("leg0", one)
        await one.say(silence(1600))
        for digit in (1, 11, 1):
            await one.press(digit)
            await one.hush(0.05)
        await link.call(InjectDigit(leg="leg0", digit="1"))  # the same press again, by INFO
        await link.call(InjectDigit(leg="leg0", digit="5"))
        await link.event(DigitPressed, lambda each: each.digit == "5")
        pressed = [(each.digit, each.source) for each in link.all(DigitPressed)]
        assert pressed == [("1", "rtp"), ("#", "rtp"), ("1", "rtp"), ("5", "info")]
        await link.call(SendDigits(leg="leg0", digits="42", tone_ms=100))
        await one.hush(0.6)
        events = [each for each in one.got if each.payload_type == 101]
        assert [payload[0] for payload in dict.fromkeys(each.payload[:1] for each in events)] == [4, 2]
        assert len({each.timestamp for each in events}) == 2
        assert sum(each.payload[1] >> 7 for each in events) == 6


async def test_digits_as_tones_where_there_are_no_events(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path) as link, phone(dtmf=None) as one:
        await link.dial("leg0", one)
        await one.say(np.concatenate((silence(800), tone(770, 0.12, 8000) + tone(1477, 0.12, 8000), silence(1600))))
        assert (await link.event(DigitPressed)).digit == "6"
        one.got.clear()
        await link.call(SendDigits(leg="leg0", digits="6", tone_ms=400))
        await one.hush(0.6)
        sound = one.heard()
        began = int(np.argmax(np.abs(sound) > 1000))
        loud = sound[began + 160 : began + 2560]
        assert share_at(loud, 770, 8000) + share_at(loud, 1477, 8000) > 0.9


async def test_prompts_are_played_and_told(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path) as link, phone() as one, phone() as two:
        await both_in_room(link, one, two)
        await one.say(silence(800))
        tones = Tone(frequencies=(1200,), duration_ms=600, level_dbm0=-10)
        await link.call(Play(leg="leg0", prompt="p1", sounds=(tones,)))
        await asyncio.gather(one.say(silence(9600)), two.say(tone(300, 1.2, 8000)))
        assert (await link.event(Played)).how == "finished"
        sound = one.heard()
        assert share_at(sound[2400:4000], 1200, 8000) > 0.99  # the room waits
        assert level(sound[2400:4000]) == pytest.approx(-10 - 6.15, abs=0.5)
        assert share_at(sound[-1600:], 300, 8000) > 0.9
        assert await link.refused(Play(leg="leg0", sounds=(Prompt(name="nobody-has-this"),))) == "no_such_prompt"
        await link.call(Play(leg="leg0", prompt="p2", sounds=(Prompt(name="ringback"),), repeat=0))
        await link.call(Play(leg="leg0", prompt="p3", sounds=(Prompt(name="enter-pin"),), repeat=0))
        await link.call(Stop(leg="leg0"))
        told = await link.event(Played, lambda each: each.prompt == "p3")
        assert told.how == "stopped"
        assert [(each.prompt, each.how) for each in link.all(Played)][1] == ("p2", "replaced")


async def test_mute_leave_and_hold(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path) as link, phone() as one, phone() as two:
        await both_in_room(link, one, two)

        async def heard_by_two() -> float:
            two.got.clear()
            await asyncio.gather(one.say(tone(440, 0.5, 8000)), two.say(silence(4000)))
            return level(two.heard()[-1600:])

        assert await heard_by_two() > -20
        await link.call(Mute(leg="leg0", muted=True))
        assert await heard_by_two() < -55
        await link.call(Mute(leg="leg0", muted=False))
        one.direction = "sendonly"
        held = (await link.call(AnswerOffer(leg="leg0", sdp=one.sdp()))).sdp
        assert "a=recvonly" in held
        one.got.clear()
        assert await heard_by_two() > -20
        assert len(one.got) <= 3
        one.direction = "inactive"
        assert "a=inactive" in (await link.call(AnswerOffer(leg="leg0", sdp=one.sdp()))).sdp
        assert await heard_by_two() < -55
        one.direction = "sendrecv"
        await link.call(AnswerOffer(leg="leg0", sdp=one.sdp()))
        assert await heard_by_two() > -20
        assert one.got
        await link.call(Leave(leg="leg0"))
        assert await heard_by_two() < -55


async def test_only_the_phone_is_heard_and_only_it_is_sent_to(tmp_path: Path) -> None:
    """Another sender, from the same machine and from another, before and after the phone has begun."""
    async with running_phone_worker(tmp_path, learn_s=0.5) as link, phone() as one, phone() as two, phone() as thief:
        await both_in_room(link, one, two)
        await asyncio.sleep(0.6)
        thief.remote = one.remote
        thief.ssrc = 666
        await thief.say(tone(2000, 0.3, 8000))
        assert thief.got == []
        await asyncio.gather(one.say(tone(440, 1.0, 8000)), thief.say(tone(2000, 1.0, 8000)), two.say(silence(8000)))
        assert thief.got == []
        assert share_at(two.heard()[-4000:], 440, 8000) > 0.99
        await link.call(Close(leg="leg0"))
        last = [each for each in link.all(LegStatistics) if each.leg == "leg0"][-1]
        assert last.dropped["stranger"] >= 60


async def test_rubbish_is_counted_and_does_no_harm(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path) as link, phone() as one, phone() as two:
        await both_in_room(link, one, two)
        await one.say(silence(800))
        for junk in (
            b"",
            b"\x80",
            bytes(40),
            b"\x80\x00" + bytes(9),
            b"\x90\x00" + bytes(10),
            b"\xbf" * 30,
            b"\x80\xc8\xff",
        ):
            one.send(junk)
        for payload, payload_type in ((b"", 0), (bytes(2000 - 12), 0), (b"x", 55), (b"\x01", 101)):
            one.send(one.packet(payload, payload_type=payload_type))
        one.control.sendto(b"\x80\xc8\x00\xff", (one.remote[0], one.remote[1] + 1))
        await asyncio.gather(one.say(tone(440, 1.0, 8000)), two.say(silence(8000)))
        assert share_at(two.heard()[-4000:], 440, 8000) > 0.99
        await asyncio.sleep(0.2)
        await link.call(Close(leg="leg0"))
        dropped = [each for each in link.all(LegStatistics) if each.leg == "leg0"][-1].dropped
        assert dropped["malformed"] >= 5
        assert dropped["payload_type"] >= 1
        assert dropped["rtcp"] >= 1


async def test_silence_times_out_and_ends_with_sound_and_never_on_hold(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path, first_packet_s=0.4, silent_s=0.4) as link, phone() as one:
        await link.dial("leg0", one)
        first = await link.event(MediaTimeout)
        assert not first.ever
        await one.say(silence(1600))
        await link.event(MediaBack)
        assert (await link.event(MediaTimeout, lambda each: each.ever)).silent_s >= 0.4
        await one.say(silence(1600))
        one.direction = "inactive"
        await link.call(AnswerOffer(leg="leg0", sdp=one.sdp()))
        before = len(link.all(MediaTimeout))
        await one.hush(0.8)
        assert len(link.all(MediaTimeout)) == before


async def test_reports_go_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("media.phone.leg.CONTROL_EVERY_S", 0.3)
    from media import rtcp

    async with running_phone_worker(tmp_path) as link, phone(losing=frozenset(range(10, 40, 3))) as one:
        await link.dial("leg0", one)
        await one.say(tone(440, 1.0, 8000))
        await one.hush(0.4)
        reports = [packet for data in one.reports for packet in rtcp.parse(data)]
        sent = [each for each in reports if isinstance(each, rtcp.SenderReport)]
        assert sent
        assert sent[-1].ssrc == one.got[-1].ssrc
        assert sent[-1].packets > 10
        block = sent[-1].reports[0]
        assert block.ssrc == one.ssrc
        assert block.lost == 10
        report = rtcp.ReportBlock(sent[-1].ssrc, 64, 5, 0, 80, sent[-1].ntp >> 16 & 0xFFFFFFFF, 0)
        one.control.sendto(rtcp.ReceiverReport(one.ssrc, (report,)).pack(), (one.remote[0], one.remote[1] + 1))
        await one.hush(0.3)
        await link.call(Close(leg="leg0"))
        last = link.all(LegStatistics)[-1]
        assert last.remote_loss == 0.25
        assert last.remote_jitter_ms == 10.0
        assert last.rtt_ms is not None
        assert 0 <= last.rtt_ms < 5000
        assert last.lost == 10
        one.listen()
        await one.hush(0.05)
        assert any(isinstance(each, rtcp.Bye) for data in one.reports for each in rtcp.parse(data))


async def test_ports_are_even_bounded_and_rest_after_use(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path, rtp_port_min=24100, rtp_port_max=24103) as link, phone() as one:
        for leg in ("a", "b"):
            await link.dial(leg, one)
            assert one.remote[1] in (24100, 24102)
        assert await link.refused(MakeOffer(leg="c")) == "capacity"
        await link.call(Close(leg="a"))
        await link.call(Close(leg="a"))
        assert await link.refused(MakeOffer(leg="c")) == "capacity"
        beat = await link.event(Beat, lambda each: each.legs == 1)
        assert beat.counters["ports_quarantined"] == 1


async def test_a_silent_line_does_not_sound_dead(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path) as link, phone() as one:
        await link.dial("leg0", one)
        await link.call(Join(leg="leg0", room="session:1"))
        await one.say(silence(8000))
        assert level(one.heard()[-2400:]) == pytest.approx(-65, abs=2)


async def test_levels_are_told(tmp_path: Path) -> None:
    async with running_phone_worker(tmp_path) as link, phone() as one, phone() as two:
        await both_in_room(link, one, two)
        sound = tone(440, 1.3, 8000)
        await asyncio.gather(one.say(sound), two.say(silence(len(sound))))
        said, heard = link.all(Levels)[-1].legs["leg0"]
        assert said == pytest.approx(level(sound), abs=1)
        assert heard < -60
        assert link.all(Levels)[-1].legs["leg1"][1] == pytest.approx(level(sound), abs=1)
