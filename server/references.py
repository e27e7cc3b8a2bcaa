"""Reference pictures of cameras: what each view looked like when a person last said that it is right.

One grey PNG per camera and mode below the data folder. The vision worker's first lesson writes them, a person removes
them; nothing renews them by itself.
"""

import contextlib
from pathlib import Path
from typing import Literal, get_args

import structlog

from analytics.vision.reference import Reference, ReferenceRefused
from server.store.wholefile import write_whole

log = structlog.get_logger()

Mode = Literal["day", "infrared"]
MODES: tuple[Mode, ...] = get_args(Mode)


class References:
    """Files of one server. Methods block for a moment; names come from the settings and are slugs."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "references"

    def of(self, site: str, name: str) -> dict[Mode, bytes]:
        """The pictures of a camera that can be read."""
        found: dict[Mode, bytes] = {}
        for mode in MODES:
            path = self._path(site, name, mode)
            with contextlib.suppress(FileNotFoundError):
                data = path.read_bytes()
                try:
                    Reference.from_png(data)
                except ReferenceRefused as error:
                    log.error("reference_refused", file=path.name, reason=str(error))
                else:
                    found[mode] = data
        return found

    def put(self, site: str, name: str, mode: Mode, png: bytes) -> None:
        """Keep one, whole or not at all.

        Raises:
            ReferenceRefused: not such a picture.
            OSError: it cannot be written.
        """
        Reference.from_png(png)
        write_whole(self._path(site, name, mode), png, self._folder.parent)

    def forget(self, site: str, name: str) -> None:
        """The view is another one from now on; it is learned anew."""
        for mode in MODES:
            self._path(site, name, mode).unlink(missing_ok=True)

    def _path(self, site: str, name: str, mode: str) -> Path:
        return self._folder / f"{site}.{name}.{mode}.png"
