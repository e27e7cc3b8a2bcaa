"""Calls into consultations, and out of them, over real sockets and a phone worker that moves no sound."""

import asyncio
import os
import secrets as secrets_module
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from server.phones.caller import Outcome, best
from server.phones.errors import PhoneError
from server.phones.leg import HangUp, Hold
from server.phones.media import PhoneMediaDown, PhoneMediaRefused
from server.sessions.machine import Actor, Invited
from server.store import phones as rows
from signaling.sip.callevents import Answered, Incoming, Offered, Renegotiated, TransferProgress
from signaling.sip.digest import Algorithm, DigestServer, ha1
from signaling.sip.registrar import Registrar
from signaling.sip.transactionlayer import Send
from signaling.sip.uri import SipUri
from tests.fakes.softphone import OFFER, Softphone, softphone, until
from tests.server.phones.conftest import BY, TRUNK, Make, PhoneWorld


async def talking(world: PhoneWorld, phone: Softphone, number: str = "0") -> str:
    call = phone.dial(number)
    await until(lambda: any(leg.state == "talking" for leg in world.service.legs.values()))
    return call


def as_caller(phone: Softphone, number: str = "13800001111") -> Softphone:
    phone.address = replace(phone.address, uri=SipUri("127.0.0.3", number))
    return phone


# --- coming in ---


async def test_a_desk_phone_dials_0_and_is_a_member_of_its_site(make: Make) -> None:
    world = await make()
    await world.add("desk")
    state = await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        call = await talking(world, desk)
        (member,) = world.conductor.roster(state.room)[0]
        assert (member.person.user, member.person.role) == ("phone:desk", "phone")
        assert (member.person.site, member.person.level) == ("mine", "mine")
        assert world.media.rooms == {world.leg().id: state.room}
        now = world.sessions.get_open(state.session)
        assert now is not None
        assert now.invitations["mine"].state == "answered"
        assert now.invitations["mine"].answered_by == "desk 电话"
        desk.hang_up(call)
        await until(lambda: not world.service.legs)
    await until(lambda: not world.conductor.roster(state.room)[0])
    assert not world.media.legs
    expected = ["ringing", "answered", "joined", "ended"]
    assert await world.changes("site:mine", *expected) == expected
    assert await world.changes(state.room, "joined", "ended") == ["joined", "ended"]
    assert (await world.entries(state.room))[-1]["result"] == "hangup"


