"""Which live camera a name means now, for everybody who looks through it: one tap to the vision worker for all of them.

A site's camera is found again by its name: after a restart of the camera, of the page or of the media worker it is
another track. The best one is taken: a device of the site before somebody's page. Who looks is told when it changes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from server.streams import Camera, StreamError, Streams

log = structlog.get_logger()

RETRY_S = 0.5
"""A media worker that is away is asked again after this."""

Change = Callable[[Camera | None], Awaitable[None]]


@dataclass(slots=True, eq=False)
class Looker:
    """Somebody who looks through a camera."""

    changed: Change
    camera: Camera | None = None
    """The one that it was told of last."""


class Looking:
    """All names that somebody looks through. `tap_address`: the vision worker's, to be set before anything runs."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._lookers: dict[tuple[str, str], list[Looker]] = {}
        self._cameras: dict[tuple[str, str], Camera] = {}
        self._tapped: dict[tuple[str, str], Camera] = {}
        self._to_choose: set[tuple[str, str]] = set()
        self._wake = asyncio.Event()
        self.tap_address = ""

    def look(self, site: str, name: str, changed: Change) -> Looker:
        """Be told of the camera of this name, now and whenever it is another one."""
        looker = Looker(changed)
        self._lookers.setdefault((site, name), []).append(looker)
        self._choose(site, name)
        return looker

    def looked_through(self, site: str, name: str) -> bool:
        """Whether anybody looks through it."""
        return bool(self._lookers.get((site, name)))

    def camera(self, site: str, name: str) -> Camera | None:
        """The one that is looked through now."""
        return self._cameras.get((site, name))

    def camera_changed(self, camera: Camera) -> None:
        """A site's camera began or is gone."""
        self._choose(camera.site, camera.name)

    def _choose(self, site: str, name: str) -> None:
        if self.looked_through(site, name):
            self._to_choose.add((site, name))
            self._wake.set()

    async def run(self) -> None:
        """Choose until cancelled."""
        self._to_choose |= set(self._lookers)
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._to_choose:
                key = self._to_choose.pop()
                try:
                    await self._renew(key)
                except (StreamError, OSError) as error:
                    reason = error.error if isinstance(error, StreamError) else str(error)
                    log.warning("camera_not_tapped", camera="/".join(key), reason=reason)
                    self._to_choose.add(key)
                    await asyncio.sleep(RETRY_S)

    async def _renew(self, key: tuple[str, str]) -> None:
        """Whoever looks is told before the first unit comes: it is a key frame, and the next may be far away."""
        found = self._streams.cameras(*key)
        lookers = self._lookers.get(key, [])
        now, best = self._cameras.get(key), found[0] if found and lookers else None
        if now is None or best is None or now not in found or now.device != best.device:
            now = best
        if now is None:
            self._cameras.pop(key, None)
        else:
            self._cameras[key] = now
        for looker in list(lookers):
            if looker.camera != now:
                await looker.changed(now)
                looker.camera = now  # not before: what failed is tried again
        tapped = self._tapped.get(key)
        if tapped != now and tapped is not None:
            del self._tapped[key]
            if tapped in found:
                await self._streams.tap(tapped.track, None)
        if tapped != now and now is not None:
            await self._streams.tap(now.track, self.tap_address)
            self._tapped[key] = now
