"""No process and no file of the demonstration outlives it."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from server.demo.children import Children

ROOT = Path(__file__).parents[3]

OWNER = """
import asyncio, sys
from pathlib import Path
from server.demo.children import Children

async def main() -> None:
    children = Children(Path(sys.argv[1]))
    await children.start_janitor()
    sleeper = await children.start("sleeper", ["-c", "import time; time.sleep(600)"], Path.cwd())
    deaf = await children.start("deaf", ["-c", sys.argv[2]], Path.cwd())
    print(sleeper.pid, deaf.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""
ENDS_WITH_STANDARD_INPUT = "import sys; sys.stdin.read()"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"


async def wait_until(condition: Callable[[], bool], within_s: float = 20) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.05)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is of Linux")
async def test_nothing_is_left_when_the_demonstration_is_killed(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    folder.mkdir()
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER, str(folder), ENDS_WITH_STANDARD_INPUT, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert owner.stdout is not None
    pids = [int(pid) for pid in (await asyncio.wait_for(owner.stdout.readline(), 30)).split()]
    assert not any(map(gone, pids))
    owner.kill()
    await owner.wait()
    await wait_until(lambda: all(map(gone, pids)))
    await wait_until(lambda: not folder.exists())


async def test_child_that_does_not_listen_is_killed_with_what_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.demo.children.STOP_S", 0.5)
    children = Children(tmp_path)
    child = await children.start("deaf", ["-c", DEAF], ROOT)
    await wait_until(lambda: "on" in child.tail())
    await children.stop()
    assert child.process.returncode == -signal.SIGKILL
    assert children.running == []


async def test_child_is_asked_before_it_is_killed_and_its_words_are_kept(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = await children.start("echo", ["-uc", "import sys\nfor line in sys.stdin: print('heard', line)"], ROOT)
    await child.say("hello")
    await wait_until(lambda: "heard hello" in child.tail())
    await children.stop(child)
    assert child.process.returncode == -signal.SIGTERM
    await child.say("are you there")  # nobody is; no error


async def test_temporary_files_of_a_child_lie_in_the_folder(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = await children.start("files", ["-c", "import tempfile; print(tempfile.mkdtemp())"], ROOT)
    await child.process.wait()
    assert Path(child.tail()).is_relative_to(tmp_path)
    await children.stop()


def _children() -> set[int]:
    return {process.pid for process in psutil.Process(os.getpid()).children()}


async def test_janitor_is_dismissed_when_the_folder_was_removed_in_the_ordinary_way(tmp_path: Path) -> None:
    children = Children(tmp_path)
    others = _children()
    await children.start_janitor()
    started = _children() - others
    assert started
    await children.dismiss_janitor()
    assert not _children() & started
    assert os.path.isdir(tmp_path)  # noqa: ASYNC240
