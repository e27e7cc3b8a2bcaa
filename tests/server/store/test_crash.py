"""Killed at every point around a commit and at random instants: what was acknowledged is there, once, and whole."""

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerContext
from typing import Any

import pytest
from sqlalchemy import Row, func, select

from server.store import audit, timeline
from server.store.crashpoints import POINTS
from server.store.database import Database
from server.store.sites import SiteTree
from server.store.tables import alerts, entries, readings, rooms
from tests.fakes.alertposter import SITE, main

AnyRow = Row[tuple[Any, ...]]
LONGEST_S = 30.0


@dataclass
class Said:
    """What the program said before it was killed, over all its lives."""

    alerts: dict[str, str] = field(default_factory=dict)
    told: set[tuple[str, int]] = field(default_factory=set)
    stored: set[int] = field(default_factory=set)
    next: int = 0
    kills: int = 0


@pytest.fixture(scope="module")
def programs() -> ForkServerContext:
    """Processes that start in milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.fakes.alertposter"])
    return context


def live_and_die(programs: ForkServerContext, url: str, said: Said, crash_at: str | None, after_s: float = 0) -> None:
    """One life of the program, ended by the crash point or, without one, `after_s` after its first word."""
    ours, theirs = programs.Pipe(duplex=False)
    process = programs.Process(target=main, args=(url, theirs, said.next, crash_at))
    process.start()
    theirs.close()
    kill_at = None
    deadline = time.monotonic() + LONGEST_S
    try:
        while True:
            assert time.monotonic() < deadline, "the program was not killed in time"
            wait = LONGEST_S if kill_at is None else max(0.0, kill_at - time.monotonic())
            if not ours.poll(wait):
                process.kill()
                kill_at = deadline
                continue
            try:
                word, *rest = ours.recv()
            except EOFError:
                break
            if kill_at is None and crash_at is None:
                kill_at = time.monotonic() + after_s
            if kill_at is not None and kill_at <= time.monotonic():
                process.kill()
                kill_at = deadline
            take(said, word, rest)
    finally:
        process.kill()
        process.join()
        assert process.exitcode == -9
        process.close()
        ours.close()
    said.kills += 1


def take(said: Said, word: str, rest: list[object]) -> None:
    match word, rest:
        case "alert", [str(subject), str(alert)]:
            assert said.alerts.setdefault(subject, alert) == alert
        case "told", [str(room), int(seq)]:
            assert (room, seq) not in said.told
            said.told.add((room, seq))
        case "stored", [int(number)]:
            said.stored.add(number)
        case "next", [int(number)]:
            said.next = number


async def check(url: str, said: Said) -> None:
    async with Database.open(url) as database, database.reading() as connection:
        rows = (await connection.execute(select(alerts))).all()
        by_id = {row.alert: row for row in rows}
        assert len({row.subject for row in rows}) == len(rows), "an alert is there twice"
        for subject, alert in said.alerts.items():
            assert by_id[alert].subject == subject, "an acknowledged alert is lost"
        written = (await connection.execute(select(entries).order_by(entries.c.room, entries.c.seq))).all()
        numbers: dict[str, list[int]] = {}
        for row in written:
            numbers.setdefault(row.room, []).append(row.seq)
        assert all(found == list(range(1, len(found) + 1)) for found in numbers.values()), "a gap in a timeline"
        counters = {row.room: row.last_seq for row in await connection.execute(select(rooms))}
        assert counters == {room: len(found) for room, found in numbers.items()}
        assert said.told <= {(row.room, row.seq) for row in written}, "told and then lost"
        check_whole(rows, written)
        verdict = await audit.verify(connection)
        assert (verdict.holds, verdict.rows) == (True, len(numbers.get(f"site:{SITE}", [])))
        samples = await connection.execute(select(readings.c.seq, func.count()).group_by(readings.c.seq))
        counts = {seq: count for seq, count in samples.all()}
        assert said.stored <= set(counts), "stored telemetry is lost"
        assert set(counts.values()) <= {5}, "half a batch"


def check_whole(rows: Sequence[AnyRow], written: Sequence[AnyRow]) -> None:
    """Each alert has exactly its own entries, the same ones in every room, and none is about nothing."""
    raised: Counter[tuple[str, str]] = Counter()
    changes: Counter[str] = Counter()
    for row in written:
        if row.body["change"] == "raised":
            raised[row.room, row.body["id"]] += 1
        if row.room == f"site:{SITE}":
            changes[row.body["id"]] += 1
    everywhere = {room for room, _ in raised}
    assert len(everywhere) in (0, 5)
    assert raised == {(room, row.alert): 1 for room in everywhere for row in rows}
    for row in rows:
        assert changes[row.alert] == row.occurrences + (row.state == "cleared")


@pytest.fixture
async def url(database_url: str) -> str:
    async with Database.open(database_url) as database:
        tree = await SiteTree.load(database)
        parent = None
        for site, level in (("cn", "nation"), ("sx", "province"), ("ll", "city"), ("liulin", "county"), (SITE, "mine")):
            await tree.add(site, parent, level, site, site)
            parent = site
        async with database.reading() as connection:
            assert await timeline.epoch(connection)
    return database_url


@pytest.mark.parametrize("point", POINTS)
async def test_killed_at_a_point(programs: ForkServerContext, url: str, point: str) -> None:
    said = Said()
    for visit in (3, 14):
        live_and_die(programs, url, said, f"{point}:{visit}")
        await check(url, said)
    assert said.kills == 2
    assert said.stored or said.alerts


@pytest.mark.timeout(300)
async def test_killed_at_random_instants(programs: ForkServerContext, url: str) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    said = Said()
    lives = 24 if url.startswith("sqlite") else 8
    for _ in range(lives):
        live_and_die(programs, url, said, None, after_s=chance.uniform(0.0, 0.25))
        await check(url, said)
    assert said.kills == lives
    assert len(said.alerts) >= lives // 4