async def test_a_call_that_breaks_ends_no_other(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await make()
    for name in ("desk", "broken"):
        await world.add(name)
    state = await world.session("mine")
    async with world.phone("desk") as desk, world.phone("broken") as broken:
        await desk.register()
        await broken.register()
        await talking(world, desk)
        leg = world.leg()
        monkeypatch.setattr(world.media, "refuses", RuntimeError("a fault of ours"))
        await broken.ended(broken.dial("0"))
        await until(lambda: world.service.recent)
        assert world.service.recent[-1].result == "error"
        monkeypatch.setattr(world.service, "_goals", lambda target, site: [None])
        world.service.begin_ring(
            ["site:mine"], mode="sequential", timeout_s=None, session=state.session, alert=None, by="x", menu=False
        )
        monkeypatch.setattr(world.media, "close", world.media.drop)
        await broken.ended(broken.dial("0"))
        await until(lambda: len(world.service.recent) == 2)
        assert world.service.available
        assert world.service.legs == {leg.id: leg}
        assert leg.state == "talking"


async def test_a_desk_phone_with_nothing_to_join_is_told_so(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk") as desk:
        await desk.register()
        ended = await desk.ended(desk.dial("0"))
    assert ended.by == "them"
    await until(lambda: world.rules() == ["no_session"])
    assert world.service.recent[-1].result == "no_session"
    (refused,) = world.service.refusals.items
    assert (refused.caller, refused.called, refused.address) == ("desk", "0", "127.0.0.1")


async def test_a_caller_by_the_trunk_enters_the_six_digits(make: Make) -> None:
    world = await make()
    await world.session("mine")
    other = await world.sessions.start("other", BY, [], title="", alert=None)
    room = f"session:{other['session']}"
    pin = world.service.pin(str(other["session"]))
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        call = as_caller(pbx).dial("5000")
        leg = await world.leg_with("enter-pin")
        world.media.press(leg.id, "12*" + pin)
        await until(lambda: leg.state == "talking")
        (member,) = world.conductor.roster(room)[0]
        assert member.person.name == "☎ ***1111"
        assert "13800001111" not in str(await world.entries(room, "member") + await world.entries(room))
        assert [one[2] for one in world.media.did("play", leg.id)] == ["enter-pin", "pin-ok", "alone"]
        assert (leg.site, member.person.level) == ("other", "guest")  # for those who moderate there
        pbx.hang_up(call)
        found = await written(world, "other")
    assert [one["call"] for one in found] == [leg.id]


async def test_a_wrong_number_is_told_and_asked_again_in_one_breath(make: Make) -> None:
    """Keys need not wait for the end of what is said, and a # behind the sixth digit is no number of its own."""
    world = await make()
    state = await world.session("mine")
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        as_caller(pbx).dial("5000")
        leg = await world.leg_with("enter-pin")
        world.media.press(leg.id, "000000#")
        await world.leg_with("wrong-pin")
        world.media.press(leg.id, world.service.pin(state.session) + "#")
        await until(lambda: leg.state == "talking")
    assert [one[2] for one in world.media.did("play", leg.id)][:4] == ["enter-pin", "wrong-pin", "enter-pin", "pin-ok"]
    assert len(world.media.did("stop", leg.id)) == 2, "each time by the first digit"


async def test_a_phone_is_told_that_a_moderator_muted_it(make: Make) -> None:
    world = await make(language="en")
    state = await world.session("mine")
    await world.add("desk")
    async with world.phone("desk") as desk:
        await desk.register()
        desk.dial("0")
        await until(lambda: world.service.legs and world.leg().state == "talking")
        leg = world.leg()
        world.media.listener.silenced(leg.id, True)
        await until(lambda: world.media.did("play", leg.id, "muted"))
        assert leg.shown()["muted"] is True
        world.media.listener.silenced(leg.id, False)
        await until(lambda: world.media.did("play", leg.id, "unmuted"))
        assert leg.language == "en"
        changes = await world.changes(state.room, *"123")
        assert changes == ["joined", "muted", "unmuted"]


async def written(world: PhoneWorld, site: str) -> list[dict[str, Any]]:
    """Records of a site's calls, as soon as there are any."""
    async with asyncio.timeout(10):
        while True:
            async with world.database.reading() as connection:
                if found := await rows.calls_of(connection, [site], None, 10):
                    return found
            await asyncio.sleep(0.01)


def asked(world: PhoneWorld, times: int) -> bool:
    return len([one for one in world.media.log if one[2:] == ("enter-pin",)]) == times


async def test_three_wrong_numbers_end_the_call_and_lock_the_caller_out(make: Make) -> None:
    world = await make()
    state = await world.session("mine")
    wrong = "000000" if world.service.pin(state.session) != "000000" else "111111"
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        call = as_caller(pbx).dial("5000")
        for tries in range(1, 4):
            await until(partial(asked, world, tries))
            world.media.press(world.leg().id, wrong)
        assert (await pbx.ended(call)).by == "them"
        again = pbx.dial("5000")
        await until(lambda: any(one.call == again for one in pbx.of(Answered)))
        assert (await pbx.ended(again)).by == "them"
    await until(lambda: len(world.service.recent) == 2)
    assert [one.result for one in world.service.recent] == ["wrong_pin", "pin_locked"]
    await until(lambda: world.rules() == ["wrong_pin", "pin_locked"])


async def test_a_desk_phone_cannot_enter_a_consultation_that_its_site_has_no_part_in(make: Make) -> None:
    world = await make()
    await world.add("desk", "other")
    state = await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        assert (await desk.ended(desk.dial(world.service.pin(state.session)))).by == "them"
        await world.sessions.handle(state.session, Invited("other", "mine", BY))
        await talking(world, desk, world.service.pin(state.session))


async def test_a_room_number_leads_straight_into_the_consultation_about_its_site(make: Make) -> None:
    world = await make()
    state = await world.session()
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        await talking(world, as_caller(pbx), "5001")
        assert list(world.media.rooms.values()) == [state.room]
        assert world.leg().rule == "county-line"


async def test_a_late_offer_is_answered_with_ours(make: Make) -> None:
    world = await make()
    await world.add("desk")
    await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        await talking(world, desk)
        leg = world.leg()
        dialog = next(iter(desk.agent.calls.values())).dialog
        assert dialog is not None
        bare = dialog.request("INVITE", desk.agent.place.via(desk.server, "bare1"))
        bytes_ = bare.serialize()
        desk.endpoint.step(lambda _now: [Send(desk.server, bytes_)])
        await until(lambda: world.media.did("make_offer", leg.id))


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (PhoneMediaRefused("not_acceptable", "no codec"), 488),
        (PhoneMediaRefused("sdp_invalid", "no m-line"), 400),
        (PhoneMediaRefused("capacity", "no port"), 503),
        (PhoneMediaDown("gone"), 503),
    ],
)
async def test_media_that_cannot_be_had_refuses_the_call(make: Make, refusal: Exception, status: int) -> None:
    world = await make()
    await world.add("desk")
    world.media.refuses = refusal  # type: ignore[assignment]
    async with world.phone("desk") as desk:
        await desk.register()
        assert (await desk.ended(desk.dial("0"))).status == status
    await until(lambda: world.service.recent)
    assert world.service.recent[-1].result in ("media_refused", "media_down")
    await until(lambda: world.rules() == [world.service.recent[-1].result])
    assert world.service.refusals.items[0].status == status


