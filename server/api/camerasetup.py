"""Cameras that are fetched, set up from a page: looked at first, added to the settings file and fetched at once."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, ValidationError

from config.edit import Change
from config.sensitive import without_credentials
from config.settings import CameraSettings, DutyPostSettings
from media.ingest.address import masked
from server.api.cameras import StepOut, Words
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require
from server.api.settings import readable, refused
from server.api.written import write_down
from server.cameraprobe import CameraProbe, ProbesBusy
from server.diagnosis import Known, diagnose, summary
from server.ingest import Ingest
from server.settingsfile import SettingsFile
from signaling.room.messages import Id

Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Url = Annotated[str, Field(pattern=r"^rtsps?://", max_length=1024)]
ASKED = ("address", "connection", "login", "stream", "picture", "keyframe")
"""Steps of the diagnosis that a look can answer."""


class SetupQuery(Query):
    site: Id


class ProbeWish(Input):
    site: Slug
    """Where the camera will be; who may set cameras up there may look at it."""
    url: Url
    transport: Literal["tcp", "udp"] = "tcp"
    audio: bool = True


class Probed(Output):
    well: bool
    summary: Words
    detail: str
    steps: list[StepOut]
    width: int | None
    height: int | None
    frames_per_s: float | None
    bitrate_bps: float | None
    audio: str
    """Name of the sound that would be carried; empty without."""
    picture: str
    """JPEG as base64; empty where there is none."""


class CameraRow(Output):
    site: str
    name: str
    url: str
    """Without password and query."""
    sub_url: str
    transport: str
    audio: bool
    runs: bool
    """False: it stands in the file and is fetched from the next start on."""


class CameraRows(Output):
    items: list[CameraRow]
    writable: bool


class PostWish(Input):
    post: Slug
    name_zh: Annotated[str, Field(min_length=1, max_length=100)]
    name_en: Annotated[str, Field(min_length=1, max_length=100)]


class NewCamera(Input):
    site: Slug
    name: Slug
    url: Url
    sub_url: Url | None = None
    transport: Literal["tcp", "udp"] = "tcp"
    audio: bool = True
    routine: bool = False
    """Record it all the time."""
    post: PostWish | None = None
    """A duty post that it watches."""


class CameraSetUp(Output):
    restart_needed: bool
    """The picture is there without; what watches or records it is not."""


@dataclass(slots=True)
class CameraSetupDoor:
    """The endpoints, over the file, what fetches, and what looks."""

    file: SettingsFile
    ingest: Ingest
    probe: CameraProbe
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        base = "/api/cameras/settings"
        declare("POST", "/api/cameras/look", access="configure", body=ProbeWish, ok=Probed,
                summary="Look at a camera that is not set up yet: how far it comes, and a picture",
                errors=("not_found", "capacity"))(self.looked)  # fmt: skip
        declare("GET", base, access="configure", query=SetupQuery, ok=CameraRows, errors=("not_found",),
                summary="Cameras of the settings of a site and all below it, without passwords")(self.rows)  # fmt: skip
        declare("POST", base, access="configure", body=NewCamera, ok=CameraSetUp, status=201,
                summary="A new camera: into the settings file, and fetched at once",
                errors=("not_found", "conflict", "invalid", "stale", "no_settings_file",
                        "not_writable"))(self.add)  # fmt: skip
        declare("DELETE", f"{base}/{{site}}/{{name}}", access="configure", ok=None,
                summary="A camera less: out of the settings file, and fetched no more",
                errors=("not_found", "invalid", "stale", "no_settings_file", "not_writable"))(self.remove)  # fmt: skip
        return routes

    async def looked(self, context: Context, request: web.Request, body: ProbeWish) -> Probed:
        """It is written down first: a look goes to an address that somebody typed."""
        require(context, request, "configure", body.site)
        await write_down(context, request, "camera.probe", masked(body.url), body.site)
        try:
            found = await self.probe.look(body.url, body.transport, audio=body.audio)
        except ProbesBusy as error:
            raise ApiProblem("capacity", "Others are looking at cameras; try again.") from error
        known = Known("backoff" if found.reason else "live", found.reason, found.detail, found.opened, found.facts)
        steps = [
            StepOut(step=one.step, light=one.light, name=Words(**one.name), text=Words(**one.text))
            for one in diagnose(known) if one.step in ASKED
        ]  # fmt: skip
        opened, facts = found.opened, found.facts
        words = summary(known) if found.reason or any(one.light == "warning" for one in steps) else WELL
        return Probed(
            well=not found.reason, summary=Words(**words), detail=found.detail, steps=steps,
            width=opened.width if opened else None, height=opened.height if opened else None,
            frames_per_s=facts.frames_per_s if facts else None, bitrate_bps=facts.bitrate_bps if facts else None,
            audio=opened.audio.codec if opened and opened.audio else "", picture=found.picture,
        )  # fmt: skip

    async def rows(self, context: Context, request: web.Request, _body: None) -> CameraRows:
        site = query(request, SetupQuery).site
        require(context, request, "configure", site)
        sites = {site, *context.tree.descendants(site)}
        _, _, now = await readable(self.file)
        items = [
            CameraRow(
                site=one.site, name=one.name, url=without_credentials(one.url),
                sub_url=without_credentials(one.sub_url or ""), transport=one.transport, audio=one.audio,
                runs=self.ingest.fetches(one.site, one.name),
            )
            for one in now.cameras if one.site in sites
        ]  # fmt: skip
        return CameraRows(items=items, writable=self.file.writable())

    async def add(self, context: Context, request: web.Request, body: NewCamera) -> CameraSetUp:
        who = require(context, request, "configure", body.site)
        async with self._lock:
            _, fingerprint, now = await readable(self.file)
            names = {(one.site, name) for one in now.cameras for name in (one.name, f"{one.name}-sub")}
            own = {(body.site, body.name), *([(body.site, f"{body.name}-sub")] if body.sub_url else [])}
            if own & names or self.ingest.fetches(body.site, body.name):
                raise ApiProblem("conflict", "A camera of this site is called so already.")
            camera, changes = _wanted(body, len(now.cameras), now)
            await refused(self.file.tried(changes, fingerprint))
            detail: dict[str, object] = {"url": masked(body.url), "routine": body.routine, "by": who.user.user}
            await write_down(context, request, "camera.add", f"{body.site}/{body.name}", body.site, detail)
            await refused(self.file.change(changes, fingerprint))
            self.ingest.add(camera)
            self.file.runs_with(cameras=self.ingest.settings)
        return CameraSetUp(restart_needed=body.routine or body.post is not None)

    async def remove(self, context: Context, request: web.Request, _body: None) -> None:
        site, name = request.match_info["site"], request.match_info["name"]
        require(context, request, "configure", site)
        async with self._lock:
            _, fingerprint, now = await readable(self.file)
            number = next((n for n, one in enumerate(now.cameras) if (one.site, one.name) == (site, name)), None)
            if number is None:
                raise ApiProblem("not_found")
            await write_down(context, request, "camera.remove", f"{site}/{name}", site)
            changes = [Change(f"cameras.{number}", "remove")]
            kept = [one for one in now.recording.routine if one != f"{site}/{name}"]
            if len(kept) != len(now.recording.routine):  # another camera of that name is not recorded unasked
                changes.append(Change("recording.routine", "set", kept))
            await refused(self.file.change(changes, fingerprint))
            await self.ingest.remove(site, name)
            self.file.runs_with(cameras=self.ingest.settings)


WELL: dict[Literal["zh", "en"], str] = {"zh": "画面正常。", "en": "The picture is on."}


def _wanted(body: NewCamera, number: int, now: Any) -> tuple[CameraSettings, list[Change]]:
    """The camera, and what changes in the file.

    Raises:
        ApiProblem: it does not fit together.
    """
    fields = body.model_dump(include={"site", "name", "url", "sub_url", "transport", "audio"}, exclude_defaults=True)
    try:
        camera = CameraSettings.model_validate(fields)
    except ValidationError as error:
        raise ApiProblem("invalid") from error
    changes = [Change(f"cameras.{number}", "set", fields)]
    if body.routine:
        routine = [*now.recording.routine, f"{body.site}/{body.name}"]
        changes.append(Change("recording.routine", "set", list(dict.fromkeys(routine))))
    if body.post is not None:
        seen = f"{body.name}-sub" if body.sub_url else body.name
        post = {**body.post.model_dump(), "site": body.site, "camera": seen}
        DutyPostSettings.model_validate(post)
        if any((one.site, one.post) == (body.site, body.post.post) for one in now.analytics.posts):
            raise ApiProblem("conflict", "A duty post of this site is called so already.")
        changes.append(Change(f"analytics.posts.{len(now.analytics.posts)}", "set", post))
    return camera, changes
