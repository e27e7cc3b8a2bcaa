"""`verify-audit`: is everything that was written down still as it was written?"""

import asyncio
import json
import os
import re
import time
from pathlib import Path
from typing import Annotated

import typer

from config.load import SettingsError, load
from config.settings import Settings
from server.store import chain, evidence
from server.store.database import Database, sqlite_url
from server.store.errors import StoreError

HOLDS, BROKEN, USAGE, UNREADABLE = 0, 1, 2, 3
"""Exit statuses."""

KEPT = re.compile(r"([0-9]+):([0-9a-f]{64})")


def add_to(app: typer.Typer) -> None:
    """Declare the verb."""
    app.command(name="verify-audit")(verify_audit)


def verify_audit(
    expect: Annotated[
        str | None, typer.Option(help="NUMBER:HASH of an audit row, as printed by an earlier run", show_default=False)
    ] = None,
    files: Annotated[
        bool, typer.Option("--files", help="read every recording and picture, too, and compare its hash")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
    config: Annotated[
        Path | None, typer.Option("-c", "--config", help="settings file (YAML)", show_default=False)
    ] = None,
) -> None:
    """Check the hash chains of the audit and of all timelines. The server may run; nothing is changed.

    Exit status: 0 all holds, 1 something does not (each chain's first bad row is named), 2 wrong usage or settings,
    3 the database could not be read.
    """
    try:
        settings = load(config, os.environ)
    except SettingsError as error:
        for mistake in error.mistakes:
            typer.echo(str(mistake), err=True)
        raise typer.Exit(USAGE) from error
    started = time.monotonic()
    try:
        report, looked_at = asyncio.run(_verify(settings, _kept(expect), files=files))
    except StoreError as error:
        typer.echo(f"The database could not be read: {error}", err=True)
        raise typer.Exit(UNREADABLE) from error
    _print(report, time.monotonic() - started, looked_at, as_json=as_json)
    raise typer.Exit(HOLDS if report.holds else BROKEN)


def _kept(expect: str | None) -> chain.Head | None:
    if expect is None:
        return None
    found = KEPT.fullmatch(expect)
    if found is None:
        raise typer.BadParameter("it is a number, a colon and 64 hexadecimal digits")
    return int(found[1]), found[2]


async def _verify(settings: Settings, expect: chain.Head | None, *, files: bool) -> tuple[chain.Report, int]:
    url = settings.store.url or sqlite_url(settings.server.data_dir)
    recordings = settings.recording.folder or settings.server.data_dir / "recordings"
    async with Database.open(url, as_it_is=True) as database:
        async with database.reading() as connection:
            report = await chain.verify(connection, expect)
        if not files:
            return report, 0
        looked_at, faults = await evidence.verify(database, recordings, settings.server.data_dir)
    report.faults.extend(faults)
    return report, looked_at


def _print(report: chain.Report, took_s: float, looked_at: int, *, as_json: bool) -> None:
    head = f"{report.head[0]}:{report.head[1]}"
    if as_json:
        faults = [{"chain": one.chain, "seq": one.seq, "reason": one.reason} for one in report.faults]
        body = {
            "holds": report.holds, "audit_rows": report.audit_rows, "rooms": report.rooms, "entries": report.entries,
            "removed_by_retention": report.removed, "files": looked_at, "head": head, "faults": faults,
            "seconds": round(took_s, 3),
        }  # fmt: skip
        typer.echo(json.dumps(body, ensure_ascii=False))
        return
    for fault in report.faults:
        typer.echo(f"✘ {fault.chain}: {fault.reason}")
    word = "Everything holds" if report.holds else "NOT everything holds"
    typer.echo(
        f"{word}: {report.audit_rows} audit rows, {report.entries} entries of {report.rooms} timelines, "
        f"{report.removed} rows removed by retention and accounted for"
        f"{f', {looked_at} files' if looked_at else ''} ({took_s:.1f} s)."
    )
    typer.echo(f"Newest audit row: {head}")
