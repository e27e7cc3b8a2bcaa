"""What Linux says of processes, files and the clock. Blocks for moments only."""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

TIME_ERROR = 5
"""`adjtimex`: the clock is not synchronised."""
TIMEX_BYTES = 208
ESTIMATED_ERROR_AT = 4
"""Word of `struct timex` that holds the estimated error, microseconds."""


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """A process that runs."""

    up_s: float
    memory_bytes: int
    cpu_s: float
    threads: int
    files: int


def process_facts(pid: int, proc: Path = Path("/proc")) -> ProcessFacts | None:
    """None when there is no such process."""
    try:
        stat = (proc / str(pid) / "stat").read_text("ascii", "replace")
        status = (proc / str(pid) / "status").read_text("utf-8", "replace")
        up = float((proc / "uptime").read_text("ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before may hold anything
    ticks = os.sysconf("SC_CLK_TCK")
    lines = dict(line.partition(":")[::2] for line in status.splitlines())
    try:
        files = len(os.listdir(proc / str(pid) / "fd"))
    except OSError:
        files = 0
    return ProcessFacts(
        up_s=max(0.0, up - int(fields[19]) / ticks),
        memory_bytes=int(lines.get("VmRSS", "0 kB").split()[0]) * 1024,
        cpu_s=(int(fields[11]) + int(fields[12])) / ticks,
        threads=int(fields[17]),
        files=files,
    )


@dataclass(frozen=True, slots=True)
class ClockFacts:
    """How the kernel thinks of its clock."""

    synchronised: bool | None
    """None: it does not say."""
    error_s: float | None


def clock_facts() -> ClockFacts:
    """Asks the kernel, which every program that keeps the time tells."""
    words = (ctypes.c_long * (TIMEX_BYTES // ctypes.sizeof(ctypes.c_long)))()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(words)
    except (OSError, AttributeError):
        return ClockFacts(None, None)
    if state < 0:
        return ClockFacts(None, None)
    return ClockFacts(state != TIME_ERROR, words[ESTIMATED_ERROR_AT] / 1e6 if state != TIME_ERROR else None)


def folder_of(path: Path) -> Path:
    """The folder itself, or the nearest above that is there."""
    path = path.absolute()
    return next(one for one in (path, *path.parents) if one.exists())
