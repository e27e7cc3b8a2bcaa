"""Recordings: list them, play a segment by ranges of bytes, take a whole consultation along."""

import asyncio
import os
import re
from typing import Annotated, Literal

import structlog
from aiohttp import web
from pydantic import Field

from media.record.export import Part, TooManyTracks, join
from media.record.files import open_segment
from media.record.matroska import is_webm
from server.api.context import Context
from server.api.http import ApiProblem, Output, Query, Routes, query, require, visitor
from server.api.written import write_down
from server.recording import folder_of
from server.store import recordings as rows
from signaling.room.messages import Id

routes = Routes()
log = structlog.get_logger()

CHUNK_BYTES = 1 << 18


class SegmentBody(Output):
    segment: int
    state: Literal["recording", "finished", "interrupted"]
    started_at: float
    duration_s: float | None
    bytes: int | None
    sha256: str | None


class RecordingBody(Output):
    id: str
    purpose: Literal["session", "routine"]
    session: str | None
    site: str
    track: str
    client: str
    person: str
    name: str
    kind: Literal["audio", "video"]
    codec: str
    state: Literal["recording", "finished", "interrupted"]
    reason: str
    held: bool
    """Never removed by retention."""
    simulated: bool
    started_at: float
    ended_at: float | None
    segments: list[SegmentBody]


class RecordingPage(Output):
    items: list[RecordingBody]
    next: str | None


class RecordingQuery(Query):
    session: Id | None = None
    site: Id | None = None
    """Recordings of this site and below; default: of the own."""
    start: Annotated[float | None, Field(ge=0)] = None
    end: Annotated[float | None, Field(ge=0)] = None
    """With `site`: those that hold something between these moments."""
    after: Id | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class ExportQuery(Query):
    client: Id | None = None
    """Only what this participant published."""


@routes.route(
    "GET", "/api/recordings", access="read", query=RecordingQuery, ok=RecordingPage, errors=("not_found",),
    summary="Recordings of a consultation, or of a site and all below it, newest first",
)  # fmt: skip
async def recordings(context: Context, request: web.Request, _body: None) -> RecordingPage:
    wish = query(request, RecordingQuery)
    if wish.session is not None:
        async with context.database.reading() as connection:
            found = await rows.of_session(connection, wish.session)
        if not found:
            raise ApiProblem("not_found")
        require(context, request, "read", found[0]["site"])
        return RecordingPage(items=[_body_of(row) for row in found], next=None)
    site = wish.site or visitor(request).user.site
    require(context, request, "read", site)
    async with context.database.reading() as connection:
        found = await rows.of_sites(
            connection, [site, *context.tree.descendants(site)], wish.after, wish.limit, wish.start, wish.end
        )  # fmt: skip
    last = found[-1]["recording"] if len(found) == wish.limit else None
    return RecordingPage(items=[_body_of(row) for row in found], next=last)


def _body_of(row: dict[str, object]) -> RecordingBody:
    listed = row["segments"]
    assert isinstance(listed, list)
    segments = [
        SegmentBody.model_validate({name: value for name, value in one.items() if name != "recording"})
        for one in listed
        if one["state"] != "allowed"
    ]
    fields = {name: value for name, value in row.items() if name not in ("recording", "class", "segments")}
    return RecordingBody.model_validate(
        {**fields, "id": row["recording"], "purpose": row["class"], "segments": segments}
    )  # fmt: skip


