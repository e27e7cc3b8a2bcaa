"""The life of a worker process, from the server's socket to the exit code; `server.workerprocess` is the other end.

The first message configures the worker; when the link closes, whatever the reason, the process ends.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from pydantic import TypeAdapter, ValidationError

from media.link import Link, LinkError

log = structlog.get_logger()

EXIT_BROKEN_LINK = 2

CommandT = TypeVar("CommandT")
ConfigureT = TypeVar("ConfigureT")


async def serve_link(
    fd: int,
    commands: TypeAdapter[CommandT],
    configure: type[ConfigureT],
    work: Callable[[Link[CommandT], ConfigureT], Awaitable[int]],
) -> int:
    """Take the first message and work by it until that is over; the exit code.

    Args:
        fd: our end of the link.
        commands: what comes over it.
        configure: the kind of the first message.
        work: serves the link; gives the exit code.
    """
    reader, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=fd))
    link: Link[CommandT] = Link(reader, writer, commands)
    try:
        first = await link.receive()
        if first is None:
            return 0
        if not isinstance(first, configure):
            raise LinkError("The first message must be Configure.")
        return await work(link, first)
    except (LinkError, ValidationError) as error:
        log.error("link_broken", reason=str(error))
        return EXIT_BROKEN_LINK
    finally:
        link.close()


def fd_of_arguments(description: str | None) -> int:
    """`--fd N`"""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--fd", type=int, required=True, help="socket to the server")
    fd: int = parser.parse_args().fd
    return fd


def run_process(serve: Callable[[], Awaitable[int]], *, ignored: tuple[signal.Signals, ...]) -> None:
    """Run to the end and leave at once: threads may still wait for what nobody needs any more.

    `ignored`: signals that reach the whole group; the server closes the link instead.
    """
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

    async def whole() -> int:
        return await serve()

    code = asyncio.run(whole())
    sys.stderr.flush()
    os._exit(code)
