"""The audit over HTTP: looked through, taken away as a table, and whether its chain holds."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import Output, Query, Routes, query, require, require_server, visitor
from server.api.written import write_down
from server.auditcheck import AuditCheck
from server.report.tables import BOM, as_csv, iso
from server.store import auditlog
from server.store.auditlog import AuditRow, Wanted
from signaling.room.messages import Id

EXPORT_ROWS = 200_000
EXPORT_PAGE = 1000
KINDS_KEPT_S = 60.0


class AuditQuery(Query):
    site: Id | None = None
    """Rows of this site and below; default: all that the visitor may see."""
    who: Annotated[str, Field(max_length=64)] = ""
    """Stands in the name or the login of an account, or is its id; or is another actor as it was written."""
    action: Annotated[str, Field(max_length=64, pattern=r"^([a-z0-9_]+(\.[a-z0-9_]+)*\.?)?$")] = ""
    """With a dot at its end: all that begin so."""
    object: Annotated[str, Field(max_length=200)] = ""
    start: float | None = None
    end: float | None = None
    before: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] = 100


class AuditRowBody(Output):
    seq: int
    at: float
    actor: str
    name: str
    """What the account is called now; empty for others than accounts."""
    action: str
    object: str
    object_name: str
    """What the object is called now, where it is an account."""
    site: str
    result: str
    address: str
    detail: dict[str, Any]


class AuditPage(Output):
    items: list[AuditRowBody]
    next: int | None
    """For `before`; null at the end."""


class AuditKinds(Output):
    kinds: list[str]
    unmasked: str
    """The one by which somebody saw names of people."""


class AuditFault(Output):
    chain: str
    seq: int
    reason: str


class AuditReport(Output):
    at: float
    by: str
    name: str
    holds: bool
    audit_rows: int
    rooms: int
    entries: int
    removed: int
    head_seq: int
    head_sha256: str
    took_s: float
    faults: list[AuditFault]


class AuditState(Output):
    running: bool
    failed: str
    report: AuditReport | None


@dataclass(slots=True)
class AuditDoor:
    """The endpoints, over the store and what checks the chains."""

    check: AuditCheck
    _kinds: tuple[float, list[str]] = field(default=(-KINDS_KEPT_S, []))

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        declare("GET", "/api/audit", access="administer", summary="Rows of the audit, newest first", query=AuditQuery,
                ok=AuditPage, errors=("not_found",))(self.rows)  # fmt: skip
        declare("GET", "/api/audit/kinds", access="administer", summary="Actions that stand in the audit",
                ok=AuditKinds)(self.kinds)  # fmt: skip
        declare("GET", "/api/audit/export", access="administer", summary="Rows of the audit as a table",
                query=AuditQuery, ok=web.StreamResponse, content="text/csv",
                errors=("not_found",))(self.export)  # fmt: skip
        declare("GET", "/api/audit/check", access="administer", summary="Whether the chains hold, as last looked at",
                ok=AuditState, errors=("not_found",))(self.state)  # fmt: skip
        declare("POST", "/api/audit/check", access="administer", summary="Check the chains of audit and timelines now",
                ok=AuditState, status=202, errors=("not_found",))(self.ask)  # fmt: skip
        return routes

    async def rows(self, context: Context, request: web.Request, _body: None) -> AuditPage:
        wish = query(request, AuditQuery)
        async with context.database.reading() as connection:
            wanted = await self._wanted(context, request, wish, connection)
            found = await auditlog.find(connection, wanted, wish.limit + 1)
            accounts = {_account(one.actor) for one in found} | {one.object for one in found}
            names = await auditlog.names_of(connection, accounts)
        more = len(found) > wish.limit
        found = found[: wish.limit]
        items = [_out(one, names) for one in found]
        return AuditPage(items=items, next=found[-1].seq if more else None)

    async def _wanted(self, context: Context, request: web.Request, wish: AuditQuery, connection: Any) -> Wanted:
        """
        Raises:
            ApiProblem: a site out of sight.
        """
        own = visitor(request).user.site
        site = wish.site or own
        require(context, request, "administer", site)
        # Rows of no site (log-ins that nobody had, checkpoints) are the server's own.
        everything = wish.site is None and own == context.tree.top
        actors = None
        if who := wish.who.strip():
            actors = [*await auditlog.people_called(connection, who), who]
        return Wanted(
            path=None if everything else context.tree[site].path, actors=actors, action=wish.action,
            object=wish.object.strip(), start=wish.start, end=wish.end, before=wish.before,
        )  # fmt: skip

    async def kinds(self, context: Context, _request: web.Request, _body: None) -> AuditKinds:
        at, known = self._kinds
        if time.monotonic() - at > KINDS_KEPT_S:
            async with context.database.reading() as connection:
                known = await auditlog.actions(connection)
            self._kinds = (time.monotonic(), known)
        return AuditKinds(kinds=known, unmasked=auditlog.UNMASKED)

    async def export(self, context: Context, request: web.Request, _body: None) -> web.StreamResponse:
        """Newest first, at most `EXPORT_ROWS`; that it was taken away is written down first."""
        wish = query(request, AuditQuery)
        asked = {name: value for name, value in wish.model_dump(exclude={"limit"}, exclude_defaults=True).items()}
        async with context.database.reading() as connection:
            await self._wanted(context, request, wish, connection)  # refused before anything is sent
        await write_down(context, request, "audit.export", "audit", visitor(request).user.site, asked)
        answer = web.StreamResponse(headers={
            "Content-Type": "text/csv; charset=utf-8", "Cache-Control": "no-store",
            "Content-Disposition": 'attachment; filename="audit.csv"',
        })  # fmt: skip
        await answer.prepare(request)
        head = ("seq", "time", "actor", "name", "action", "object", "site", "result", "address", "detail", "sha256")
        await answer.write((BOM + as_csv([head])).encode())
        async for page in self._pages(context, request, wish):
            await answer.write(page.encode())
        await answer.write_eof()
        return answer

    async def _pages(self, context: Context, request: web.Request, wish: AuditQuery) -> AsyncIterator[str]:
        """A view of the store for each page: a slow reader holds none."""
        left = EXPORT_ROWS
        while left > 0:
            async with context.database.reading() as connection:
                wanted = await self._wanted(context, request, wish, connection)
                found = await auditlog.find(connection, wanted, min(EXPORT_PAGE, left))
                names = await auditlog.names_of(connection, {_account(one.actor) for one in found})
            if not found:
                return
            yield as_csv(_cells(one, names) for one in found)
            left -= len(found)
            wish = wish.model_copy(update={"before": found[-1].seq})

    async def state(self, context: Context, request: web.Request, _body: None) -> AuditState:
        require_server(context, request, "administer")
        return await self._state(context)

    async def ask(self, context: Context, request: web.Request, _body: None) -> AuditState:
        self.check.ask(require_server(context, request, "administer").user.user)
        return await self._state(context)

    async def _state(self, context: Context) -> AuditState:
        check, newest = self.check, self.check.newest
        if newest is None:
            return AuditState(running=check.running, failed=check.failed, report=None)
        async with context.database.reading() as connection:
            names = await auditlog.names_of(connection, [newest.by])
        report = AuditReport(at=newest.at, by=newest.by, name=names.get(newest.by, ""), **newest.report)
        return AuditState(running=check.running, failed=check.failed, report=report)


def _account(actor: str) -> str:
    return actor.removeprefix("user:")


def _out(row: AuditRow, names: dict[str, str]) -> AuditRowBody:
    return AuditRowBody(
        seq=row.seq, at=row.at, actor=row.actor, name=names.get(_account(row.actor), ""), action=row.action,
        object=row.object, object_name=names.get(row.object, ""), site=row.site, result=row.result,
        address=row.address, detail=row.detail,
    )  # fmt: skip


def _cells(row: AuditRow, names: dict[str, str]) -> list[object]:
    return [
        row.seq, iso(row.at), row.actor, names.get(_account(row.actor), ""), row.action, row.object, row.site,
        row.result, row.address, json.dumps(row.detail, ensure_ascii=False) if row.detail else "", row.sha256,
    ]  # fmt: skip
