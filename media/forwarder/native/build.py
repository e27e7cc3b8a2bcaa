"""Builds the accelerator: one shared object, by whatever C compiler there is, without any header of Python's.

    python -m media.forwarder.native.build      builds unless this very source is built already; says what it did

The file's name holds a hash of the source and the flags, and the code inside says the same hash, so that an object of
another version is never taken for this one.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from media.errors import NativeUnavailable

FOLDER = Path(__file__).parent
BUILT = FOLDER / "built"
SOURCES = ("forwarder.c", "packet.c", "shaping.c", "pacing.c", "estimate.c", "reports.c")
HEADERS = ("forwarder.h", "packet.h", "shaping.h", "pacing.h", "estimate.h", "reports.h")
FLAGS = ("-std=c11", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing", "-Wall", "-Wextra")
"""Without contraction, so that jitter comes out as in Python to the last bit."""
COMPILERS = ("cc", "gcc", "clang")
TIMEOUT_S = 120
_SHOWN_BYTES = 600


def source_hash(flags: Sequence[str] = FLAGS) -> str:
    """Of all that decides what the object is, but for the compiler."""
    digest = hashlib.sha256(" ".join(flags).encode())
    for name in (*SOURCES, *HEADERS):
        digest.update((FOLDER / name).read_bytes())
    return digest.hexdigest()[:16]


def library_path() -> Path:
    """Where the object of this source is, or would be."""
    return BUILT / f"forwarder-{source_hash()}.so"


def compiler() -> str | None:
    """The first of $CC and the usual names that exists."""
    names = (os.environ.get("CC", ""), *COMPILERS)
    return next((found for name in names if name and (found := shutil.which(name))), None)


def build(to: Path, flags: Sequence[str] = FLAGS) -> None:
    """Compile; the file appears whole or not at all.

    Raises:
        NativeUnavailable: there is no compiler, or it failed.
    """
    chosen = compiler()
    if chosen is None:
        raise NativeUnavailable("there is no C compiler (Debian: apt-get install gcc libc6-dev)")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent) as folder:
        made = Path(folder) / to.name
        command = [chosen, *flags, f'-DSOURCE_HASH="{source_hash()}"', "-o", str(made)]
        try:
            done = subprocess.run(
                [*command, *(str(FOLDER / name) for name in SOURCES)],
                capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NativeUnavailable(f"{chosen} did not run: {error}") from error
        if done.returncode != 0:
            raise NativeUnavailable(f"{chosen} failed: {done.stderr.strip()[-_SHOWN_BYTES:]}")
        made.replace(to)


def main() -> int:
    """0 = it is there."""
    path = library_path()
    if path.exists():
        return 0
    try:
        build(path)
    except (NativeUnavailable, OSError) as error:
        sys.stderr.write(f"The accelerator was not built: {error}\n")
        return 1
    for other in BUILT.glob("forwarder-*.so"):
        if other != path:
            other.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
