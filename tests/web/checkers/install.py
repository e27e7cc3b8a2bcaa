"""Installs what tests use of Node's packages, by their lock files: `python -m tests.web.checkers.install`.

axe-core looks for what people who see badly or use keys only stumble over; TypeScript checks the types that stand in
the comments of the scripts; libwebrtc in Node is a peer. A stamp makes a second run free.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from web.vendor import NPM_TIMEOUT_S, VendorError, npm_command

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
AXE = MODULES / "axe-core" / "axe.min.js"
TSC = MODULES / "typescript" / "bin" / "tsc"
WRTC = HERE.parent.parent / "peers" / "wrtc"
FOLDERS = (HERE, WRTC)


def wanted(folder: Path) -> str:
    """What the stamp says when all is installed as the lock file names it."""
    return hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()


def _stamp(folder: Path) -> Path:
    return folder / "node_modules" / "stamp.txt"


def is_ready(*folders: Path) -> bool:
    """Whether nothing is left to do in these folders; without one, in all."""
    return all(
        _stamp(folder).is_file() and _stamp(folder).read_text("utf-8").strip() == wanted(folder)
        for folder in folders or FOLDERS
    )


def install(folder: Path) -> int:
    """0, or 1 after words on stderr."""
    if is_ready(folder):
        return 0
    try:
        command = [*npm_command(), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False)
    except (VendorError, subprocess.TimeoutExpired) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if done.returncode != 0:
        sys.stderr.write(
            f"npm ci failed with code {done.returncode}:\n{(done.stderr or done.stdout).strip()[-2000:]}\n"
        )
        return 1
    _stamp(folder).write_text(wanted(folder) + "\n", "utf-8")
    return 0


def main() -> int:
    return max(install(folder) for folder in FOLDERS)


if __name__ == "__main__":
    raise SystemExit(main())
