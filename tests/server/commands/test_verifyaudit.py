"""The verb as an operator uses it: exit statuses, and the first bad row by name."""

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from server.commands.main import app
from server.store import audit, chain, timeline
from server.store.database import Database


async def _fill(url: str) -> None:
    async with Database.open(url) as database, database.transaction() as connection:
        for number in range(5):
            await timeline.append(connection, ["site:mine"], "chat", {"n": number}, float(number))
            await audit.append(connection, at=1.0, actor="u", action="a", object=str(number), site="mine")
        await chain.checkpoint(connection, 2.0)


def run(settings: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["verify-audit", "-c", str(settings), *more])


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    path = tmp_path / "lamproom.yaml"
    path.write_text(f"server:\n  data_dir: {tmp_path}\n")
    asyncio.run(_fill(f"sqlite+aiosqlite:///{tmp_path / 'lamproom.db'}"))
    return path


def tamper(folder: Path, statement: str) -> None:
    connection = sqlite3.connect(folder / "lamproom.db")
    with connection:
        connection.execute(statement)
    connection.close()


def test_all_holds_and_the_newest_row_can_be_kept_elsewhere(settings: Path, tmp_path: Path) -> None:
    result = run(settings)
    assert result.exit_code == 0, result.output
    assert "Everything holds: 6 audit rows, 5 entries of 1 timelines" in result.output
    kept = result.output.split("Newest audit row: ")[1].strip()
    assert run(settings, "--expect", kept).exit_code == 0
    tamper(tmp_path, "DELETE FROM audit WHERE seq = 6")
    assert run(settings).exit_code == 0
    cut = run(settings, "--expect", kept)
    assert cut.exit_code == 1
    assert "✘ audit: Row 6, whose hash was noted, is not there any more." in cut.output


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE audit SET actor = 'x' WHERE seq = 3", ["audit", 3]),
        ("DELETE FROM audit WHERE seq = 2", ["audit", 2]),
        ("UPDATE entries SET body = '{\"n\": 9}' WHERE seq = 4", ["site:mine", 4]),
        ("DELETE FROM entries WHERE seq = 1", ["site:mine", 1]),
        ("DELETE FROM entries WHERE seq = 5", ["site:mine", 5]),
    ],
)
def test_the_first_bad_row_is_named(settings: Path, tmp_path: Path, statement: str, fault: list[object]) -> None:
    tamper(tmp_path, statement)
    result = run(settings, "--json")
    assert result.exit_code == 1, result.output
    said = json.loads(result.output)
    assert said["holds"] is False
    assert [[one["chain"], one["seq"]] for one in said["faults"]] == [fault]


def test_wrong_usage_and_a_database_that_is_not_there(settings: Path, tmp_path: Path) -> None:
    assert run(settings, "--expect", "nonsense").exit_code == 2
    assert run(tmp_path / "missing.yaml").exit_code == 2
    (tmp_path / "lamproom.db").unlink()
    result = run(settings)
    assert result.exit_code == 3
    assert not (tmp_path / "lamproom.db").exists()
