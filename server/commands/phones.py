"""`phone`: desk phones on the data of a server, running or not. A running server notices within seconds."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from config.settings import Settings
from server.commands.accounts import ConfigFile, opened, run_or_exit, settings_of
from server.phones.devices import Phones
from server.phones.errors import PhoneError

phone = typer.Typer(help="Desk phones that may register here.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="what the phone registers as, e.g. mine-a-1")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(phone, name="phone")


def ports(settings: Settings) -> list[tuple[str, str, str, str]]:
    """Rows of `lamproom ports`."""
    if not settings.phones.enabled:
        return []
    sip, media = settings.phones, settings.phone_media
    rows = [(str(sip.port), "UDP, TCP", sip.listen_host, "SIP of phones and trunks")]
    if sip.tls_port is not None:
        rows.append((str(sip.tls_port), "TCP", sip.listen_host, "SIP over TLS"))
    rows.append((f"{media.rtp_port_min}-{media.rtp_port_max}", "UDP", media.listen_host, "sound of phones (RTP, RTCP)"))
    for trunk in sip.trunks:
        protocol = "UDP out" if trunk.transport == "udp" else "TCP out"
        rows.append((str(trunk.port), protocol, trunk.host, f"SIP to the trunk {trunk.name} ({trunk.transport})"))
    return rows


@phone.command()
def add(
    name: Name,
    site: Annotated[str, typer.Option(help="site whose member the phone is")],
    title: Annotated[str, typer.Option("--name", help="name that others see")],
    network: Annotated[list[str] | None, typer.Option(help="where it may come from; may be given again")] = None,
    config: ConfigFile = None,
) -> None:
    """Add a phone and print its secret, once."""

    async def go(phones: Phones, settings: Settings) -> None:
        secret = await phones.add(name, site, title, network or (), "command")
        _print(settings, name, secret)

    _with_phones(config, go)


@phone.command()
def secret(name: Name, config: ConfigFile = None) -> None:
    """Make another secret and print it; the old one is worth nothing from then on."""

    async def go(phones: Phones, settings: Settings) -> None:
        _print(settings, name, await phones.renew(name, "command"))

    _with_phones(config, go)


@phone.command("list")
def listed(config: ConfigFile = None) -> None:
    """All phones, without secrets."""

    async def go(phones: Phones, settings: Settings) -> None:
        await phones.refresh()
        for one in phones.everything():
            stale = "" if one.realm == settings.phones.domain else "  needs a new secret"
            state = "disabled" if one.disabled else "allowed"
            typer.echo(f"{one.phone}  {one.site}  {one.name}  {state}  {','.join(one.networks) or 'any'}{stale}")

    _with_phones(config, go)


@phone.command()
def remove(name: Name, config: ConfigFile = None) -> None:
    """Remove a phone; it is hung up."""

    async def go(phones: Phones, settings: Settings) -> None:
        await phones.refresh()
        await phones.remove(name, "command")

    _with_phones(config, go)


def _print(settings: Settings, name: str, secret: str) -> None:
    phones = settings.phones
    typer.echo(f"user {name}")
    typer.echo(f"password {secret}")
    typer.echo(f"domain {phones.domain}")
    typer.echo(f"server {phones.advertise or phones.listen_host}:{phones.port}")
    if not phones.enabled:
        typer.echo("Phones are switched off: set phones.enabled.", err=True)


def _with_phones(config: Path | None, go: Callable[[Phones, Settings], Awaitable[None]]) -> None:
    settings = settings_of(config)

    async def work() -> None:
        async with opened(settings) as (identity, database):
            try:
                await go(Phones(database, identity.tree, settings.phones.domain), settings)
            except PhoneError as error:
                typer.echo(error.detail, err=True)
                raise typer.Exit(1) from error

    run_or_exit(work())
