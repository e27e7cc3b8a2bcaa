"""Taking connections from a listening socket, TCP or Unix, without spinning when nothing is left to take them with.

A process without a free descriptor cannot accept, and the socket stays readable: an event loop would try again at once,
for ever. So nothing is accepted for a moment then.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable

log = logging.getLogger(__name__)

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
EXHAUSTED_S = 1.0
ACCEPTS = 64
"""Taken at a time, so that a flood of them does not hold up the loop."""


def bind_tcp(host: str, port: int) -> socket.socket:
    """A TCP socket, bound and not yet listening.

    Raises:
        OSError: the port cannot be had.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def bind_private(address: str) -> socket.socket:
    """A non-blocking Unix socket that keeps messages apart (SOCK_SEQPACKET), in a file that only this user can open. A
    file of before is taken away.

    Raises:
        OSError: the folder is not there, or the name is too long for a socket.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.setblocking(False)
    before = os.umask(0o177)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(address)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


class Listening:
    """`take` gets each connection, non-blocking, and owns it. The socket is closed with this."""

    def __init__(self, listener: socket.socket, take: Callable[[socket.socket], None], *, backlog: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._take = take
        self._again: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        listener.listen(backlog)
        self._loop.add_reader(listener, self._accept)

    def close(self) -> None:
        """Accept no more."""
        if self._again is not None:
            self._again.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
            self._listener.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, _address = self._listener.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:
                    log.error("No more connections for %.0f s: %s.", EXHAUSTED_S, error)
                    self._loop.remove_reader(self._listener)
                    self._again = self._loop.call_later(EXHAUSTED_S, self._go_on)
                return  # or nobody any more, or one that was gone before it was accepted
            connection.setblocking(False)
            self._take(connection)

    def _go_on(self) -> None:
        self._again = None
        self._loop.add_reader(self._listener, self._accept)
