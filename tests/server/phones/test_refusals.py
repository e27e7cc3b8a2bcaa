"""What must be refused: each case over real sockets, each with the rule that refused it."""

import asyncio
import socket
from dataclasses import replace

import pytest

from server.phones.pace import Pace
from signaling.sip.callevents import Account
from signaling.sip.message import Response, parse
from signaling.sip.uri import SipUri
from tests.fakes.sipmessages import request
from tests.fakes.softphone import Softphone, until
from tests.server.phones.conftest import Make


class Raw:
    """Datagrams from an address of choice."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self._to = ("127.0.0.1", port)
        self._count = 0

    async def ask(self, method: str, *extra: str, wait_s: float = 0.3, body: bytes = b"", **fields: str) -> list[int]:
        """The statuses of what comes back."""
        self._count += 1
        here = ":".join(str(one) for one in self._socket.getsockname())
        fields.setdefault("Via", f"SIP/2.0/UDP {here};branch=z9hG4bKraw{self._count}")
        fields.setdefault("Call_ID", f"raw{self._count}{here}")
        uri = fields.pop("uri", "sip:5000@lamproom")
        self._socket.sendto(request(method, uri, *extra, body=body, **fields), self._to)
        return [one.status for one in await self.heard(wait_s)]

    async def heard(self, wait_s: float) -> list[Response]:
        loop, answers = asyncio.get_running_loop(), []
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    one = parse(await loop.sock_recv(self._socket, 65535))
                    assert isinstance(one, Response)
                    answers.append(one)
        except TimeoutError:
            return answers

    def close(self) -> None:
        self._socket.close()


async def test_strangers_get_no_answer_at_all(make: Make) -> None:
    world = await make()
    raw = Raw("127.0.0.9", world.port)
    for method in ("INVITE", "OPTIONS", "MESSAGE"):
        assert await raw.ask(method) == []
    assert world.rules() == ["stranger"] * 3
    assert not world.service.legs
    raw.close()


async def test_strangers_are_told_403_where_the_settings_say_so(make: Make) -> None:
    world = await make(silent=False)
    raw = Raw("127.0.0.9", world.port)
    assert await raw.ask("INVITE") == [403]
    raw.close()


async def test_scanners_are_banned_with_their_first_word(make: Make) -> None:
    world = await make(silent=False)
    raw = Raw("127.0.0.9", world.port)
    assert await raw.ask("OPTIONS", "User-Agent: friendly-scanner") == []
    assert await raw.ask("INVITE") == []
    assert world.rules() == ["scanner"]
    assert [(one.host, one.why) for one in world.service.rates.bans(asyncio.get_running_loop().time())] == [
        ("127.0.0.9", "scanner")
    ]
    raw.close()


async def test_floods_are_cut_off(make: Make) -> None:
    world = await make(burst=10, requests_per_s=1.0, silent=False)
    raw = Raw("127.0.0.9", world.port)
    statuses = [one for _ in range(60) for one in await raw.ask("OPTIONS", wait_s=0.0)]
    statuses += [one.status for one in await raw.heard(0.5)]
    assert statuses.count(403) <= 11
    assert 503 in statuses
    assert len(statuses) < 60, "the ban leaves the rest unread"
    assert "over_rate" in world.rules()
    raw.close()


async def test_answers_to_strangers_are_hardly_longer_than_what_they_sent(make: Make) -> None:
    world = await make(silent=False)
    await world.add("desk")
    raw = Raw("127.0.0.9", world.port)
    for method in ("INVITE", "REGISTER", "OPTIONS"):
        via = f"SIP/2.0/UDP 127.0.0.9;branch=z9hG4bK{method}"
        data = request(method, "sip:lamproom", Via=via, To="<sip:desk@lamproom>")
        raw._socket.sendto(data, ("127.0.0.1", world.port))
        for one in await raw.heard(0.2):
            assert len(one.serialize()) < 3 * len(data)
    raw.close()


async def test_a_wrong_password_does_not_register_and_five_are_banned(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk", password="wrong", host="127.0.0.9") as phone:
        for _ in range(5):
            await phone.register(fails=True)
        assert world.service.bindings("desk") == []
        assert "wrong_digest" in world.rules()
        assert [one.why for one in world.service.rates.bans(asyncio.get_running_loop().time())] == ["wrong_digest"]
        await _quiet(phone)


async def _quiet(phone: Softphone) -> None:
    """Nothing is answered any more."""
    count = len(phone.events)
    phone.dial("5000")
    await asyncio.sleep(0.3)
    assert len(phone.events) == count


async def test_a_refresh_without_a_digest_and_one_from_elsewhere_change_nothing(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk", host="127.0.0.5") as phone:
        await phone.register()
        (before,) = world.service.bindings("desk")
        raw = Raw("127.0.0.9", world.port)
        for number, expires in enumerate(("3600", "0"), 98):
            status = await raw.ask(
                "REGISTER", f"Expires: {expires}", uri="sip:lamproom", To="<sip:desk@lamproom>",
                From="<sip:desk@lamproom>;tag=x", Call_ID=before.call_id, CSeq=f"{number} REGISTER",
                Contact="<sip:thief@127.0.0.9>",
            )  # fmt: skip
            assert status == [401]
        (after,) = world.service.bindings("desk")
        assert (after.flow, after.contact, after.cseq) == (before.flow, before.contact, before.cseq)
        raw.close()


async def test_a_recorded_authorization_is_worth_nothing_a_second_time(make: Make) -> None:
    world = await make()
    await world.add("desk")
    heard: list[bytes] = []
    endpoint = world.service.endpoint
    assert endpoint is not None
    before = endpoint.on_traffic
    endpoint.on_traffic = lambda sent, data, flow: heard.append(data) if not sent else None
    async with world.phone("desk", host="127.0.0.5") as phone:
        await phone.register()
        endpoint.on_traffic = before
        recorded = next(data for data in heard if b"Authorization:" in data)
        replayed = recorded.replace(b"branch=z9hG4bK", b"branch=z9hG4bKagain")
        (binding,) = world.service.bindings("desk")
        for number, host in ((b"3", "127.0.0.5"), (b"4", "127.0.0.9")):
            raw = Raw(host, world.port)
            here = b"%s:%d" % (host.encode(), raw._socket.getsockname()[1])
            port = b"127.0.0.1:%d" % phone.endpoint.port
            one = replayed.replace(port, here).replace(b" 2 REGISTER", b" " + number + b" REGISTER")
            raw._socket.sendto(one, ("127.0.0.1", world.port))
            assert [one.status for one in await raw.heard(0.3)] == [401]
            raw.close()
        assert world.service.bindings("desk") == [binding]


async def test_a_phone_registers_only_itself(make: Make) -> None:
    world = await make()
    await world.add("desk")
    await world.add("boss", "county")
    async with world.phone("desk") as phone:
        phone.address = replace(phone.address, uri=SipUri("lamproom", "boss"))
        await phone.register(fails=True)
        assert world.service.bindings("boss") == []
        assert world.service.bindings("desk") == []


async def test_a_name_in_from_is_no_proof(make: Make) -> None:
    """An INVITE that only claims a registered phone's name, from its very address."""
    world = await make()
    await world.add("desk")
    async with world.phone("desk") as phone:
        await phone.register()
        phone.account = Account("lamproom", "desk", "guessed")
        call = phone.dial("0")
        ended = await phone.ended(call)
        assert ended.status == 401
        assert world.rules()[-1] == "wrong_digest"
        assert not world.media.log


