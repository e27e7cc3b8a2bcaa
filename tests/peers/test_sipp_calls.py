"""Debian's sipp as the exchange behind a trunk, and as a desk phone, against a running server with its phone worker."""

import asyncio
import socket
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from server.phones import rules
from signaling.sip.callevents import Incoming
from tests.fakes.instance import Instance, free_port
from tests.fakes.sipp import CALLER, LossyWire, asked, pause, recv, reply, scenario, send, sipp
from tests.fakes.softphone import softphone

pytestmark = [pytest.mark.peer, pytest.mark.timeout(150), pytest.mark.asyncio(loop_scope="module")]

EXCHANGE = "127.0.0.3"
INVITE = send("INVITE", 1, sdp="sendrecv", first=True)
BEGIN = (recv(100, optional=True), recv(180, optional=True))
END = (send("BYE", 9), recv(200))
TIMER = ("Supported: timer", "Session-Expires: 120;refresher=uac")
RINGING = (
    '<recv response="180" rrs="true"><action><ereg regexp="Require: 100rel" search_in="msg" check_it="true" '
    'assign_to="3"/><ereg regexp="RSeq: *([0-9]+)" search_in="msg" check_it="true" assign_to="1,2"/></action></recv>'
    '<Reference variables="1,3"/>'
)
"""A 180 that wants a PRACK; its number is in $2. Until the PRACK nothing is answered."""
TAKEN = (
    '<recv response="200" rrs="true"><action>'
    '<ereg regexp=".*" search_in="hdr" header="To:" assign_to="2"/></action></recv>'
)
"""A 200 whose To is in $2: the last message is another one by the time that we need it."""
RELIABLE = send("INVITE", 1, "Require: 100rel", sdp="sendrecv", first=True)


class Exchange:
    """The server, and sipp in front of it. A consultation about the mine is open; 5001 leads into it."""

    def __init__(self, server: Instance, admin: aiohttp.ClientSession, session: str, ports: tuple[int, int]) -> None:
        self.server = server
        self.admin = admin
        self.session = session
        self.port, self.trunk_port = ports
        self._count = 0

    def folder(self) -> Path:
        self._count += 1
        made = self.server.folder / f"sipp{self._count}"
        made.mkdir()
        return made

    async def records(self) -> list[dict[str, Any]]:
        async with self.admin.get("/api/phones/records?limit=200") as answer:
            found: list[dict[str, Any]] = (await answer.json())["items"]
            return found

    async def over(self, known: int, count: int = 1) -> list[str]:
        """What came of the calls since there were `known`, once they are all over."""
        async with asyncio.timeout(45):
            while True:
                found = await self.records()
                fresh = found[: len(found) - known]
                if len(fresh) >= count and all(one["ended_at"] is not None for one in fresh):
                    return [one["result"] for one in fresh]
                await asyncio.sleep(0.1)

    async def went(self, *steps: str, calls: int = 1, **more: Any) -> list[str]:
        """The scenario goes through; the results of its calls."""
        known = len(await self.records())
        code, errors = await sipp(self.folder(), scenario(*steps), self.port, host=EXCHANGE, timeout_s=40, **more)
        assert code == 0, errors
        return await self.over(known, calls)

    async def refusals(self) -> dict[str, int]:
        async with self.admin.get("/api/phones/refused") as answer:
            found: dict[str, int] = (await answer.json())["rules"]
            return found


