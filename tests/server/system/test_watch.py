"""What is noted now and then."""

import asyncio
import contextlib
import json
import time
from pathlib import Path

from config.settings import ServerSettings, Settings
from server.system.watch import SystemWatch


def watch(folder: Path) -> SystemWatch:
    return SystemWatch(Settings(server=ServerSettings(data_dir=folder)))


async def ran(one: SystemWatch) -> None:
    task = asyncio.create_task(one.run())
    async with asyncio.timeout(20):
        while not (one.samples.get("data") and one._file.exists()):
            await asyncio.sleep(0.01)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_free_space_is_remembered_over_a_restart(tmp_path: Path) -> None:
    await ran(watch(tmp_path))
    noted = json.loads((tmp_path / "system" / "disks.json").read_text())
    noted["data"][0][0] -= 7200
    (tmp_path / "system" / "disks.json").write_text(json.dumps(noted))
    second = watch(tmp_path)
    await ran(second)
    assert len(second.samples["data"]) == 2


async def test_a_broken_or_foreign_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "system").mkdir()
    for content in ("{", "[1]", '{"data": [[1]]}', '{"data": 3}', json.dumps({"data": [[time.time() + 9e9, 1]]})):
        (tmp_path / "system" / "disks.json").write_text(content)
        assert sum(map(len, watch(tmp_path)._read().values())) == 0, content
