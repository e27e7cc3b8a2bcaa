"""Keeps the consultations that are open: each change is written with its entries in one transaction, then told."""

import asyncio
import copy
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.bus import Bus
from server.sessions.errors import SessionError
from server.sessions.machine import (
    Actor,
    AlertNoted,
    Event,
    Invited,
    MergedFrom,
    MergedInto,
    Session,
    Started,
    State,
    TrackNoted,
)
from server.sessions.machine import Entry as NewEntry
from server.store import audit, idempotency, recordings, timeline
from server.store import sessions as rows
from server.store.database import Database
from server.store.errors import StoreError
from server.store.sites import SiteTree

log = structlog.get_logger()

TICK_S = 0.25


class SessionService:
    """The open consultations of this server."""

    def __init__(
        self,
        database: Database,
        tree: SiteTree,
        bus: Bus,
        ring_timeout_s: float,
        *,
        simulated: bool = False,
    ) -> None:
        self._database = database
        self._tree = tree
        self._bus = bus
        self._ring_timeout_s = ring_timeout_s
        self._simulated = simulated
        self._open: dict[str, Session] = {}
        self._lock = asyncio.Lock()
        self.on_changed: Callable[[State], None] = lambda state: None
        """An open consultation has another state: who may be heard may be others."""

    async def load(self) -> None:
        """Take up what was open when the server stopped. Nobody is in any more, nor at the door; rings ring on."""
        async with self._database.reading() as connection:
            bodies = await rows.open_sessions(connection)
        for body in bodies:
            state = State.from_dict(body)
            state.floor.holder = state.floor.before = None
            state.floor.priority = False
            state.floor.hands.clear()
            state.floor.lobby.clear()
            for participant in state.participants.values():
                if participant.left_at is None:
                    participant.left_at = time.time()
            self._open[state.session] = Session(state, self._ring_timeout_s, time.monotonic())

    async def run(self) -> None:
        """Ends rings that are due, and notes what happens at the sites that sessions are about."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._tick())
            group.create_task(self._note())

    async def _note(self) -> None:
        async with self._bus.subscribe("entry") as entries:
            async for body in entries:
                event = _noted(body)
                async with self._lock:
                    session = self._open.get(str(body["room"]).removeprefix("session:"))
                    if session is not None and event is not None:
                        session.handle(event, time.monotonic(), time.time())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            for name, session in list(self._open.items()):
                if _is_due(session, time.monotonic()):
                    try:
                        await self._end_rings(name)
                    except StoreError as error:
                        log.warning("ring_end_waits", reason=str(error))

    async def _end_rings(self, name: str) -> None:
        """What stands under this name when the lock is had counts: it may have been answered or ended meanwhile."""
        async with self._lock:
            now, at = time.monotonic(), time.time()
            session = self._open.get(name)
            if session is not None and _is_due(session, now):
                await self._change(session, Session.tick, now, at)

    # --- what people do ---

    async def start(
        self,
        site: str,
        by: Actor,
        invite: Iterable[str],
        *,
        title: str,
        alert: str | None,
        once: tuple[str, str] | None = None,
        template: str = "",
        drill: bool = False,
    ) -> dict[str, object]:
        """Open a consultation about `site` and ring the sites of `invite`, all in one transaction.

        `once` (a key, a user): asked again with the same, the first answer is given again and nothing is opened.
        """
        now, at = time.monotonic(), time.time()
        state = State(
            uuid.uuid4().hex[:12], site, title, by.name, by.site, at, alert=alert, simulated=self._simulated,
            template=template, drill=drill,
        )  # fmt: skip
        session = Session(state, self._ring_timeout_s, now)
        entries = session.handle(Started(by), now, at)
        for called in invite:
            entries += session.handle(Invited(called, self._tree.level(called), by), now, at)
        async with self._lock:
            if once is not None and (known := await self._answered_before(*once)) is not None:
                return known
            if alert is not None and any(one.alert == alert for one in self.about(site)):
                raise SessionError("stale", f"There is a consultation for alert {alert} already.")
            await self._keep(session, entries, at, once)
            self._open[state.session] = session
        return state.as_dict()

    async def _answered_before(self, key: str, user: str) -> dict[str, object] | None:
        async with self._database.reading() as connection:
            return await idempotency.find(connection, key, user)

    async def handle(self, session_id: str, event: Event) -> State:
        """Give an event to an open session.

        Raises:
            SessionError: no such open session, or it does not fit.
        """
        async with self._lock:
            session = self._open.get(session_id)
            if session is None:
                raise SessionError("session_over", f"Session {session_id} is not open.")
            now, at = time.monotonic(), time.time()
            return await self._change(session, lambda trial, now, at: trial.handle(event, now, at), now, at)

    async def _change(
        self, session: Session, step: Callable[[Session, float, float], list[NewEntry]], now: float, at: float
    ) -> State:
        """Try a step on a copy, write it down, and only then go on with the copy: what failed has not happened."""
        trial = copy.deepcopy(session)
        await self._keep(trial, step(trial, now, at), at)
        if trial.state.ended_at is not None:
            del self._open[trial.state.session]
        else:
            self._open[trial.state.session] = trial
            self.on_changed(trial.state)
        return trial.state

    async def merge(self, session_id: str, into: str, by: Actor, *, moderates: bool) -> State:
        """End one consultation and go on in another, both in one transaction.

        Raises:
            SessionError: one of them is not open, or it may not be done.
        """
        async with self._lock:
            found = [self._open.get(one) for one in (session_id, into)]
            if found[0] is None or found[1] is None:
                raise SessionError("session_over", "One of the two consultations is not open.")
            left, right = copy.deepcopy(found[0]), copy.deepcopy(found[1])
            now, at = time.monotonic(), time.time()
            entries = right.handle(MergedFrom(by, left.state, moderates), now, at)
            ended = left.handle(MergedInto(by, into, moderates), now, at)
            await self._database.finish(
                self._write([(right.state, entries), (left.state, ended)], at, None)
            )  # fmt: skip
            del self._open[session_id]
            self._open[into] = right
            self.on_changed(right.state)
            return right.state

    async def hold(self, session_id: str, by: Actor, held: bool, reason: str, address: str) -> State:
        """Hold the evidence of a consultation, open or ended, or release it; with the reason, in the audit and on the
        timeline, and with its recordings, all in one transaction.

        Raises:
            SessionError: there is no such consultation.
        """
        async with self._lock:
            state = await self.get(session_id)
            if state is None:
                raise SessionError("not_found", f"There is no consultation {session_id}.")
            changed = copy.deepcopy(state)
            changed.held, changed.released_at = held, None if held else time.time()
            await self._database.finish(self._write_hold(changed, by, reason, address))
            if (session := self._open.get(session_id)) is not None:
                session.state.held, session.state.released_at = held, changed.released_at
            return changed

    async def _write_hold(self, state: State, by: Actor, reason: str, address: str) -> None:
        at, change = time.time(), "held" if state.held else "released"
        body: dict[str, object] = {
            "session": state.session, "room": state.room, "site": state.site, "title": state.title, "change": change,
            "by": by.name, "by_site": by.site, "reason": reason, "held": state.held,
        }  # fmt: skip
        async with self._database.transaction() as connection:
            await _save_state(connection, state)
            await recordings.hold(connection, state.session, state.held)
            entries = await timeline.append(connection, [state.room, f"site:{state.site}"], "session", body, at)
            await audit.append(
                connection, at=at, actor=by.user, action=f"evidence.{'hold' if state.held else 'release'}",
                object=state.session, site=state.site, address=address, detail={"reason": reason},
            )  # fmt: skip
        for kept in entries:
            await self._bus.publish("entry", kept.as_dict())

    # --- questions ---

    def get_open(self, session_id: str) -> State | None:
        session = self._open.get(session_id)
        return session.state if session else None

    async def get(self, session_id: str) -> State | None:
        """Open or ended."""
        if (state := self.get_open(session_id)) is not None:
            return state
        async with self._database.reading() as connection:
            body = await rows.get(connection, session_id)
        return State.from_dict(body) if body is not None else None

    def open_states(self) -> list[State]:
        """All open consultations."""
        return [one.state for one in self._open.values()]

    def concerning(self, site: str) -> list[State]:
        """Open consultations that are about this site or to which it is called."""
        return [one.state for one in self._open.values() if site in one.state.sites()]

    def about(self, site: str) -> list[State]:
        """Open consultations about this site: its alerts and tracks are shown in them."""
        return [one.state for one in self._open.values() if one.state.site == site]

    def rooms_about(self, site: str) -> list[str]:
        """Rooms of the open consultations about this site: news of the site is told there too."""
        return [state.room for state in self.about(site)]

    def sites_of(self, session_id: str) -> set[str] | None:
        """Sites whose people may enter an open consultation; None when there is none."""
        state = self.get_open(session_id)
        return state.sites() if state is not None else None

    async def _keep(
        self, session: Session, entries: list[NewEntry], at: float, once: tuple[str, str] | None = None
    ) -> None:
        """Write the state and its entries in one transaction, then tell; a caller that goes away does not stop it."""
        await self._database.finish(self._write([(session.state, entries)], at, once))

    async def _write(
        self, changed: list[tuple[State, list[NewEntry]]], at: float, once: tuple[str, str] | None
    ) -> None:
        news = [
            timeline.News(entry.rooms, entry.kind, entry.body, at) for _, entries in changed for entry in entries
        ]  # fmt: skip
        async with self._database.transaction() as connection:
            for state, _ in changed:
                await _save_state(connection, state)
            written = await timeline.append_all(connection, news)
            if once is not None:
                await idempotency.keep(connection, *once, changed[0][0].as_dict(), at)
        for kept in written:
            await self._bus.publish("entry", kept.as_dict())


def _is_due(session: Session, now: float) -> bool:
    deadline = session.next_timeout()
    return deadline is not None and deadline <= now


async def _save_state(connection: AsyncConnection, state: State) -> None:
    await rows.save(
        connection,
        state.session,
        state.as_dict(),
        open=state.ended_at is None,
        site=state.site,
        started_at=state.started_at,
        ended_at=state.ended_at,
    )


def _noted(entry: Mapping[str, Any]) -> AlertNoted | TrackNoted | None:
    """What an entry on a session's timeline changes in the session's own lists (kept with its next change)."""
    body = entry["body"]
    if entry["kind"] == "alert":
        return AlertNoted(body["id"], body["state"])
    if entry["kind"] == "track":
        return TrackNoted(body["track"]["track"], body["change"])
    return None
