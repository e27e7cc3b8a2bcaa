"""The record of every call that was let in or made, and how often each trunk has dialled today."""

import datetime
import time
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from server.phones.leg import Leg
from server.store import phones as rows
from server.store.database import Database
from server.store.errors import StoreError

KEPT_S = 90 * 86400.0

log = structlog.get_logger()


class CallBook:
    """A store that is away is logged and does not keep anybody from calling."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialled: tuple[datetime.date | None, dict[str, int]] = (None, {})

    async def open(self) -> None:
        """Calls that were up when the server stopped are over; the day's calls still count. Raises StoreError."""
        async with self._database.transaction() as connection:
            await rows.end_open_calls(connection, time.time())
        await self.tidy()

    async def tidy(self) -> None:
        """Forget old records, and count the day's calls anew. Raises StoreError."""
        async with self._database.transaction() as connection:
            await rows.forget_calls(connection, time.time() - KEPT_S)
        midnight = datetime.datetime.combine(datetime.date.today(), datetime.time()).timestamp()
        async with self._database.reading() as connection:
            found = await rows.dialled_since(connection, midnight)
        today = self.today()
        for trunk, count in found.items():
            today[trunk] = max(today.get(trunk, 0), count)

    def today(self) -> dict[str, int]:
        """Calls made by each trunk on this local day."""
        today = datetime.date.today()
        if self._dialled[0] != today:
            self._dialled = (today, {})
        return self._dialled[1]

    def dialled(self, trunk: str) -> None:
        today = self.today()
        today[trunk] = today.get(trunk, 0) + 1

    async def began(self, leg: Leg) -> None:
        """A record of the call, before it goes on."""
        row = {
            "call": leg.id, "at": leg.began_at, "direction": leg.direction, "peer": leg.peer, "caller": leg.caller,
            "called": leg.called, "name": leg.name, "site": leg.site, "session": leg.session, "alert": leg.alert,
            "rule": leg.rule, "by": leg.by, "answered_at": None, "ended_at": None, "result": "", "reason": "",
            "status": 0,
        }  # fmt: skip
        await self._store(leg, lambda connection: rows.add_call(connection, row))

    async def ended(self, leg: Leg) -> None:
        values = {
            "answered_at": leg.answered_at, "ended_at": leg.ended_at, "result": leg.result or "hangup",
            "reason": leg.reason[:300], "status": leg.status, "session": leg.session, "site": leg.site,
        }  # fmt: skip
        await self._store(leg, lambda connection: rows.change_call(connection, leg.id, values))

    async def _store(self, leg: Leg, write: Callable[[AsyncConnection], Awaitable[None]]) -> None:
        async def go() -> None:
            async with self._database.transaction() as connection:
                await write(connection)

        try:
            await self._database.finish(go())
        except StoreError as error:
            log.warning("call_not_written", call=leg.id, reason=str(error))
