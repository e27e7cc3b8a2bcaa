"""A stuck event loop ends its process, and says where it was stuck."""

import subprocess
import sys

STUCK = """
import asyncio, time
from server.watchdog import watch
async def main():
    task = asyncio.ensure_future(watch(0.3))
    await asyncio.sleep(0)
    {then}
    task.cancel()
asyncio.run(main())
"""


def run(then: str) -> "subprocess.CompletedProcess[str]":
    code = STUCK.format(then=then)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)


def test_a_stuck_loop_ends_the_process_with_its_stacks() -> None:
    done = run("time.sleep(20)")
    assert done.returncode != 0
    assert "Timeout" in done.stderr
    assert "main" in done.stderr


def test_a_loop_that_runs_is_left_alone() -> None:
    assert run("await asyncio.sleep(0.1)").returncode == 0
