"""Phones over the API: secrets once, numbers for engineers, each site its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import ClientSession, WSServerHandshakeError, web
from aiohttp.test_utils import TestServer

from config.settings import PhonesSettings, TrunkSettings
from server.api.context import CONTEXT
from server.api.http import Routes
from server.api.phones import PhoneDoor
from server.bus.memory import MemoryBus
from server.conductor import Conductor
from server.phones.service import PhoneService
from server.sessions.machine import Actor
from server.sessions.service import SessionService
from server.store.sites import SiteTree
from signaling.sip.callevents import Incoming, Referred
from signaling.sip.uri import SipUri
from tests.fakes.phonemedia import FakePhoneMedia
from tests.fakes.serving import Served, serve
from tests.fakes.softphone import softphone, until

TRUNK = TrunkSettings(
    name="pbx", host="127.0.0.3", username="u", password="trunk-password", outbound=True, prefixes=("1",)
)
BY = Actor("u1", "张三", "county", "county", "supervisor")


@dataclass
class World:
    served: Served
    service: PhoneService
    sessions: SessionService
    media: FakePhoneMedia
    conductor: Conductor


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    door = PhoneDoor(None)
    async with serve(tmp_path, further=Routes.of(door.routes())) as served:
        context = served.context
        assert isinstance(context.tree, SiteTree)
        bus = MemoryBus()
        sessions = SessionService(context.database, context.tree, bus, 60.0)
        conductor = Conductor(context.database, bus, sessions, resume_s=1.0)
        await conductor.prepare()
        settings = PhonesSettings(enabled=True, port=0, trunks=(TRUNK,), ring_timeout_s=20.0)
        media = FakePhoneMedia()
        service = PhoneService(settings, context.database, context.tree, conductor, sessions, media, b"k" * 32)
        media.listener = service
        door.service = service
        tasks = [asyncio.ensure_future(one()) for one in (service.run, conductor.run, sessions.run)]
        await until(lambda: service.available)
        for login, role, site in (
            ("engineer", "engineer", "mine-a"), ("chief", "engineer", "nation"), ("other", "engineer", "mine-b"),
            ("super", "supervisor", "county"), ("guard", "dispatcher", "mine-a"),
        ):  # fmt: skip
            await served.add_user(login, role, site)  # type: ignore[arg-type]
        try:
            yield World(served, service, sessions, media, conductor)
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks)


async def test_a_secret_is_shown_once_and_registers_a_phone(world: World) -> None:
    async with world.served.browser("engineer") as http:
        wish = {"phone": "desk-a", "site": "mine-a", "name": "调度台", "networks": ["127.0.0.0/8"]}
        async with http.post("/api/phones", json=wish) as answer:
            body = await answer.json()
            assert answer.status == 201, body
        async with http.post("/api/phones", json=wish) as answer:
            assert (await answer.json())["error"] == "phone_taken"
        assert world.service.endpoint is not None
        async with softphone("desk-a", body["domain"], world.service.endpoint.port, body["secret"]) as phone:
            await phone.register()
            async with http.get("/api/phones") as answer:
                listed = await answer.json()
        assert body["secret"] not in str(listed)
        assert "ha1" not in str(listed)
        (one,) = listed["items"]
        assert one["registered"][0]["transport"] == "UDP"
        async with http.post("/api/phones/desk-a/secret") as answer:
            assert (await answer.json())["secret"] != body["secret"]
        assert not world.service.bindings("desk-a")
        async with http.patch("/api/phones/desk-a", json={"networks": ["nonsense"]}) as answer:
            assert answer.status == 422
        async with http.delete("/api/phones/desk-a") as answer:
            assert answer.status == 204


async def test_phones_of_other_sites_are_not_there(world: World) -> None:
    await world.service.phones.add("desk-a", "mine-a", "调度台", (), "x")
    async with world.served.browser("other") as http:
        async with http.get("/api/phones") as answer:
            assert (await answer.json())["items"] == []
        for method, path in (("PATCH", "/api/phones/desk-a"), ("DELETE", "/api/phones/desk-a")):
            async with http.request(method, path, json={} if method == "PATCH" else None) as answer:
                assert (answer.status, (await answer.json())["error"]) == (404, "no_such_phone")
        async with http.post("/api/phones", json={"phone": "x", "site": "mine-a", "name": "x"}) as answer:
            assert answer.status == 422


async def test_what_is_the_servers_is_for_engineers_at_its_top(world: World) -> None:
    for login, status in (("engineer", 404), ("chief", 200)):
        async with world.served.browser(login) as http:
            for path in ("/api/phones/trunks", "/api/phones/refused"):
                async with http.get(path) as answer:
                    assert answer.status == status
                    assert "trunk-password" not in await answer.text()
            async with http.post("/api/phones/explain", json={"source": "phones", "called": "12345"}) as answer:
                assert answer.status == status
                if status == 200:
                    assert (await answer.json())["rule"] == "no_match"
            async with http.delete("/api/phones/bans/192.0.2.1") as answer:
                assert answer.status == 404


async def test_a_consultation_rings_a_phone_and_a_moderator_ends_the_call(world: World) -> None:
    secret = await world.service.phones.add("desk-a", "mine-a", "调度台", (), "x")
    body = await world.sessions.start("mine-a", BY, ["mine-a"], title="", alert=None)
    session = body["session"]
    assert world.service.endpoint is not None
    async with (
        softphone("desk-a", "lamproom", world.service.endpoint.port, secret) as phone,
        world.served.browser("guard") as guard,
        world.served.browser("super") as chair,
        world.served.browser("other") as other,
        world.served.browser("engineer") as engineer,
    ):
        await phone.register()
        async with other.get(f"/api/sessions/{session}/phone") as answer:
            assert answer.status == 404
        async with guard.get(f"/api/sessions/{session}/phone") as answer:
            pin = (await answer.json())["pin"]
        assert pin == world.service.pin(str(session))
        async with other.post(f"/api/sessions/{session}/ring", json={"target": "site:mine-a"}) as answer:
            assert answer.status == 403 or answer.status == 404
        async with guard.post(f"/api/sessions/{session}/ring", json={"target": "site:mine-a", "menu": False}) as answer:
            assert answer.status == 202
        await until(lambda: any(leg.state == "talking" for leg in world.service.legs.values()))
        async with guard.get("/api/phones/calls") as answer:
            (call,) = (await answer.json())["items"]
        assert (call["session"], call["by"], call["peer"]) == (session, "Name of guard", "phone:desk-a")
        path = f"/api/phones/calls/{call['call']}"
        async with engineer.get(f"{path}/trace") as answer:
            steps = (await answer.json())["steps"]
        assert steps[0]["line"].startswith("INVITE")
        assert steps[0]["sent"] is True
        async with guard.post(f"{path}/hangup") as answer:
            assert answer.status == 403
        async with chair.post(f"{path}/hold", json={"held": True}) as answer:
            assert answer.status == 204
        await until(lambda: world.media.did("mute"))
        async with chair.post(f"{path}/picture", json={"track": "of-another-room"}) as answer:
            assert (answer.status, (await answer.json())["error"]) == (404, "no_such_track")
        async with chair.post(f"{path}/picture", json={"track": ""}) as answer:
            assert answer.status == 204
        await until(lambda: world.media.did("select", call["call"], ""))
        async with chair.post(f"{path}/transfer", json={"target": "tel:900"}) as answer:
            assert (answer.status, (await answer.json())["error"]) == (403, "not_allowed")
        async with chair.post(f"{path}/hangup") as answer:
            assert answer.status == 204
        await until(lambda: not world.service.legs)
        async with engineer.get("/api/phones/records") as answer:
            (record,) = (await answer.json())["items"]
        assert record["called"] == "desk-a"


async def test_phones_of_sites_aside_are_neither_rung_nor_called_by_a_transfer(world: World) -> None:
    secret = await world.service.phones.add("desk-a", "mine-a", "调度台", (), "x")
    await world.service.phones.add("desk-b", "mine-b", "别矿", (), "x")
    body = await world.sessions.start("mine-a", BY, ["mine-a"], title="", alert=None)
    path = f"/api/sessions/{body['session']}/ring"
    assert world.service.endpoint is not None
    async with (
        softphone("desk-a", "lamproom", world.service.endpoint.port, secret) as phone,
        world.served.browser("guard") as guard,
        world.served.browser("super") as chair,
    ):
        await phone.register()
        aside = ("site:mine-b", "phone:desk-b", "phone:nobody", "site:nowhere")
        for target in aside:
            async with guard.post(path, json={"target": target}) as answer:
                assert (answer.status, (await answer.json())["error"]) == (404, "not_found")
        for target in ("site:county", "phone:desk-a"):
            async with guard.post(path, json={"target": target, "menu": False}) as answer:
                assert answer.status == 202
        await until(lambda: any(leg.state == "talking" for leg in world.service.legs.values()))
        (call,) = world.service.legs
        for target in aside:
            async with chair.post(f"/api/phones/calls/{call}/transfer", json={"target": target}) as answer:
                assert (answer.status, (await answer.json())["error"]) == (404, "not_found")
        async with chair.post(f"/api/phones/calls/{call}/transfer", json={"target": "phone:desk-a"}) as answer:
            assert answer.status == 204


async def test_several_phones_are_rung_in_a_row_or_together(world: World) -> None:
    secrets = {name: await world.service.phones.add(name, "mine-a", name, (), "x") for name in ("one", "two")}
    body = await world.sessions.start("mine-a", BY, ["mine-a"], title="", alert=None)
    path = f"/api/sessions/{body['session']}/ring"
    assert world.service.endpoint is not None
    port = world.service.endpoint.port
    async with (
        softphone("one", "lamproom", port, secrets["one"]) as one,
        softphone("two", "lamproom", port, secrets["two"]) as two,
        world.served.browser("guard") as guard,
    ):
        for phone in (one, two):
            await phone.register()
            phone.on_call = phone.only_ring
        targets = ["phone:one", "phone:two"]
        wrongs: tuple[dict[str, object], ...] = ({}, {"targets": []}, {"target": "phone:one", "targets": targets})
        for wrong in wrongs:
            async with guard.post(path, json=wrong) as answer:
                assert (answer.status, (await answer.json())["error"]) == (422, "invalid")
        async with guard.post(path, json={"targets": ["phone:one", "site:mine-b"]}) as answer:
            assert answer.status == 404, "one that may not be rung, and none is"
        async with guard.post(path, json={"targets": targets, "timeout_s": 1}) as answer:
            assert answer.status == 422
        assert not world.service.legs
        async with guard.post(path, json={"targets": targets, "mode": "parallel", "menu": False}) as answer:
            assert (answer.status, (await answer.json())["targets"]) == (202, targets)
        await until(lambda: one.of(Incoming) and two.of(Incoming))
        two.take(two.of(Incoming)[0].call)
        await until(lambda: any(leg.state == "talking" for leg in world.service.legs.values()))
        assert (await one.ended(one.of(Incoming)[0].call)).cause == "cancelled"
        two.hang_up(two.of(Incoming)[0].call)
        await until(lambda: not world.service.legs)
        one.on_call, seen = one.reject(486), len(two.of(Incoming))
        async with guard.post(path, json={"targets": targets, "menu": False, "timeout_s": 60}) as answer:
            assert answer.status == 202
        await until(lambda: len(two.of(Incoming)) == seen + 1)
        assert len(one.of(Incoming)) == 2, "the second was rung when the first was busy"
        assert len(world.service.legs) == 1


async def test_two_desk_phones_are_joined_with_each_other(world: World) -> None:
    """An attended transfer: the one is told to take our place in the call of the other."""
    secrets = {name: await world.service.phones.add(name, "mine-a", name, (), "x") for name in ("one", "two")}
    await world.sessions.start("mine-a", BY, ["mine-a"], title="", alert=None)
    assert world.service.endpoint is not None
    port = world.service.endpoint.port
    async with (
        softphone("one", "lamproom", port, secrets["one"]) as one,
        softphone("two", "lamproom", port, secrets["two"]) as two,
        world.served.browser("guard") as guard,
        world.served.browser("super") as chair,
    ):
        for phone in (one, two):
            await phone.register()
            phone.dial("0")
        await until(lambda: [leg.state for leg in world.service.legs.values()] == ["talking", "talking"])
        async with guard.get("/api/phones/calls") as answer:
            calls = {each["peer"]: each for each in (await answer.json())["items"]}
        mine, other = calls["phone:one"]["call"], calls["phone:two"]["call"]
        assert calls["phone:one"]["client"] in {each.client for each in world.conductor.clients.values()}
        path = f"/api/phones/calls/{mine}/transfer"
        for wrong, status in ((f"call:{mine}", 403), (f"call:{'0' * 24}", 404), ("call:x", 422)):
            async with chair.post(path, json={"target": wrong}) as answer:
                assert answer.status == status
        async with chair.post(path, json={"target": f"call:{other}"}) as answer:
            assert answer.status == 204
        await until(lambda: one.of(Referred))
        (asked,) = one.of(Referred)
        (theirs,) = two.agent.calls.values()
        assert theirs.dialog is not None
        id = theirs.dialog.id
        assert isinstance(asked.target, SipUri)
        assert (asked.target.user, asked.target.port) == ("two", two.endpoint.port)
        assert asked.replaces == f"{id.call_id};to-tag={id.local_tag};from-tag={id.remote_tag}"
        one.do(lambda now: one.agent.accept_transfer(asked.call, now))
        one.do(lambda now: one.agent.notify_transfer(asked.call, 200, now))
        await one.ended(asked.call)
        await until(lambda: any(leg.result == "transferred" for leg in world.service.recent))


async def test_phones_that_are_off_say_so(tmp_path: Path) -> None:
    async with serve(tmp_path, further=Routes.of(PhoneDoor(None).routes())) as served:
        await served.add_user("engineer", "engineer", "nation")
        async with served.browser("engineer") as http, http.get("/api/phones") as answer:
            assert (answer.status, (await answer.json())["error"]) == (503, "phones_off")


async def test_sip_over_websocket_is_for_our_pages_and_only_where_it_is_on(world: World) -> None:
    for allowed in (False, True):
        context = world.served.context
        phones = PhonesSettings(enabled=True, websocket=allowed)
        app = web.Application()
        app[CONTEXT] = replace(context, settings=context.settings.model_copy(update={"phones": phones}))
        app.router.add_get("/api/sip", PhoneDoor(world.service).websocket)
        async with TestServer(app, host="127.0.0.1") as listening, ClientSession() as http:
            url = str(listening.make_url("/api/sip"))
            with pytest.raises(WSServerHandshakeError) as refused:
                await http.ws_connect(url, protocols=["sip"], headers={"Origin": "https://elsewhere.example"})
            assert refused.value.status == (403 if allowed else 404)
            if not allowed:
                continue
            async with http.ws_connect(url, protocols=["sip"]) as socket:
                await socket.send_str(SAID)
                assert (await socket.receive_str(timeout=5)).startswith("SIP/2.0 401")


SAID = (
    "REGISTER sip:lamproom SIP/2.0\r\nVia: SIP/2.0/WS x.invalid;branch=z9hG4bKw\r\nFrom: <sip:a@lamproom>;tag=1\r\n"
    "To: <sip:a@lamproom>\r\nCall-ID: w\r\nCSeq: 1 REGISTER\r\nContact: <sip:a@x.invalid;transport=ws>\r\n"
    "Content-Length: 0\r\n\r\n"
)