def both_free() -> int:
    """A port that UDP and TCP can have."""
    while True:
        port = free_port(socket.SOCK_DGRAM)
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exchange(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Exchange]:
    port, trunk_port, folder = both_free(), both_free(), tmp_path_factory.mktemp("exchange")
    trunk = {
        "name": "pbx", "host": EXCHANGE, "port": trunk_port, "networks": [f"{EXCHANGE}/32"], "outbound": True,
        "prefixes": ["138"], "max_calls": 60,
    }  # fmt: skip
    phones = {
        "enabled": True, "port": port, "trunks": [trunk], "transfers": ["138"], "digest": "md5", "requests_per_s": 200,
        "burst": 1000, "rules": [
            {"name": "mine", "source": "pbx", "number": "5001", "action": "site", "site": "hongqi"},
            {"name": "numbers", "source": "pbx", "number": "5000", "action": "pin"},
        ],
    }  # fmt: skip
    ports = {"rtp_port_min": 31000, "rtp_port_max": 34999}
    async with Instance(folder, phones=phones, phone_media=ports) as server:
        async with await server.session("county") as county:
            async with county.post("/api/sessions", json={"site": "hongqi", "levels": []}) as answer:
                session = (await answer.json())["session"]
        async with await server.session("admin") as admin:
            yield Exchange(server, admin, session, (port, trunk_port))


@pytest.mark.parametrize("transport", ["u1", "t1"])
async def test_a_call_with_a_hold_in_it(exchange: Exchange, transport: str) -> None:
    """Re-INVITEs with a description: held, and resumed."""
    assert await exchange.went(
        INVITE, *BEGIN, recv(200, "m=audio", rrs=True), send("ACK", 1), pause(100),
        send("INVITE", 2, sdp="sendonly", version=2), recv(100, optional=True), recv(200, "a=recvonly", rrs=True),
        send("ACK", 2), pause(100),
        send("INVITE", 3, sdp="sendrecv", version=3), recv(100, optional=True), recv(200, "a=sendrecv", rrs=True),
        send("ACK", 3), pause(100), *END, transport=transport,
    ) == ["hangup"]  # fmt: skip


async def test_a_late_offer(exchange: Exchange) -> None:
    """Ours in the 200, theirs in the ACK; and a re-INVITE without one gets ours again."""
    assert await exchange.went(
        send("INVITE", 1, first=True), *BEGIN, recv(200, "m=audio [1-9]", rrs=True), send("ACK", 1, sdp="sendrecv"),
        pause(100),
        send("INVITE", 2), recv(100, optional=True), recv(200, "m=audio [1-9]", rrs=True),
        send("ACK", 2, sdp="sendrecv", version=2), pause(100), *END,
    ) == ["hangup"]  # fmt: skip


async def test_an_update_holds_and_resumes(exchange: Exchange) -> None:
    assert await exchange.went(
        INVITE, *BEGIN, recv(200, "Allow:.*UPDATE", rrs=True), send("ACK", 1), pause(100),
        send("UPDATE", 2, sdp="sendonly", version=2), recv(200, "a=recvonly"), pause(100),
        send("UPDATE", 3, sdp="sendrecv", version=3), recv(200, "a=sendrecv"), pause(100), *END,
    ) == ["hangup"]  # fmt: skip


async def test_a_session_timer_is_agreed_on_and_refreshed(exchange: Exchange) -> None:
    """422 for an interval that is too small; refreshed by UPDATE, and by a re-INVITE with what was agreed."""
    too_small = send("INVITE", 1, "Supported: timer", "Session-Expires: 40", sdp="sendrecv", first=True)
    await exchange.went(
        too_small, recv(100, optional=True), recv(422, "Min-SE: 90"), send("ACK", 1, first=True), calls=0
    )
    assert await exchange.went(
        send("INVITE", 1, *TIMER, sdp="sendrecv", first=True), *BEGIN,
        recv(200, "Session-Expires: 120;refresher=uac", "Require: timer", rrs=True), send("ACK", 1), pause(100),
        send("UPDATE", 2, *TIMER), recv(200, "Session-Expires: 120;refresher=uac"), pause(100),
        send("INVITE", 3, *TIMER, sdp="sendrecv"), recv(100, optional=True),
        recv(200, "Session-Expires: 120;refresher=uac", rrs=True), send("ACK", 3), pause(100), *END,
    ) == ["hangup"]  # fmt: skip


