"""The facts of mines over HTTP: read, changed, imported, exported. People are masked unless somebody asks by reason."""

import asyncio
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Query, Routes, query, require
from server.api.problems import FieldProblem
from server.api.upload import upload
from server.identity.service import Visitor
from server.registry import exchange, masking
from server.registry.errors import Mistake, RegistryRefused, RegistryStale
from server.registry.forms import KINDS, Fact, defaults, id_of, parse, plain
from server.registry.pictures import load_picture, store_picture
from server.registry.service import Outcome, Registry
from server.store.pictureformat import TYPES, PictureRefused
from signaling.room.messages import Id, Text

MAX_IMPORT_BYTES = 8 << 20
MAX_PICTURE_BYTES = 12 << 20
Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
KindName = Literal[
    "mine", "states", "shifts", "levels", "drifts", "zones", "quotas", "people", "devices", "machines", "cameras",
    "plans",
]  # fmt: skip


class SiteOf(Query):
    site: Id


class FactsQuery(SiteOf):
    at: Time | None = None
    """What was valid at this moment; default: now."""
    after: Annotated[str, Field(max_length=63)] = ""
    limit: Annotated[int, Field(ge=1, le=5000)] = 500


class ChangesQuery(SiteOf):
    before: Annotated[int, Field(ge=1)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class ImportQuery(SiteOf):
    kind: KindName | None = None
    """Of a CSV file; YAML names its kinds itself."""
    format: Literal["csv", "yaml"]
    mode: Literal["merge", "replace"] = "merge"
    """`replace`: what the file does not name is removed, of the kinds that it holds."""
    dry_run: bool = False
    expect: Annotated[int, Field(ge=0)] | None = None


class ExportQuery(SiteOf):
    kind: KindName | None = None
    """Needed for CSV; YAML without: everything but people."""
    format: Literal["csv", "yaml"]


class RemoveQuery(SiteOf):
    expect: Annotated[int, Field(ge=0)] | None = None


class FactInput(Input):
    data: dict[str, Any]
    expect: Annotated[int, Field(ge=0)] | None = None
    """The version that was looked at; another one now is refused as `stale`."""


class UnmaskWish(Input):
    reason: Annotated[str, Field(min_length=2, max_length=200)]


class Overview(Output):
    site: str
    version: int
    counts: dict[str, int]
    state: dict[str, Any] | None
    """What the mine is declared to be doing now."""


class FormBody(Output):
    id: str
    """The field that is the fact's id."""
    fields: dict[str, Any]
    """Name → default; null where there is none."""


class FormsBody(Output):
    kinds: dict[str, FormBody]


class FactBody(Output):
    id: str
    data: dict[str, Any]
    manual: list[str]
    """Fields that a person set; files leave them alone."""


class FactsPage(Output):
    version: int
    items: list[FactBody]
    next: str | None


class VersionBody(Output):
    version: int
    valid_from: float
    valid_to: float | None
    data: dict[str, Any]


class VersionsPage(Output):
    items: list[VersionBody]
    next: None


class ChangeBody(Output):
    version: int
    at: float
    by: str
    """The user's name; empty for a file of the mine."""
    source: str
    counts: dict[str, dict[str, int]]


class ChangesPage(Output):
    items: list[ChangeBody]
    next: int | None


class MistakeBody(Output):
    line: int | None
    kind: str
    id: str
    key: str
    text: Text


class OutcomeBody(Output):
    done: bool
    """False: nothing was changed, for `mistakes` say why, or because it was a dry run."""
    version: int
    added: int
    changed: int
    removed: int
    unchanged: int
    examples: list[str]
    mistakes: list[MistakeBody]


@dataclass(slots=True)
class RegistryDoor:
    """The endpoints, over the registry."""

    registry: Registry

    def routes(self) -> Routes:
        routes = Routes()
        declare, base = routes.route, "/api/registry"
        one = f"{base}/{{kind}}/{{id}}"
        refused = ("not_found", "invalid", "stale")
        declare("GET", base, access="read", summary="How much is known of a mine, and its state", query=SiteOf,
                ok=Overview, errors=("not_found",))(self.overview)  # fmt: skip
        declare("GET", f"{base}/forms", access="read", summary="The fields of each kind, with their defaults",
                ok=FormsBody)(self.forms)  # fmt: skip
        declare("GET", f"{base}/changes", access="read", summary="Changes of a mine's facts, newest first",
                query=ChangesQuery, ok=ChangesPage, errors=("not_found",))(self.changes)  # fmt: skip
        declare("GET", f"{base}/export", access="read", summary="Facts as a file", query=ExportQuery, ok=web.Response,
                content="text/csv", errors=("not_found", "bad_request", "not_allowed"))(self.export)  # fmt: skip
        declare("POST", f"{base}/import", access="configure", summary="Facts from a file, all or none",
                query=ImportQuery, ok=OutcomeBody, errors=("not_found", "bad_request", "too_large", "stale", "timeout"),
                )(self.take)  # fmt: skip
        declare("GET", f"{base}/{{kind}}", access="read", summary="Facts of a kind, now or as they were",
                query=FactsQuery, ok=FactsPage, errors=("not_found",))(self.listed)  # fmt: skip
        declare("PUT", one, access="configure", summary="Add or change a fact", query=SiteOf, body=FactInput,
                ok=OutcomeBody, errors=refused)(self.put)  # fmt: skip
        declare("DELETE", one, access="configure", summary="Remove a fact; its history stays", query=RemoveQuery,
                ok=OutcomeBody, errors=refused)(self.remove)  # fmt: skip
        declare("GET", f"{one}/history", access="read", summary="All versions of a fact, newest first", query=SiteOf,
                ok=VersionsPage, errors=("not_found",))(self.history)  # fmt: skip
        declare("POST", f"{base}/people/{{id}}/unmask", access="identify", query=SiteOf, body=UnmaskWish, ok=FactBody,
                summary="A person unmasked; who asked and why is written into the audit",
                errors=("not_found",))(self.unmask)  # fmt: skip
        picture = f"{base}/plans/{{id}}/picture"
        declare("GET", picture, access="read", summary="The picture of a plan", query=SiteOf, ok=web.Response,
                content="image/png", errors=("not_found",))(self.picture)  # fmt: skip
        declare("PUT", picture, access="configure", summary="Upload the picture of a plan (PNG, JPEG or WebP)",
                query=SiteOf, ok=OutcomeBody, errors=("not_found", "invalid", "too_large", "timeout"),
                )(self.put_picture)  # fmt: skip
        return routes

    # --- reading ---

    async def forms(self, _context: Context, _request: web.Request, _body: None) -> FormsBody:
        return FormsBody(kinds={kind: FormBody(id=form.id, fields=defaults(kind)) for kind, form in KINDS.items()})

    async def overview(self, context: Context, request: web.Request, _body: None) -> Overview:
        site = query(request, SiteOf).site
        require(context, request, "read", site)
        facts = self.registry.facts(site)
        state = facts.state_at(time.time())
        counts = {kind: len(self.registry.listed(site, kind)) for kind in KINDS}
        return Overview(
            site=site, version=facts.version, counts=counts, state=plain("states", state) if state else None
        )  # fmt: skip

    async def listed(self, context: Context, request: web.Request, _body: None) -> FactsPage:
        wish, kind = query(request, FactsQuery), _kind(request)
        require(context, request, "read", wish.site)
        version = self.registry.facts(wish.site).version
        if wish.at is not None:
            found = [(one.id, one.data) for one in await self.registry.as_of(wish.site, kind, wish.at)]
        else:
            found = [(id_of(kind, fact), plain(kind, fact)) for fact in self.registry.listed(wish.site, kind)]
        left = [one for one in found if one[0] > wish.after]
        items = [
            FactBody(id=id, data=_shown(kind, data), manual=list(self.registry.manual(wish.site, kind, id)))
            for id, data in left[: wish.limit]
        ]
        more = len(left) > wish.limit
        return FactsPage(version=version, items=items, next=items[-1].id if more else None)

    async def history(self, context: Context, request: web.Request, _body: None) -> VersionsPage:
        site, kind = query(request, SiteOf).site, _kind(request)
        require(context, request, "read", site)
        versions = await self.registry.history(site, kind, request.match_info["id"])
        if not versions:
            raise ApiProblem("not_found")
        items = [
            VersionBody(
                version=one.version, valid_from=one.valid_from, valid_to=one.valid_to, data=_shown(kind, one.data)
            )
            for one in versions
        ]  # fmt: skip
        return VersionsPage(items=items, next=None)

    async def changes(self, context: Context, request: web.Request, _body: None) -> ChangesPage:
        wish = query(request, ChangesQuery)
        require(context, request, "read", wish.site)
        found = await self.registry.changes(wish.site, wish.before, wish.limit + 1)
        names: dict[str, str] = {"": ""}
        for one in found:
            if one.by not in names:
                user = await context.identity.get_user(one.by)
                names[one.by] = user.name if user is not None else one.by
        items = [
            ChangeBody(version=one.version, at=one.at, by=names[one.by], source=one.source, counts=one.counts)
            for one in found[: wish.limit]
        ]  # fmt: skip
        return ChangesPage(items=items, next=items[-1].version if len(found) > wish.limit else None)

    async def unmask(self, context: Context, request: web.Request, body: UnmaskWish) -> FactBody:
        site, card = query(request, SiteOf).site, request.match_info["id"]
        who = require(context, request, "identify", site)
        found = self.registry.person(site, card)
        if found is None:
            raise ApiProblem("not_found")
        await self.registry.log_unmasking(
            site, [card], by=who.user.user, address=request.remote or "", reason=body.reason
        )  # fmt: skip
        return FactBody(
            id=card, data=plain("people", found), manual=list(self.registry.manual(site, "people", card))
        )  # fmt: skip

    async def export(self, context: Context, request: web.Request, _body: None) -> web.Response:
        """People stand there with their names: a masked file that is imported again would take them away."""
        wish = query(request, ExportQuery)
        who = require(context, request, "read", wish.site)
        if wish.format == "csv" and wish.kind is None:
            raise ApiProblem("bad_request", "A CSV file holds one kind; name it.")
        kinds = [wish.kind] if wish.kind is not None else [kind for kind in KINDS if kind != "people"]
        facts = {kind: self.registry.listed(wish.site, kind) for kind in kinds}
        if "people" in facts:
            require(context, request, "identify", wish.site)
            cards = [id_of("people", one) for one in facts["people"]]
            await self.registry.log_unmasking(
                wish.site, cards, by=who.user.user, address=request.remote or "", reason="export"
            )  # fmt: skip
        if wish.format == "csv":
            text = "\ufeff" + await asyncio.to_thread(exchange.write_csv, kinds[0], facts[kinds[0]])
        else:
            text = await asyncio.to_thread(exchange.write_yaml, wish.site, facts)
        name = f"{wish.site}-{wish.kind or 'registry'}.{wish.format}"
        return web.Response(
            body=text.encode(),
            content_type="text/csv" if wish.format == "csv" else "application/yaml",
            charset="utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"},
        )

    # --- changing ---

    async def put(self, context: Context, request: web.Request, body: FactInput) -> OutcomeBody:
        site, kind, id = query(request, SiteOf).site, _kind(request), request.match_info["id"]
        who = require(context, request, "configure", site)
        if body.data.get(KINDS[kind].id, id) != id:
            raise ApiProblem("invalid", f"The {KINDS[kind].id} of the data is not that of the path.")
        fact = parse(kind, {**body.data, KINDS[kind].id: id})
        if isinstance(fact, list):
            raise _refused(fact)
        return await self._change(request, who, site, {kind: [self._kept(site, kind, fact)]}, expect=body.expect)

    async def remove(self, context: Context, request: web.Request, _body: None) -> OutcomeBody:
        wish, key = query(request, RemoveQuery), (_kind(request), request.match_info["id"])
        who = require(context, request, "configure", wish.site)
        if key[1] not in {id_of(key[0], one) for one in self.registry.listed(wish.site, key[0])}:
            raise ApiProblem("not_found")
        return await self._change(request, who, wish.site, {}, remove=(key,), expect=wish.expect)

    async def take(self, context: Context, request: web.Request, _body: None) -> OutcomeBody:
        wish = query(request, ImportQuery)
        who = require(context, request, "configure", wish.site)
        if wish.format == "csv" and wish.kind is None:
            raise ApiProblem("bad_request", "A CSV file holds one kind; name it.")
        text = exchange.decode(await upload(request, MAX_IMPORT_BYTES))
        if text is None:
            raise ApiProblem("bad_request", "The file is neither UTF-8 nor GB 18030.")
        if wish.kind is not None and wish.format == "csv":
            given = await asyncio.to_thread(exchange.read_csv, wish.kind, text)
        else:
            given = await asyncio.to_thread(exchange.read_yaml, text, wish.site)
        version = self.registry.facts(wish.site).version
        if given.mistakes:
            return _outcome(Outcome(version), False, given.mistakes)
        facts = {kind: [self._kept(wish.site, kind, one) for one in ones] for kind, ones in given.facts.items()}
        try:
            done = await self.registry.change(
                wish.site, facts, by=who.user.user, source="import", address=request.remote or "", expect=wish.expect,
                dry_run=wish.dry_run, replace_kinds=wish.mode == "replace", lines=given.lines,
            )  # fmt: skip
        except RegistryRefused as error:
            return _outcome(Outcome(version), False, error.mistakes)
        except RegistryStale as error:
            raise ApiProblem("stale", str(error)) from error
        return _outcome(done, not wish.dry_run)

    async def _change(
        self, request: web.Request, who: Visitor, site: str, put: dict[str, list[Fact]],
        *, remove: tuple[tuple[str, str], ...] = (), expect: int | None = None,
    ) -> OutcomeBody:  # fmt: skip
        try:
            done = await self.registry.change(
                site, put, remove, by=who.user.user, address=request.remote or "", expect=expect
            )  # fmt: skip
        except RegistryRefused as error:
            raise _refused(error.mistakes) from error
        except RegistryStale as error:
            raise ApiProblem("stale", str(error)) from error
        return _outcome(done, True)

    def _kept(self, site: str, kind: str, fact: Fact) -> Fact:
        """A masked name or number that comes back as it was shown leaves what is there."""
        if kind != "people":
            return fact
        values = plain(kind, fact)
        before = self.registry.person(site, str(values["card"]))
        if before is None:
            return fact
        shown = masking.person(plain(kind, before))
        for name in masking.PERSONAL:
            if values[name] and values[name] == shown[name]:
                values[name] = getattr(before, name)
        kept = parse(kind, values)
        return fact if isinstance(kept, list) else kept

    # --- pictures of plans ---

    async def picture(self, context: Context, request: web.Request, _body: None) -> web.Response:
        site = query(request, SiteOf).site
        require(context, request, "read", site)
        plan = self.registry.facts(site).plans.get(request.match_info["id"])
        if plan is None or not plan.picture:
            raise ApiProblem("not_found")
        raw = await asyncio.to_thread(load_picture, context.settings.server.data_dir, plan.picture)
        if raw is None:
            raise ApiProblem("not_found")
        return web.Response(
            body=raw,
            content_type=TYPES[plan.picture.rsplit(".", 1)[-1]],
            headers={"Cache-Control": "private, max-age=300", "ETag": f'"{plan.picture[:64]}"'},
        )

    async def put_picture(self, context: Context, request: web.Request, _body: None) -> OutcomeBody:
        site, id = query(request, SiteOf).site, request.match_info["id"]
        who = require(context, request, "configure", site)
        plan = self.registry.facts(site).plans.get(id)
        if plan is None:
            raise ApiProblem("not_found")
        raw = await upload(request, MAX_PICTURE_BYTES)
        try:
            name = await asyncio.to_thread(store_picture, context.settings.server.data_dir, raw)
        except PictureRefused as error:
            raise ApiProblem("invalid", str(error)) from error
        fact = parse("plans", plain("plans", plan) | {"picture": name})
        if isinstance(fact, list):
            raise _refused(fact)
        return await self._change(request, who, site, {"plans": [fact]})