async def test_a_call_ends_with_its_consultation_and_with_its_media(make: Make) -> None:
    world = await make()
    await world.add("desk")
    state = await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        call = await talking(world, desk)
        world.media.fall_silent(world.leg().id)
        assert (await desk.ended(call)).by == "them"
        call = await talking(world, desk)
        world.service.phone_media_restarted()
        assert (await desk.ended(call)).by == "them"
        call = await talking(world, desk)
        await world.end(state)
        assert (await desk.ended(call)).by == "them"
    await until(lambda: len(world.service.recent) == 3)
    assert [one.result for one in world.service.recent] == ["no_media", "media_down", "session_over"]


async def test_a_member_that_is_removed_is_hung_up(make: Make) -> None:
    world = await make()
    await world.add("desk")
    await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        call = await talking(world, desk)
        client = world.leg().client
        assert client is not None
        await world.conductor.remove(client)
        assert (await desk.ended(call)).by == "them"
    await until(lambda: world.service.recent)
    assert world.service.recent[-1].result == "removed"


async def test_a_locked_consultation_lets_a_phone_in_by_its_chair(make: Make) -> None:
    world = await make()
    state = await world.session("mine")
    chair = Actor("u1", "张三", "county", "county", "supervisor")
    for action in ("take_chair", "lock"):
        await world.act(state, chair, action)
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        call = as_caller(pbx).dial("5001")
        await world.leg_with("waiting")
        waiting = world.sessions.get_open(state.session)
        assert waiting is not None
        (user,) = waiting.floor.lobby
        assert waiting.floor.lobby[user].level == "guest"
        await world.act(state, chair, "admit", user)
        await until(lambda: world.leg().state == "talking")
        after = world.sessions.get_open(state.session)
        assert after is not None
        assert after.invitations["mine"].state == "ringing", "a caller by a trunk answers for nobody"
        await world.act(state, chair, "remove", user)
        client = world.leg().client
        assert client is not None
        await world.conductor.leave(client, state.room)
        await pbx.ended(call)
        again = pbx.dial("5001")
        assert (await pbx.ended(again)).by == "them"
        await until(lambda: len(world.service.recent) == 2)
        assert [one.result for one in world.service.recent] == ["removed", "removed"]


async def test_a_phone_that_hangs_up_while_waiting_waits_no_more(make: Make) -> None:
    world = await make()
    state = await world.session("mine")
    chair = Actor("u1", "张三", "county", "county", "supervisor")
    for action in ("take_chair", "lock"):
        await world.act(state, chair, action)

    def lobby() -> int:
        now = world.sessions.get_open(state.session)
        assert now is not None
        return len(now.floor.lobby)

    async with world.phone("pbx", host="127.0.0.3") as pbx:
        call = as_caller(pbx).dial("5001")
        await world.leg_with("waiting")
        assert lobby() == 1
        pbx.hang_up(call)
        await until(lambda: lobby() == 0)


