"""The report of a consultation over HTTP: what is long is made beside the event loop."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from server.api import report as door
from server.api.report import ReportDoor
from server.report.after import Facts
from server.report.paper import data_hash
from server.sessions.machine import State
from tests.fakes.serving import serve

STATE = State("s1", "mine-a", "主扇停风", "李调度", "mine-a", 1_700_000_000.0)


class Door:
    async def visible(self, *_: object) -> State:
        return STATE


async def facts(*_: object) -> Facts:
    return Facts(session=STATE.as_dict(), entries=[], at=STATE.started_at + 60, clocks_s=(3600.0, 7200.0))


async def test_json_and_csv_are_made_beside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[tuple[str, int]] = []

    def beside(name: str) -> None:
        works = getattr(door, name)

        def noted(*given: Any) -> Any:
            threads.append((name, threading.get_ident()))
            return works(*given)

        monkeypatch.setattr(door, name, noted)

    beside("data_hash")
    beside("report_csv")
    monkeypatch.setattr(door, "gather", facts)
    routes = ReportDoor(None, Door()).routes()  # type: ignore[arg-type]
    async with serve(tmp_path, further=routes) as served:
        await served.add_user("mine", "dispatcher", "mine-a")
        async with served.browser("mine") as session:
            async with session.get("/api/sessions/s1/report") as answer:
                body = json.loads(await answer.read())
            async with session.get("/api/sessions/s1/report", params={"format": "csv"}) as answer:
                table = await answer.text()
    assert body.pop("sha256") == data_hash(body)
    assert "主扇停风" in table
    assert [name for name, _ in threads] == ["data_hash", "report_csv"]
    assert threading.get_ident() not in {thread for _, thread in threads}
