"""Debian's sipp as the exchange behind a trunk."""

import asyncio
from pathlib import Path

import pytest

from tests.fakes.sipp import LossyWire, pause, recv, scenario, send, sipp
from tests.fakes.softphone import until
from tests.server.phones.conftest import TRUNK, Make, PhoneWorld

pytestmark = pytest.mark.peer

INVITE = send("INVITE", 1, sdp="sendrecv", first=True)
BEGIN = (recv(100, optional=True), recv(180, optional=True))
END = (send("BYE", 9), recv(200))
RINGING = (
    '<recv response="180" rrs="true"><action><ereg regexp="Require: 100rel" search_in="msg" check_it="true" '
    'assign_to="3"/><ereg regexp="RSeq: *([0-9]+)" search_in="msg" check_it="true" assign_to="1,2"/></action></recv>'
    '<Reference variables="1,3"/>'
)
"""A 180 that wants a PRACK; its number is in $2."""


async def went(world: PhoneWorld, tmp_path: Path, *steps: str, **more: object) -> None:
    """The scenario goes through, and nothing is left of it here."""
    code, errors = await sipp(tmp_path, scenario(*steps), world.port, **more)  # type: ignore[arg-type]
    assert code == 0, errors
    await until(lambda: not world.service.legs)
    assert not world.media.legs


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_a_call_with_a_hold_in_it(make: Make, tmp_path: Path, transport: str) -> None:
    world = await make()
    await world.session()
    await went(
        world, tmp_path, INVITE, *BEGIN, recv(200, "m=audio", rrs=True), send("ACK", 1), pause(300),
        send("INVITE", 2, sdp="sendonly", version=2), recv(100, optional=True), recv(200, "a=recvonly", rrs=True),
        send("ACK", 2), pause(200),
        send("INVITE", 3, sdp="sendrecv", version=3), recv(100, optional=True), recv(200, "a=sendrecv", rrs=True),
        send("ACK", 3), pause(200), *END, transport=transport,
    )  # fmt: skip
    assert [one.result for one in world.service.recent] == ["hangup"]


async def test_a_late_offer(make: Make, tmp_path: Path) -> None:
    world = await make()
    await world.session()
    await went(
        world, tmp_path, send("INVITE", 1, first=True), *BEGIN, recv(200, "m=audio 4000", rrs=True),
        send("ACK", 1, sdp="sendrecv"), pause(300), *END,
    )  # fmt: skip
    taken = world.media.did("take_answer")
    assert len(taken) == 1
    assert "o=sipp" in taken[0][2]


async def test_a_session_timer_is_agreed_on_and_refreshed(make: Make, tmp_path: Path) -> None:
    world = await make()
    await world.session()
    timer = ("Supported: timer", "Session-Expires: 120;refresher=uac")
    too_small = send("INVITE", 1, "Supported: timer", "Session-Expires: 40", sdp="sendrecv", first=True)
    await went(
        world, tmp_path, too_small, recv(100, optional=True), recv(422, "Min-SE: 90"), send("ACK", 1, first=True),
    )  # fmt: skip
    await went(
        world, tmp_path, send("INVITE", 1, *timer, sdp="sendrecv", first=True), *BEGIN,
        recv(200, "Session-Expires: 120;refresher=uac", "Require: timer", rrs=True), send("ACK", 1), pause(200),
        send("UPDATE", 2, *timer), recv(200, "Session-Expires: 120;refresher=uac"), pause(100), *END,
    )  # fmt: skip


async def test_provisional_responses_are_acknowledged(make: Make, tmp_path: Path) -> None:
    world = await make()
    await world.session()
    await went(
        world, tmp_path, send("INVITE", 1, "Require: 100rel", sdp="sendrecv", first=True), recv(100, optional=True),
        RINGING, send("PRACK", 2, "RAck: [$2] 1 INVITE"), recv(200), recv(200, "m=audio", rrs=True), send("ACK", 1),
        pause(200), *END,
    )  # fmt: skip


async def test_a_call_is_cancelled_before_and_after_it_is_taken(make: Make, tmp_path: Path) -> None:
    world = await make()
    await world.session()
    cancel = send("CANCEL", 1, first=True)
    world.media.delay_s = 1.0
    await went(
        world, tmp_path, INVITE, recv(100), recv(180), cancel.replace("branch=[branch]", "branch=[branch-3]"),
        recv(200), recv(487), send("ACK", 1, first=True).replace("branch=[branch]", "branch=[branch-6]"),
    )  # fmt: skip
    assert world.service.recent[-1].result == "cancelled"
    world.media.delay_s = 0.0
    await went(
        world, tmp_path, INVITE, *BEGIN, recv(200, rrs=True), cancel.replace("branch=[branch]", "branch=[branch-4]"),
        recv(200), send("ACK", 1), pause(200), *END,
    )  # fmt: skip
    assert world.service.recent[-1].result == "hangup"


async def test_calls_come_through_a_wire_that_loses_a_tenth(make: Make, tmp_path: Path) -> None:
    world = await make(trunks=(TRUNK.model_copy(update={"max_calls": 60}),))
    await world.session()
    wire = LossyWire(("127.0.0.1", world.port), 0.10, seed=7)
    port = await wire.open()
    try:
        code, errors = await sipp(
            tmp_path,
            scenario(INVITE, *BEGIN, recv(200, rrs=True), send("ACK", 1), pause(2000), *END),
            port, "-r", "20", "-l", "40", calls=40, timeout_s=60, host="127.0.0.1",
        )  # fmt: skip
        assert code == 0, errors
        assert wire.lost > 10
    finally:
        wire.close()
    await until(lambda: not world.service.legs, 40)
    assert len(world.service.recent) == 40
    results = [one.result for one in world.service.recent]
    assert set(results) <= {"hangup", "no_ack"}  # sipp may take a repeated 200 for the answer to its BYE
    assert results.count("hangup") >= 38


async def test_keys_by_info_open_the_door(make: Make, tmp_path: Path) -> None:
    world = await make()
    state = await world.session()
    pin = world.service.pin(state.session)
    keys = []
    for number, digit in enumerate(pin, 2):
        body = f"Signal={digit}\nDuration=160\n"
        info = send("INFO", number, "Content-Type: application/dtmf-relay").replace(
            "Content-Length: 0\n\n\n", f"Content-Length: [len]\n\n{body}\n"
        )
        keys += [info, recv(200)]
    joined = asyncio.ensure_future(until(lambda: any(one.state == "talking" for one in world.service.legs.values())))
    await went(
        world, tmp_path, INVITE, *BEGIN, recv(200, rrs=True), send("ACK", 1), pause(500), *keys, pause(500), *END,
        service="5000",
    )  # fmt: skip
    await joined