@routes.route(
    "GET", "/api/sessions/{session}/export", access="read", query=ExportQuery, ok=web.StreamResponse,
    content="video/x-matroska", errors=("not_found", "too_large"),
    summary="All finished segments of a consultation as one Matroska file, every track on one time axis",
)  # fmt: skip
async def export(context: Context, request: web.Request, _body: None) -> web.StreamResponse:
    wish, session = query(request, ExportQuery), request.match_info["session"]
    async with context.database.reading() as connection:
        found = await rows.of_session(connection, session)
    if not found:
        raise ApiProblem("not_found")
    require(context, request, "read", found[0]["site"])
    parts = [
        Part(row["recording"], one["segment"], f"{row['person']} · {row['name']}", one["started_at"])
        for row in found
        if wish.client is None or row["client"] == wish.client
        for one in row["segments"]
        if one["sha256"] is not None
    ]
    await write_down(context, request, "recording.export", session, found[0]["site"])
    chunks = join(folder_of(context.settings), parts)
    try:
        first = await asyncio.to_thread(next, chunks, b"")
    except TooManyTracks as error:
        raise ApiProblem("too_large", str(error)) from error
    if not first:
        raise ApiProblem("not_found", "Nothing of this consultation is finished yet.")
    response = web.StreamResponse()
    response.content_type = "video/x-matroska"
    name = re.sub(r"[^0-9A-Za-z-]", "", session)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}.mkv"'
    response.headers["Cache-Control"] = "private, no-store"
    await response.prepare(request)
    while first:
        await response.write(first)
        first = await asyncio.to_thread(next, chunks, b"")
    await response.write_eof()
    return response


@routes.route(
    "GET", "/api/recordings/{id}/segments/{n}", access="read", ok=web.StreamResponse, content="video/x-matroska",
    errors=("not_found", "invalid"), summary="A finished segment; one range of bytes is honoured",
)  # fmt: skip
async def segment(context: Context, request: web.Request, _body: None) -> web.StreamResponse:
    number = request.match_info["n"]
    async with context.database.reading() as connection:
        row = await rows.get(connection, request.match_info["id"])
    if row is None:
        raise ApiProblem("not_found")
    require(context, request, "read", row["site"])
    known = [one for one in row["segments"] if str(one["segment"]) == number and one["sha256"] is not None]
    if not known:
        raise ApiProblem("not_found")
    try:
        descriptor = await asyncio.to_thread(
            open_segment, folder_of(context.settings), row["recording"], known[0]["segment"]
        )  # fmt: skip
    except OSError as error:
        log.error("segment_lost", recording=row["recording"], segment=number, reason=error.strerror)
        raise ApiProblem("not_found", "The file is no longer there.") from error
    try:
        if _range(request, os.fstat(descriptor).st_size)[0] == 0:  # a player asks for many ranges
            await write_down(context, request, "recording.play", f"{row['recording']}/{number}", row["site"])
        return await _send(request, descriptor, row, known[0]["sha256"])
    finally:
        os.close(descriptor)


async def _send(request: web.Request, descriptor: int, row: dict[str, object], sha256: str) -> web.StreamResponse:
    size = os.fstat(descriptor).st_size
    start, end = _range(request, size)
    webm = is_webm([str(row["codec"])])
    kind = f"{row['kind']}/{'webm' if webm else 'x-matroska'}"
    response = web.StreamResponse(status=206 if (start, end) != (0, size) else 200)
    response.content_type, response.content_length = kind, end - start
    response.headers.update({
        "Accept-Ranges": "bytes", "ETag": f'"{sha256}"', "Cache-Control": "private, no-store",
        "Content-Disposition": "inline",
    })  # fmt: skip
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    await response.prepare(request)
    while start < end:
        data = await asyncio.to_thread(os.pread, descriptor, min(CHUNK_BYTES, end - start), start)
        if not data:
            break
        start += len(data)
        await response.write(data)
    await response.write_eof()
    return response


def _range(request: web.Request, size: int) -> tuple[int, int]:
    """The bytes that are asked for.

    Raises:
        ApiProblem: 416 for several ranges, or one outside of the file.
    """
    refused = ApiProblem("invalid", status=416, headers={"Content-Range": f"bytes */{size}"})
    try:
        asked = request.http_range
    except ValueError:
        raise refused from None
    start, stop = asked.start, asked.stop
    if start is None and stop is None:
        return 0, size
    if start is not None and start < 0:  # the last bytes
        start = max(0, size + start)
    start = start or 0
    end = min(size, stop if stop is not None else size)
    if start >= end:
        raise refused
    return start, end
