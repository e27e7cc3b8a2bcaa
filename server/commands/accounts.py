"""`user`, `link`, `token`: accounts on the data of a server, running or not."""

import asyncio
import contextlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from config.load import SettingsError, load
from config.settings import Settings
from server.identity.errors import IdentityError
from server.identity.roles import Role
from server.identity.service import Identity
from server.store import identity as rows
from server.store.database import Database, sqlite_url
from server.store.errors import StoreError
from server.store.sites import SiteTree

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="settings file (YAML)", show_default=False)]


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[tuple[Identity, Database]]:
    """The accounts of a data folder; sites of the settings are made when they are missing."""
    settings.server.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with Database.open(settings.store.url or sqlite_url(settings.server.data_dir)) as database:
        tree = await SiteTree.load(database)
        await tree.ensure(settings.sites)
        yield await Identity.open(database, tree, settings.auth, settings.server.data_dir), database


async def first_admin(settings: Settings) -> str | None:
    """Make the first account; its password, once, or None when there are accounts already."""
    from server.app import DEFAULT_SITE

    if not settings.sites:
        settings = settings.model_copy(update={"sites": (DEFAULT_SITE,)})
    async with opened(settings) as (identity, _):
        return await identity.ensure_first_admin()


def settings_of(path: Path | None) -> Settings:
    """Settings, or what is wrong with them and exit 2."""
    try:
        return load(path, os.environ)
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def run_or_exit(work: Coroutine[Any, Any, None]) -> None:
    """Run it; what is refused is said, with exit 1."""
    try:
        asyncio.run(work)
    except (IdentityError, StoreError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error


def add_to(app: typer.Typer) -> None:
    """Declare the verbs."""
    app.command()(user)
    app.command()(link)
    app.command()(token)


def user(
    login: Annotated[str, typer.Argument(help="name to log in with")],
    name: Annotated[str, typer.Option(help="name that others see")],
    role: Annotated[str, typer.Option(help="admin, supervisor, dispatcher, engineer or viewer")],
    site: Annotated[str, typer.Option(help="site the account belongs to")],
    password_stdin: Annotated[bool, typer.Option(help="read a password; without it only links log in")] = False,
    config: ConfigFile = None,
) -> None:
    """Add an account."""
    password = typer.get_text_stream("stdin").readline().rstrip("\n") if password_stdin else None

    async def add() -> None:
        async with opened(settings_of(config)) as (identity, _):
            secret = password or secrets.token_urlsafe(32)  # nobody knows it: such an account logs in by link
            made = await identity.add_user(login, secret, name=name, role=_role(role), site=site)
            typer.echo(made.user)

    run_or_exit(add())


def _role(name: str) -> Role:
    match name:
        case "admin" | "supervisor" | "dispatcher" | "engineer" | "viewer":
            return name
    raise typer.BadParameter(f"there is no role {name}")


def link(
    login: Annotated[str, typer.Argument(help="account that the link logs in")],
    base: Annotated[str, typer.Option(help="address of the server")] = "http://127.0.0.1:8443",
    config: ConfigFile = None,
) -> None:
    """Print a one-time log-in link."""

    async def make() -> None:
        async with opened(settings_of(config)) as (identity, database):
            async with database.reading() as connection:
                found = await rows.find_login(connection, login)
            if found is None:
                typer.echo(f"There is no account {login}.", err=True)
                raise typer.Exit(1)
            typer.echo(f"{base}/enter/{await identity.make_link(found[0].user)}")

    run_or_exit(make())


def token(
    room: Annotated[str, typer.Option(help="e.g. site:hongqi")],
    name: Annotated[str, typer.Option(help="name of the camera, e.g. dispatch-room")],
    hours: Annotated[float, typer.Option(min=0.01, max=24, help="how long it is good")] = 24.0,
    as_json: Annotated[bool, typer.Option("--json")] = False,
    config: ConfigFile = None,
) -> None:
    """Print a token with which a program may publish by WHIP."""

    async def make() -> None:
        async with opened(settings_of(config)) as (identity, _):
            made = identity.issue_device(room, name, hours * 3600)
            shown = json.dumps({"token": made.token, "room": made.room, "expires_at": made.expires_at})
            typer.echo(shown if as_json else made.token)

    run_or_exit(make())