async def test_provisional_responses_are_acknowledged(exchange: Exchange) -> None:
    assert await exchange.went(
        RELIABLE, recv(100, optional=True), RINGING, send("PRACK", 2, "RAck: [$2] 1 INVITE"), recv(200),
        recv(200, "m=audio", rrs=True), send("ACK", 1), pause(100), *END,
    ) == ["hangup"]  # fmt: skip


async def test_a_call_is_cancelled_before_and_after_it_is_taken(exchange: Exchange) -> None:
    """Before: the 180 wants a PRACK, and without it nobody answers. After: the CANCEL is late, and changes nothing."""
    cancel = send("CANCEL", 1, first=True)
    assert await exchange.went(
        RELIABLE, recv(100, optional=True), RINGING, cancel.replace("branch=[branch]", "branch=[branch-3]"),
        recv(200), recv(487), send("ACK", 1, first=True).replace("branch=[branch]", "branch=[branch-6]"),
        '<Reference variables="2"/>',
    ) == ["cancelled"]  # fmt: skip
    assert await exchange.went(
        INVITE, *BEGIN, recv(200, rrs=True), cancel.replace("branch=[branch]", "branch=[branch-4]"), recv(200),
        send("ACK", 1), pause(100), *END,
    ) == ["hangup"]  # fmt: skip


async def test_calls_come_through_a_wire_that_loses_a_tenth(exchange: Exchange) -> None:
    wire = LossyWire(("127.0.0.1", exchange.port), 0.10, seed=7)
    port = await wire.open()
    known = len(await exchange.records())
    try:
        code, errors = await sipp(
            exchange.folder(), scenario(INVITE, *BEGIN, recv(200, rrs=True), send("ACK", 1), pause(500), *END),
            port, "-r", "20", "-l", "30", calls=30, timeout_s=90, host="127.0.0.1",
        )  # fmt: skip
        assert code == 0, errors
        assert wire.lost > 10
        results = await exchange.over(known, 30)
    finally:
        wire.close()
    assert len(results) == 30
    assert set(results) <= {"hangup", "no_ack"}  # sipp may take a repeated 200 for the answer to its BYE
    assert results.count("hangup") >= 28


async def test_a_transfer_that_a_trunk_asks_for_is_refused(exchange: Exchange) -> None:
    before = (await exchange.refusals()).get("transfer_unauthenticated", 0)
    assert await exchange.went(
        INVITE, *BEGIN, recv(200, rrs=True), send("ACK", 1), pause(500),
        send("REFER", 2, "Refer-To: <sip:13812345678@lamproom>"), recv(403), *END,
    ) == ["hangup"]  # fmt: skip
    assert (await exchange.refusals())["transfer_unauthenticated"] == before + 1


async def registered(exchange: Exchange, phone: str, host: str, *more: str) -> tuple[str, ...]:
    """A new desk phone that has registered from this address; words for sipp by which it proves itself."""
    body = {"phone": phone, "site": "hongqi", "name": "调度电话", "networks": [f"{host}/32"]}
    async with exchange.admin.post("/api/phones", json=body) as answer:
        assert answer.status == 201, await answer.text()
        words = ("-au", phone, "-ap", (await answer.json())["secret"])
    who: dict[str, Any] = {"first": True, "to": f"<sip:{phone}@lamproom>", "caller": f"sip:{phone}@lamproom"}
    code, errors = await sipp(
        exchange.folder(),
        scenario(
            send("REGISTER", 1, "Expires: 120", **who), '<recv response="401" auth="true"/>',
            send("REGISTER", 2, "Expires: 120", "[authentication]", **who), recv(200),
        ),
        exchange.port, *words, *more, host=host, timeout_s=40,
    )  # fmt: skip
    assert code == 0, errors
    return words


