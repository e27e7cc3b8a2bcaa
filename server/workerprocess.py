"""A worker process on the other end of a socket pair: started, spoken to, and never left behind.

A worker ends by itself when its link closes. It gets a moment for that: short when it broke off by itself, longer in an
orderly end. After that it is killed, also when the waiting is cancelled.
"""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

log = structlog.get_logger()

BROKEN_PATIENCE_S = 0.3
ORDERLY_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class WorkerProcess:
    """A running worker and our end of its link."""

    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


@contextlib.asynccontextmanager
async def worker_process(module: str, **environment: str) -> AsyncIterator[WorkerProcess]:
    """`python -m MODULE --fd N`, until the block ends; with `environment` added to ours."""
    ours, theirs = socket.socketpair()
    process: asyncio.subprocess.Process | None = None
    patience_s = BROKEN_PATIENCE_S
    with theirs:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", module, "--fd", str(theirs.fileno()),
                pass_fds=(theirs.fileno(),), stdin=asyncio.subprocess.DEVNULL, env=os.environ | environment,
            )  # fmt: skip
            theirs.close()
            yield WorkerProcess(process.pid, reader, writer)
        except asyncio.CancelledError:
            patience_s = ORDERLY_PATIENCE_S
            raise
        finally:
            writer.close()
            if process is not None:
                await _end(process, patience_s)
                log.info("worker_ended", module=module, code=process.returncode)


async def _end(process: asyncio.subprocess.Process, patience_s: float) -> None:
    try:
        async with asyncio.timeout(patience_s):
            await process.wait()
    except TimeoutError:
        log.debug("worker_killed", pid=process.pid)
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
