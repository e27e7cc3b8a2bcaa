"""A room as it is now, for a client that enters it."""

from server.alerts.service import AlertService
from server.conductor import GUESTS_SEE, Conductor, event_of
from server.duty.office import DutyOffice
from server.posts import DutyPosts
from server.sessions.machine import State
from server.sessions.service import SessionService
from server.store import timeline
from server.store.database import Database
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest, position_body, reading_body
from signaling.room.messages import Event, Snapshot

RECENT_ENTRIES = 100


class Rooms:
    """Answers `Join`: what was missed, or everything."""

    def __init__(
        self,
        database: Database,
        tree: SiteTree,
        conductor: Conductor,
        alerts: AlertService,
        sessions: SessionService,
        telemetry: TelemetryIngest,
        posts: DutyPosts,
        duty: DutyOffice,
    ) -> None:
        self._database = database
        self._tree = tree
        self._conductor = conductor
        self._alerts = alerts
        self._sessions = sessions
        self._telemetry = telemetry
        self._posts = posts
        self._duty = duty

    async def missed(self, room: str, since: int | None, epoch: str | None, limit: int) -> tuple[Event, ...] | None:
        """The entries after `since`, or None when only a snapshot will do (another epoch, too many, the future)."""
        if since is None or epoch != self._conductor.epoch or since < 0:
            return None
        async with self._database.reading() as connection:
            last = await timeline.last_seq(connection, room)
            if since > last or last - since > limit:
                return None
            found = await timeline.since(connection, room, since, limit)
        if [entry.seq for entry in found] != list(range(since + 1, last + 1)):
            return None  # some are so old that they were removed
        return tuple(map(event_of, found))

    async def guest_snapshot(self, room: str) -> tuple[Snapshot, int]:
        """As `snapshot`, for a guest of a consultation: people, pictures and words, nothing of the mine."""
        async with self._database.reading() as connection:
            recent = await timeline.recent(connection, room, RECENT_ENTRIES)
            last = await timeline.last_seq(connection, room)
        members, tracks = self._conductor.roster(room)
        state = self._sessions.get_open(room.removeprefix("session:"))
        session = {} if state is None else {**state.as_dict(), "orders": {}, "alerts": {}, "alert": None}
        entries = tuple(event_of(one) for one in recent if one.kind in GUESTS_SEE)
        recording = self._conductor.recording_of(room)
        sessions = (session,) if session else ()
        found = Snapshot(members=members, tracks=tracks, sessions=sessions, recent=entries, recording=recording)
        return found, last

    async def snapshot(self, room: str) -> tuple[Snapshot, int]:
        """The room now, and the number of the last entry it holds."""
        async with self._database.reading() as connection:
            recent = await timeline.recent(connection, room, RECENT_ENTRIES)
            last = await timeline.last_seq(connection, room)
        site = self.site_of(room)
        if site is None:
            members, tracks = self._conductor.roster(room)
            recording = self._conductor.recording_of(room)
            entries = tuple(map(event_of, recent))
            return Snapshot(members=members, tracks=tracks, recent=entries, recording=recording), last
        in_session = room.startswith("session:")
        # A consultation shows the site it is about, not what lies below it: its guests may be of sister mines.
        shown = [site] if in_session else [site, *self._tree.descendants(site)]
        states = [self._sessions.get_open(room.removeprefix("session:"))] if in_session else self._concerning(site)
        readings = await self._telemetry.newest(site)
        positions = await self._telemetry.positions(site)
        alerts = [alert for alert in await self._alerts.open_for(site) if alert.site in shown]
        members, tracks = self._conductor.roster(room)
        snapshot = Snapshot(
            members=members,
            tracks=tracks,
            alerts=tuple(alert.as_dict() for alert in alerts),
            sessions=tuple(state.as_dict() for state in states if state is not None),
            duty=tuple(self._posts.states(shown)),
            readings=tuple(map(reading_body, readings)),
            positions=tuple(map(position_body, positions)),
            escalations=tuple(self._duty.escalations.views(shown)),
            checks=() if in_session else tuple(self._duty.checks.pending(shown)),
            challenges=() if in_session else tuple(self._duty.challenges.views(shown)),
            recent=tuple(map(event_of, recent)),
            recording=self._conductor.recording_of(room),
        )
        return snapshot, last

    def _concerning(self, site: str) -> list[State | None]:
        return list(self._sessions.concerning(site))

    def site_of(self, room: str) -> str | None:
        """The site that a room shows."""
        if room.startswith("site:"):
            return room.removeprefix("site:")
        state = self._sessions.get_open(room.removeprefix("session:"))
        return state.site if state is not None else None
