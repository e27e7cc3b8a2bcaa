"""Looks at disks and at the event loop now and then.

Free space is noted every ten minutes in a small file of the data folder, so that a forecast outlives a restart.
"""

import asyncio
import json
import shutil
import time
from collections import deque

import structlog

from config.settings import Settings
from server.recording import folder_of as recordings_of
from server.store.wholefile import write_whole
from server.system import forecast
from server.system.machine import folder_of

log = structlog.get_logger()

BEAT_S = 1.0
SAMPLE_EVERY_S = 600.0
KEEP_S = 7 * 86400.0
MOST = 1100
LAGS = 60
MAX_FILE_BYTES = 1 << 20


class SystemWatch:
    """The newest figures, and their history as far as it is needed."""

    def __init__(self, settings: Settings) -> None:
        self.started_at = time.time()
        data_dir = settings.server.data_dir
        self.folders = {"data": data_dir}
        if folder_of(recordings_of(settings)).stat().st_dev != folder_of(data_dir).stat().st_dev:
            self.folders["recordings"] = recordings_of(settings)
        self._file = data_dir / "system" / "disks.json"
        self._top = data_dir
        self.samples: dict[str, list[forecast.Sample]] = {}
        self._lags: deque[float] = deque(maxlen=LAGS)

    @property
    def worst_lag_s(self) -> float:
        """By how much the event loop was late at worst, in the last minute."""
        return max(self._lags, default=0.0)

    async def run(self) -> None:
        """Until it is cancelled."""
        self.samples = await asyncio.to_thread(self._read)
        loop = asyncio.get_running_loop()
        next_sample = loop.time()
        while True:
            if loop.time() >= next_sample:
                next_sample = loop.time() + SAMPLE_EVERY_S
                await self._sample()
            wanted = loop.time() + BEAT_S
            await asyncio.sleep(BEAT_S)
            self._lags.append(max(0.0, loop.time() - wanted))

    async def _sample(self) -> None:
        try:
            free = await asyncio.to_thread(self._free)
            for name, bytes_free in free.items():
                sample = (time.time(), float(bytes_free))
                self.samples[name] = forecast.taken(self.samples.get(name, []), sample, KEEP_S, MOST)
            await asyncio.to_thread(write_whole, self._file, json.dumps(self.samples).encode(), self._top)
        except OSError as error:
            log.warning("disks_not_noted", reason=error.strerror)

    def _free(self) -> dict[str, int]:
        return {name: shutil.disk_usage(folder_of(path)).free for name, path in self.folders.items()}

    def _read(self) -> dict[str, list[forecast.Sample]]:
        """What was noted before the start; nothing where it cannot be read."""
        try:
            if self._file.stat().st_size > MAX_FILE_BYTES:
                return {}
            found = json.loads(self._file.read_bytes())
            now = time.time()
            return {
                name: [(float(at), float(free)) for at, free in found.get(name, []) if now - KEEP_S < at <= now]
                for name in self.folders
            }
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def full_in_s(self, name: str, free: int) -> float | None:
        """By the forecast."""
        return forecast.full_in_s(self.samples.get(name, []), free)
