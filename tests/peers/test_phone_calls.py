"""Baresip, our server and Chromium: a tone at one end is measured, level and frequency, at the other."""

import asyncio
import wave
from collections.abc import Callable
from pathlib import Path

import pytest

from media.phone.messages import DigitPressed, Started
from server.phones.leg import HangUp, Hold
from tests.fakes.baresip import Baresip, baresip
from tests.fakes.browser import chromium
from tests.fakes.phoneserver import PhoneServer, sip_server
from tests.fakes.sound import dominant, level, tone
from tests.fakes.voicepage import RATE, VoicePage

pytestmark = [pytest.mark.peer, pytest.mark.timeout(400)]

FROM_PHONE, FROM_PAGE = 440.0, 1000.0
PHONE_LEVEL, PAGE_LEVEL = level(tone(FROM_PHONE, 1, 8000)), -15.05
CASES = (
    ("pcma/8000/1", "udp", "", False),
    ("pcmu/8000/1", "tcp", "", False),
    ("g722/16000/1", "tls", "srtp-mand", False),
    ("opus/48000/2", "udp", "srtp", False),
    ("pcma/8000/1", "tls", "srtp-mand", True),
    ("pcmu/8000/1", "udp", "srtp", True),
    ("g722/16000/1", "udp", "", True),
    ("opus/48000/2", "tcp", "", True),
)
"""Codec, transport of the signalling, encryption of the media, and whether the phone is rung: each codec both ways,
plain and encrypted, each transport both ways. A phone that must encrypt refuses our first offer, and gets RTP/SAVP."""


class Ears:
    """What the phone worker tells call control, kept as well."""

    def __init__(self, server: PhoneServer) -> None:
        self.started: list[Started] = []
        self.digits: list[str] = []
        phones = server.parts.phones
        media_started, digit = phones.media_started, phones.digit

        def starts(event: Started) -> None:
            self.started.append(event)
            media_started(event)

        def presses(event: DigitPressed) -> None:
            self.digits.append(event.digit)
            digit(event)

        phones.media_started = starts  # type: ignore[method-assign]
        phones.digit = presses  # type: ignore[method-assign]


async def phone_track(server: PhoneServer, room: str) -> str:
    """The phone's track, once it is in the room."""
    async with asyncio.timeout(30):
        while True:
            for client, own in server.parts.conductor.tracks_in(room):
                if client.kind == "phone" and own.state == "live":
                    return own.track
            await asyncio.sleep(0.05)


async def gone(server: PhoneServer, room: str) -> None:
    async with asyncio.timeout(30):
        while any(client.kind == "phone" for client, _ in server.parts.conductor.tracks_in(room)):
            await asyncio.sleep(0.05)


async def page_hears(page: VoicePage, loud: bool, timeout_s: float = 30.0) -> None:
    """The phone's tone, or nothing, within a while; what is heard last is in the message."""
    found = (0.0, 0.0)
    for _ in range(round(timeout_s / 0.5)):
        await asyncio.sleep(0.5)
        samples = await page.samples()
        found = (round(level(samples), 1), round(dominant(samples, RATE), 1) if samples.any() else 0.0)
        right = abs(found[0] - PHONE_LEVEL) <= 2 and abs(found[1] - FROM_PHONE) <= 3
        if right if loud else found[0] < -55:
            return
    raise AssertionError(f"heard {found[0]} dBov at {found[1]} Hz, not {PHONE_LEVEL:.1f} at {FROM_PHONE}")


