"""What a telephone exchange must refuse, where no other test asks for it: docs/sip.md has the whole list."""

import ast
import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.phones.devices import new_secret
from signaling.sip.callevents import Incoming
from signaling.sip.uri import SipUri
from tests.fakes.softphone import until
from tests.server.phones.conftest import Make
from tests.server.phones.test_refusals import Raw

ROOT = Path(__file__).parents[3]
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY % p SYSTEM "http://127.0.0.1/x.dtd"><!ENTITY b "bbbbbbbb">'
    b'<!ENTITY c "&b;&b;&b;&b;">%p;]><Notify><CmdType>Keepalive</CmdType><Status>&c;</Status></Notify>'
)
XML = "Content-Type: Application/MANSCDP+xml"
DESK: dict[str, Any] = {"From": "<sip:desk@lamproom>;tag=x", "To": "<sip:desk@lamproom>"}


async def test_must_refuse_3_a_message_that_only_claims_to_be_a_phone_moves_nothing(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk", host="127.0.0.5") as phone:
        await phone.register()
        (before,) = world.service.bindings("desk")
        raw = Raw("127.0.0.9", world.port)
        for method in ("MESSAGE", "NOTIFY", "OPTIONS", "INVITE", "SUBSCRIBE"):
            answered = await raw.ask(method, uri="sip:desk@lamproom", wait_s=0.1, Contact="<sip:t@127.0.0.9>", **DESK)
            assert all(status >= 400 for status in answered), method
        raw.close()
        assert world.service.bindings("desk") == [before]
        phone.on_call = phone.only_ring
        ringing = asyncio.ensure_future(world.service.ring("phone:desk", timeout_s=5))
        await until(lambda: phone.of(Incoming))
        ringing.cancel()
        await asyncio.gather(ringing, return_exceptions=True)


async def test_must_refuse_4_no_body_is_read_before_its_sender_is_known(make: Make) -> None:
    world = await make(silent=False)
    await world.add("desk")
    raw = Raw("127.0.0.9", world.port)
    assert await raw.ask("MESSAGE", XML, body=BOMB, wait_s=0.2) == [415]
    assert await raw.ask("INVITE", "Content-Type: application/sdp", body=b"v=0\r\nm=audio", wait_s=0.2) == [403]
    raw.close()
    assert not world.media.log, "no description went to the phone worker"
    async with world.phone("desk", host="127.0.0.5") as phone:
        await phone.register()
        kind = (("Content-Type", "application/mansCDP+xml"),)
        answer = await phone.ask("MESSAGE", account=phone.account, body=BOMB, fields=kind)
        assert answer is not None
        assert answer.status == 415


def test_must_refuse_4_nothing_here_reads_xml_at_all() -> None:
    for folder in ("signaling/sip", "server/phones", "media/phone"):
        for path in (ROOT / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                assert not [name for name in names if "xml" in name.lower()], path


async def test_must_refuse_5_what_a_phone_calls_itself_never_becomes_a_line_of_ours(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk", host="127.0.0.5") as phone:
        phone.agent.place = replace(phone.agent.place, user="a%0d%0aX-Evil=1%0d%0a&b")
        await phone.register()
        (binding,) = world.service.bindings("desk")
        assert isinstance(binding.contact.uri, SipUri)
        assert "%0d%0a" in str(binding.contact.uri)
        phone.on_call = phone.reject(486)
        assert (await world.service.ring("phone:desk", timeout_s=10)).result == "busy"
        (call,) = phone.of(Incoming)
        assert "X-Evil" not in call.request.headers
        assert str(call.request.uri) == str(binding.contact.uri)


def test_must_refuse_8_a_secret_is_made_for_each_phone_and_none_is_a_default() -> None:
    found = {new_secret() for _ in range(200)}
    assert len(found) == 200
    assert {len(one) for one in found} == {24}
    places = [{one[place] for one in found} for place in range(24)]
    assert min(len(one) for one in places) > 20, "each sign is drawn anew"


@pytest.mark.parametrize("known", [True, False])
async def test_must_refuse_8_to_know_a_name_proves_nothing(make: Make, known: bool) -> None:
    world = await make()
    if known:
        await world.add("1001")
    async with world.phone("1001", password="1001", host="127.0.0.5") as phone:
        told = await phone.register(fails=True)
        assert told.reason.startswith("401")
    assert world.service.bindings("1001") == []
