"""Registrations that outlive a restart: which, for how long, and where the phone is reached then."""

import asyncio
import time
from dataclasses import replace

import pytest

from server.phones.remembered import Remembered, binding_of, flow_after, rows_of
from server.store import phones as rows
from server.store.database import Database
from server.store.errors import StoreError, StoreUnavailable
from signaling.sip.address import parse_address
from signaling.sip.registrar import Binding
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri
from tests.fakes.softphone import until
from tests.server.phones.conftest import Make, PhoneWorld

CONTACT = parse_address("<sip:desk@192.0.2.7:5070>;q=0.5")
BINDING = Binding(CONTACT, Flow("192.0.2.7", 40000), "c1@192.0.2.7", 7, 160.0)


async def stored(world: PhoneWorld) -> list[str]:
    async with world.database.reading() as connection:
        return [str(row["phone"]) for row in await rows.registrations(connection)]


async def written(world: PhoneWorld, *phones: str) -> None:
    async with asyncio.timeout(20):
        while await stored(world) != list(phones):
            await asyncio.sleep(0.02)


async def test_a_phone_is_rung_right_after_a_restart(make: Make) -> None:
    before = await make()
    await before.add("desk")
    async with before.phone("desk", host="127.0.0.5") as phone:
        await phone.register()
        await written(before, "desk")
        after = await make()
        (old,), (new,) = before.service.bindings("desk"), after.service.bindings("desk")
        assert new.flow == old.flow
        assert abs(new.expires_at - old.expires_at) < 1
        phone.on_call = phone.reject(486)
        assert (await after.service.ring("phone:desk", timeout_s=20)).result == "busy"


async def test_over_tcp_a_connection_is_opened_to_the_phone(make: Make) -> None:
    before = await make()
    await before.add("desk")
    async with before.phone("desk", connection="tcp") as phone:
        await phone.register()
        await written(before, "desk")
        after = await make()
        (new,) = after.service.bindings("desk")
        assert new.flow == Flow("127.0.0.1", phone.endpoint.port, f"tcp:127.0.0.1:{phone.endpoint.port}")
        phone.on_call = phone.reject(486)
        assert (await after.service.ring("phone:desk", timeout_s=20)).result == "busy"


async def test_who_may_not_register_any_more_is_not_remembered(make: Make) -> None:
    before = await make()
    for name in ("kept", "disabled", "renewed", "moved", "removed", "gone"):
        await before.add(name)
        async with before.phone(name, host="127.0.0.5") as phone:
            registration = await phone.register()
            if name == "gone":
                phone.do(registration.stop)
                await until(lambda: not before.service.bindings("gone"))
    await written(before, "disabled", "kept", "moved", "removed", "renewed")
    phones = before.service.phones
    await phones.change("disabled", "admin", disabled=True)
    await phones.renew("renewed", "admin")
    await phones.change("moved", "admin", networks=("10.0.0.0/8",))
    await phones.remove("removed", "admin")
    after = await make()
    known = ("kept", "disabled", "renewed", "moved", "removed", "gone")
    assert [name for name in known if after.service.bindings(name)] == ["kept"]


async def test_expiry_is_by_the_wall_clock(make: Make) -> None:
    world = await make()
    await world.add("desk")
    remembered = Remembered(world.database)
    at = time.time()
    remembered.changed("desk")
    await remembered.write(lambda phone: [BINDING], lambda phone: "Phone 1", 100.0, at)
    ((phone, binding, agent),) = await remembered.read(5000.0, at + 20, 120)
    assert (phone, agent) == ("desk", "Phone 1")
    assert replace(binding, expires_at=160.0) == BINDING
    assert binding.expires_at == pytest.approx(5040.0)
    ((_, binding, _),) = await remembered.read(5000.0, at - 3600, 120)
    assert binding.expires_at == 5120.0, "a clock that was set back does not make it hold for hours"
    assert await remembered.read(5000.0, at + 60, 120) == []
    assert await stored(world) == [], "what has expired is forgotten"


async def test_what_could_not_be_written_is_written_the_next_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await make()
    await world.add("desk")
    remembered, transaction = Remembered(world.database), Database.transaction

    def away(database: Database) -> None:
        raise StoreUnavailable("away")

    remembered.changed("desk")
    monkeypatch.setattr(Database, "transaction", away)
    with pytest.raises(StoreError):
        await remembered.write(lambda phone: [BINDING], lambda phone: "", 100.0, time.time())
    monkeypatch.setattr(Database, "transaction", transaction)
    await remembered.write(lambda phone: [BINDING], lambda phone: "", 100.0, time.time())
    assert await stored(world) == ["desk"]


@pytest.mark.parametrize(
    ("transport", "contact", "expected"),
    [
        ("UDP", "sip:desk@192.0.2.99", Flow("192.0.2.7", 40000)),
        ("TCP", "sip:desk@192.0.2.7:5070;transport=tcp", Flow("192.0.2.7", 5070, "tcp:192.0.2.7:5070")),
        ("TCP", "sip:desk@192.0.2.7", Flow("192.0.2.7", 5060, "tcp:192.0.2.7:5060")),
        ("TCP", "sip:desk@192.0.2.99", None),
        ("TLS", "sip:desk@192.0.2.7", None),
        ("WSS", "sip:desk@192.0.2.7", None),
    ],
)
def test_where_a_phone_is_reached_after_a_restart(transport: str, contact: str, expected: Flow | None) -> None:
    """Never at a third: a Contact counts only where it names the address that the registration came from."""
    assert flow_after(transport, "192.0.2.7", 40000, parse_address(contact).uri) == expected


def test_a_row_that_cannot_be_read_is_passed_over() -> None:
    (row,) = rows_of("desk", [BINDING], "", 100.0, 1e9)
    assert binding_of(row, 160.0) == BINDING
    assert binding_of(row | {"contact": "<sip:"}, 160.0) is None
    assert flow_after("UDP", "2001:db8::7", 5060, SipUri("[2001:db8::7]")) == Flow("2001:db8::7", 5060)
