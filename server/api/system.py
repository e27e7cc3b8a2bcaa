"""How the server does, for whoever looks after it: figures, findings of the doctor, and a bundle for support."""

import asyncio
import io
import json
import time
import zipfile
from dataclasses import asdict, dataclass
from typing import Any, Literal

from aiohttp import web
from ruamel.yaml import YAML

from config.sensitive import shown
from config.settings import Settings
from server import observe
from server.api.cameras import Words
from server.api.context import Context
from server.api.http import Output, Routes, require_server, visitor
from server.api.written import write_down
from server.commands.doctor import examine_running
from server.system import report
from server.system.report import SystemParts

State = Literal["ok", "warn", "bad"]


class ProcessBody(Output):
    name: str
    pid: int | None
    """None: it should run and does not."""
    restarts: int
    up_s: float | None
    memory_bytes: int | None
    cpu_s: float | None
    files: int | None
    """Open files and sockets."""


class FailingBody(Output):
    unit: str
    why: str


class QueueBody(Output):
    queue: str
    value: float | None
    dropped: float | None


class DiskBody(Output):
    name: str
    path: str
    total_bytes: int
    free_bytes: int
    full_in_s: float | None
    """If it goes on as in the last days; null: it does not shrink, or too little is known."""
    state: State


class SystemStore(Output):
    kind: str
    where: str
    size_bytes: int


class SystemLink(Output):
    link: str
    up: bool
    since: float | None
    why: str


class CameraDown(Output):
    site: str
    name: str
    since: float
    summary: Words


class SystemMine(Output):
    site: str
    score: float
    completeness: float


class CertificateBody(Output):
    name: str
    until: float | None
    days: int | None
    state: State
    why: str


class SystemClock(Output):
    synchronised: bool | None
    error_s: float | None


class ChainBody(Output):
    at: float
    holds: bool


class SystemBody(Output):
    at: float
    version: str
    python: str
    machine: str
    started_at: float
    simulated: bool
    processes: list[ProcessBody]
    failing: list[FailingBody]
    queues: list[QueueBody]
    disks: list[DiskBody]
    store: SystemStore
    links: list[SystemLink]
    cameras: int
    cameras_down: list[CameraDown]
    mines: list[SystemMine]
    certificates: list[CertificateBody]
    clock: SystemClock
    checkpoint_at: float | None
    chain: ChainBody | None


class FindingBody(Output):
    state: Literal["pass", "warn", "fail"]
    what: Words
    result: Words


class TroubleBody(Output):
    at: str
    level: str
    event: str
    fields: dict[str, str]


class Findings(Output):
    findings: list[FindingBody]
    troubles: list[TroubleBody]
    """Newest lines of the log that are warnings or errors, newest first; since the start."""


@dataclass(slots=True)
class SystemDoor:
    """The endpoints, over what the parts say."""

    parts: SystemParts

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        declare("GET", "/api/system", access="configure", summary="How the server does", ok=SystemBody,
                errors=("not_found",))(self.facts)  # fmt: skip
        declare("GET", "/api/system/findings", access="configure", ok=Findings, errors=("not_found",),
                summary="What the doctor finds on a running server, and the newest troubles of the log")(
                    self.findings)  # fmt: skip
        declare("GET", "/api/system/bundle", access="configure", ok=web.Response, content="application/zip",
                summary="All of it as a file for support, without secrets",
                errors=("not_found",))(self.bundle)  # fmt: skip
        return routes

    async def facts(self, context: Context, request: web.Request, _body: None) -> dict[str, Any]:
        require_server(context, request, "configure")
        return await report.facts(self.parts)

    async def findings(self, context: Context, request: web.Request, _body: None) -> dict[str, Any]:
        require_server(context, request, "configure")
        return await self._findings(context.settings)

    async def _findings(self, settings: Settings) -> dict[str, Any]:
        found = await asyncio.to_thread(examine_running, settings)
        findings = [
            {"state": one.state, "what": {"zh": one.what_zh, "en": one.what},
             "result": {"zh": one.zh or one.result, "en": one.result}}
            for one in found
        ]  # fmt: skip
        return {"findings": findings, "troubles": [asdict(one) for one in reversed(observe.TROUBLES)]}

    async def bundle(self, context: Context, request: web.Request, _body: None) -> web.Response:
        """Who takes it is written down first."""
        require_server(context, request, "configure")
        await write_down(context, request, "system.bundle", "system", visitor(request).user.site)
        facts, findings = await asyncio.gather(report.facts(self.parts), self._findings(context.settings))
        parts = {
            "system.json": _json(facts),
            "findings.json": _json(findings),
            "settings.yaml": await asyncio.to_thread(settings_text, context.settings),
            "metrics.txt": context.metrics.text().decode(),
            "packages.txt": await asyncio.to_thread(report.packages),
        }
        body = await asyncio.to_thread(_zipped, parts)
        name = time.strftime("lamproom-support-%Y%m%d-%H%M%S.zip", time.gmtime())
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return web.Response(body=body, content_type="application/zip", headers=headers)


def settings_text(settings: Settings) -> str:
    """As a YAML file, with secrets taken out."""
    out = io.StringIO()
    yaml = YAML(typ="safe")
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.dump(shown("", settings.model_dump(mode="json")), out)
    return out.getvalue()


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=1)


def _zipped(parts: dict[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return out.getvalue()
