"""Variables of OPC UA servers, by subscription: the server tells each change with its own time and status.

Needs the package `asyncua` (LGPL-3.0 or later), which is not installed with the rest: `pip install "lamproom[opcua]"`.
A value that the server calls uncertain is kept as suspect, a bad one is refused. What does not change is not told by
the server, and is repeated here every `repeat_s` while the server answers: rules with a duration need to hear that a
fan stands still for as long as it does.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, NoReturn

from analytics.errors import SourceRefused
from analytics.plugin import Batch, Reading
from analytics.telemetry.gathering import Gathering, keep_connected
from analytics.telemetry.links import Link, Links, Patience, Told
from analytics.telemetry.payload import QUANTITIES, Parsed, Reason, Rejected, clock_quality, measured, time_of
from analytics.telemetry.quarantine import Counters
from config.sensitive import without_credentials
from config.settings import OpcUaNodeSettings, OpcUaServerSettings

log = logging.getLogger(__name__)

TIMEOUT_S = 4.0
MOST_WAITING = 10_000
"""Changes of one server that wait to be taken over; beyond it the connection is begun anew."""
CURRENT_TIME = "i=2258"
"""Server_ServerStatus_CurrentTime."""
_UNCERTAIN, _BAD = 0x40000000, 0x80000000


@dataclass(frozen=True, slots=True)
class Change:
    """What a server told of one variable."""

    node: OpcUaNodeSettings
    value: object
    status: int
    """OPC UA status code (Part 4, §7.39)."""
    at: float | None
    """UTC seconds by the server, if it said."""


def reading_of(change: Change, site: str, now: float) -> Reading:
    """
    Raises:
        Rejected: bad by the server's own word, no number, or no value that can be.
    """
    node = change.node
    if change.status & _BAD:
        raise Rejected(Reason.NO_VALUE, f"{node.node} is bad: status {change.status:#010x}.")
    value = change.value
    if isinstance(value, bool):
        value = int(value)
    if not isinstance(value, int | float):
        raise Rejected(Reason.WRONG_TYPE, f"{node.node} is no number but {type(value).__name__}.")
    number = measured(node.quantity, value, node.scale, node.node)
    at = now if change.at is None else time_of(change.at)
    believed = "suspect" if change.status & _UNCERTAIN else clock_quality(at, now)
    return Reading(site, node.device, node.quantity, number, QUANTITIES[node.quantity].unit, at, now, 0, believed)


class OpcUaSource:
    """A telemetry source (`analytics.plugin.TelemetrySource`).

    Raises:
        SourceRefused: the package is not installed, or a variable is mapped to a quantity that is not known.
    """

    name: ClassVar[str] = "opcua"

    def __init__(
        self,
        servers: tuple[OpcUaServerSettings, ...],
        *,
        on_link: Told | None = None,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        if find_spec("asyncua") is None:
            raise SourceRefused('opcua: the package asyncua is not installed: pip install "lamproom[opcua]"')
        for server in servers:
            for node in server.nodes:
                if node.quantity not in QUANTITIES:
                    raise SourceRefused(f"opcua {node.node}: the quantity {node.quantity!r} is not known")
        self.counters = Counters()
        self.links = Links(wall, on_link)
        self._wall = wall
        self._jitter = jitter
        self._servers = [(server, self.links.add(without_credentials(server.url), [server.site])) for server in servers]

    def batches(self) -> AsyncGenerator[Batch, None]:
        """Subscribe to all servers until closed."""
        gathering = Gathering()
        return gathering.batches([partial(self._keep_subscribed, one, link, gathering) for one, link in self._servers])

    async def _keep_subscribed(self, server: OpcUaServerSettings, link: Link, into: Gathering) -> None:
        from asyncua.ua.uaerrors import UaError

        patience = Patience(jitter=self._jitter)
        subscribed = partial(self._subscribed, server, link, into, patience)
        failures = (UaError, TimeoutError, OSError, ValueError)
        await keep_connected(subscribed, failures, partial(self.links.down, link), patience)

    async def _subscribed(
        self, server: OpcUaServerSettings, link: Link, into: Gathering, patience: Patience
    ) -> NoReturn:
        """Until the connection ends, which raises."""
        from asyncua.client.client import Client

        client = Client(server.url, timeout=TIMEOUT_S)
        if server.username is not None:
            client.set_user(server.username)
            client.set_password(server.password or "")
        changes = _Changes(server)
        async with client:
            subscription = await client.create_subscription(server.publish_ms, changes)
            nodes = [client.get_node(one.node) for one in server.nodes]
            _all_told(server, await subscription.subscribe_data_change(nodes))
            self.counters.connections += 1
            self.links.up(link)
            patience.well()
            alive = client.get_node(CURRENT_TIME)
            clock = asyncio.get_running_loop().time
            asked = clock()
            while True:
                changed = await changes.soon(max(0.0, asked + server.repeat_s - clock()))
                if clock() - asked >= server.repeat_s:
                    await alive.read_value()  # it answers: what it does not tell has not changed
                    asked = clock()
                    changed += changes.unchanged(changed)
                await self._take_over(changed, server, link, into)

    async def _take_over(
        self, changes: "list[Change]", server: OpcUaServerSettings, link: Link, into: Gathering
    ) -> None:
        if not changes:
            return
        parsed, now = Parsed(), self._wall()
        self.counters.messages += 1
        for one in changes:
            try:
                parsed.readings.append(reading_of(one, server.site, now))
            except Rejected as error:
                parsed.reject(error)
        self.counters.take(link.name, parsed, now)
        await into.put(parsed)


def _all_told(server: OpcUaServerSettings, results: Any) -> None:
    """
    Raises:
        OSError: the server refuses a variable; one that is missing in silence would look like one that never changes.
    """
    answers = results if isinstance(results, list) else [results]
    refused = [one.node for one, answer in zip(server.nodes, answers, strict=False) if not isinstance(answer, int)]
    if refused:
        raise OSError(f"the server has no {', '.join(refused[:5])}")


class _Changes:
    """What the library calls for each change; it may not wait."""

    def __init__(self, server: OpcUaServerSettings) -> None:
        self._waiting: list[Change] = []
        self._news = asyncio.Event()
        self._nodes = {one.node: one for one in server.nodes}
        self._lost = ""
        self._last: dict[str, Change] = {}
        """The newest of each variable, as long as it is good."""

    def unchanged(self, changed: list[Change]) -> list[Change]:
        """What the other variables still are. A server tells a value once; that a fan stands still must be known for as
        long as it does."""
        new = {one.node.node for one in changed}
        for one in changed:
            if one.status & _BAD:
                self._last.pop(one.node.node, None)
            else:
                self._last[one.node.node] = one
        return [replace(one, at=None) for node, one in self._last.items() if node not in new]

    async def soon(self, wait_s: float) -> list[Change]:
        """What changed; none when nothing did for `wait_s`.

        Raises:
            OSError: something was lost; only a new connection makes it whole again.
        """
        try:
            async with asyncio.timeout(wait_s):
                await self._news.wait()
        except TimeoutError:
            return []
        if self._lost:
            raise OSError(self._lost)
        self._news.clear()
        changes, self._waiting = self._waiting, []
        self.unchanged(changes)
        return changes

    def datachange_notification(self, node: Any, value: object, data: Any) -> None:
        """One variable changed, or was told for the first time."""
        told = data.monitored_item.Value
        wanted = self._nodes.get(node.nodeid.to_string())
        if wanted is None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._lose("more changes than can be stored")
            return
        at: datetime | None = told.SourceTimestamp or told.ServerTimestamp
        status = int(told.StatusCode.value) if told.StatusCode is not None else 0
        stamp = None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        self._waiting.append(Change(wanted, value, status, stamp))
        self._news.set()

    def status_change_notification(self, _status: Any) -> None:
        """The subscription itself ended."""
        self._lose("the server ended the subscription")

    def _lose(self, reason: str) -> None:
        self._lost = reason
        self._news.set()
