"""The reading end of taps: a Unix socket on which media workers connect and send `media.tap` frames."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable

READ_BYTES = 1 << 18
"""Read from a connection at once."""


async def listen(
    address: str, serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> asyncio.Server:
    """A Unix socket that only this user can open; a stale one is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)
    before = os.umask(0o177)
    try:
        return await asyncio.start_unix_server(serve, address, limit=READ_BYTES)
    finally:
        os.umask(before)
