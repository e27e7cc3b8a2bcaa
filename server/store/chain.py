"""Whether what was written down is still as it was written: the audit, and the timeline of every room.

| somebody | is found because |
|---|---|
| changes a row | its hash is another |
| removes a row in the middle, or swaps two | numbers and hashes do not follow each other |
| removes the end of a timeline | the counter of the room names another number and hash |
| does so and mends the counter, or removes a whole room | a checkpoint in the audit names a later entry |
| removes the end of the audit | only whoever has kept its newest hash elsewhere can tell: `expect` |

A **checkpoint** (audit action `timeline.checkpoint`) names number and hash of the newest entry of each room that has
news since the last one; it is written every hour and when the server ends in order.

**Spans**: retention takes rows out, oldest first or from the middle. What is left stays verifiable: the hole is
remembered with the hashes that close it, and named by an audit row (`chain.prune`) that is in the chain itself. A hole
without such a row is a fault. When the audit itself loses its oldest rows, the spans that they named are named again.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Row, bindparam, delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from server.store import audit, timeline
from server.store.tables import audit as audit_rows
from server.store.tables import chain_spans, entries, rooms

PAGE_ROWS = 1000
ROOMS_PER_CHECKPOINT = 200
MAX_FAULTS = 50
CHECKPOINT = "timeline.checkpoint"
PRUNE = "chain.prune"

Head = tuple[int, str]
"""Number and hash of a row."""


@dataclass(frozen=True, slots=True)
class Span:
    """Rows `first` to `last` of a chain that were removed on purpose; `before` is the hash before them, `after` that of
    the last of them."""

    chain: str
    first: int
    last: int
    before: str
    after: str

    def words(self) -> list[object]:
        """As in the detail of an audit row."""
        return [self.chain, self.first, self.last, self.before, self.after]


@dataclass(frozen=True, slots=True)
class Fault:
    """The first row of a chain that does not hold."""

    chain: str
    """`audit`, or a room."""
    seq: int
    reason: str


@dataclass(slots=True)
class Report:
    """What was looked at, and what does not hold."""

    audit_rows: int = 0
    head: Head = (0, audit.FIRST)
    rooms: int = 0
    entries: int = 0
    removed: int = 0
    """Rows that retention removed, as far as they are named."""
    faults: list[Fault] = field(default_factory=list)
    """At most `MAX_FAULTS`."""

    @property
    def holds(self) -> bool:
        return not self.faults


# --- checkpoints ----------------------------------------------------------------------------------------------------


async def checkpoint(connection: AsyncConnection, at: float) -> int:
    """Write the newest entry of each room with news into the audit, within the caller's transaction. At most
    `ROOMS_PER_CHECKPOINT` at a time: call again while it returns that many."""
    found = await connection.execute(
        select(rooms).where(rooms.c.last_seq > rooms.c.checked_seq).order_by(rooms.c.room).limit(ROOMS_PER_CHECKPOINT)
    )
    news = {row.room: (row.last_seq, row.sha256) for row in found}
    if not news:
        return 0
    row = await audit.append(
        connection, at=at, actor="server", action=CHECKPOINT, object="timelines", site="",
        detail={"rooms": {room: list(head) for room, head in news.items()}},
    )  # fmt: skip
    await connection.execute(
        update(rooms).where(rooms.c.room == bindparam("of_room")).values(checked_seq=bindparam("seq"), checked_by=row),
        [{"of_room": room, "seq": head[0]} for room, head in news.items()],
    )
    return len(news)


# --- removing on purpose --------------------------------------------------------------------------------------------


async def prune_room(connection: AsyncConnection, room: str, first: int, last: int, at: float) -> int:
    """Take the entries `first` to `last` out of a room, and write down that it was done. Returns how many went."""
    found = select(entries.c.seq, entries.c.sha256).where(
        entries.c.room == room, entries.c.seq >= first, entries.c.seq <= last
    )
    rows = (await connection.execute(found.order_by(entries.c.seq))).all()
    if not rows:
        return 0
    await connection.execute(
        delete(entries).where(entries.c.room == room, entries.c.seq >= rows[0].seq, entries.c.seq <= rows[-1].seq)
    )
    before = await _hash_before(connection, room, rows[0].seq)
    span = await _join(connection, Span(room, rows[0].seq, rows[-1].seq, before, rows[-1].sha256))
    await _name(connection, [span], at, len(rows))
    return len(rows)


async def prune_audit(connection: AsyncConnection, last: int, at: float) -> int:
    """Take the oldest rows of the audit out, up to number `last`, but never the newest row there is. What they said of
    other spans and of the newest checkpoints is said again first."""
    head, _ = await audit.head(connection)
    last = min(last, head - 1)
    newest_gone = (
        await connection.execute(
            select(audit_rows.c.seq, audit_rows.c.sha256)
            .where(audit_rows.c.seq <= last)
            .order_by(audit_rows.c.seq.desc())
            .limit(1)
        )
    ).one_or_none()
    if newest_gone is None:
        return 0
    done = await connection.execute(delete(audit_rows).where(audit_rows.c.seq <= newest_gone.seq))
    span = await _join(connection, Span(audit.CHAIN, 1, newest_gone.seq, audit.FIRST, newest_gone.sha256))
    others = await connection.execute(
        select(chain_spans).where(chain_spans.c.chain != audit.CHAIN, chain_spans.c.named_by <= newest_gone.seq)
    )
    await _name(connection, [span, *map(_span, others)], at, done.rowcount)
    await connection.execute(update(rooms).where(rooms.c.checked_by <= newest_gone.seq).values(checked_seq=0))
    while await checkpoint(connection, at) == ROOMS_PER_CHECKPOINT:
        pass
    return done.rowcount


async def _hash_before(connection: AsyncConnection, room: str, seq: int) -> str:
    """The hash that row `seq` was chained to: of the entry before it, or of the hole before it."""
    if seq == 1:
        return timeline.FIRST
    known = await connection.scalar(
        select(entries.c.sha256).where(entries.c.room == room, entries.c.seq == seq - 1)
    )  # fmt: skip
    if known is None:
        known = await connection.scalar(
            select(chain_spans.c.after).where(chain_spans.c.chain == room, chain_spans.c.last == seq - 1)
        )
    return str(known or "")


async def _join(connection: AsyncConnection, span: Span) -> Span:
    """Keep a span, made one with those that it touches."""
    touching = await connection.execute(
        select(chain_spans).where(
            chain_spans.c.chain == span.chain,
            (chain_spans.c.last == span.first - 1)
            | (chain_spans.c.first == span.last + 1)
            | ((chain_spans.c.first >= span.first) & (chain_spans.c.last <= span.last)),
        )
    )
    for other in map(_span, touching):
        if other.first < span.first:
            span = Span(span.chain, other.first, span.last, other.before, span.after)
        elif other.last > span.last:
            span = Span(span.chain, span.first, other.last, span.before, other.after)
        await connection.execute(
            delete(chain_spans).where(chain_spans.c.chain == other.chain, chain_spans.c.first == other.first)
        )
    values = {"chain": span.chain, "first": span.first, "last": span.last, "before": span.before, "after": span.after}
    await connection.execute(insert(chain_spans).values(**values, named_by=0))
    return span


async def _name(connection: AsyncConnection, spans: list[Span], at: float, count: int) -> None:
    for start in range(0, len(spans), ROOMS_PER_CHECKPOINT):
        named = spans[start : start + ROOMS_PER_CHECKPOINT]
        row = await audit.append(
            connection, at=at, actor="server", action=PRUNE, object=named[0].chain[:200], site="",
            detail={"rows": count, "spans": [span.words() for span in named]},
        )  # fmt: skip
        await connection.execute(
            update(chain_spans)
            .where(chain_spans.c.chain == bindparam("of_chain"), chain_spans.c.first == bindparam("of_first"))
            .values(named_by=row),
            [{"of_chain": span.chain, "of_first": span.first} for span in named],
        )


def _span(row: "Row[Any]") -> Span:
    return Span(row.chain, row.first, row.last, row.before, row.after)


# --- verifying ------------------------------------------------------------------------------------------------------


class _Named:
    """What the audit says of the other chains: collected while it is walked."""

    def __init__(self) -> None:
        self.heads: dict[str, Head] = {}
        self.spans: set[tuple[object, ...]] = set()
        self.kept: Head | None = None

    def take(self, row: "Row[Any]", expect: Head | None) -> None:
        if expect is not None and row.seq == expect[0]:
            self.kept = (row.seq, row.sha256)
        if row.actor != "server" or row.action not in (CHECKPOINT, PRUNE):
            return
        detail = json.loads(row.detail)
        if row.action == CHECKPOINT:
            self.heads |= {room: (int(seq), str(sha256)) for room, (seq, sha256) in detail["rooms"].items()}
        else:
            self.spans |= {tuple(words) for words in detail["spans"]}


async def verify(connection: AsyncConnection, expect: Head | None = None) -> Report:
    """Walk everything in one consistent view, a page at a time; memory grows with the number of rooms only.

    `expect`: number and hash of an audit row that somebody has kept elsewhere.
    """
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))
    return await verify_here(connection, expect)


async def verify_here(connection: AsyncConnection, expect: Head | None = None) -> Report:
    """As `verify`, within whatever transaction there is."""
    report, named = Report(), _Named()
    verdict = await audit.verify(connection, lambda row: named.take(row, expect))
    report.audit_rows, report.head = verdict.rows, await audit.head(connection)
    if verdict.broken_at is not None:
        report.faults.append(Fault(audit.CHAIN, verdict.broken_at, verdict.reason))
    spans = await _spans(connection, report, named, whole=verdict.holds)
    if expect is not None:
        _check_expected(report, named, spans, expect)
    counters = {row.room: row for row in await connection.execute(select(rooms).order_by(rooms.c.room))}
    unknown = await connection.scalars(
        select(entries.c.room).where(entries.c.room.not_in(select(rooms.c.room))).distinct().limit(MAX_FAULTS)
    )
    _add(report, (Fault(room, 0, "The room has entries and no counter.") for room in unknown))
    for room, head in named.heads.items():
        if room not in counters:
            _add(report, [Fault(room, head[0], f"Entry {head[0]} is in the audit, and its room is gone.")])
    for room, counter in counters.items():
        report.rooms += 1
        end = (counter.last_seq, counter.sha256)
        walk = _Walk(room, named.heads.get(room), spans.get(room, {}))
        _add(report, await _room(connection, walk, end, report))
    return report


def _add(report: Report, found: Iterable[Fault]) -> None:
    report.faults.extend(list(found)[: MAX_FAULTS - len(report.faults)])


def _check_expected(report: Report, named: _Named, spans: Mapping[str, Mapping[int, Span]], expect: Head) -> None:
    seq, sha256 = expect
    removed = any(one.first <= seq <= one.last for one in spans.get(audit.CHAIN, {}).values())
    if removed:
        closing = [one for one in spans[audit.CHAIN].values() if one.last == seq]
        if closing and closing[0].after != sha256:
            _add(report, [Fault(audit.CHAIN, seq, f"Row {seq} was another one when its hash was noted.")])
    elif named.kept is None:
        _add(report, [Fault(audit.CHAIN, seq, f"Row {seq}, whose hash was noted, is not there any more.")])
    elif named.kept[1] != sha256:
        _add(report, [Fault(audit.CHAIN, seq, f"Row {seq} was another one when its hash was noted.")])


async def _spans(
    connection: AsyncConnection, report: Report, named: _Named, *, whole: bool
) -> dict[str, dict[int, Span]]:
    """Spans by chain and first number; each must be named by the audit."""
    found: dict[str, dict[int, Span]] = {}
    for span in map(_span, await connection.execute(select(chain_spans))):
        found.setdefault(span.chain, {})[span.first] = span
        report.removed += span.last - span.first + 1
        if whole and tuple(span.words()) not in named.spans:
            reason = f"Rows {span.first} to {span.last} are gone, and the audit does not say that they were removed."
            _add(report, [Fault(span.chain, span.first, reason)])
    return found


@dataclass(slots=True)
class _Walk:
    """A walk along the timeline of one room."""

    room: str
    checked: Head | None
    spans: Mapping[int, Span]
    last: int = 0
    before: str = timeline.FIRST

    def over_holes(self) -> str:
        """Go over what was removed on purpose; what is wrong with it, or nothing."""
        while (span := self.spans.get(self.last + 1)) is not None:
            if span.before != self.before:
                return f"What was removed from entry {span.first} on does not fit there."
            self.last, self.before = span.last, span.after
            if not self._is_as_checked():
                return f"Entry {self.last} is another one than the audit says."
        return ""

    def step(self, row: "Row[Any]") -> str:
        """Take the next entry; what is wrong with it, or nothing. `last` stays before a bad one."""
        if (reason := self.over_holes()) != "":
            return reason
        if row.seq != self.last + 1:
            return f"Entry {self.last + 1} is missing."
        if row.sha256 != timeline.digest(row.room, row.seq, row.at, row.kind, row.body, self.before):
            return f"Entry {row.seq} was changed, or moved, after it was written."
        self.last, self.before = row.seq, row.sha256
        if not self._is_as_checked():
            self.last -= 1
            return f"Entry {row.seq} is another one than the audit says."
        return ""

    def end(self, counter: Head) -> str:
        """No more entries; what is wrong, or nothing."""
        if (reason := self.over_holes()) != "":
            return reason
        if self.is_cut_off(counter):
            return f"Entry {self.last + 1} is missing: the timeline was cut off."
        if (self.last, self.before) != counter:
            return "The counter of the room names another entry than the newest."
        return ""

    def is_cut_off(self, counter: Head) -> bool:
        """Whether there should be more."""
        return self.last < max(counter[0], self.checked[0] if self.checked is not None else 0)

    def _is_as_checked(self) -> bool:
        return self.checked is None or self.last != self.checked[0] or self.before == self.checked[1]


async def _room(connection: AsyncConnection, walk: _Walk, counter: Head, report: Report) -> list[Fault]:
    """The first fault of a timeline, if there is one."""
    while True:
        walk.over_holes()
        found = select(entries).where(entries.c.room == walk.room, entries.c.seq > walk.last)
        page = (await connection.execute(found.order_by(entries.c.seq).limit(PAGE_ROWS))).all()
        for row in page:
            if (reason := walk.step(row)) != "":
                return [Fault(walk.room, walk.last + 1, reason)]
            report.entries += 1
        if len(page) < PAGE_ROWS:
            reason = walk.end(counter)
            return [Fault(walk.room, walk.last + walk.is_cut_off(counter), reason)] if reason else []
