"""The settings file of this server: read anew, changed with the same care by whoever may, one change at a time.

What runs keeps the settings that it was started with; a change counts from the next start on.
"""

import asyncio
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from config import edit, forms
from config.edit import Change
from config.load import Mistake, SettingsError, load, overridden, plain_tree
from config.settings import CameraSettings, Settings
from server import tls
from server.store.sites import SiteTree


class NoFile(Exception):
    """The server was started without a settings file."""


class SettingsFile:
    """Where the settings stand."""

    def __init__(self, running: Settings, path: Path | None, environment: Mapping[str, str], tree: SiteTree) -> None:
        self.running = running
        self.path = path.resolve() if path is not None else None
        self._environment = dict(environment)
        self._tree = tree
        self._lock = asyncio.Lock()

    async def read(self) -> tuple[list[dict[str, Any]], str, Settings]:
        """All settings as forms, the fingerprint of the file, and what a server would start with.

        Raises:
            SettingsError: the file is broken by now.
        """
        return await asyncio.to_thread(self._read)

    def _read(self) -> tuple[list[dict[str, Any]], str, Settings]:
        known = edit.fingerprint(self.path) if self.path is not None else edit.NOTHING
        file = plain_tree(self.path) if self.path is not None and known != edit.NOTHING else {}
        now = load(self.path if known != edit.NOTHING else None, self._environment)
        sections = forms.sections(now, self.running, file, overridden(self._environment))
        return sections, known, now

    async def tried(self, changes: Sequence[Change], expect: str) -> Settings:
        """What a server would start with after these changes; nothing is changed.

        Raises:
            NoFile, Stale, EditRefused, SettingsError: it would not do. OSError: the folder cannot be written.
        """
        async with self._lock:
            return await asyncio.to_thread(self._try, changes, expect)

    def _try(self, changes: Sequence[Change], expect: str) -> Settings:
        path = self._there()
        if edit.fingerprint(path) != expect:
            raise edit.Stale(str(path))
        settings = edit.tried(path, edit.edited(path, changes, self._environment), self._environment)
        self._startable(settings, path)
        return settings

    async def change(self, changes: Sequence[Change], expect: str | None) -> Settings:
        """Do it. `expect`: None where it does not matter what else was changed meanwhile. Raises as `tried`."""
        async with self._lock:
            return await asyncio.to_thread(self._change, changes, expect)

    def _change(self, changes: Sequence[Change], expect: str | None) -> Settings:
        path = self._there()
        expect = edit.fingerprint(path) if expect is None else expect
        self._try(changes, expect)
        return edit.replace(path, edit.edited(path, changes, self._environment), expect, self._environment)

    def runs_with(self, *, cameras: tuple[CameraSettings, ...]) -> None:
        """This server took up other cameras without a restart."""
        self.running = self.running.model_copy(update={"cameras": cameras})

    def _there(self) -> Path:
        if self.path is None:
            raise NoFile
        return self.path

    def _startable(self, settings: Settings, path: Path) -> None:
        """What the form of a value does not show, and a start would fail of.

        Raises:
            SettingsError: it would.
        """
        mistakes = []
        known = {site.site for site in settings.sites} | set(self._tree)
        for number, site in enumerate(settings.sites):
            if site.parent is not None and site.parent not in known:
                mistakes.append(Mistake(str(path), f"sites.{number}.parent", f"there is no site {site.parent}"))
        if settings.server.tls == "files":
            try:
                tls.context(settings.server)
            except (OSError, ValueError, ssl.SSLError) as error:
                mistakes.append(Mistake(str(path), "server.tls_certificate", str(error)))
        if mistakes:
            raise SettingsError(mistakes)

    def writable(self) -> bool:
        """Whether a change could be written."""
        return self.path is not None and _may_write(self.path)


def _may_write(path: Path) -> bool:
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))
