"""Installs what tests look at pages with, by its own lock file: `python -m tests.web.checkers.install`.

axe-core looks for what people who see badly or use keys only stumble over; TypeScript checks the types that stand in
the comments of the scripts. A stamp makes a second run free.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from web.vendor import NPM_TIMEOUT_S, VendorError, npm_command

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
STAMP = MODULES / "stamp.txt"
AXE = MODULES / "axe-core" / "axe.min.js"
TSC = MODULES / "typescript" / "bin" / "tsc"


def wanted() -> str:
    """What the stamp says when all is installed as the lock file names it."""
    return hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()


def is_ready() -> bool:
    """Whether nothing is left to do."""
    return STAMP.is_file() and STAMP.read_text("utf-8").strip() == wanted()


def main() -> int:
    if is_ready():
        return 0
    try:
        command = [*npm_command(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False)
    except (VendorError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if done.returncode != 0:
        sys.stderr.write(
            f"npm ci failed with code {done.returncode}:\n{(done.stderr or done.stdout).strip()[-2000:]}\n"
        )
        return 1
    STAMP.write_text(wanted() + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
