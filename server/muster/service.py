"""Musters at work: begun by a person, kept over restarts, told every two seconds, lists drawn up by the clock.

What must not be lost (the frozen list, who is out, lists and signatures) is in the store before anybody is told. Where
people are now comes from `LivePositions` at every tick, and is no more than a view.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog
from sqlalchemy import insert, select, update

from analytics.mine import MineFacts
from analytics.ways import Ways
from server.bus import Bus
from server.muster.errors import MusterError
from server.muster.machine import LOST_PERIODS, LOST_S, Board, Member, Muster, Sight, board, due, judge
from server.muster.progress import Evacuation
from server.positions import LivePositions
from server.store import audit, timeline
from server.store.audit import canonical
from server.store.database import Database
from server.store.errors import StoreError
from server.store.ids import new_id
from server.store.sites import SiteTree
from server.store.tables import muster_lists, muster_members, musters
from server.store.upsert import insert_into

log = structlog.get_logger()

TICK_S = 2.0
PREEMPTED = "preempted"
"""Why a drill ended where a real muster began."""
FILE_PERIOD_S = 300.0
"""Of files with positions, where nobody said otherwise."""
FORGOTTEN_S = 24 * 3600.0
"""A card that nobody heard of for so long hangs in the lamp room; it is counted, not listed."""
HISTORY = 900
"""Ticks of progress that are kept in memory: half an hour."""

Rooms = Callable[[str], Iterable[str]]


def no_rooms(_site: str) -> Iterable[str]:
    """Where no consultations are."""
    return ()


@dataclass(frozen=True, slots=True)
class DrawnList:
    """A list as it was at one moment; its hash is over the canonical JSON of `body`."""

    muster: str
    number: int
    due_at: float
    at: float
    body: dict[str, Any]
    sha256: str
    signed_by: str | None
    signed_at: float | None


class Musters:
    """All musters of this server; `load` takes up the open ones."""

    def __init__(
        self,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        live: LivePositions,
        facts: Callable[[str], MineFacts],
        *,
        further_rooms: Rooms = no_rooms,
        file_period_s: float = FILE_PERIOD_S,
        simulated: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._tree = tree
        self._bus = bus
        self._live = live
        self._facts = facts
        self._further_rooms = further_rooms
        self._file_period_s = file_period_s
        self._simulated = simulated
        self._clock = clock
        self._open: dict[str, Muster] = {}
        self._pending: dict[str, set[str]] = {}
        """Cards that changed and are not written yet, for the store was away."""
        self._history: dict[str, deque[tuple[float, int | None, dict[str, int]]]] = {}
        self._evacuations: dict[str, Evacuation] = {}
        self._ways: dict[str, tuple[MineFacts, Ways]] = {}
        self._changing = asyncio.Lock()

    async def load(self) -> None:
        """Take up the open musters of before a restart."""
        async with self._database.reading() as connection:
            rows = await connection.execute(select(musters).where(musters.c.ended_at.is_(None)))
            found = [_muster(row) for row in rows]
            for one in found:
                query = select(muster_members.c.data).where(muster_members.c.muster == one.muster)
                for (data,) in await connection.execute(query):
                    member = Member.of(data)
                    one.members[member.card] = member
        for one in found:
            self._open[one.site] = one
            self._history[one.muster] = deque(maxlen=HISTORY)

    # --- questions ---

    def open_at(self, site: str) -> Muster | None:
        """The one that is going on, if any."""
        return self._open.get(site)

    async def get(self, muster: str) -> Muster | None:
        """Open or ended, with its people."""
        for one in self._open.values():
            if one.muster == muster:
                return one
        async with self._database.reading() as connection:
            row = (await connection.execute(select(musters).where(musters.c.muster == muster))).one_or_none()
            if row is None:
                return None
            found = _muster(row)
            query = select(muster_members.c.data).where(muster_members.c.muster == muster)
            for (data,) in await connection.execute(query):
                member = Member.of(data)
                found.members[member.card] = member
        return found

    async def listed(self, sites: Sequence[str], limit: int = 50) -> list[Muster]:
        """Musters of these sites, the newest first, without their people."""
        query = select(musters).where(musters.c.site.in_(sites)).order_by(musters.c.started_at.desc()).limit(limit)
        async with self._database.reading() as connection:
            return [_muster(row) for row in await connection.execute(query)]

    def board(self, one: Muster) -> Board:
        """The figures now."""
        now = self._clock()
        feed = self._live.feed(one.site, now)
        figures = board(one.members.values(), feed.state, feed.newest_at, now)
        getting_on = self._evacuations.get(one.muster)
        if getting_on is None:
            return figures
        crowds = [crowd._asdict() for crowd in getting_on.crowds]
        return replace(figures, going=getting_on.counts(), crowds=crowds)

    def evacuation(self, muster: str) -> Evacuation | None:
        """How people get on, while it is going on."""
        return self._evacuations.get(muster)

    async def final(self, one: Muster) -> Board:
        """The figures of an ended one, as they were then."""
        last = (await self.lists(one.muster))[-1].body
        return board(one.members.values(), last["feed"], last["feed_at"], last["at"])

    def progress(self, one: Muster) -> list[tuple[float, int | None, dict[str, int]]]:
        """(at, left, states) of the last half hour; since the last restart only."""
        return list(self._history.get(one.muster, ()))

    async def lists(self, muster: str) -> list[DrawnList]:
        """Lists that were drawn up, oldest first."""
        query = select(muster_lists).where(muster_lists.c.muster == muster).order_by(muster_lists.c.number)
        async with self._database.reading() as connection:
            return [DrawnList(**row._asdict()) for row in await connection.execute(query)]

    # --- life ---

    async def start(
        self, site: str, by: str, *, reason: str = "", session: str | None = None, alert: str | None = None,
        drill: bool = False, address: str = "",
    ) -> Muster:  # fmt: skip
        """Freeze who is underground, and draw up the first list. One that is going on already is answered instead; a
        drill is ended by a real one, which begins anew.

        Raises:
            MusterError: a drill is begun where a real one is going on.
            NoSuchSite: the site is none.
            StoreError: nothing was begun.
        """
        self._tree[site]
        return await self._database.finish(self._start(site, by, reason, session, alert, drill, address))

    async def _start(
        self, site: str, by: str, reason: str, session: str | None, alert: str | None, drill: bool, address: str
    ) -> Muster:
        async with self._changing:
            if (going_on := self._open.get(site)) is not None:
                if going_on.drill == drill:
                    return going_on
                if drill:
                    raise MusterError("stale", "A real muster is going on there.")
                await self._finish(going_on, by, PREEMPTED, address)  # nothing real is ever counted as a drill
            now = self._clock()
            one = Muster(
                new_id(now), site, now, by, reason, session, alert, drill,
                simulated=self._simulated or any(tag.position.simulated for tag in self._live.tags(site)),
            )  # fmt: skip
            for tag in self._live.tags(site):
                if tag.position.kind != "person" or not self._live.underground(tag):
                    continue
                if tag.age_s(now) > FORGOTTEN_S:
                    one.left_out += 1
                    continue
                one.members[tag.position.tag] = Member(tag.position.tag, added_at=now, since=now)
            self._judge(one, now)
            drawn = self._draw(one, 0, now, now)
            one.lists = 1
            async with self._database.transaction() as connection:
                await connection.execute(insert(musters).values(_row(one)))
                if one.members:
                    rows = [_member_row(one.muster, member) for member in one.members.values()]
                    await connection.execute(insert(muster_members), rows)
                await connection.execute(insert(muster_lists).values(_list_row(drawn)))
                await audit.append(
                    connection, at=now, actor=by, action="muster.start", object=one.muster, site=site,
                    address=address, detail={"people": len(one.members), "drill": drill, "list_sha256": drawn.sha256},
                )  # fmt: skip
                entries = await timeline.append_all(connection, [self._news(one, "started", now)])
            self._open[site] = one
            self._history[one.muster] = deque(maxlen=HISTORY)
            await self._tell(entries)
            return one

    async def end(self, muster: str, by: str, *, reason: str, address: str = "") -> Muster:
        """End it, with what is known then as the last list.

        Raises:
            MusterError: it is not going on.
            StoreError: it goes on.
        """
        return await self._database.finish(self._end(muster, by, reason, address))

    async def _end(self, muster: str, by: str, reason: str, address: str) -> Muster:
        async with self._changing:
            return await self._finish(self._going_on(muster), by, reason, address)

    async def _finish(self, one: Muster, by: str, reason: str, address: str) -> Muster:
        muster, now = one.muster, self._clock()
        changed = self._judge(one, now)
        self._pending.setdefault(muster, set()).update(member.card for member in changed)
        numbers = [found.number for found in await self.lists(muster)]
        drawn = self._draw(one, max(numbers, default=-1) + 1, now, now)
        figures = self.board(one)
        values = {"ended_at": now, "ended_by": by, "end_reason": reason, "lists": one.lists}
        async with self._database.transaction() as connection:
            await self._keep(connection, one, list(one.members.values()))
            await connection.execute(update(musters).where(musters.c.muster == muster).values(values))
            await connection.execute(insert(muster_lists).values(_list_row(drawn)))
            await audit.append(
                connection, at=now, actor=by, action="muster.end", object=muster, site=one.site, address=address,
                detail={"left": figures.left, "reason": reason[:200]},
            )  # fmt: skip
            ended = self._news(one, "ended", now)
            entries = await timeline.append_all(connection, [ended])
        one.ended_at, one.ended_by, one.end_reason = now, by, reason
        self._open.pop(one.site, None)
        self._history.pop(muster, None)
        self._evacuations.pop(muster, None)
        self._pending.pop(muster, None)
        await self._tell(entries)
        return one

    async def mark(self, muster: str, card: str, by: str, *, out: bool, note: str, address: str = "") -> Member:
        """What a person knows that no reader does: this one is out, or was seen somewhere.

        Raises:
            MusterError: it is not going on, or has no such person.
        """
        return await self._database.finish(self._mark(muster, card, by, out, note, address))

    async def _mark(self, muster: str, card: str, by: str, out: bool, note: str, address: str) -> Member:
        async with self._changing:
            one = self._going_on(muster)
            member = one.members.get(card)
            if member is None:
                raise MusterError("no_such_person", f"Card {card} is not on the list.")
            now = self._clock()
            changed = Member.of(member.as_dict())
            changed.note = note
            if out:
                changed.by_hand, changed.state, changed.since = by, "out", now
            elif changed.by_hand:
                changed.by_hand, changed.state, changed.since = "", "underground", now
            async with self._database.transaction() as connection:
                await self._keep(connection, one, [changed])
                await audit.append(
                    connection, at=now, actor=by, action="muster.mark", object=f"{muster}/{card}", site=one.site,
                    address=address, detail={"out": out, "note": note[:200]},
                )  # fmt: skip
                entries = await timeline.append_all(connection, [self._news(one, "marked", now, card=card, out=out)])
            one.members[card] = changed
            await self._tell(entries)
            return changed

    async def sign(self, muster: str, number: int, by: str, *, sha256: str, address: str = "") -> DrawnList:
        """Somebody stands by a list. The hash says which one he looked at.

        Raises:
            MusterError: there is no such list, it has another hash, or it is signed already.
        """
        return await self._database.finish(self._sign(muster, number, by, sha256, address))

    async def _sign(self, muster: str, number: int, by: str, sha256: str, address: str) -> DrawnList:
        async with self._changing:
            one = await self.get(muster)
            drawn = next((found for found in await self.lists(muster) if found.number == number), None)
            if one is None or drawn is None:
                raise MusterError("no_such_list", "There is no such list.")
            if drawn.sha256 != sha256:
                raise MusterError("stale", "The list that was looked at has another hash.")
            if drawn.signed_by is not None:
                raise MusterError("stale", "The list is signed already.")
            now = self._clock()
            async with self._database.transaction() as connection:
                await connection.execute(
                    update(muster_lists)
                    .where(muster_lists.c.muster == muster, muster_lists.c.number == number)
                    .values(signed_by=by, signed_at=now)
                )
                await audit.append(
                    connection, at=now, actor=by, action="muster.sign", object=f"{muster}/{number}", site=one.site,
                    address=address, detail={"list_sha256": sha256},
                )  # fmt: skip
                news = self._news(one, "signed", now, number=number, by=by, sha256=sha256)
                entries = await timeline.append_all(connection, [news])
            await self._tell(entries)
            return DrawnList(
                drawn.muster, drawn.number, drawn.due_at, drawn.at, drawn.body, drawn.sha256, by, now
            )  # fmt: skip

    def _going_on(self, muster: str) -> Muster:
        for one in self._open.values():
            if one.muster == muster:
                return one
        raise MusterError("muster_over", "This muster is over.")

    # --- the clock ---

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            for one in list(self._open.values()):
                try:
                    await self._database.finish(self.tick(one))
                except StoreError as error:  # the next tick tries again; nothing that was told is lost
                    log.error("muster_not_kept", muster=one.muster, reason=str(error))
            await asyncio.sleep(TICK_S)

    async def tick(self, one: Muster) -> None:
        """Bring one up to date, keep what changed, draw up lists that are due, tell the figures.

        Raises:
            StoreError: what changed is kept by a later tick.
        """
        async with self._changing:
            if one.ended_at is not None:
                return
            now = self._clock()
            changed = self._judge(one, now)
            lists = [
                self._draw(one, wanted.number, wanted.due_at, now) for wanted in due(one.started_at, one.lists, now)
            ]
            entries: list[timeline.Entry] = []
            pending = self._pending.setdefault(one.muster, set())
            pending |= {member.card for member in changed}
            if pending or lists:
                members = [one.members[card] for card in sorted(pending)]
                entries = await self._write(one, members, lists, now)
                pending.clear()
                one.lists += len(lists)
            self._get_on(one, now)
            figures = self.board(one)
            self._history.setdefault(one.muster, deque(maxlen=HISTORY)).append(
                (now, figures.left, dict(figures.states))
            )  # fmt: skip
            await self._tell(entries)
            body = summary(one, figures)
            for room in self._rooms(one):
                await self._bus.publish("live", {"room": room, "kind": "muster", "key": one.muster, "body": body})

    def _get_on(self, one: Muster, now: float) -> None:
        facts = self._facts(one.site)
        known = self._ways.get(one.site)
        if known is None or known[0] is not facts:
            known = self._ways[one.site] = (facts, Ways(facts))
        self._evacuations.setdefault(one.muster, Evacuation()).tick(one.members.values(), known[1], facts.drifts, now)

    async def _write(
        self, one: Muster, changed: list[Member], lists: list[DrawnList], now: float
    ) -> list[timeline.Entry]:
        async with self._database.transaction() as connection:
            await self._keep(connection, one, changed)
            for drawn in lists:
                await connection.execute(insert(muster_lists).values(_list_row(drawn)))
            if lists:
                await connection.execute(
                    update(musters).where(musters.c.muster == one.muster).values(lists=one.lists + len(lists))
                )
            news: list[timeline.News] = []
            for drawn in lists:
                late_s = round(now - drawn.due_at, 1)
                news.append(self._news(one, "list", now, number=drawn.number, sha256=drawn.sha256, late_s=late_s))
            out = [member.card for member in changed if member.state == "out"]
            if out:
                news.append(self._news(one, "out", now, cards=out[:50], people=len(out)))
            return await timeline.append_all(connection, news)

    def _judge(self, one: Muster, now: float) -> list[Member]:
        """Who changed in a way that must be kept, and who appeared."""
        feed = self._live.feed(one.site, now)
        facts = self._facts(one.site)
        precise = facts.mine.positions == "precise"
        lost_s = max(LOST_S, 3 * facts.mine.expected_period_s) if precise else LOST_PERIODS * self._file_period_s
        sight = Sight(facts, feed.state == "live", lost_s, now)
        changed: list[Member] = []
        for tag in self._live.tags(one.site):
            position = tag.position
            if position.kind != "person" or position.tag in one.members:
                continue
            if position.source_at > one.started_at and self._live.underground(tag):
                member = Member(position.tag, frozen=False, added_at=now, since=now)
                one.members[position.tag] = member
                changed.append(member)
        for card, member in one.members.items():
            found = self._live.tag(one.site, card)
            inside = found is not None and self._live.underground(found)
            if judge(member, found, inside, sight) and member not in changed:
                changed.append(member)
        return changed

    def _draw(self, one: Muster, number: int, due_at: float, now: float) -> DrawnList:
        figures = self.board(one)
        facts = self._facts(one.site)
        people = [
            {
                "card": member.card, "job": card.job if (card := facts.people.get(member.card)) else "",
                "state": member.state, "zone": member.zone, "place": list(member.place),
                "seen_at": member.source_at, "frozen": member.frozen, "note": member.note, "by_hand": member.by_hand,
            }
            for member in sorted(one.members.values(), key=lambda member: member.card)
        ]  # fmt: skip
        body: dict[str, Any] = {
            "muster": one.muster, "site": one.site, "number": number, "at": now, "feed": figures.feed,
            "feed_at": figures.feed_at, "total": figures.total, "left": figures.left, "states": dict(figures.states),
            "left_out": one.left_out, "drill": one.drill, "simulated": one.simulated, "people": people,
        }  # fmt: skip
        digest = hashlib.sha256(canonical(body).encode()).hexdigest()
        return DrawnList(one.muster, number, due_at, now, body, digest, None, None)

    async def _keep(self, connection: Any, one: Muster, members: Sequence[Member]) -> None:
        if not members:
            return
        upsert = insert_into(connection, muster_members)
        await connection.execute(
            upsert.on_conflict_do_update(index_elements=["muster", "card"], set_={"data": upsert.excluded.data}),
            [_member_row(one.muster, member) for member in members],
        )

    def _rooms(self, one: Muster) -> list[str]:
        """The mine's own, and those of open consultations about it."""
        return [f"site:{one.site}", *self._further_rooms(one.site)]

    def _news(self, one: Muster, change: str, at: float, **more: object) -> timeline.News:
        body = summary(one, self.board(one)) | {"change": change, **more}
        rooms = dict.fromkeys([*self._tree.rooms_of(one.site), *self._further_rooms(one.site)])
        return timeline.News(list(rooms), "muster", body, at)

    async def _tell(self, entries: Iterable[timeline.Entry]) -> None:
        for entry in entries:
            await self._bus.publish("entry", entry.as_dict())


def summary(one: Muster, figures: Board) -> dict[str, object]:
    """As in lists of musters, entries and live messages: figures, and nobody by name."""
    return {
        "muster": one.muster, "site": one.site, "started_at": one.started_at, "by": one.by, "reason": one.reason,
        "session": one.session, "alert": one.alert, "drill": one.drill, "simulated": one.simulated,
        "ended_at": one.ended_at, "left_out": one.left_out, "board": figures.as_dict(),
    }  # fmt: skip


def _muster(row: Any) -> Muster:
    return Muster(**row._asdict())


def _row(one: Muster) -> dict[str, object]:
    names = [column.name for column in musters.c]
    return {name: getattr(one, name) for name in names}


def _member_row(muster: str, member: Member) -> dict[str, object]:
    return {"muster": muster, "card": member.card, "data": member.as_dict()}


def _list_row(drawn: DrawnList) -> dict[str, object]:
    return {column.name: getattr(drawn, column.name) for column in muster_lists.c}