# --- going on ---


async def test_the_phone_holds_and_a_moderator_holds(make: Make) -> None:
    world = await make()
    await world.add("desk")
    await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        call = await talking(world, desk)
        leg = world.leg()
        desk.do(lambda now: desk.agent.offer(call, OFFER + b"a=sendonly\r\n", now))
        await until(lambda: desk.of(Renegotiated))
        assert b"a=recvonly" in desk.of(Renegotiated)[0].answer
        world.service.command(leg.id, Hold(True))
        await until(lambda: desk.of(Offered))
        assert b"a=sendonly" in desk.of(Offered)[0].offer
        await until(lambda: world.media.did("mute", leg.id, "True"))
        assert world.media.did("play", leg.id, "hold")
        world.service.command(leg.id, Hold(False))
        await until(lambda: world.media.did("mute", leg.id, "False"))
        changes = await world.changes("site:mine", *"abcdef")
        assert changes[-3:] == ["held_by_them", "held", "resumed"]
        world.service.command(leg.id, HangUp("by_moderator"))
        assert (await desk.ended(call)).by == "them"
    with pytest.raises(PhoneError):
        world.service.command("nobody", Hold(True))


async def test_keys_by_info_are_heard(make: Make) -> None:
    world = await make()
    state = await world.session("mine")
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        call = as_caller(pbx).dial("5000")
        leg = await world.leg_with("enter-pin")
        await until(lambda: pbx.of(Answered))
        for digit in world.service.pin(state.session):
            pbx.do(partial(pbx.agent.send_digit, call, digit))
        await until(lambda: leg.state == "talking")
        assert len(world.media.did("inject_digit", leg.id)) == 6


async def test_a_phone_is_asked_to_call_somebody_else(make: Make) -> None:
    world = await make()
    await world.add("desk")
    await world.add("boss", "county")
    await world.session("mine")
    async with world.phone("desk") as desk, world.phone("boss") as boss:
        await desk.register()
        await boss.register()
        await talking(world, desk)
        world.service.transfer(world.leg().id, "phone:boss")
        await until(lambda: any("REFER" in str(one) or type(one).__name__ == "Referred" for one in desk.events))
        with pytest.raises(PhoneError, match="no_prefix"):
            world.service.transfer(world.leg().id, "tel:00900")


async def test_a_desk_phone_brings_in_an_allowed_number(make: Make) -> None:
    world = await make(transfers=("138",))
    await world.add("desk")
    state = await world.session("mine")
    async with world.phone("desk") as desk, world.phone("pbx", host="127.0.0.3") as pbx:
        trunk = world.service.settings.trunks[0].model_copy(update={"port": pbx.endpoint.port})
        world.service.settings = world.service.settings.model_copy(update={"trunks": (trunk,)})
        await desk.register()
        call = await talking(world, desk)
        desk.do(lambda now: desk.agent.transfer(call, SipUri("lamproom", "13812345678"), now))
        await until(lambda: any(one.status == 200 for one in desk.of(TransferProgress)))
        await until(lambda: len(world.conductor.roster(state.room)[0]) == 2)


# --- ringing out ---


async def menu(world: PhoneWorld, digit: str, count: int = 1) -> None:
    await until(lambda: len([one for one in world.media.log if one[2:] == ("menu-alert",)]) >= count)
    leg = next(one for one in world.service.legs.values() if world.media.playing.get(one.id) == "menu-alert")
    world.media.press(leg.id, digit)


