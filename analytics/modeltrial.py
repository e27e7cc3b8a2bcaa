"""Tries a model in a process of its own, where it may crash, hang or ask for all the memory there is.

`python -m analytics.modeltrial PATH` loads a model with all checks of `analytics.onnx`, runs it once and says how that
went in one line of JSON. It gives itself little time and memory, and no core dumps; what is over the ceiling ends it,
and whoever asked (`try_apart`) says so in words.
"""

import json
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from analytics.errors import ModelRefused


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What a trial may cost."""

    memory_mb: int = 2048
    """Address space, all in all."""
    processor_s: int = 8
    wall_s: float = 15.0


def try_apart(path: Path, ceilings: Ceilings = Ceilings()) -> str:
    """Try a model in another process; the SHA-256 of the file that passed.

    Raises:
        ModelRefused: the reasons of `analytics.onnx.load`, and `crashed`, `too_slow`, `too_much_memory`.
    """
    command = [sys.executable, "-m", "analytics.modeltrial", str(path.absolute())]
    command += [str(ceilings.memory_mb), str(ceilings.processor_s)]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ceilings.wall_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ModelRefused("too_slow", f"loading and one run took more than {ceilings.wall_s:g} s") from error
    return _verdict(done.returncode, done.stdout, ceilings)


def _verdict(code: int, said: bytes, ceilings: Ceilings) -> str:
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        raise ModelRefused("too_slow", f"loading and one run took more than {ceilings.processor_s} s of processor time")
    if code < 0:
        raise ModelRefused("crashed", f"trying it ended a process by {signal.Signals(-code).name}")
    try:
        answer = json.loads(said)
        reason, detail, digest = str(answer["reason"]), str(answer["detail"]), str(answer["sha256"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelRefused("crashed", f"trying it ended a process with code {code} and no word") from error
    if reason == "too_much_memory":
        raise ModelRefused(reason, f"loading and one run need more than {ceilings.memory_mb} MiB")
    if reason:
        raise ModelRefused(reason, detail)
    return digest


def _try(path: Path) -> dict[str, str]:
    from analytics.onnx import load

    try:
        return {"reason": "", "detail": "", "sha256": load(path).card.sha256}
    except ModelRefused as error:
        memory = "bad_alloc" in str(error) or "Failed to allocate" in str(error) or "bad allocation" in str(error)
        reason = "too_much_memory" if memory else error.reason
        return {"reason": reason, "detail": str(error).partition(": ")[2][:500], "sha256": ""}
    except MemoryError:
        return {"reason": "too_much_memory", "detail": "", "sha256": ""}


def main() -> None:
    path, memory_mb, processor_s = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb << 20, memory_mb << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (processor_s, processor_s + 1))
    sys.stdout.write(json.dumps(_try(path)))


if __name__ == "__main__":
    main()