def _kind(request: web.Request) -> str:
    kind = request.match_info["kind"]
    if kind not in KINDS:
        raise ApiProblem("not_found")
    return kind


def _shown(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return masking.person(data) if kind == "people" else data


def _refused(mistakes: tuple[Mistake, ...] | list[Mistake]) -> ApiProblem:
    return ApiProblem(
        "invalid",
        fields=tuple(
            FieldProblem(where=one.key or one.kind, why=one.en, text=Text(zh=one.zh, en=one.en))
            for one in mistakes[:50]
        ),
    )  # fmt: skip


def _outcome(outcome: Outcome, done: bool, mistakes: tuple[Mistake, ...] | list[Mistake] | Any = ()) -> OutcomeBody:
    touched = [*outcome.added, *outcome.changed, *outcome.removed]
    return OutcomeBody(
        done=done and not mistakes,
        version=outcome.version,
        added=len(outcome.added),
        changed=len(outcome.changed),
        removed=len(outcome.removed),
        unchanged=outcome.unchanged,
        examples=[f"{kind}/{id}" for kind, id in touched[:20]],
        mistakes=[
            MistakeBody(line=one.line, kind=one.kind, id=one.id, key=one.key, text=Text(zh=one.zh, en=one.en))
            for one in mistakes
        ],
    )
