"""`run`, `check`, `ports`, `demo`, `doctor`, `publish`, `replay`; others are in modules of their own."""

import asyncio
import http.client
import os
import ssl
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from analytics.errors import SourceRefused
from config.load import SettingsError, load
from config.settings import Settings
from server import observe
from server.commands import accounts, phones, verifyaudit
from server.tls import wants_tls

app = typer.Typer(
    name="lamproom",
    help="Real-time communication server for mine dispatch rooms and the authorities above them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
accounts.add_to(app)
verifyaudit.add_to(app)
phones.add_to(app)
console = Console()

ConfigFile = Annotated[Path | None, typer.Option("-c", "--config", help="settings file (YAML)", show_default=False)]


def settings_or_exit(path: Path | None) -> Settings:
    """Settings, or every mistake on the screen and exit 2."""
    try:
        return load(path, os.environ)
    except SettingsError as error:
        for mistake in error.mistakes:
            typer.echo(str(mistake), err=True)
        raise typer.Exit(2) from error


@app.command()
def run(config: ConfigFile = None) -> None:
    """Run the server until it is stopped."""
    settings = settings_or_exit(config)
    observe.configure_log(settings.server.log_level, settings.server.log_format)
    asyncio.run(_run(settings, config))


async def _run(settings: Settings, file: Path | None) -> None:
    from server.app import serve  # the media and vision stacks are not needed by the other verbs

    password = await accounts.first_admin(settings)
    if password is not None:
        typer.echo(f"First account: user `admin`, password `{password}` (shown once; change it after logging in).")
    try:
        await serve(settings, file, on_ready=lambda server: typer.echo(f"Lamproom is ready at {server.url}"))
    except SourceRefused as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


@app.command()
def check(config: ConfigFile = None) -> None:
    """Read the settings and say all that is wrong with them."""
    from analytics.telemetry.door import open_sources

    settings = settings_or_exit(config)
    try:
        list(open_sources(settings, tuple, on_link=lambda name: lambda link: None, on_gap=lambda gap: None))
    except SourceRefused as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    typer.echo(f"The settings are good: {len(settings.sites)} sites, {len(settings.analytics.posts)} duty posts.")


@app.command()
def ports(config: ConfigFile = None) -> None:
    """Which ports a firewall must let through."""
    from server.frontdoor import media_tcp

    settings = settings_or_exit(config)
    table = Table("port", "protocol", "address", "for")
    scheme = "https" if wants_tls(settings.server) else "http"
    table.add_row(
        str(settings.server.listen_port), "TCP", settings.server.listen_host, f"pages, API, WebSocket ({scheme})"
    )
    for number in settings.media.udp_ports:
        table.add_row(str(number), "UDP", settings.media.listen_host, "pictures and sound of all browsers")
    if (tcp := media_tcp(settings)) != "off":
        host = settings.server.listen_host if tcp == "shared" else settings.media.listen_host
        table.add_row(str(settings.media.udp_port), "TCP", host, "the same, for browsers whose network blocks UDP")
    if settings.mqtt.host is not None:
        table.add_row(str(settings.mqtt.port), "TCP out", settings.mqtt.host, "telemetry from the MQTT broker")
    for row in phones.ports(settings):
        table.add_row(*row)
    console.print(table)


@app.command()
def demo(
    no_browser: Annotated[bool, typer.Option("--no-browser", help="do not open a browser")] = False,
    speed: Annotated[float, typer.Option(min=0.1, max=20, help="how fast the story runs")] = 1.0,
    seed: Annotated[int, typer.Option(help="of everything simulated")] = 1,
    stop_after_s: Annotated[float, typer.Option("--stop-after", min=0, help="end by itself; 0 = never")] = 0.0,
) -> None:
    """A simulated mine, with one-time links for the dispatcher, county, city and province."""
    from server.demo.run import main

    raise typer.Exit(main(no_browser=no_browser, speed=speed, seed=seed, headless_seconds=stop_after_s or None))


@app.command()
def doctor(config: ConfigFile = None) -> None:
    """Try what a server needs on this machine, and say what is wrong in words."""
    from server.commands.doctor import examine

    findings = examine(settings_or_exit(config))
    table = Table("", "what", "result")
    for finding in findings:
        table.add_row({"pass": "✔", "warn": "!", "fail": "✘"}[finding.state], finding.what, finding.result)
    console.print(table)
    raise typer.Exit(1 if any(finding.state == "fail" for finding in findings) else 0)


@app.command()
def healthy(config: ConfigFile = None) -> None:
    """Ask the running server of this machine whether it is ready; for health checks."""
    settings = settings_or_exit(config).server
    host = "127.0.0.1" if settings.listen_host == "0.0.0.0" else settings.listen_host
    secure = wants_tls(settings)
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE  # our own, on our own address
    door: http.client.HTTPConnection = (
        http.client.HTTPSConnection(host, settings.listen_port, timeout=3.0, context=trust)
        if secure
        else http.client.HTTPConnection(host, settings.listen_port, timeout=3.0)
    )
    try:
        door.request("GET", "/-/ready")
        status = door.getresponse().status
    except OSError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(0 if status == 200 else 1)


@app.command()
def publish(
    source: Annotated[str, typer.Argument(help="a file, rtsp://..., or `test`")],
    to: Annotated[str, typer.Option("--to", help="WHIP address: http://HOST:PORT/whip/ROOM/NAME")],
    token: Annotated[str | None, typer.Option(help="room token (`lamproom token`)", envvar="LAMPROOM_TOKEN")] = None,
    token_file: Annotated[Path | None, typer.Option(help="file that holds the token")] = None,
    repeat: Annotated[bool, typer.Option("--repeat", help="begin a file again at its end")] = False,
) -> None:
    """Publish a file, a camera or a test picture by WHIP, encoded anew as H.264 and Opus."""
    from server.publish import main

    raise typer.Exit(main(source, to, token, token_file, repeat=repeat))


@app.command()
def replay(
    site: Annotated[str, typer.Option(help="mine whose stored readings are judged")],
    start: Annotated[str, typer.Option("--from", help="ISO 8601 time, or seconds since 1970")],
    end: Annotated[str, typer.Option("--to", help="as --from; not included")],
    as_measured: Annotated[bool, typer.Option("--as-measured", help="as if nothing had arrived late")] = False,
    config: ConfigFile = None,
) -> None:
    """Run the power rules over stored readings and print what they find, as JSON lines. Changes nothing."""
    from server.commands.replay import moment, print_findings

    print_findings(settings_or_exit(config), site, moment(start), moment(end), as_measured)
