"""Phones and trunks over IPv6, alone and beside IPv4 on one socket."""

from dataclasses import replace

import pytest

from config.settings import TrunkSettings
from server.phones.goals import goal_by_trunk
from signaling.sip.callevents import Incoming
from signaling.sip.uri import SipUri
from tests.fakes.softphone import until
from tests.server.phones.conftest import Make

TRUNK6 = TrunkSettings(
    name="six", host="::1", networks=("::1/128",), outbound=True, prefixes=("138",), caller="88001234"
)  # fmt: skip


@pytest.mark.parametrize("connection", ["", "tcp"])
@pytest.mark.parametrize(("listen", "host"), [("::1", "::1"), ("::", "::1"), ("::", "127.0.0.5")])
async def test_a_desk_phone_registers_calls_and_is_rung(make: Make, listen: str, host: str, connection: str) -> None:
    world = await make(listen_host=listen, trunks=(), rules=())
    networks = ("::1/128", "127.0.0.0/8")
    await world.add("desk", networks=networks)
    state = await world.session("mine")
    async with world.phone("desk", host=host, connection=connection) as phone:
        await phone.register()
        (binding,) = world.service.bindings("desk")
        expected = host if not connection or ":" in host else "127.0.0.1"  # a connection leaves by the usual address
        assert binding.flow.host == expected
        call = phone.dial("0")
        await until(lambda: any(leg.state == "talking" for leg in world.service.legs.values()))
        assert len(world.conductor.roster(state.room)[0]) == 1
        phone.hang_up(call)
        await until(lambda: not world.service.legs)
        phone.on_call = phone.reject(486)
        assert (await world.service.ring("phone:desk", timeout_s=20)).result == "busy"
        (rung,) = phone.of(Incoming)
        (contact,) = rung.request.contacts
        assert isinstance(contact.uri, SipUri)
        assert contact.uri.host == ("[::1]" if ":" in host else "127.0.0.1"), "a phone is told an address that it has"


async def test_a_number_is_dialled_over_a_trunk_on_ipv6(make: Make) -> None:
    world = await make(listen_host="::1", trunks=(TRUNK6,), rules=())
    async with world.phone("six", host="::1") as pbx:
        trunk = world.service.settings.trunks[0].model_copy(update={"port": pbx.endpoint.port})
        world.service.settings = world.service.settings.model_copy(update={"trunks": (trunk,)})
        pbx.on_call = pbx.reject(486)
        assert (await world.service.ring("tel:13812345678", timeout_s=20)).result == "busy"
        (call,) = pbx.of(Incoming)
        assert isinstance(call.request.uri, SipUri)
        assert (call.request.uri.host, call.request.uri.user) == ("[::1]", "13812345678")
        assert call.request.headers.first("P-Asserted-Identity") == "<sip:88001234@[::1]>"


def test_an_ipv6_trunk_stands_in_brackets() -> None:
    goal = goal_by_trunk(TRUNK6, "13812345678", "mine")
    assert str(goal.uri) == "sip:13812345678@[::1];user=phone"
    assert str(goal.local.uri) == "sip:88001234@[::1]"
    assert replace(goal.flow, connection="").host == "::1"
