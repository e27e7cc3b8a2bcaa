"""The settings over HTTP: shown as forms, tried, and changed in the file for the next start."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from config.edit import Change, EditRefused, Stale
from config.forms import at, is_dangerous
from config.load import SettingsError
from config.sensitive import shown
from config.settings import Settings
from server.api.context import Context
from server.api.http import ApiProblem, Input, Output, Routes, require_server
from server.api.problems import FieldProblem
from server.api.written import write_down
from server.settingsfile import NoFile, SettingsFile

MAX_CHANGES = 500
PathText = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[A-Za-z0-9_]+){0,8}$", max_length=200)]


class SettingChange(Input):
    path: PathText
    op: Literal["set", "remove"]
    value: Any = None


class SettingsWish(Input):
    changes: Annotated[list[SettingChange], Field(min_length=1, max_length=MAX_CHANGES)]
    expect: Annotated[str, Field(max_length=64)]
    """`fingerprint` of what the changes were made for."""
    password: Annotated[str, Field(max_length=256)] = ""
    """Of the visitor; needed where something dangerous changes."""


class SettingDifference(Output):
    path: str
    before: Any
    after: Any
    dangerous: bool


class SettingsTried(Output):
    differences: list[SettingDifference]
    dangerous: bool
    """The password is needed."""


class SettingsBody(Output):
    file: str | None
    writable: bool
    fingerprint: str
    restart_needed: bool
    """The file says something else than what runs."""
    broken: list[str]
    """What is wrong with the file; the forms then show what runs."""
    sections: list[dict[str, Any]]


class SettingsChanged(Output):
    fingerprint: str
    differences: list[SettingDifference]
    restart_needed: bool


@dataclass(slots=True)
class SettingsDoor:
    """The endpoints, over the file."""

    file: SettingsFile

    def routes(self) -> Routes:
        routes = Routes()
        declare = routes.route
        declare("GET", "/api/settings", access="administer", summary="Every setting: help, value, where it comes from",
                ok=SettingsBody, errors=("not_found",))(self.shown)  # fmt: skip
        declare("POST", "/api/settings/try", access="administer", body=SettingsWish, ok=SettingsTried,
                summary="What changes would do, and whether a server would start with them; nothing is changed",
                errors=("not_found", "invalid", "stale", "no_settings_file", "not_writable"))(self.tried)  # fmt: skip
        declare("POST", "/api/settings", access="administer", body=SettingsWish, ok=SettingsChanged,
                summary="Change the settings file; it counts from the next start on",
                errors=("not_found", "invalid", "stale", "no_settings_file", "not_writable", "wrong_login",
                        "too_many_attempts", "capacity"))(self.change)  # fmt: skip
        return routes

    async def shown(self, context: Context, request: web.Request, _body: None) -> SettingsBody:
        require_server(context, request, "administer")
        try:
            sections, fingerprint, now = await self.file.read()
        except SettingsError as error:
            return SettingsBody(
                file=str(self.file.path), writable=False, fingerprint="", restart_needed=True,
                broken=[str(one) for one in error.mistakes], sections=[],
            )  # fmt: skip
        return SettingsBody(
            file=str(self.file.path) if self.file.path is not None else None, writable=self.file.writable(),
            fingerprint=fingerprint, restart_needed=now != self.file.running, broken=[], sections=sections,
        )  # fmt: skip

    async def tried(self, context: Context, request: web.Request, body: SettingsWish) -> SettingsTried:
        require_server(context, request, "administer")
        changes = _changes(body)
        before, after = await self._before(), await refused(self.file.tried(changes, body.expect))
        differences = _differences(before, after, changes)
        return SettingsTried(differences=differences, dangerous=any(one.dangerous for one in differences))

    async def change(self, context: Context, request: web.Request, body: SettingsWish) -> SettingsChanged:
        """Who asks is known twice where it is dangerous, and stands in the audit before the file is touched."""
        who = require_server(context, request, "administer")
        changes = _changes(body)
        before, after = await self._before(), await refused(self.file.tried(changes, body.expect))
        differences = _differences(before, after, changes)
        if any(one.dangerous for one in differences):
            await context.identity.confirm(who, body.password)
        told = {"changes": [one.model_dump(exclude={"dangerous"}) for one in differences]}
        where = ",".join(one.path for one in differences)
        await write_down(context, request, "settings.change", where, "", told)
        try:
            now = await refused(self.file.change(changes, body.expect))
        except ApiProblem:
            await write_down(context, request, "settings.change", where, "", result="failed")
            raise
        _, fingerprint, _ = await self.file.read()
        restart = now != self.file.running
        return SettingsChanged(fingerprint=fingerprint, differences=differences, restart_needed=restart)

    async def _before(self) -> Settings:
        return (await readable(self.file))[2]


def _changes(body: SettingsWish) -> list[Change]:
    return [Change(one.path, one.op, one.value) for one in body.changes]


def _differences(before: Settings, after: Settings, changes: list[Change]) -> list[SettingDifference]:
    """Each place that was named, once, as it was and as it will be; secrets are not shown."""
    was, will = before.model_dump(mode="json"), after.model_dump(mode="json")
    found: dict[str, SettingDifference] = {}
    for change in changes:
        path = _list_of(change, was)
        old, new = at(was, path), at(will, path)
        if old != new:
            found[path] = SettingDifference(
                path=path, before=shown(path, old), after=shown(path, new),
                dangerous=is_dangerous(path) or shown(path, old) != old or shown(path, new) != new,
            )  # fmt: skip
    return list(found.values())


def _list_of(change: Change, was: dict[str, Any]) -> str:
    """A list whose items move is compared as a whole."""
    parts = change.path.split(".")
    for depth, part in enumerate(parts):
        here = ".".join(parts[:depth])
        if part.isdecimal() and isinstance(known := at(was, here), list):
            whole = int(part) >= len(known) or (change.op == "remove" and depth == len(parts) - 1)
            if whole:
                return here
    return change.path


async def readable(file: SettingsFile) -> tuple[list[dict[str, Any]], str, Settings]:
    """As `SettingsFile.read`; a file that is broken by now as a problem."""
    try:
        return await file.read()
    except SettingsError as error:
        raise _invalid(error) from error


async def refused(work: Any) -> Settings:
    """What changing the file gives; its refusals as problems."""
    try:
        settings: Settings = await work
        return settings
    except SettingsError as error:
        raise _invalid(error) from error
    except EditRefused as error:
        raise ApiProblem("invalid", fields=(FieldProblem(where=error.path[:100], why=error.why[:200]),)) from error
    except Stale as error:
        raise ApiProblem("stale") from error
    except NoFile as error:
        raise ApiProblem("no_settings_file") from error
    except OSError as error:
        raise ApiProblem("not_writable", f"The settings file cannot be written: {error.strerror}.") from error


def _invalid(error: SettingsError) -> ApiProblem:
    fields = tuple(FieldProblem(where=one.key[:100], why=one.what[:200]) for one in error.mistakes[:20])
    return ApiProblem("invalid", fields=fields)