async def test_a_phone_that_is_registered_elsewhere_cannot_call_from_here(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk", host="127.0.0.5") as phone, world.phone("desk", host="127.0.0.6") as thief:
        await phone.register()
        ended = await thief.ended(thief.dial("0"))
        assert ended.status == 403
        assert world.rules()[-1] == "not_registered"


async def test_a_digest_of_another_phone_is_refused(make: Make) -> None:
    world = await make()
    await world.add("desk")
    await world.add("boss", "county")
    async with world.phone("desk", host="127.0.0.5") as desk, world.phone("boss", host="127.0.0.6") as boss:
        await desk.register()
        await boss.register()
        desk.address = boss.address
        ended = await desk.ended(desk.dial("0"))
        assert ended.status == 403
        assert world.rules()[-1] == "wrong_user"


async def test_a_phone_outside_of_its_networks_is_not_heard(make: Make) -> None:
    world = await make(silent=False)
    await world.add("desk", networks=("127.0.0.5/32",))
    async with world.phone("desk", host="127.0.0.6") as phone:
        await phone.register(fails=True)
        assert world.rules() == ["address"]
    async with world.phone("desk", host="127.0.0.5") as phone:
        await phone.register()


async def test_a_disabled_phone_is_out_at_once_and_a_new_secret_makes_the_old_one_worthless(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk") as phone:
        await phone.register()
        await world.service.phones.change("desk", "admin", disabled=True)
        await world.service.changed_phones()
        assert world.service.bindings("desk") == []
        await phone.register(fails=True)
        await world.service.phones.change("desk", "admin", disabled=False)
        await world.service.phones.renew("desk", "admin")
        await phone.register(fails=True)


@pytest.mark.parametrize(
    ("number", "caller", "rule", "status"),
    [("5000", "4001234", "blocked", 403), ("9999", "13800000000", "no_match", 404)],
)
async def test_a_call_by_the_trunk_is_refused_by_a_rule_with_a_name(
    make: Make, number: str, caller: str, rule: str, status: int
) -> None:
    world = await make()
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        pbx.address = replace(pbx.address, uri=SipUri("127.0.0.3", caller))
        ended = await pbx.ended(pbx.dial(number))
        assert ended.status == status
        assert world.rules() == [rule]
        assert world.service.refusals.rules == {rule: 1}


async def test_the_calls_of_a_trunk_are_bounded(make: Make) -> None:
    world = await make()
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        pbx.address = replace(pbx.address, uri=SipUri("127.0.0.3", "13800000000"))
        calls = [pbx.dial("5000") for _ in range(3)]
        ended = await pbx.ended(calls[2])
        assert ended.status == 503
        assert world.rules() == ["trunk_busy"]
        assert len(world.service.legs) == 2


async def test_numbers_outside_of_the_prefixes_are_never_dialled(make: Make) -> None:
    world = await make()
    outcome = await world.service.ring("tel:0085290000000", by="张三")
    assert (outcome.result, outcome.reason) == ("refused", "no_prefix")
    assert world.rules() == ["no_prefix"]
    assert not world.media.log
    assert (await world.service.ring("tel:not a number")).reason == "not_a_number"
    assert (await world.service.ring("http://x")).reason == "invalid"


async def test_the_day_and_the_moment_have_a_cap(make: Make) -> None:
    world = await make()
    async with world.phone("pbx", host="127.0.0.3") as pbx:
        trunk = world.service.settings.trunks[0].model_copy(update={"port": pbx.endpoint.port})
        world.service.settings = world.service.settings.model_copy(update={"trunks": (trunk,)})
        pbx.on_call = pbx.only_ring
        rings = [asyncio.ensure_future(world.service.ring("tel:13812345678", timeout_s=3)) for _ in range(3)]
        await until(lambda: rings[2].done())
        assert rings[2].result().reason == "trunk_busy"
        for one in rings:
            one.cancel()
        await asyncio.gather(*rings, return_exceptions=True)
        await until(lambda: not world.service.legs)
        pbx.on_call = pbx.reject(486)
        assert (await world.service.ring("tel:13812345678")).result == "busy"
        assert (await world.service.ring("tel:13812345678")).reason == "daily_cap"


async def test_a_transfer_is_refused_to_strangers_and_to_numbers_that_are_not_allowed(make: Make) -> None:
    world = await make(transfers=("138",))
    state = await world.session("mine")
    await world.add("desk")
    async with world.phone("desk") as desk, world.phone("pbx", host="127.0.0.3") as pbx:
        await desk.register()
        pbx.address = replace(pbx.address, uri=SipUri("127.0.0.3", "13800000000"))
        for phone, number in ((desk, "0"), (pbx, "5001")):
            call = phone.dial(number)
            await until(lambda: any(leg.state == "talking" for leg in world.service.legs.values()))
            phone.do(lambda now, phone=phone, call=call: phone.agent.transfer(call, SipUri("x", "00900"), now))  # type: ignore[misc]
            await until(lambda: world.service.refusals.items)
            phone.hang_up(call)
            await until(lambda: not world.service.legs)
    assert world.rules() == ["transfer_target", "transfer_unauthenticated"]
    assert state.session


async def test_a_phone_that_gives_up_at_sha_256_is_offered_md5_alone(make: Make) -> None:
    world = await make()
    await world.add("desk")
    raw = Raw("127.0.0.5", world.port)

    async def offered(number: int) -> list[str]:
        data = request(
            "REGISTER", "sip:lamproom", To="<sip:desk@lamproom>", From="<sip:desk@lamproom>;tag=x",
            Via=f"SIP/2.0/UDP 127.0.0.5;rport;branch=z9hG4bKweak{number}", CSeq=f"{number} REGISTER",
        )  # fmt: skip
        raw._socket.sendto(data, ("127.0.0.1", world.port))
        (answer,) = await raw.heard(0.3)
        return ["SHA-256" if "SHA-256" in one else "MD5" for one in answer.headers.lines("WWW-Authenticate")]

    assert await offered(1) == ["SHA-256", "MD5"]
    assert await offered(2) == ["MD5"]
    async with world.phone("desk", host="127.0.0.5") as phone:
        await phone.register()  # ours answers MD5 too; another address is not taken for the weak phone's
    raw.close()
    raw = Raw("127.0.0.6", world.port)
    assert await offered(7) == ["SHA-256", "MD5"]
    raw.close()


def test_a_flood_of_new_addresses_does_not_lift_bans() -> None:
    pace = Pace(1.0, 5, 300.0, 600.0)
    pace.ban("192.0.2.1", "scanner", 0.0)
    for number in range(20_000):
        pace.take(f"10.{number >> 8 & 255}.{number & 255}.{number >> 16}", 1.0)
    assert len(pace._addresses) <= 10_000
    assert pace.banned("192.0.2.1", 2.0)
    assert not pace.banned("192.0.2.1", 301.0)


def test_an_address_that_proved_itself_is_not_banned_for_what_others_send_in_its_name() -> None:
    pace = Pace(1.0, 5, 300.0, 600.0)
    pace.proved("192.0.2.1", 0.0)
    for _ in range(200):
        pace.noted("malformed", "192.0.2.1", 1.0)
        pace.noted("wrong_digest", "192.0.2.1", 1.0)
    pace.ban("192.0.2.1", "scanner", 1.0)
    assert not pace.banned("192.0.2.1", 2.0)
    assert pace.bans(2.0) == []


async def test_a_phone_has_four_calls_at_most_and_sends_no_texts(make: Make) -> None:
    world = await make()
    await world.add("desk")
    await world.session("mine")
    async with world.phone("desk") as desk:
        await desk.register()
        calls = [desk.dial("0") for _ in range(5)]
        ended = await desk.ended(calls[4])
        assert (ended.status, world.rules()) == (503, ["phone_busy"])
        answer = await desk.ask("MESSAGE", account=desk.account)
        assert answer is not None
        assert answer.status == 403


async def test_an_extension_of_the_exchange_may_be_named_as_a_phone_is(make: Make) -> None:
    world = await make()
    await world.add("13800001111")
    await world.session()
    async with world.phone("13800001111", host="127.0.0.5") as desk, world.phone("pbx", host="127.0.0.3") as pbx:
        await desk.register()
        pbx.address = replace(pbx.address, uri=SipUri("127.0.0.3", "13800001111"))
        pbx.dial("5001")
        await until(lambda: any(leg.state == "talking" for leg in world.service.legs.values()))
        assert [leg.peer for leg in world.service.legs.values()] == ["trunk:pbx"]


def test_an_address_that_proved_itself_has_a_larger_bucket() -> None:
    pace = Pace(1.0, 5, 300.0, 600.0)
    assert [pace.take("a", 0.0) for _ in range(6)] == [True] * 5 + [False]
    pace.proved("a", 0.0)
    assert all(pace.take("a", 0.1 * n) for n in range(1, 20))


async def test_a_contact_elsewhere_gets_nothing_from_us(make: Make) -> None:
    world = await make()
    await world.add("desk")
    async with world.phone("desk", host="127.0.0.5") as phone:
        await phone.register()
        victim = Raw("127.0.0.77", world.port)
        phone.agent.place.ports["UDP"] = victim._socket.getsockname()[1]  # type: ignore[index]
        assert (await phone.ended(phone.dial("0"))).by == "them"
        assert await victim.heard(0.2) == []
        victim.close()
