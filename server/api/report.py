"""What is left of a consultation: its report, its case folder, and the hold on its evidence."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import structlog
from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require, visitor
from server.api.sessions import SessionDoor, actor_of
from server.muster.paper import NoFont
from server.recording import folder_of
from server.report import case
from server.report.after import Facts, build
from server.report.gather import gather
from server.report.paper import as_pdf, data_hash
from server.report.tables import report_csv
from server.report.words import Language
from server.sessions.machine import State
from server.sessions.service import SessionService
from server.store import audit, timeline
from server.store import sessions as session_rows
from server.store.pictures import open_picture
from signaling.room.messages import Id

log = structlog.get_logger()

ENTRIES_PER_PAGE = 500
READINGS_PER_PAGE = 2000
MAX_CURVES = 400
BEFORE_S = 1800.0
AFTER_S = 600.0
CURVE_HEAD = ("source_at", "received_at", "value", "unit", "quality", "seq")
MAX_CASES = 2
"""Case folders that are put together at the same time, one for a user."""
TAKE_S = 60.0
"""Who takes nothing of a case folder for so long is cut off."""


class ReportQuery(Query):
    format: Literal["json", "pdf", "csv"] = "json"
    lang: Language = "zh"


class Hold(Input):
    held: bool
    reason: Annotated[str, Field(min_length=4, max_length=500)]
    """Why; stands in the audit."""


class SessionQuery(Query):
    site: Id
    before: float | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 30


class SessionLine(Output):
    session: str
    site: str
    title: str
    template: str
    started_at: float
    ended_at: float | None
    started_by: str
    alert: str | None
    held: bool
    summary: str
    simulated: bool


class SessionPage(Output):
    items: tuple[SessionLine, ...]
    next: float | None
    """For `before`."""


@dataclass(slots=True)
class ReportDoor:
    """The endpoints, over the services that they speak to."""

    sessions: SessionService
    door: SessionDoor
    taking: set[str] = field(default_factory=set)
    """Users to whom a case folder is on its way."""

    def routes(self) -> Routes:
        routes = Routes()
        one = "/api/sessions/{session}"
        declare = routes.route
        declare("GET", "/api/sessions", access="read", summary="Consultations about a site, newest first",
                query=SessionQuery, ok=SessionPage, errors=("not_found",))(self.listed)  # fmt: skip
        declare("GET", f"{one}/report", access="read", summary="The after-action report: JSON, PDF or CSV",
                query=ReportQuery, ok=web.StreamResponse, content="application/json",
                errors=("not_found", "not_ready"))(self.report)  # fmt: skip
        declare("GET", f"{one}/case", access="read", summary="The case folder as a ZIP file", ok=web.StreamResponse,
                content="application/zip", errors=("not_found", "capacity"))(self.take_case)  # fmt: skip
        declare("POST", f"{one}/hold", access="administer", summary="Hold the evidence, or release it", body=Hold,
                ok=dict[str, object], errors=("not_found", "not_allowed"))(self.hold)  # fmt: skip
        return routes

    async def listed(self, context: Context, request: web.Request, _body: None) -> SessionPage:
        wish = query(request, SessionQuery)
        require(context, request, "read", wish.site)
        async with context.database.reading() as connection:
            found = await session_rows.about(connection, wish.site, before=wish.before, limit=wish.limit)
        items = tuple(
            SessionLine(
                session=one["session"], site=one["site"], title=one["title"], template=one.get("template", ""),
                started_at=one["started_at"], ended_at=one["ended_at"], started_by=one["started_by"],
                alert=one["alert"], held=one.get("held", True), summary=one.get("summary", ""),
                simulated=one["simulated"],
            )
            for one in found
        )  # fmt: skip
        return SessionPage(items=items, next=items[-1].started_at if len(items) == wish.limit else None)

    async def _evidence_of(self, context: Context, request: web.Request) -> State:
        """A consultation whose evidence the visitor may read: that of a site which he reaches."""
        state = await self.door.visible(context, request)
        require(context, request, "read", state.site)
        return state

    # --- report ---

    async def report(self, context: Context, request: web.Request, _body: None) -> web.Response:
        wish = query(request, ReportQuery)
        state = await self._evidence_of(context, request)
        await self._audit(context, request, "report.read", state, {"format": wish.format})
        facts = await gather(context.database, state, context.settings.consultation.report_within_s)
        report = await asyncio.to_thread(build, facts)
        name = _file_name(state.session)
        headers = {"Cache-Control": "private, no-store"}
        if wish.format == "json":
            body = await asyncio.to_thread(_as_json, report)
            return web.Response(text=body, content_type="application/json", headers=headers)
        if wish.format == "csv":
            headers["Content-Disposition"] = f'attachment; filename="report-{name}.csv"'
            table = await asyncio.to_thread(report_csv, report, wish.lang)
            return web.Response(text=table, content_type="text/csv", headers=headers)
        headers["Content-Disposition"] = f'attachment; filename="report-{name}-{wish.lang}.pdf"'
        pdf = await self._pdf(context, report, wish.lang)
        if pdf is None:
            raise ApiProblem("not_ready", "No font with Chinese is installed on the server; CSV and JSON work.")
        return web.Response(body=pdf, content_type="application/pdf", headers=headers)

    async def _pdf(self, context: Context, report: dict[str, object], language: Language) -> bytes | None:
        async with context.database.reading() as connection:
            head = await audit.head(connection)
        tree = context.tree
        names = {site: tree[site].name_zh if language == "zh" else tree[site].name_en for site in tree}
        try:
            return await asyncio.to_thread(as_pdf, report, names, language, f"{head[0]}:{head[1]}")
        except NoFont:
            return None

    # --- case folder ---

    async def take_case(self, context: Context, request: web.Request, _body: None) -> web.StreamResponse:
        state = await self._evidence_of(context, request)
        user = visitor(request).user.user
        if user in self.taking or len(self.taking) >= MAX_CASES:
            raise ApiProblem("capacity", "Other case folders are being put together; try again shortly.")
        self.taking.add(user)
        try:
            return await self._send_case(context, request, state)
        finally:
            self.taking.discard(user)

    async def _send_case(self, context: Context, request: web.Request, state: State) -> web.StreamResponse:
        await self._audit(context, request, "case.export", state, {})
        facts = await gather(context.database, state, context.settings.consultation.report_within_s)
        async with context.database.reading() as connection:
            head = await audit.head(connection)
        manifest: dict[str, object] = {
            "session": state.session, "site": state.site, "title": state.title, "by": visitor(request).user.user,
            "simulated": state.simulated, "audit_head": f"{head[0]}:{head[1]}",
        }  # fmt: skip
        name = f"case-{_file_name(state.session)}.zip"
        return await send_folder(request, name, self._items(context, state, facts), manifest)

    async def _items(self, context: Context, state: State, facts: Facts) -> AsyncGenerator[case.Item, None]:
        at = facts.at
        report = await asyncio.to_thread(build, facts)
        text = await asyncio.to_thread(_as_json, report, 1)
        yield case.Item("report.json", at, lambda: case.text(text))
        languages: tuple[Language, ...] = ("zh", "en")
        for language in languages:
            table = await asyncio.to_thread(report_csv, report, language)
            yield case.Item(f"report-{language}.csv", at, lambda table=table: case.text(table))  # type: ignore[misc]
            if (pdf := await self._pdf(context, report, language)) is not None:
                yield case.Item(f"report-{language}.pdf", at, lambda pdf=pdf: case.text(pdf))  # type: ignore[misc]
        head = ("seq", "at", "kind", "body")
        yield case.Item("timeline.csv", at, lambda: case.table(head, _entries(context, state.room)))
        async for item in self._recordings(context, facts):
            yield item
        async for item in self._pictures(context, state):
            yield item
        async for item in self._curves(context, state, report["began_at"]):
            yield item

    async def _recordings(self, context: Context, facts: Facts) -> AsyncIterator[case.Item]:
        where = folder_of(context.settings)
        for one in facts.recordings:
            for part in one["segments"]:
                if part["sha256"] is None:
                    continue
                recording, number = str(one["recording"]), int(part["segment"])
                path = f"recordings/{_file_name(str(one['name']))}-{one['kind']}-{recording}/{number:04d}.mkv"
                chunks = lambda r=recording, n=number: case.segment(where, r, n)  # noqa: E731
                yield case.Item(path, float(part["started_at"] or 0.0), chunks, str(part["sha256"]))

    async def _pictures(self, context: Context, state: State) -> AsyncIterator[case.Item]:
        for alert_id in sorted({*state.alerts, *([state.alert] if state.alert else [])}):
            alert = await context.alerts.get(alert_id)
            for one in alert.evidence if alert is not None else ():
                path = open_picture(context.settings.server.data_dir, alert_id, one.name)
                name = f"pictures/{alert_id}/{one.name}.jpg"
                yield case.Item(name, one.at, lambda path=path: case.picture(path), one.sha256)  # type: ignore[misc]

    async def _curves(self, context: Context, state: State, began: float) -> AsyncIterator[case.Item]:
        start, end = began - BEFORE_S, (state.ended_at or time.time()) + AFTER_S
        for one in (await context.telemetry.newest(state.site))[:MAX_CURVES]:
            name = f"curves/{_file_name(one.device)}-{_file_name(one.quantity)}.csv"
            which = (state.site, one.device, one.quantity, start, end)
            yield case.Item(name, end, lambda which=which: case.table(CURVE_HEAD, _readings(context, *which)))  # type: ignore[misc]

    # --- hold ---

    async def hold(self, context: Context, request: web.Request, body: Hold) -> dict[str, object]:
        """Evidence of a held consultation is not removed by retention; releasing it is written down with its reason."""
        state = await self.door.visible(context, request)
        who = require(context, request, "administer", state.site)
        by = actor_of(context, who)
        changed = await self.sessions.hold(state.session, by, body.held, body.reason, request.remote or "")
        return changed.as_dict()

    async def _audit(
        self, context: Context, request: web.Request, action: str, state: State, detail: dict[str, object]
    ) -> None:
        """Who takes evidence along is written down before it is sent."""
        async with context.database.transaction() as connection:
            await audit.append(
                connection, at=time.time(), actor=visitor(request).user.user, action=action, object=state.session,
                site=state.site, address=request.remote or "", detail=detail,
            )  # fmt: skip


async def send_folder(
    request: web.Request, name: str, items: AsyncGenerator[case.Item, None], facts: dict[str, object]
) -> web.StreamResponse:
    """A ZIP file of these items, in pieces, for as long as they are taken."""
    response = web.StreamResponse()
    response.content_type = "application/zip"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    await response.prepare(request)
    async with contextlib.aclosing(items), contextlib.aclosing(case.folder(items, facts)) as pieces:
        async for piece in pieces:
            if not await _taken(request, response.write(piece)):
                return response
    await _taken(request, response.write_eof())
    return response


async def _taken(request: web.Request, sending: Awaitable[None]) -> bool:
    """Whether the other side took it; one that does not is cut off, so that it cannot mistake a piece for the whole."""
    try:
        async with asyncio.timeout(TAKE_S):
            await sending
    except TimeoutError:
        log.info("case_not_taken", path=request.path, after_s=TAKE_S)
        if request.transport is not None:
            request.transport.abort()
        return False
    return True


def _as_json(report: Mapping[str, object], indent: int | None = None) -> str:
    return json.dumps({**report, "sha256": data_hash(report)}, ensure_ascii=False, indent=indent)


def _file_name(text: str) -> str:
    """A word that is safe in a path."""
    return re.sub(r"[^0-9A-Za-z_-]", "_", text)[:80] or "x"


async def _entries(context: Context, room: str) -> AsyncIterator[list[list[object]]]:
    after = 0
    while True:
        async with context.database.reading() as connection:
            found = await timeline.since(connection, room, after, ENTRIES_PER_PAGE)
        if not found:
            return
        after = found[-1].seq
        yield [case.entry_row(one) for one in found]


async def _readings(
    context: Context, site: str, device: str, quantity: str, start: float, end: float
) -> AsyncIterator[list[list[object]]]:
    while True:
        found = await context.telemetry.readings(site, device, quantity, start, end, READINGS_PER_PAGE)
        if not found:
            return
        yield [case.reading_row(one) for one in found]
        if len(found) < READINGS_PER_PAGE:
            return
        start = found[-1].source_at + 1e-6