async def phone_hears(phone: Baresip, timeout_s: float = 30.0) -> None:
    """The page's tone."""
    found = (0.0, 0.0)
    for _ in range(round(timeout_s / 0.5)):
        await asyncio.sleep(0.5)
        samples = phone.heard()[-phone.rate // 2 :]
        if len(samples) < phone.rate // 2:
            continue
        found = (round(level(samples), 1), round(dominant(samples, phone.rate), 1))
        if abs(found[0] - PAGE_LEVEL) <= 2.5 and abs(found[1] - FROM_PAGE) <= 3:
            return
    raise AssertionError(f"heard {found[0]} dBov at {found[1]} Hz, not {PAGE_LEVEL} at {FROM_PAGE}")


async def hears_level(phone: Baresip, fits: Callable[[float], bool]) -> None:
    """The last quarter of a second, before long."""
    found = 0.0
    async with asyncio.timeout(20):
        while not fits(found):
            await asyncio.sleep(0.2)
            if list(phone.folder.glob("rec/*-dec.wav")):
                found = level(phone.heard()[-phone.rate // 4 :])


async def hold_and_press(phone: Baresip, page: VoicePage, ears: Ears) -> None:
    for key in "5#5":
        await phone.press(key)
        await asyncio.sleep(0.4)
    async with asyncio.timeout(20):
        while len(ears.digits) < 3:
            await asyncio.sleep(0.05)
    assert ears.digits == ["5", "#", "5"]
    await phone.command("hold")
    await page_hears(page, loud=False)
    await phone.command("resume")
    await page_hears(page, loud=True)
    await phone_hears(phone)


async def enter(server: PhoneServer, page: VoicePage) -> str:
    """The county calls a consultation with the mine, and enters with its page; the room."""
    http = await server.session("county")
    async with http.post("/api/sessions", json={"site": "hongqi", "levels": []}) as answer:
        room = f"session:{(await answer.json())['session']}"
    await http.close()
    await page.enter(server.url, "county", room, FROM_PAGE)
    return room


async def account_of(server: PhoneServer, transport: str, secret: str) -> dict[str, str]:
    endpoint = server.parts.phones.endpoint
    assert endpoint is not None
    port = endpoint.tls_port if transport == "tls" else endpoint.port
    return {"user": "desk", "secret": secret, "domain": "lamproom", "server": f"127.0.0.1:{port}"}


async def test_phones_and_pages_hear_each_other(tmp_path: Path) -> None:
    """G.711 both laws, G.722 and Opus; UDP, TCP and TLS; with SDES and without; DTMF, hold and resume."""
    async with sip_server(tmp_path, digest="md5") as server, chromium() as browser:
        ears = Ears(server)
        page = VoicePage(await (await browser.new_context()).new_page())
        room = await enter(server, page)
        secret = await server.parts.phones.phones.add("desk", "hongqi", "调度电话", (), "test")
        for number, (codec, transport, encryption, rung) in enumerate(CASES):
            account = await account_of(server, transport, secret)
            folder = tmp_path / f"phone{number}"
            async with baresip(
                folder, account, codec=codec, transport=transport, encryption=encryption, answers=rung
            ) as phone:
                if rung:
                    outcome = await server.parts.phones.ring("phone:desk", session=room[8:], menu=False)
                    assert outcome.result == "answered_by_person"
                else:
                    await phone.command("dial", "0")
                await phone.event("CALL_ESTABLISHED")
                await page.watch(await phone_track(server, room))
                await page_hears(page, loud=True)
                await phone_hears(phone)
                started = ears.started[-1]
                assert (started.codec.lower(), started.encrypted) == (codec.split("/")[0], bool(encryption))
                if number == 0:
                    await hold_and_press(phone, page, ears)
                await phone.command("hangup")
                await gone(server, room)


async def test_a_prompt_ends_with_the_first_digit_and_six_lead_in(tmp_path: Path) -> None:
    """Two consultations: which one is asked, in a recording far longer than the test."""
    asks = tone(600, 55.0, 8000)
    (tmp_path / "own" / "zh").mkdir(parents=True)
    with wave.open(str(tmp_path / "own" / "zh" / "enter-pin.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(asks.astype("<i2").tobytes())
    async with sip_server(tmp_path, tmp_path / "own", digest="md5") as server:
        http = await server.session("county")
        sessions = []
        for _ in range(2):
            async with http.post("/api/sessions", json={"site": "hongqi", "levels": []}) as answer:
                sessions.append((await answer.json())["session"])
        await http.close()
        phones = server.parts.phones
        secret = await phones.phones.add("desk", "hongqi", "调度电话", (), "test")
        async with baresip(
            tmp_path / "phone", await account_of(server, "udp", secret), codec="pcmu/8000/1"
        ) as phone:  # fmt: skip
            await phone.command("dial", "0")
            await phone.event("CALL_ESTABLISHED")
            await hears_level(phone, lambda found: abs(found - level(asks)) <= 2)
            pin = phones.pin(sessions[1])
            await phone.press(pin[0])
            await hears_level(phone, lambda found: found < -55)
            for key in pin[1:]:
                await phone.press(key)
                await asyncio.sleep(0.4)
            await phone_track(server, f"session:{sessions[1]}")
            await phone.command("hangup")
            await phone.event("CALL_CLOSED")


async def test_a_phone_is_rung_takes_the_call_by_a_key_and_is_held(tmp_path: Path) -> None:
    """Our offer: encrypted beside plain (RFC 8643), and again for the hold."""
    async with sip_server(tmp_path, digest="md5") as server, chromium() as browser:
        ears = Ears(server)
        page = VoicePage(await (await browser.new_context()).new_page())
        room = await enter(server, page)
        phones = server.parts.phones
        secret = await phones.phones.add("desk", "hongqi", "调度电话", (), "test")
        account = await account_of(server, "tcp", secret)
        async with baresip(
            tmp_path / "phone", account, codec="g722/16000/1", transport="tcp", encryption="srtp", answers=True
        ) as phone:
            ringing = asyncio.create_task(phones.ring("phone:desk", session=room.removeprefix("session:"), menu=True))
            await phone.event("CALL_ESTABLISHED")
            await asyncio.sleep(1.0)
            await phone.press("1")
            outcome = await asyncio.wait_for(ringing, 30)
            assert outcome.result == "answered_by_person"
            await page.watch(await phone_track(server, room))
            await page_hears(page, loud=True)
            await phone_hears(phone)
            assert (ears.started[-1].codec, ears.started[-1].encrypted) == ("G722", True)
            (leg,) = phones.legs.values()
            phones.command(leg.id, Hold(True))
            await page_hears(page, loud=False)
            phones.command(leg.id, Hold(False))
            await page_hears(page, loud=True)
            await phone_hears(phone)
            phones.command(leg.id, HangUp("hung_up"))
            await phone.event("CALL_CLOSED")
            await gone(server, room)
