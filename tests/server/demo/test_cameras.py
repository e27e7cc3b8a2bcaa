"""The simulated cameras, as a WHIP server sees them."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from server.demo.cameras import CAMERAS, Control
from server.demo.stamp import Stamp, load_font
from tests.fakes.whipreceiver import WhipReceiver

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def camera(name: str, receiver: WhipReceiver, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    token = folder / "token"
    token.write_text(receiver.token)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "server.demo.cameras", "--name", name, "--url", receiver.url(name),
        "--token-file", str(token), "--seed", "1", "--control", "-", "--cache", str(ROOT / ".state" / "demo-cache"),
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_officer_leaves_the_picture_when_told_and_the_camera_ends_with_its_owner(tmp_path: Path) -> None:
    async with WhipReceiver("t") as receiver, camera("dispatch-room", receiver, tmp_path) as process:
        assert process.stdin is not None
        session = await receiver.until_frames(10, within_s=60)
        assert session.picture is not None
        there = session.picture.astype(int)
        process.stdin.write(b"nonsense\nofficer absent\n")
        await process.stdin.drain()
        await asyncio.sleep(6)
        gone = session.picture.astype(int)
        await asyncio.sleep(0.5)
        still = session.picture.astype(int)
        moved, quiet = np.abs(gone - there)[30:].max(axis=2) > 60, np.abs(still - gone)[30:].max(axis=2) > 60
        assert moved.mean() > 0.01
        assert quiet.mean() < moved.mean() / 5
        assert session.frames["audio"] > 50
        assert 0 < session.loudest < 3000
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert process.stdout is not None
        said = [json.loads(line) for line in (await process.stdout.read()).splitlines()]
        assert {"state": "ignored", "line": "nonsense"} in said


@pytest.mark.parametrize("name", ["shaft-mouth", "belt-head"])
async def test_other_cameras_move(name: str, tmp_path: Path) -> None:
    async with WhipReceiver("t") as receiver, camera(name, receiver, tmp_path):
        session = await receiver.until_frames(5, within_s=60)
        assert session.picture is not None
        pictures = []
        for _ in range(5):
            pictures.append(session.picture.astype(int))
            await asyncio.sleep(0.9)
        changes = [np.abs(a - b)[30:].mean() for a, b in pairwise(pictures)]
        assert max(changes) > 1.0


def test_every_camera_sends_few_enough_pictures_to_be_light() -> None:
    assert all(8 <= kind.frames_per_s <= 15 for kind in CAMERAS.values())


def test_unknown_order_leaves_the_officer_where_he_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMPROOM_CAMERA_OFFICER", "work")
    control = Control()
    for line in ("officer flying", "officer", "", "leave", "officer absent now"):
        control.take(line)
    assert control.officer == "work"
    control.take("officer absent\n")
    assert control.officer == "absent"


def test_stamp_marks_the_top_of_the_picture_and_follows_the_clock() -> None:
    stamp = Stamp((640, 360), "红旗煤矿", "Hongqi Mine", "调度室", "Dispatch room")
    picture = np.full((360, 640, 3), 120, np.uint8)
    first, second, later = (stamp.lay_on(picture, at) for at in (1000.2, 1000.9, 1001.0))
    assert np.array_equal(first, second)
    changed = np.nonzero((first != later).any(axis=(0, 2)))[0]
    assert changed.min() > 440  # the clock stands at the right
    assert (picture == 120).all()
    assert (first[40:] == 120).all()
    assert (first[:24] == (255, 196, 0)).all(axis=2).sum() > 100  # the mark, in amber


def test_stamp_is_readable_without_chinese_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.demo.stamp.FONT_FOLDERS", ("/nonexistent",))
    _, chinese = load_font(16)
    assert not chinese
    stamp = Stamp((640, 360), "红旗煤矿", "Hongqi Mine", "调度室", "Dispatch room")
    band = stamp.lay_on(np.zeros((360, 640, 3), np.uint8), 1000.0)[:25]
    assert (band == (255, 196, 0)).all(axis=2).sum() > 100
