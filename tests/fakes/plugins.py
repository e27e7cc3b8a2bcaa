"""Other people's detectors, installed the way a package installer would: a module and its `dist-info` on the path."""

import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path

STRANGERS = '''
"""Detectors that do what detectors should not do, and one that behaves."""

import os
import time

import numpy as np

from analytics.plugin import Detection


class Square:
    """Sees one red square, without any model."""

    name = "square"
    frames_per_s = 5.0

    def __init__(self, options):
        self.options = options

    def detect(self, frame):
        image = frame.image.astype(np.int16)
        red = (image[..., 0] > 180) & (image[..., 1] < 100)
        if red.sum() < 50:
            return []
        rows, columns = np.nonzero(red)
        height, width = red.shape
        box = (columns.min() / width, rows.min() / height, (columns.max() + 1) / width, (rows.max() + 1) / height)
        return [Detection("person", 0.9, tuple(float(v) for v in box), {"posture.work": 1.0})]


class Raises(Square):
    name = "raises"

    def detect(self, frame):
        raise RuntimeError("out of order")


class RaisesNow(Square):
    name = "raises-at-start"

    def __init__(self, options):
        raise OSError("no licence file")


class Hangs(Square):
    name = "hangs"

    def detect(self, frame):
        while True:
            time.sleep(0.01)


class Leaks(Square):
    name = "leaks"
    kept = []

    def detect(self, frame):
        for _ in range(40):
            self.kept.append(np.ones(16 << 20, np.uint8))
        return []


class Nan(Square):
    name = "nan"

    def detect(self, frame):
        return [Detection("person", float("nan"), (0.0, 0.0, 1.0, 1.0))]


class Floods(Square):
    name = "floods"

    def detect(self, frame):
        return [Detection("person", 0.5, (0.0, 0.0, 1.0, 1.0))] * 100_000


class Exits(Square):
    name = "exits"

    def detect(self, frame):
        os._exit(9)


class NoDetector:
    name = "no-detector"

    def __init__(self, options):
        pass
'''

STRANGER_ENTRIES = {
    "square": "strangers:Square",
    "raises": "strangers:Raises",
    "raises-at-start": "strangers:RaisesNow",
    "hangs": "strangers:Hangs",
    "leaks": "strangers:Leaks",
    "nan": "strangers:Nan",
    "floods": "strangers:Floods",
    "exits": "strangers:Exits",
    "no-detector": "strangers:NoDetector",
}


def install(
    folder: Path, module: str, code: str, entries: Mapping[str, str], group: str = "lamproom.detectors"
) -> Path:
    """Put a package into a folder; the folder, to be put on the path."""
    (folder / f"{module}.py").write_text(textwrap.dedent(code), "utf-8")
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", "utf-8")
    lines = [f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def wheel_of(folder: Path, module: str, code: str, entries: Mapping[str, str]) -> Path:
    """A wheel as a packager would make it; its path."""
    info = f"{module}-1.0.dist-info"
    points = "\n".join(["[lamproom.detectors]", *(f"{name} = {target}" for name, target in entries.items())])
    files = {
        f"{module}.py": textwrap.dedent(code),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: by-hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points + "\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(name, text)
    return path


def install_wheel(folder: Path, wheel: Path) -> Path:
    """As an administrator would, into a folder of its own; the folder, to be put on the path."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
    command += ["--disable-pip-version-check", "--target", str(folder), str(wheel)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=120)
    return folder


def install_strangers(folder: Path) -> Path:
    return install(folder, "strangers", STRANGERS, STRANGER_ENTRIES)


def code_blocks(document: Path, language: str) -> list[str]:
    """The fenced blocks of one language of a Markdown file."""
    return re.findall(rf"^```{language}\n(.*?)^```", document.read_text("utf-8"), re.MULTILINE | re.DOTALL)