async def test_1_brings_the_phone_into_the_consultation(make: Make) -> None:
    world = await make()
    await world.add("desk")
    state = await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        ringing = asyncio.ensure_future(world.service.ring("site:mine", session=state.session, by="张三"))
        await menu(world, "1")
        outcome = await ringing
        assert (outcome.result, outcome.reason, outcome.answered_by) == (
            "answered_by_person", "pressed_1", "phone:desk",
        )  # fmt: skip
        await until(lambda: world.leg().state == "talking")
        (member,) = world.conductor.roster(state.room)[0]
        assert member.person.site == "mine"
        expected = ["dialling", "ringing", "answered", "taken", "joined"]
        assert await world.changes(state.room, *expected) == expected
        desk.hang_up(desk.of(Incoming)[0].call)
        await until(lambda: not world.service.legs)
        assert world.service.recent[-1].result == "hangup"


async def test_2_calls_the_next_and_the_first_who_has_it_ends_the_row(make: Make) -> None:
    world = await make()
    for name in ("one", "two", "three"):
        await world.add(name)
    async with world.phone("one") as one, world.phone("two") as two, world.phone("three") as three:
        for phone in (one, two, three):
            await phone.register()
        targets = ("phone:one", "phone:two", "phone:three")
        ringing = asyncio.ensure_future(world.service.ring_group(targets, alert="a1"))
        await menu(world, "2")
        await menu(world, "1", 2)
        outcomes = await ringing
        assert [one.result for one in outcomes] == ["next", "answered_by_person"]
        assert not three.of(Incoming)


async def test_phones_that_ring_together_stop_when_one_has_it(make: Make) -> None:
    world = await make()
    for name in ("one", "two"):
        await world.add(name)
    async with world.phone("one") as one, world.phone("two") as two:
        for phone in (one, two):
            await phone.register()
        two.on_call = two.only_ring
        ringing = asyncio.ensure_future(world.service.ring("site:mine"))
        await menu(world, "1")
        assert (await ringing).answered_by == "phone:one"
        await until(lambda: two.events and type(two.events[-1]).__name__ == "Ended")
        outcomes = asyncio.ensure_future(world.service.ring_group(("phone:one", "phone:two"), mode="parallel"))
        await menu(world, "1", 2)
        assert [one.result for one in await outcomes] == ["answered_by_person", "cancelled"]


@pytest.mark.parametrize(
    ("status", "result", "reason"),
    [
        (486, "busy", "busy"),
        (603, "declined", "rejected"),
        (480, "no_answer", "refused"),
        (404, "unreachable", "refused"),
    ],
)
async def test_what_a_phone_says_is_told(make: Make, status: int, result: str, reason: str) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk") as desk:
        await desk.register()
        desk.on_call = desk.reject(status)
        outcome = await world.service.ring("phone:desk")
        assert (outcome.result, outcome.reason, outcome.status) == (result, reason, status)
    await until(lambda: not world.service.legs)
    assert not world.media.legs


