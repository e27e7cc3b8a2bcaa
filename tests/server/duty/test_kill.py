"""Killed at every point of a step and at random: no escalation is lost, and none is begun or rung twice."""

import multiprocessing
import random
import time
from collections import defaultdict
from multiprocessing.context import ForkServerContext

import pytest
from sqlalchemy import select

from server.store.crashpoints import ESCALATION_POINTS
from server.store.database import Database
from server.store.sites import SiteTree
from server.store.tables import alerts, entries, escalations
from tests.fakes.databases import database_url, postgresql
from tests.fakes.escalating import SITE, main

__all__ = ["database_url", "postgresql"]

LONGEST_S = 30.0


@pytest.fixture(scope="module")
def programs() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fakes.escalating"])
    return context


def live_and_die(
    programs: ForkServerContext, url: str, first: int, crash_at: str | None, after_s: float
) -> tuple[set[str], int]:
    """One life; the alerts it was told are safe, and what comes next."""
    ours, theirs = programs.Pipe(duplex=False)
    process = programs.Process(target=main, args=(url, theirs, first, crash_at))
    process.start()
    theirs.close()
    safe: set[str] = set()
    deadline, kill_at = time.monotonic() + LONGEST_S, None if crash_at else 0.0
    try:
        while time.monotonic() < deadline:
            if not ours.poll(0.02 if kill_at is not None else LONGEST_S):
                if kill_at and time.monotonic() >= kill_at:
                    process.kill()
                continue
            try:
                word, *rest = ours.recv()
            except EOFError:
                break
            if kill_at == 0.0:
                kill_at = time.monotonic() + after_s
            if kill_at and time.monotonic() >= kill_at:
                process.kill()
            if word == "alert":
                safe.add(str(rest[1]))
            else:
                first = int(rest[0])
    finally:
        process.kill()
        process.join()
        assert process.exitcode == -9
        process.close()
        ours.close()
    return safe, first


async def check(url: str, safe: set[str]) -> int:
    """How many rings there were."""
    async with Database.open(url) as database, database.reading() as connection:
        standing = {row.alert for row in await connection.execute(select(alerts.c.alert))}
        rows = {row.alert: row for row in await connection.execute(select(escalations))}
        written = (await connection.execute(select(entries).where(entries.c.kind == "escalation"))).all()
    assert safe <= standing
    assert set(rows) == standing, "an alert without its escalation, or the other way round"
    rung: dict[tuple[str, str], list[str]] = defaultdict(list)
    for entry in sorted(written, key=lambda one: (one.room, one.seq)):
        if entry.body["change"] == "ringing":
            rung[entry.room, entry.body["alert"]].append(entry.body["ring"])
    for alert, row in rows.items():
        numbers = [f"{alert}.{n}" for n in range(1, row.state["rings"] + 1)]
        assert rung[f"site:{SITE}", alert] == rung["site:cn", alert] == numbers, "a ring is lost or doubled"
        assert row.open
        assert row.state["due_at"] is not None
    return sum(row.state["rings"] for row in rows.values())


async def make_tree(url: str) -> None:
    async with Database.open(url) as database:
        tree = await SiteTree.load(database)
        await tree.add("cn", None, "nation", "国家", "Nation")
        await tree.add("liulin", "cn", "county", "柳林", "Liulin")
        await tree.add(SITE, "liulin", "mine", "甲矿", "Mine A")


async def test_killed_anywhere_no_escalation_is_lost_or_begun_twice(
    programs: ForkServerContext, database_url: str
) -> None:
    await make_tree(database_url)
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    lives: list[tuple[str | None, float]] = [
        (f"{point}:{visit}", 0.0) for point in ESCALATION_POINTS for visit in (1, 4)
    ]
    lives += [(None, rng.uniform(0.0, 0.3)) for _ in range(6)]
    rng.shuffle(lives)
    safe: set[str] = set()
    first = 0
    for crash_at, after_s in lives:
        told, first = live_and_die(programs, database_url, first, crash_at, after_s)
        safe |= told
        await check(database_url, safe)
    assert safe
    assert await check(database_url, safe) > len(safe), "none went on to a second station"
