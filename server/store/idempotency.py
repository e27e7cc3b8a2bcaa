"""Answers kept for a while, so that a request sent twice (RFC 9110 calls it not idempotent) has its effect once."""

from typing import Any

from sqlalchemy import delete, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.tables import idempotency

KEPT_S = 24 * 3600.0


async def find(connection: AsyncConnection, key: str, user: str) -> dict[str, Any] | None:
    """What was answered to this key of this user. Read it inside the transaction that would act."""
    query = select(idempotency.c.response).where(idempotency.c.key == key, idempotency.c.user == user)
    response = await connection.scalar(query)
    return None if response is None else dict(response)


async def keep(connection: AsyncConnection, key: str, user: str, response: dict[str, object], at: float) -> None:
    """Remember the answer, within the transaction that acts, and forget old ones.

    Raises:
        sqlalchemy.exc.IntegrityError: this key was used already (`StoreConflict` outside of the transaction).
    """
    await connection.execute(delete(idempotency).where(idempotency.c.at < at - KEPT_S))
    await connection.execute(insert(idempotency).values(key=key, user=user, response=response, at=at))
