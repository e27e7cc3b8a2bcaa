"""Positions by WebSocket from positioning hubs (omlox v2), one connection each. What they say: `omlox.py`."""

import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import ClassVar

import aiohttp

from analytics.plugin import Batch
from analytics.telemetry import omlox
from analytics.telemetry.gathering import Gathering, keep_connected
from analytics.telemetry.links import Link, Links, Patience, Told
from analytics.telemetry.payload import MAX_PAYLOAD_BYTES, Parsed, Rejected
from analytics.telemetry.quarantine import Counters
from config.sensitive import without_credentials
from config.settings import OmloxHubSettings

log = logging.getLogger(__name__)

HEARTBEAT_S = 10.0
CONNECT_S = 5.0
ANSWER_S = 10.0
"""For the answer to the handshake, and for the first message after the subscription."""


class OmloxSource:
    """A telemetry source (`analytics.plugin.TelemetrySource`)."""

    name: ClassVar[str] = "omlox"

    def __init__(
        self,
        hubs: tuple[OmloxHubSettings, ...],
        *,
        on_link: Told | None = None,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.counters = Counters()
        self.links = Links(wall, on_link)
        self._wall = wall
        self._jitter = jitter
        self._hubs = [(hub, self.links.add(without_credentials(hub.url), [hub.site])) for hub in hubs]

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Listen to all hubs until closed."""
        gathering = Gathering()
        return gathering.batches([partial(self._keep_listening, hub, link, gathering) for hub, link in self._hubs])

    async def _keep_listening(self, hub: OmloxHubSettings, link: Link, into: Gathering) -> None:
        patience = Patience(jitter=self._jitter)
        listen = partial(self._listen, hub, link, into, patience)
        failures = (aiohttp.ClientError, TimeoutError, OSError)
        await keep_connected(listen, failures, partial(self.links.down, link), patience)

    async def _listen(self, hub: OmloxHubSettings, link: Link, into: Gathering, patience: Patience) -> str:
        headers = {"Authorization": f"Bearer {hub.token}"} if hub.token else {}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=ANSWER_S)
        async with (
            aiohttp.ClientSession(timeout=limits) as session,
            session.ws_connect(
                hub.url, headers=headers, heartbeat=HEARTBEAT_S, max_msg_size=MAX_PAYLOAD_BYTES, autoping=True
            ) as socket,
        ):
            await socket.send_str(omlox.subscribe(hub.token))
            self.counters.connections += 1
            await self._take(await socket.receive(ANSWER_S), hub, link, into)
            patience.well()
            async for message in socket:
                await self._take(message, hub, link, into)
        return "the hub closed the connection"

    async def _take(self, message: aiohttp.WSMessage, hub: OmloxHubSettings, link: Link, into: Gathering) -> None:
        if message.type is not aiohttp.WSMsgType.TEXT:
            return
        parsed = self._parsed(message.data, hub, link)
        if parsed.positions or parsed.rejected:
            await into.put(parsed)

    def _parsed(self, text: str, hub: OmloxHubSettings, link: Link) -> Parsed:
        now = self._wall()
        self.counters.messages += 1
        try:
            event, locations = omlox.updates(text)
            parsed = omlox.take(locations, hub, now)
        except Rejected as error:
            parsed = Parsed()
            parsed.reject(error)
        else:
            if event == "error":
                log.warning("The positioning hub %s refuses: %s", link.name, text[:200])
            else:  # it answers: subscribed, or the first positions
                self.links.up(link)
        self.counters.take(link.name, parsed, now)
        for detail in parsed.details:
            log.debug("Refused from %s: %s", link.name, detail)
        return parsed
