"""Case folders on their way: one for a user, and nobody keeps a place who takes nothing."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.api import report
from server.api.http import Routes
from server.api.report import ReportDoor
from server.report import case
from server.sessions.machine import State
from tests.fakes.serving import Served, serve

CASE = "/api/sessions/s1/case"


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> ReportDoor:
    """One consultation, whose case folder never ends."""

    async def evidence(*_args: object) -> State:
        return State("s1", "mine-a", "t", "王", "county", 0.0)

    async def gathered(*_args: object) -> None:
        return None

    async def folder(*_args: object) -> AsyncGenerator[bytes, None]:
        while True:
            yield bytes(1 << 18)

    monkeypatch.setattr(ReportDoor, "_evidence_of", evidence)
    monkeypatch.setattr(report, "gather", gathered)
    monkeypatch.setattr(case, "folder", folder)
    return ReportDoor(None, None)  # type: ignore[arg-type]


@pytest.fixture
async def served(tmp_path: Path, door: ReportDoor) -> AsyncIterator[Served]:
    async with serve(tmp_path, further=Routes.of(door.routes())) as found:
        for login in ("u1", "u2"):
            await found.add_user(login, "dispatcher", "mine-a")
        yield found


async def refused(session: Any) -> tuple[int, str]:
    async with session.get(CASE) as answer:
        assert answer.status >= 400  # else the body never ends
        return answer.status, (await answer.json())["error"]


async def test_one_user_takes_one_case_folder_and_leaves_room_for_another(served: Served) -> None:
    async with served.browser("u1") as one, served.browser("u2") as other:
        async with one.get(CASE) as first:
            assert first.status == 200
            assert await refused(one) == (503, "capacity")
            async with other.get(CASE) as second:
                assert second.status == 200


async def test_who_takes_nothing_of_a_case_folder_is_cut_off(
    served: Served, door: ReportDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "TAKE_S", 0.05)
    async with served.browser("u1") as session, session.get(CASE) as stalled:
        assert stalled.status == 200
        async with asyncio.timeout(10):
            while door.taking:
                await asyncio.sleep(0.01)
