"""Looking at a camera before it is one of ours: few at once, for a bounded time, in a process that is thrown away."""

import asyncio
import contextlib
import json
import sys
from pathlib import Path

import structlog
from pydantic import ValidationError

from config.settings import IngestSettings
from media.ingest.probe import Found, Wish

log = structlog.get_logger()

AT_ONCE = 2
WAIT_S = 2.0
"""Longest wait for a place."""
LONGEST_S = 30.0
MAX_ANSWER_BYTES = 4 << 20
ROOT = Path(__file__).parent.parent


class ProbesBusy(Exception):
    """As many cameras as may be are being looked at."""


class CameraProbe:
    """See the module's head."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings
        self._places = asyncio.Semaphore(AT_ONCE)

    async def look(self, url: str, transport: str, *, audio: bool) -> Found:
        """What is there.

        Raises:
            ProbesBusy: no place became free.
        """
        wish = Wish.model_validate({
            "url": url, "transport": transport, "audio": audio, "allow": self._settings.allow_networks,
            "deny": self._settings.deny_networks,
        })  # fmt: skip
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise ProbesBusy from None
        try:
            return await self._ran(wish)
        finally:
            self._places.release()

    async def _ran(self, wish: Wish) -> Found:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "media.ingest.probe", cwd=ROOT, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, limit=MAX_ANSWER_BYTES,
        )  # fmt: skip
        try:
            async with asyncio.timeout(LONGEST_S):
                line = json.dumps(wish.model_dump(mode="json")).encode() + b"\n"
                out, _ = await process.communicate(line)
        except TimeoutError:
            return Found(reason="timeout", detail=f"Nothing was known after {LONGEST_S:.0f} s.")
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            return Found.model_validate_json(out)
        except ValidationError:
            log.warning("camera_probe_broke", status=process.returncode)
            return Found(reason="broken", detail="What the camera sends cannot be read.")
