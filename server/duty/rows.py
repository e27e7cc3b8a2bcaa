"""Rows of escalations and of their messages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.duty.escalation import State
from server.store.tables import duty_outbox, escalations
from server.store.upsert import insert_into


async def save(connection: AsyncConnection, state: State, at: float, *, open: bool) -> None:
    """Write an escalation, new or known."""
    values = {"alert": state.alert, "site": state.site, "open": open, "state": state.as_dict(), "at": at}
    upsert = insert_into(connection, escalations).values(values)
    await connection.execute(upsert.on_conflict_do_update(index_elements=[escalations.c.alert], set_=values))


async def open_states(connection: AsyncConnection) -> list[State]:
    """All that are not over."""
    result = await connection.execute(
        select(escalations.c.state).where(escalations.c.open).order_by(escalations.c.alert)
    )
    return [State.from_dict(body) for body in result.scalars()]


async def known(connection: AsyncConnection, alerts: Iterable[str]) -> set[str]:
    """Those of these alerts that have, or had, an escalation."""
    wanted = list(alerts)
    found: set[str] = set()
    for first in range(0, len(wanted), 500):
        part = wanted[first : first + 500]
        result = await connection.execute(select(escalations.c.alert).where(escalations.c.alert.in_(part)))
        found |= set(result.scalars())
    return found


@dataclass(frozen=True, slots=True)
class Message:
    """Something to be sent to a program or a gateway."""

    message: str
    channel: str
    address: str
    """Name of the webhook, telephone number, topic."""
    red: bool
    alert: str
    ring: str
    who: str
    body: Mapping[str, Any]
    created_at: float
    attempts: int = 0

    @property
    def drill(self) -> bool:
        """Nothing has happened."""
        return bool(self.body.get("drill"))


async def put(connection: AsyncConnection, messages: Sequence[Message]) -> None:
    if messages:
        values = [{**asdict(one), "body": dict(one.body), "state": "waiting", "reason": ""} for one in messages]
        await connection.execute(insert(duty_outbox), values)


async def waiting(connection: AsyncConnection, most: int) -> list[Message]:
    """What is not sent yet: of each address the oldest, red ones first, at most so many. An address that takes nothing
    so keeps no other one waiting."""
    columns = [column for column in duty_outbox.c if column.name not in ("state", "reason")]
    places = select(duty_outbox.c.channel, duty_outbox.c.address).where(duty_outbox.c.state == "waiting").distinct()
    found: list[Message] = []
    for channel, address in (await connection.execute(places)).all():
        query = (
            select(*columns)
            .where(duty_outbox.c.state == "waiting", duty_outbox.c.channel == channel, duty_outbox.c.address == address)
            .order_by(duty_outbox.c.red.desc(), duty_outbox.c.message)
            .limit(most)
        )
        found += [Message(**row._mapping) for row in await connection.execute(query)]
    return found


async def rings_of_drills_that_are_over(connection: AsyncConnection, messages: Iterable[Message]) -> list[Message]:
    """Those of these messages that would ring somebody for a drill which has ended, or gave way to what is real."""
    rings = [one for one in messages if one.drill and one.ring]
    if not rings:
        return []
    wanted = {one.alert for one in rings}
    query = select(escalations.c.alert).where(escalations.c.alert.in_(wanted), escalations.c.open)
    going_on = set((await connection.execute(query)).scalars())
    return [one for one in rings if one.alert not in going_on]


async def mark(connection: AsyncConnection, messages: Sequence[Message], state: str, reason: str = "") -> None:
    """Each was tried once more, and this became of it."""
    for one in messages:
        await connection.execute(
            duty_outbox.update()
            .where(duty_outbox.c.message == one.message)
            .values(state=state, reason=reason[:200], attempts=one.attempts + 1)
        )


async def forget(connection: AsyncConnection, before: float) -> None:
    """Remove messages that were dealt with and are older than this."""
    await connection.execute(
        duty_outbox.delete().where(duty_outbox.c.state != "waiting", duty_outbox.c.created_at < before)
    )