async def test_a_desk_phone_is_rung_right_after_the_server_was_killed(exchange: Exchange) -> None:
    port = str(both_free())
    await registered(exchange, "night", "127.0.0.8", "-p", port)
    store = exchange.server.folder / "data" / "lamproom.db"
    async with asyncio.timeout(30):
        while not _remembered(store, "night"):
            await asyncio.sleep(0.05)
    await exchange.server.kill()
    await exchange.server.start()
    rung = asyncio.create_task(
        sipp(
            exchange.folder(),
            scenario(asked("INVITE", "INVITE sip:13800001111@"), reply("486 Busy Here", tag=True), asked("ACK")),
            exchange.port, "-p", port, host="127.0.0.8", timeout_s=60,
        )
    )  # fmt: skip
    async with await exchange.server.session("county") as county:
        async with county.post(f"/api/sessions/{exchange.session}/ring", json={"target": "phone:night"}) as answer:
            assert answer.status == 202, await answer.text()
    code, errors = await rung
    assert code == 0, errors


def _remembered(store: Path, phone: str) -> bool:
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT count(*) FROM phone_registrations WHERE phone = ?", (phone,))
        return bool(rows.fetchone()[0])
    finally:
        connection.close()


async def test_a_desk_phone_brings_somebody_in_by_refer(exchange: Exchange) -> None:
    """Registers, dials 0, asks for a transfer to a number, and hears by NOTIFY that it was taken at the exchange."""
    words = await registered(exchange, "desk", "127.0.0.7")
    who: dict[str, Any] = {"caller": "sip:desk@lamproom"}
    desk: dict[str, Any] = {"host": "127.0.0.7", "timeout_s": 40, "service": "0"}
    known = len(await exchange.records())
    async with softphone("pbx", "lamproom", exchange.port, host=EXCHANGE, own_port=exchange.trunk_port) as far:
        code, errors = await sipp(
            exchange.folder(),
            scenario(
                send("INVITE", 1, sdp="sendrecv", first=True, **who), recv(100, optional=True),
                '<recv response="401" auth="true"/>', send("ACK", 1, first=True, **who),
                send("INVITE", 2, "[authentication]", sdp="sendrecv", first=True, **who), *BEGIN, TAKEN,
                send("ACK", 2, **who), pause(500),
                send("REFER", 3, "Refer-To: <sip:13812345678@lamproom>", **who), recv(202),
                asked("NOTIFY", "SIP/2.0 100"), reply("200 OK"), asked("NOTIFY", "SIP/2.0 200"), reply("200 OK"),
                send("BYE", 4, **who).replace("[last_To:]", "To:[$2]"), recv(200),
            ),
            exchange.port, *words, **desk,
        )  # fmt: skip
        assert code == 0, errors
        assert rules.number_of(far.of(Incoming)[0].request.uri) == "13812345678"
        far.hang_up(far.of(Incoming)[0].call)
        assert await exchange.over(known, 2) == ["hangup", "hangup"]


async def test_keys_by_info_open_the_door(exchange: Exchange) -> None:
    async with await exchange.server.session("county") as county:
        async with county.get(f"/api/sessions/{exchange.session}/phone") as answer:
            pin = (await answer.json())["pin"]
    keys = []
    for number, digit in enumerate(pin, 2):
        info = send("INFO", number, "Content-Type: application/dtmf-relay").replace(
            "Content-Length: 0\n\n\n", f"Content-Length: [len]\n\nSignal={digit}\nDuration=160\n\n"
        )
        keys += [info, recv(200)]
    known = len(await exchange.records())
    await exchange.went(
        INVITE, *BEGIN, recv(200, rrs=True), send("ACK", 1), pause(500), *keys, pause(700), *END, service="5000"
    )
    entry = (await exchange.records())[-1 - known]
    assert (entry["rule"], entry["session"]) == ("numbers", exchange.session)
    assert CALLER.split("@")[0].endswith(entry["caller"])
