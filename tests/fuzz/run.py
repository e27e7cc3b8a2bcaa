"""Feeds the targets with bytes that a fuzzer makes, guided by what they reach.

    python -m tests.fuzz.run [--seconds 600] [--target stun ...] [--json]

Needs `pip install atheris` (Python up to 3.13), which is in no lock file: nothing else uses it. Each target runs in a
process of its own, from the files below `corpus/` and the SDP vectors on. What crashes is kept under `.state/fuzz`; put
it into `corpus/{target}/`, where `test_corpus.py` replays it from then on.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NAMES = ("stun", "rtp", "rtcp", "payloads", "sdp", "dtls", "tcp")
LONGEST = {"sdp": 8192, "payloads": 4096}
_STATUS = re.compile(r"#(\d+)\s.*?cov: (\d+)")
_DONE = re.compile(r"Done (\d+) runs? in (\d+) second")


def fuzz(target: str, arguments: list[str]) -> None:
    """This process becomes the fuzzer of one target; it ends by itself."""
    import atheris

    with atheris.instrument_imports(include=["media"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def run(target: str, seconds: int) -> dict[str, Any]:
    """Another process is the fuzzer; gives what it did."""
    from tests.fuzz.test_corpus import seeds

    crashes = ROOT / ".state" / "fuzz" / target
    crashes.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, seed in enumerate(seeds(target)):
            (Path(folder) / f"{number:04d}").write_bytes(seed)
        command = [sys.executable, "-m", "tests.fuzz.run", "--one", target, folder, f"-max_total_time={seconds}"]
        command += [f"-max_len={LONGEST.get(target, 1500)}", "-timeout=5", f"-artifact_prefix={crashes}/"]
        done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    status = [found for line in lines if (found := _STATUS.search(line))]
    finished = next((found for line in lines if (found := _DONE.search(line))), None)
    return {
        "target": target,
        "runs": int(finished[1]) if finished else int(status[-1][1]) if status else 0,
        "coverage_at_first": int(status[0][2]) if status else 0,
        "coverage_at_last": int(status[-1][2]) if status else 0,
        "crashed": done.returncode != 0,
        "said": "" if done.returncode == 0 else "\n".join(lines[-40:]),
    }


def main() -> int:
    if sys.argv[1:2] == ["--one"]:
        fuzz(sys.argv[2], sys.argv[3:])
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description="Any bytes for the parsers.")
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("--target", action="append", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    arguments = parser.parse_args()
    targets = arguments.target or list(NAMES)
    found = [run(target, max(1, arguments.seconds // len(targets))) for target in targets]
    if arguments.json:
        print(json.dumps({"targets": found}))
    for each in () if arguments.json else found:
        print(
            f"{each['target']}: {each['runs']} runs, coverage {each['coverage_at_first']} to {each['coverage_at_last']}"
        )
        print(each["said"])
    return int(any(each["crashed"] for each in found))


if __name__ == "__main__":
    raise SystemExit(main())
