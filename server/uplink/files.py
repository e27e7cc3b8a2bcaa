"""Files for upload: written beside, then renamed into place, so nobody reads half a one."""

import asyncio
import os
from pathlib import Path
from typing import Any

from server.uplink.push import Answer


class FileWriter:
    """Writes into a folder that something else carries away (FTP, a mounted share)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, _endpoint: str, _number: str, records: list[dict[str, Any]]) -> Answer:
        """Records `{folder, name, text}`. A file of this name and content that is there already is written."""
        try:
            for one in records:
                await asyncio.to_thread(self._write, str(one["folder"]), str(one["name"]), str(one["text"]))
        except OSError as error:
            return Answer("again", f"{type(error).__name__}: {error.strerror or ''}")
        return Answer("taken")

    def _write(self, folder: str, name: str, text: str) -> None:
        target = self._folder / folder
        if not self._folder.is_dir():
            raise FileNotFoundError(2, "the folder for upload is not there")  # a share that is not mounted
        target.mkdir(parents=True, exist_ok=True)
        beside = target / f".{name}.part"
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target / name)
