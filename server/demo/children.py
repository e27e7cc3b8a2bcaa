"""Processes that the demonstration starts, and the promise that none of them outlives it.

Each child leads a process group of its own (Ctrl+C in the terminal is ours to pass on), and the kernel tells it to end
when we die, even by kill -9. The folder with the demonstration's data is then removed by a waiting shell.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

STOP_S = 6.0
"""How long a child may take to end before it is killed."""
_PR_SET_PDEATHSIG = 1
_JANITOR = 'cat >/dev/null; sleep 4; rm -rf -- "$1"'


def _end_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    libc, parent = ctypes.CDLL(None, use_errno=True), os.getpid()

    def ask() -> None:  # runs in the child, between fork and exec
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


@dataclass(slots=True)
class Child:
    """One running process."""

    name: str
    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    async def say(self, line: str) -> None:
        """Write to its standard input; a child that is gone hears nothing."""
        if self.process.stdin is not None:
            with contextlib.suppress(ConnectionError):
                self.process.stdin.write(line.encode() + b"\n")
                await self.process.stdin.drain()

    def tail(self, lines: int = 15) -> str:
        """The end of what it wrote."""
        text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


@dataclass(slots=True)
class Children:
    """All processes of one demonstration, and its folder."""

    folder: Path
    running: list[Child] = field(default_factory=list)
    _janitor: asyncio.subprocess.Process | None = None

    async def start_janitor(self) -> None:
        """Have the folder removed if we are killed."""
        self._janitor = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", _JANITOR, "sh", str(self.folder), stdin=asyncio.subprocess.PIPE, start_new_session=True
        )

    async def start(self, name: str, arguments: Sequence[str], cwd: Path) -> Child:
        """Start `python ARGUMENTS`; what it prints goes to a file in the folder."""
        log, temporary = self.folder / f"{name}.log", self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        with log.open("ab") as file:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=cwd,
                env=os.environ | {"TMPDIR": str(temporary)},
                stdin=asyncio.subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
                preexec_fn=_end_with_parent(),
            )
        child = Child(name, process, log)
        self.running.append(child)
        return child

    async def stop(self, *children: Child) -> None:
        """End these (all, when none is named): asked first, killed with their whole group after `STOP_S`."""
        ending = [child for child in children or tuple(self.running) if child in self.running]
        for child in ending:
            self.running.remove(child)
            if child.process.returncode is None:
                child.process.terminate()
        waits = [asyncio.ensure_future(child.process.wait()) for child in ending]
        if waits:
            await asyncio.wait(waits, timeout=STOP_S)
        for child in ending:
            with contextlib.suppress(ProcessLookupError):  # whatever it started itself
                os.killpg(child.pid, signal.SIGKILL)
        for wait in waits:
            await wait

    async def dismiss_janitor(self) -> None:
        """The folder is gone in the ordinary way."""
        if self._janitor is not None and self._janitor.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._janitor.pid, signal.SIGKILL)
            await self._janitor.wait()
