"""What is old goes, what is held or open stays, and the chains hold afterwards."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text

from config.settings import RetentionSettings
from server.retention import DAY_S, Retention
from server.sessions.machine import Actor, Ended, Session, Started, State
from server.store import audit, chain, timeline
from server.store import sessions as session_rows
from server.store.database import Database
from server.store.pictures import store_picture
from server.store.sites import SiteTree
from server.store.tables import alert_evidence, alerts, entries, guests, recordings
from server.store.tables import audit as audit_rows
from tests.fakes.databases import database, database_url, postgresql, tree

__all__ = ["database", "database_url", "postgresql", "tree"]

NOW = 1_800_000_000.0
BY = Actor("u", "王", "liulin", "county", "supervisor")
SETTINGS = RetentionSettings(rows_per_pass=100)
OLD = NOW - 1000 * DAY_S


FORGOTTEN: list[str] = []
"""Consultations whose recordings were to be removed."""


async def forget_recordings(name: str, _at: float) -> int:
    FORGOTTEN.append(name)
    return 0


def retention(database: Database, tree: SiteTree, folder: Path) -> Retention:
    FORGOTTEN.clear()
    return Retention(SETTINGS, database, tree, folder, forget_recordings)


async def session(
    database: Database,
    name: str,
    started_at: float,
    *,
    held: bool,
    ended: bool = True,
    alert: str = "",
    released_at: float | None = None,
) -> None:
    """A consultation about mine-a with three entries."""
    state = State(name, "mine-a", "t", "王", "liulin", started_at, alert=alert or None, held=held)
    state.released_at = released_at
    live = Session(state, 20.0, 0.0)
    news = live.handle(Started(BY), 0.0, started_at)
    if ended:
        news += live.handle(Ended(BY), 1.0, started_at + 600)
    async with database.transaction() as connection:
        await session_rows.save(
            connection,
            name,
            state.as_dict(),
            open=not ended,
            site="mine-a",
            started_at=started_at,
            ended_at=state.ended_at,
        )
        await timeline.append(connection, [state.room], "chat", {"text": "x"}, started_at)
        for one in news:
            await timeline.append(connection, one.rooms, one.kind, one.body, started_at)
        await audit.append(connection, at=started_at, actor="u", action="x", object=name, site="mine-a")


async def note(database: Database, at: float, *rooms: str, count: int = 1) -> None:
    async with database.transaction() as connection:
        for _ in range(count):
            await timeline.append(connection, list(rooms), "chat", {"at": at}, at)


async def left(database: Database, room: str) -> list[float]:
    async with database.reading() as connection:
        return [
            row.at
            for row in await connection.execute(select(entries).where(entries.c.room == room).order_by(entries.c.seq))
        ]


async def picture(database: Database, folder: Path, alert: str, at: float, state: str = "closed") -> Path:
    path, sha256 = store_picture(folder, alert, "raised", b"jpeg")
    values: dict[str, Any] = {
        "alert": alert, "site": "mine-a", "key": alert, "rule": "r", "subject": "s", "severity": "alarm",
        "state": state,
        "title_zh": "", "title_en": "", "opened_at": at, "at": at, "occurrences": 1, "no_data": False, "explain": {},
        "simulated": False,
    }  # fmt: skip
    async with database.transaction() as connection:
        await connection.execute(insert(alerts).values(values))
        await connection.execute(
            insert(alert_evidence).values(
                alert=alert, name="raised", path=path, sha256=sha256, width=1, height=1, at=at
            )
        )
    return folder / path


async def holds(database: Database) -> list[chain.Fault]:
    async with database.reading() as connection:
        return (await chain.verify(connection)).faults


async def test_old_entries_go_and_those_of_held_and_open_times_stay(
    database: Database, tree: SiteTree, tmp_path: Path
) -> None:
    rooms = ["site:mine-a", "site:liulin", "site:mine-b"]
    for day in range(5):
        await note(database, OLD + day * DAY_S, *rooms)
    await note(database, NOW - DAY_S, *rooms)
    await session(database, "held", OLD + 2 * DAY_S, held=True)
    async with database.transaction() as connection:
        await chain.checkpoint(connection, NOW)
    gone = await retention(database, tree, tmp_path).run_once(NOW)
    assert gone["entries"] == 2 * 4 + 5  # of mine-a and the county above it, without the held day; of mine-b all
    assert len(await left(database, "site:mine-b")) == 1
    assert [at for at in await left(database, "site:mine-a") if at == OLD + 2 * DAY_S]
    assert len(await left(database, "session:held")) == 3
    assert await holds(database) == []
    again = await retention(database, tree, tmp_path).run_once(NOW)
    assert again["entries"] == 0


async def test_a_released_consultation_goes_and_a_held_or_open_one_does_not(
    database: Database, tree: SiteTree, tmp_path: Path
) -> None:
    await session(database, "held", OLD, held=True)
    await session(database, "released", OLD + 1, held=False)
    await session(database, "open", OLD + 2, held=False, ended=False)
    await session(database, "young", NOW - DAY_S, held=False)
    await session(database, "by-mistake", OLD + 3, held=False, released_at=NOW - DAY_S)
    await retention(database, tree, tmp_path).run_once(NOW)
    names = ("held", "released", "open", "young", "by-mistake")
    found = {name: len(await left(database, f"session:{name}")) for name in names}
    assert found == {"held": 3, "released": 0, "open": 2, "young": 3, "by-mistake": 3}
    assert FORGOTTEN == ["released"]
    assert await holds(database) == []
    await retention(database, tree, tmp_path).run_once(NOW)
    assert FORGOTTEN == []  # what has nothing left is not gone through again


async def test_a_guest_or_a_recording_that_is_left_of_a_released_consultation_goes_too(
    database: Database, tree: SiteTree, tmp_path: Path
) -> None:
    for name in ("guest", "recording", "held"):
        await session(database, name, OLD, held=False)
    await retention(database, tree, tmp_path).run_once(NOW)
    async with database.transaction() as connection:
        await connection.execute(insert(guests).values(
            guest="g", session="guest", site="mine-a", name="g", speaks=False, waits=False, code_hash="c",
            secret_hash="s", made_by="u", made_at=OLD, expires_at=OLD,
        ))  # fmt: skip
        for name in ("recording", "held"):
            await connection.execute(insert(recordings).values({
                "recording": name, "class": "session", "session": name, "site": "mine-a", "track": "t", "client": "c",
                "person": "p", "name": "n", "kind": "audio", "codec": "opus", "state": "finished", "reason": "",
                "held": name == "held", "simulated": False, "started_at": OLD,
            }))  # fmt: skip
    await retention(database, tree, tmp_path).run_once(NOW)
    assert sorted(FORGOTTEN) == ["guest", "recording"]


async def test_pictures_of_alerts_that_are_over_go_unless_a_held_consultation_names_them(
    database: Database, tree: SiteTree, tmp_path: Path
) -> None:
    over = await picture(database, tmp_path, "over", OLD)
    standing = await picture(database, tmp_path, "standing", OLD, state="open")
    named = await picture(database, tmp_path, "named", OLD)
    young = await picture(database, tmp_path, "young", NOW - DAY_S)
    await session(database, "held", OLD, held=True, alert="named")
    gone = await retention(database, tree, tmp_path).run_once(NOW)
    assert gone["pictures"] == 1
    assert [path.exists() for path in (over, standing, named, young)] == [False, True, True, True]
    async with database.reading() as connection:
        said = (
            await connection.scalars(select(audit_rows.c.object).where(audit_rows.c.action == "picture.forget"))
        ).all()
    assert said == ["over/raised"]


@pytest.mark.parametrize("held", [False, True])
async def test_the_audit_loses_its_oldest_rows_but_not_those_since_a_held_consultation(
    database: Database, tree: SiteTree, tmp_path: Path, held: bool
) -> None:
    very_old = NOW - 3000 * DAY_S
    async with database.transaction() as connection:
        for number in range(250):
            await audit.append(connection, at=very_old + number, actor="u", action="a", object="o", site="mine-a")
    if held:
        await session(database, "held", very_old + 3600 + 100, held=True)
    async with database.transaction() as connection:
        await audit.append(connection, at=NOW - DAY_S, actor="u", action="young", object="o", site="mine-a")
    gone = await retention(database, tree, tmp_path).run_once(NOW)
    assert gone["audit"] == (100 if held else 250)
    assert await holds(database) == []
    async with database.transaction() as connection:  # and what is left is still guarded
        await connection.execute(text("UPDATE audit SET actor = 'x' WHERE action = 'young'"))
    assert [one.chain for one in await holds(database)] == ["audit"]


async def test_ended_log_ins_go(database: Database, tree: SiteTree, tmp_path: Path) -> None:
    async with database.transaction() as connection:
        await connection.execute(
            text("INSERT INTO users (\"user\", login, name, password_hash, role, site, created_at) "
                 "VALUES ('u', 'u', 'u', 'x', 'viewer', 'mine-a', 0)")
        )  # fmt: skip
        for name, expires in (("old", OLD), ("new", NOW + DAY_S)):
            await connection.execute(
                text("INSERT INTO logins (login_id, secret_hash, \"user\", created_at, expires_at, last_seen_at) "
                     "VALUES (:n, 'x', 'u', 0, :e, 0)"), {"n": name, "e": expires},
            )  # fmt: skip
    assert (await retention(database, tree, tmp_path).run_once(NOW))["logins"] == 1