async def test_a_phone_that_nobody_takes_and_one_that_is_not_there(make: Make) -> None:
    world = await make()
    await world.add("desk")
    state = await world.session("mine")
    outcome = await world.service.ring("phone:desk", session=state.session)
    assert (outcome.result, outcome.reason) == ("unreachable", "not_registered")
    assert not world.service.reachable("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        assert world.service.reachable("mine")
        desk.on_call = desk.only_ring
        outcome = await world.service.ring("phone:desk", timeout_s=0.3)
        assert (outcome.result, outcome.reason) == ("no_answer", "ring_timeout")
        await until(lambda: not world.service.legs)
        assert desk.events
    assert await world.changes(state.room, "unreachable") == ["unreachable"]


async def test_in_a_drill_the_phone_is_told_so_first_and_with_every_menu(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.phones.flows.MENU_WAIT_S", 0.05)
    world = await make()
    await world.add("desk")
    async with world.phone("desk") as desk:
        await desk.register()
        await world.service.ring("phone:desk", drill=True)
        said = [one[2] for one in world.media.log if one[0] == "play"]
        assert said[:6] == ["drill", "menu-alert"] * 3


async def test_a_machine_that_answers_does_not_have_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.phones.flows.MENU_WAIT_S", 0.05)
    world = await make()
    await world.add("desk")
    async with world.phone("desk") as desk:
        await desk.register()
        outcome = await world.service.ring("phone:desk")
        assert (outcome.result, outcome.reason) == ("no_answer", "no_key")
        assert len([one for one in world.media.log if one[2:] == ("menu-alert",)]) == 3


async def test_a_ring_that_is_cancelled_stops_ringing(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk") as desk:
        await desk.register()
        desk.on_call = desk.only_ring
        ringing = asyncio.ensure_future(world.service.ring("phone:desk", timeout_s=60))
        await until(lambda: desk.of(Incoming))
        ringing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ringing
        assert (await desk.ended(desk.of(Incoming)[0].call)).cause == "cancelled"


async def test_a_number_is_dialled_over_the_trunk_and_nobody_reads_it_whole(make: Make) -> None:
    world = await make()
    state = await world.session()
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        trunk = world.service.settings.trunks[0].model_copy(update={"port": pbx.endpoint.port})
        world.service.settings = world.service.settings.model_copy(update={"trunks": (trunk,)})
        outcome = await world.service.ring("tel:138-1234-5678", session=state.session, menu=False)
        assert outcome.result == "answered_by_person"
        (incoming,) = pbx.of(Incoming)
        assert str(incoming.request.uri).startswith("sip:13812345678@127.0.0.3")
        assert incoming.request.headers.first("P-Asserted-Identity") == "<sip:88001234@127.0.0.3>"
        await until(lambda: world.leg().state == "talking")
    assert "13812345678" not in str(await world.entries(state.room))
    assert world.service.trunk_states()[0]["dialled_today"] == 1
    assert "password" not in str(world.service.trunk_states())


async def test_the_server_registers_at_a_trunk_and_its_state_is_told(make: Make) -> None:
    async with softphone("exchange", "pbx.example", 9, host="127.0.0.3") as exchange:

        def secrets(user: str, algorithm: Algorithm) -> str | None:
            return ha1(algorithm, user, "pbx.example", "secret") if user == "lamp" else None

        digest = DigestServer("pbx.example", b"k" * 32, os.urandom)
        exchange.agent.registrar = Registrar("pbx.example", digest, secrets, lambda: secrets_module.token_hex(8))
        trunk = TRUNK.model_copy(
            update={"port": exchange.endpoint.port, "username": "lamp", "password": "secret", "realm": "pbx.example",
                    "register_every_s": 600}
        )  # fmt: skip
        world = await make(trunks=(trunk,))
        await until(lambda: world.service.trunk_states()[0]["registration"] == "registered")
        await until(lambda: world.service.trunk_states()[0]["up"] is True)
        (binding,) = exchange.agent.registrar.bindings("lamp", asyncio.get_running_loop().time())
        assert str(binding.contact.uri).startswith("sip:lamproom@127.0.0.1:")


async def test_calls_are_on_record_with_their_reasons(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk") as desk:
        await desk.register()
        desk.on_call = desk.reject(486)
        await world.service.ring("phone:desk", by="张三", alert="a1")
    row: dict[str, object] = {}
    while row.get("ended_at") is None:
        async with world.database.reading() as connection:
            (row,) = await rows.calls_of(connection, ["mine"], None, 10)
    assert (row["direction"], row["peer"], row["result"], row["status"]) == ("out", "phone:desk", "busy", 486)
    assert (row["by"], row["alert"]) == ("张三", "a1")


async def test_the_ladder_of_a_call_shows_no_secret(make: Make) -> None:
    world = await make()
    secret = await world.add("desk")
    state = await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        call = await talking(world, desk)
        leg = world.leg()
        desk.do(lambda now: desk.agent.send_digit(call, "7", now))
        await until(lambda: world.media.did("inject_digit", leg.id))
    ladder = world.service.trace.ladder(leg.call_id)
    assert ladder is not None
    lines = [one.line for one in ladder.steps()]
    assert lines[0].startswith("INVITE")
    assert any("401" in one for one in lines)
    assert any(one.startswith("SIP/2.0 200") for one in lines)
    text = "\n".join(one.text for one in ladder.steps())
    for hidden in (secret, "response=", "nonce=", "Signal=7", "Signal= 7"):
        assert hidden not in text
    assert "Authorization: (hidden)" in text
    assert state.session


async def test_what_comes_of_several_is_the_best() -> None:
    results = [Outcome("a", "unreachable"), Outcome("b", "busy"), Outcome("c", "next")]
    assert best(results).target == "c"
