"""Hazards over HTTP and in the store: two people, pictures, lateness as an alert, what a restart leaves."""

import asyncio
import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select, update

from config.settings import DutySettings
from server.api.hazards import HazardDoor
from server.hazards.machine import Picture
from server.hazards.service import Hazards
from server.store.evidence import verify
from server.store.tables import audit, entries, hazards
from tests.fakes.serving import Served, serve

DAY = 86400.0


def picture(colour: str = "red", kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(out, kind)
    return out.getvalue()


class Nothing:
    async def get(self, _: str) -> None:
        return None


class Office:
    def __init__(self, served: Served, hazards: Hazards) -> None:
        self.served, self.hazards = served, hazards

    async def do(self, login: str, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any]:
        async with self.served.browser(login) as session:
            sent: dict[str, Any] = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
            async with session.request(method, path, params=query, **sent) as answer:
                raw = await answer.read()
                return answer.status, json.loads(raw) if answer.content_type.endswith("json") else raw

    async def send(self, login: str, raw: bytes) -> str:
        status, kept = await self.do(login, "POST", "/api/hazards/pictures", raw)
        assert (status, kept["sha256"]) == (201, hashlib.sha256(raw).hexdigest())
        return str(kept["picture"])

    async def record(self, login: str = "county", **more: Any) -> tuple[int, Any]:
        body = {
            "site": "mine-a", "place": "3号皮带机头", "text": "护栏缺失", "severity": "general",
            "deadline": time.time() + DAY, **more,
        }  # fmt: skip
        return await self.do(login, "POST", "/api/hazards", body)

    async def pass_time(self, hazard: str, seconds: float) -> None:
        """As if so much time had gone by: everything that is due is due by so much earlier."""
        context = self.served.context
        async with context.database.transaction() as connection:
            body = await connection.scalar(select(hazards.c.body).where(hazards.c.hazard == hazard))
            assert body is not None
            body = {**body, "deadline": body["deadline"] - seconds}
            values = {"body": body, "next_at": body["deadline"]}
            await connection.execute(update(hazards).where(hazards.c.hazard == hazard).values(values))

    async def alert(self, hazard: str) -> tuple[str, str] | None:
        found = await self.served.context.alerts.newest("mine-a", f"mine-a/hazard_overdue/{hazard}")
        return (found.state.value, found.severity) if found else None

    async def look(self, hazards: Hazards | None = None) -> None:
        """What the unit does until there is nothing to do."""
        one = hazards or self.hazards
        while await one._lapse() + await one._tell():
            pass


@pytest.fixture
async def office(tmp_path: Path) -> AsyncIterator[Office]:
    made: list[Hazards] = []

    class Late:
        def __getattr__(self, name: str) -> Any:
            return getattr(made[0], name)

    door = HazardDoor(Late(), Nothing(), Nothing())  # type: ignore[arg-type]
    async with serve(tmp_path, further=door.routes()) as served:
        made.append(new(served))
        for login, role, site in [
            ("mine", "dispatcher", "mine-a"), ("boss", "admin", "mine-a"), ("other", "dispatcher", "mine-b"),
            ("county", "supervisor", "county"), ("city", "supervisor", "city"), ("south", "supervisor", "south"),
        ]:  # fmt: skip
            await served.add_user(login, role, site)  # type: ignore[arg-type]
        yield Office(served, made[0])


def new(served: Served) -> Hazards:
    context = served.context
    settings = context.settings.model_copy(update={"duty": DutySettings(hazard_rise_s=3600)})
    return Hazards(settings, context.database, context.tree, context.alerts._bus, context.alerts, lambda _: ())


async def test_recorded_replied_with_a_picture_sent_back_and_closed(office: Office) -> None:
    seen = await office.send("county", picture())
    status, made = await office.record(pictures=[seen])
    assert (status, made["state"], made["steps"][0]["pictures"][0]["picture"]) == (201, "open", seen)
    path = f"/api/hazards/{made['hazard']}"
    assert (await office.do("mine", "GET", f"{path}/pictures/{seen}"))[1] == picture()
    assert (await office.do("other", "GET", f"{path}/pictures/{seen}"))[0] == 404
    assert (await office.do("mine", "POST", f"{path}/reply", {"text": "已加装", "pictures": []}))[0] == 422
    done = await office.send("mine", picture("green", "JPEG"))
    status, replied = await office.do("mine", "POST", f"{path}/reply", {"text": "已加装", "pictures": [done]})
    assert (status, replied["state"]) == (200, "replied")
    status, back = await office.do("county", "POST", f"{path}/return", {"text": "高度不够"})
    assert (status, back["state"]) == (200, "returned")
    again = await office.send("mine", picture("blue", "WEBP"))
    await office.do("mine", "POST", f"{path}/reply", {"text": "改好", "pictures": [again]})
    assert (await office.do("mine", "POST", f"{path}/close", {}))[0] == 403
    status, closed = await office.do("city", "POST", f"{path}/close", {"text": "现场核实"})
    assert (status, closed["state"]) == (200, "closed")
    assert [one["change"] for one in closed["steps"]] == ["recorded", "replied", "returned", "replied", "closed"]
    assert (await office.do("city", "POST", f"{path}/close", {}))[1]["error"] == "stale"
    context = office.served.context
    async with context.database.reading() as connection:
        told = [
            (row.room, row.body["change"], [one["sha256"] for one in row.body["step"]["pictures"]])
            for row in await connection.execute(
                select(entries).where(entries.c.kind == "hazard").order_by(entries.c.seq)
            )
        ]
        rows = (await connection.execute(select(audit.c.action).where(audit.c.action.startswith("hazard.")))).all()
    county = [(change, hashes) for room, change, hashes in told if room == "site:county"]
    assert [change for change, _ in county] == ["recorded", "replied", "returned", "replied", "closed"]
    assert county[1][1] == [hashlib.sha256(picture("green", "JPEG")).hexdigest()]
    assert {room for room, _, _ in told} == {f"site:{one}" for one in ("mine-a", "county", "city", "north", "nation")}
    assert len(rows) == 5


async def test_only_those_above_record_and_only_the_site_replies(office: Office) -> None:
    assert (await office.record("mine"))[0] == 403
    assert (await office.record("boss"))[0] == 403, "nobody supervises the own site"
    assert (await office.record("south"))[0] == 404
    _, made = await office.record()
    path = f"/api/hazards/{made['hazard']}"
    loose = await office.send("county", picture())
    reply = {"text": "代答", "pictures": [loose]}
    assert (await office.do("county", "POST", f"{path}/reply", reply))[0] == 403
    assert (await office.do("other", "POST", f"{path}/reply", reply))[0] == 404
    assert (await office.do("boss", "POST", f"{path}/close", {}))[0] == 403
    assert (await office.do("south", "GET", path))[0] == 404
    more = {"text": "缺料", "deadline": time.time() + 5 * DAY}
    assert (await office.do("county", "POST", f"{path}/ask", more))[0] == 403
    assert (await office.do("boss", "POST", f"{path}/extend", more))[0] == 403
    assert (await office.do("mine", "POST", f"{path}/ask", more))[0] == 200
    status, granted = await office.do("county", "POST", f"{path}/decide", {"granted": True, "text": "可以"})
    assert (status, granted["deadline"]) == (200, more["deadline"])


async def test_pictures_of_others_used_ones_and_other_files_are_refused(office: Office) -> None:
    theirs = await office.send("mine", picture())
    assert (await office.record(pictures=[theirs]))[1]["error"] == "stale"
    own = await office.send("county", picture())
    assert (await office.record(pictures=[own]))[0] == 201
    assert (await office.record(pictures=[own]))[1]["error"] == "stale", "used by another hazard"
    for raw in (b"", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", picture()[:40]):
        assert (await office.do("county", "POST", "/api/hazards/pictures", raw))[1]["error"] == "invalid"
    status, body = await office.do("county", "POST", "/api/hazards/pictures", b"\0" * ((8 << 20) + 1))
    assert (status, body["error"]) == (413, "too_large")
    _, listed = await office.do("county", "GET", "/api/hazards", site="county")
    assert len(listed["items"]) == 1, "a refused record leaves nothing"


async def test_late_is_an_alert_that_becomes_red_and_ends_with_the_reply(office: Office) -> None:
    _, made = await office.record()
    await office.look()
    assert await office.alert(made["hazard"]) is None
    await office.pass_time(made["hazard"], DAY + 1)
    await office.look()
    assert await office.alert(made["hazard"]) == ("open", "warning")
    await office.pass_time(made["hazard"], 3600)
    await office.look()
    assert await office.alert(made["hazard"]) == ("open", "alarm")
    _, listed = await office.do("county", "GET", "/api/hazards", site="county", late="1")
    assert [one["late"] for one in listed["items"]] == ["risen"]
    assert listed["counts"][0]["late"] == 1
    done = await office.send("mine", picture())
    path = f"/api/hazards/{made['hazard']}"
    await office.do("mine", "POST", f"{path}/reply", {"text": "已整改", "pictures": [done]})
    await office.look()
    assert await office.alert(made["hazard"]) == ("cleared", "alarm")
    status, refused = await office.do("county", "POST", f"{path}/return", {"text": "不行"})
    assert (status, refused["error"]) == (409, "stale"), "sent back it needs a deadline that lies ahead"


async def test_lateness_noted_before_a_restart_is_told_after_it(office: Office) -> None:
    _, made = await office.record(severity="major")
    await office.pass_time(made["hazard"], DAY + 1)
    await office.hazards._lapse()
    assert await office.alert(made["hazard"]) is None, "the server stopped between the two"
    later = new(office.served)
    unit = asyncio.create_task(later.run())
    try:
        async with asyncio.timeout(20):
            while await office.alert(made["hazard"]) is None:
                await asyncio.sleep(0.02)
    finally:
        unit.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await unit
    assert await office.alert(made["hazard"]) == ("open", "alarm")


async def test_list_is_filtered_paged_counted_and_a_sheet(office: Office) -> None:
    for number in range(3):
        await office.record(text=f"隐患 {number}", place="=1+1")
    await office.record(site="mine-b", text="Belt 100% worn", severity="major")
    _, first = await office.do("county", "GET", "/api/hazards", site="county", limit="2")
    _, rest = await office.do("county", "GET", "/api/hazards", site="county", limit="2", after=first["next"])
    assert [one["text"] for one in (*first["items"], *rest["items"])] == [
        "Belt 100% worn",
        "隐患 2",
        "隐患 1",
        "隐患 0",
    ]
    assert rest["next"] is None
    assert {one["site"]: one["open"] for one in first["counts"]} == {"mine-a": 3, "mine-b": 1}
    for wish, found in (({"q": "100%"}, 1), ({"q": "_"}, 0), ({"severity": "general"}, 3), ({"state": "standing"}, 4),
                        ({"state": "closed"}, 0), ({"state": "waiting", "q": "BELT"}, 1)):  # fmt: skip
        _, listed = await office.do("county", "GET", "/api/hazards", site="county", **wish)
        assert len(listed["items"]) == found, wish
    _, own = await office.do("mine", "GET", "/api/hazards", site="mine-a")
    assert len(own["items"]) == 3
    assert (await office.do("mine", "GET", "/api/hazards", site="county"))[0] == 404
    _, sheet = await office.do("county", "GET", "/api/hazards", site="county", format="csv")
    text = sheet.decode("utf-8-sig")
    assert (text.count("\r\n"), "'=1+1" in text, ",=1+1" in text) == (5, True, False)


async def test_what_a_hazard_comes_from_must_be_there_and_be_seen(office: Office) -> None:
    for origin in ("alert", "session", "check"):
        status, refused = await office.record(origin=origin, origin_id="nothing")
        assert (status, refused["error"]) == (404, "not_found")


async def test_pictures_go_when_nobody_names_them_and_years_after_the_end(office: Office, tmp_path: Path) -> None:
    loose, used = await office.send("county", picture()), await office.send("county", picture("blue"))
    _, made = await office.record(pictures=[used])
    stray = tmp_path / "hazards" / "stray.png"
    stray.write_bytes(b"x")
    for file in (tmp_path / "hazards").iterdir():
        os.utime(file, (1, 1))
    assert await office.hazards.pictures.forget(time.time() + 2 * DAY, 0.0) == 2
    path = f"/api/hazards/{made['hazard']}"
    assert (await office.do("county", "GET", f"{path}/pictures/{used}"))[0] == 200
    assert {one.stem for one in (tmp_path / "hazards").iterdir()} == {used}
    assert loose != used
    await office.do("county", "POST", f"{path}/withdraw", {"text": "记录有误"})
    await office.hazards.pictures.forget(time.time(), time.time() + 1)
    assert (await office.do("county", "GET", f"{path}/pictures/{used}"))[0] == 404


async def test_a_changed_picture_is_found(office: Office, tmp_path: Path) -> None:
    used = await office.send("county", picture())
    await office.record(pictures=[used])
    database = office.served.context.database
    assert await verify(database, tmp_path / "recordings", tmp_path) == (1, [])
    office.hazards.pictures.path(Picture(used, "", 0, "image/png")).write_bytes(picture("blue"))
    _, faults = await verify(database, tmp_path / "recordings", tmp_path)
    assert [fault.reason for fault in faults] == ["The picture was changed after it was written."]
