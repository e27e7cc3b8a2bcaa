"""Which forwarder moves the packets: the accelerator where it proves itself, else the one in Python, and why."""

import functools
import inspect
import logging
import socket
from typing import Literal

from media.errors import NativeUnavailable, PortError
from media.forwarder.interface import Forwarder
from media.forwarder.native.accelerated import NativeForwarder
from media.forwarder.native.binding import Library, load
from media.forwarder.native.selftest import prove
from media.forwarder.reference import ReferenceForwarder

log = logging.getLogger(__name__)

Choice = Literal["auto", "native", "python"]


@functools.cache
def proven() -> Library:
    """The accelerator, loaded and tried once in this process.

    Raises:
        NativeUnavailable: why it is not used.
    """
    lacking = lacks(NativeForwarder)
    if lacking:
        raise NativeUnavailable(f"it cannot do all that the one in Python does ({', '.join(lacking)})")
    library = load()
    prove(library)
    return library


def lacks(implementation: type) -> list[str]:
    """What the interface has and this does not."""
    wanted = (name for name, _ in inspect.getmembers(Forwarder) if not name.startswith("_"))
    return [name for name in wanted if not hasattr(implementation, name)]


def new_forwarder(choice: Choice, sock: socket.socket, *, cache_packets: int, gso: bool) -> Forwarder:
    """For this socket.

    Raises:
        PortError: `native` is demanded and cannot be had.
    """
    if choice != "python":
        try:
            return NativeForwarder(proven(), sock, cache_packets=cache_packets, gso=gso)
        except NativeUnavailable as why:
            if choice == "native":
                raise PortError(f"The setting media.forwarder demands the accelerator, but {why}.") from why
            log.warning("Packets are forwarded by the slower code in Python: the accelerator is not used, %s.", why)
    return ReferenceForwarder(sock, cache_packets=cache_packets, gso=gso)
