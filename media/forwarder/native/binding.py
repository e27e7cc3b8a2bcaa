"""The accelerator's functions and structures, as cffi shows them, after everything about them has been checked.

Each reason not to use it is a `NativeUnavailable` with a sentence: another machine than the code knows, not built,
built from another source, or a libsrtp whose functions are not those that were tested.
"""

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cffi import FFI
from pylibsrtp._binding import ffi as srtp_ffi
from pylibsrtp._binding import lib as srtp_lib

from media.errors import NativeUnavailable
from media.forwarder.interface import Counters
from media.forwarder.native.build import FOLDER, library_path, source_hash
from media.forwarder.sendbatch import can_batch
from media.transport.srtp import in_place_functions

_LINE = "/* --- */"


@dataclass(frozen=True, slots=True)
class Library:
    """`ffi` makes memory, `calls` are the functions; libsrtp's are addresses."""

    ffi: Any
    calls: Any
    protect: int
    unprotect: int
    protect_rtcp: int
    unprotect_rtcp: int


def address_of(cdata: Any) -> int:
    """Of something of pylibsrtp's: what crosses to our own cffi crosses as a number."""
    return int(srtp_ffi.cast("uintptr_t", cdata))


@functools.cache
def declarations() -> Any:
    """What the header declares."""
    ffi = FFI()
    ffi.cdef((FOLDER / "forwarder.h").read_text("utf-8").split(_LINE)[1])
    return ffi


def load(path: Path | None = None) -> Library:
    """The object built from this source.

    Raises:
        NativeUnavailable: why it cannot be used.
    """
    path = path or library_path()
    if not can_batch():
        raise NativeUnavailable("it knows 64-bit Linux only")
    if in_place_functions() is None:
        raise NativeUnavailable("this libsrtp does not do what the one does that it was made for")
    if not path.exists():
        raise NativeUnavailable("it is not built (./lamproom setup builds it where a C compiler is)")
    ffi = declarations()
    try:
        calls = ffi.dlopen(str(path))
        told = ffi.string(calls.source_hash()).decode()
    except (OSError, AttributeError) as error:
        raise NativeUnavailable(f"{path.name} cannot be loaded: {error}") from error
    if told != source_hash():
        raise NativeUnavailable(f"{path.name} was built from another source")
    if [name for name, _ in ffi.typeof("struct counters").fields] != [each.name for each in fields(Counters)]:
        raise NativeUnavailable("its counters are not those of the interface")
    names = ("srtp_protect", "srtp_unprotect", "srtp_protect_rtcp", "srtp_unprotect_rtcp")
    return Library(ffi, calls, *(address_of(srtp_ffi.addressof(srtp_lib, name)) for name in names))
