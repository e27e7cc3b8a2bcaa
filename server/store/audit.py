"""The audit: who did what to what, each row chained to the one before by its hash.

Whoever changes or removes a row in the middle breaks every hash after it, and `verify` says where. Cutting off the end
is not noticed by the chain alone: keep the newest hash (`head`) somewhere else, e.g. on paper or one level up.

The chain begins at row 1, or after what retention took out of it (`server.store.chain`).
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy import Row, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store.tables import audit, chain_spans

FIRST = "0" * 64
"""What the first row is chained to."""
PAGE_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found."""

    rows: int
    """Rows that hold, from the first one there is."""
    broken_at: int | None = None
    """`seq` of the first row that does not, or is not there."""
    reason: str = ""

    @property
    def holds(self) -> bool:
        return self.broken_at is None


def canonical(value: object) -> str:
    """JSON with one spelling: sorted keys, no spaces."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(seq: int, at: float, words: tuple[str, ...], detail: str, before: str) -> str:
    return hashlib.sha256(canonical([seq, float(at), *words, detail, before]).encode()).hexdigest()


async def head(connection: AsyncConnection) -> tuple[int, str]:
    """`seq` and hash of the newest row; `(0, FIRST)` before there is one."""
    row = (
        await connection.execute(select(audit.c.seq, audit.c.sha256).order_by(audit.c.seq.desc()).limit(1))
    ).one_or_none()
    return (0, FIRST) if row is None else (row.seq, row.sha256)


async def append(
    connection: AsyncConnection,
    *,
    at: float,
    actor: str,
    action: str,
    object: str,
    site: str,
    result: str = "ok",
    address: str = "",
    detail: Mapping[str, object] | None = None,
) -> int:
    """Add a row within the caller's transaction, and return its `seq`. Never put a secret or a token into `detail`."""
    last, before = await head(connection)
    seq, words, written = last + 1, (actor, action, object, site, result, address), canonical(dict(detail or {}))
    await connection.execute(
        insert(audit).values(
            seq=seq,
            at=at,
            actor=actor,
            action=action,
            object=object,
            site=site,
            result=result,
            address=address,
            detail=written,
            prev_sha256=before,
            sha256=_digest(seq, at, words, written, before),
        )
    )
    return seq


CHAIN = "audit"
"""Its name in `chain_spans`."""


async def verify(
    connection: AsyncConnection, seen: Callable[["Row[tuple[object, ...]]"], None] = lambda row: None
) -> Verdict:
    """Walk the whole chain, a page at a time; `seen` is called with each row that holds, in order."""
    start = (await connection.execute(select(chain_spans).where(chain_spans.c.chain == CHAIN))).one_or_none()
    last, before = (0, FIRST) if start is None else (start.last, start.after)
    count = 0
    while True:
        rows = (
            await connection.execute(select(audit).where(audit.c.seq > last).order_by(audit.c.seq).limit(PAGE_ROWS))
        ).all()
        for row in rows:
            reason = _fault(row, last, before)
            if reason:
                return Verdict(count, last + 1 if row.seq != last + 1 else row.seq, reason)
            last, before, count = row.seq, row.sha256, count + 1
            seen(row)
        if len(rows) < PAGE_ROWS:
            return Verdict(count)


def _fault(row: "Row[tuple[object, ...]]", last: int, before: str) -> str:
    if row.seq != last + 1:
        return f"Row {last + 1} is missing."
    if row.prev_sha256 != before:
        return f"Row {row.seq} is not chained to the row before it."
    words = (row.actor, row.action, row.object, row.site, row.result, row.address)
    if row.sha256 != _digest(row.seq, row.at, words, row.detail, before):
        return f"Row {row.seq} was changed after it was written."
    return ""
