"""Telemetry from an MQTT broker, with nothing acknowledged before it is stored.

The broker keeps a session for our fixed client id and hands over at QoS 1. By default the library acknowledges a
message when it arrives, so that a process killed in the next moment loses it. Here acknowledging is by hand:
`Batch.stored` sends it, after the caller's transaction. What was not acknowledged comes again, so the store must drop
repeats by (site, device, quantity, source_at, seq).

aiomqtt 2.5 has no door for this; `manual_ack_set` and `ack` are called on the paho client inside (`Client._client`).
The same goes for the socket, from which reading stops while `queue_messages` wait: TCP then holds the broker back, and
nothing is dropped. If that lasts beyond the keep-alive (60 s) the connection ends and the broker hands over again.
"""

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from typing import ClassVar, cast

import aiomqtt
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from analytics.plugin import Batch, Position, Reading
from analytics.telemetry.links import Links
from analytics.telemetry.payload import (
    MAX_PAYLOAD_BYTES,
    Parsed,
    Reason,
    Rejected,
    Topic,
    gateway_ack,
    gateway_locations,
    parse,
    parse_topic,
)
from analytics.telemetry.quarantine import Counters, Gap, Sequences
from analytics.telemetry.sparkplug import NAMESPACE, Sparkplug, rebirth
from config.settings import MqttSettings

log = logging.getLogger(__name__)

SUBSCRIPTIONS = ("power/+/event", "power/+/state", "tag/+/event", "tag/+/state", "gateway/+/event")
RECONNECT_FIRST_S = 0.5
RECONNECT_LONGEST_S = 4.0
"""Waits are drawn between half of these and the whole, so that many servers do not come back in step."""
SESSION_KEPT_S = 7 * 24 * 3600
"""MQTT 5: how long the broker keeps what we have not taken. MQTT 3.1.1 brokers keep it as long as they like."""
IDLE_SHARE = 0.1
"""A batch is also ended by a silence of this share of `batch_wait_s`: a broker that lets only so many messages stand
unacknowledged (mosquitto: 20) will not send more before they are stored."""

Sites = Collection[str] | Callable[[], Collection[str]]


@dataclass(slots=True)
class _Connection:
    """One TCP connection. A packet id means nothing on another one."""

    client: aiomqtt.Client
    open: bool = True
    paused: bool = False

    def acknowledge(self, packet_id: int, qos: int) -> None:
        self.client._client.ack(packet_id, qos)

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish at QoS 0, without waiting."""
        self.client._client.publish(topic, payload)

    def pause(self) -> None:
        sock = self.client._client.socket()
        if not self.paused and sock is not None:
            asyncio.get_running_loop().remove_reader(sock)
            self.paused = True

    def resume(self) -> None:
        sock = self.client._client.socket()
        if self.paused and sock is not None:
            asyncio.get_running_loop().add_reader(sock, self._read)
        self.paused = False

    def _read(self) -> None:
        self.client._client.loop_read()
        sock = self.client._client.socket()
        while not self.paused and isinstance(sock, ssl.SSLSocket) and sock.pending():
            self.client._client.loop_read()


@dataclass(frozen=True, slots=True)
class _Arrived:
    connection: _Connection
    topic: str
    payload: bytes
    packet_id: int
    qos: int
    retained: bool
    at: float


@dataclass(slots=True)
class _Inbox:
    """Messages that arrived and were not yet handed to the caller. Bounded by not reading, never by dropping."""

    limit: int
    messages: deque[_Arrived] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)
    connection: _Connection | None = None
    pauses: int = 0
    unstored: int = 0
    """Messages handed to the caller and not yet stored."""

    def put(self, message: _Arrived) -> None:
        self.messages.append(message)
        self.news.set()
        if self.waiting >= self.limit:
            self.room.clear()
            if not message.connection.paused:
                self.pauses += 1
                message.connection.pause()

    @property
    def waiting(self) -> int:
        return len(self.messages) + self.unstored

    def stored(self, count: int) -> None:
        self.unstored -= count
        if self.waiting <= self.limit // 2:
            self.room.set()
            if self.connection is not None and self.connection.open:
                self.connection.resume()

    async def take(self, most: int, wait_s: float) -> list[_Arrived]:
        """At least one message; more as long as they come fast, for at most `wait_s`."""
        loop = asyncio.get_running_loop()
        while not self.messages:
            self.news.clear()
            await self.news.wait()
        deadline = loop.time() + wait_s
        while len(self.messages) < most and (left := deadline - loop.time()) > 0:
            if not await self._more(min(left, wait_s * IDLE_SHARE)):
                break
        taken = [self.messages.popleft() for _ in range(min(most, len(self.messages)))]
        self.unstored += len(taken)
        return taken

    async def _more(self, wait_s: float) -> bool:
        self.news.clear()
        try:
            async with asyncio.timeout(wait_s):
                await self.news.wait()
        except TimeoutError:
            return False
        return True


class _Handover(asyncio.Queue[aiomqtt.Message]):
    """Stands where aiomqtt keeps arrived messages, and passes each on at once. It stays empty: whoever waits for a
    message of it is told only that the connection ended."""

    def __init__(self, pass_on: Callable[[aiomqtt.Message], None]) -> None:
        super().__init__(maxsize=1)
        self._pass_on = pass_on

    def put_nowait(self, item: aiomqtt.Message) -> None:
        self._pass_on(item)


class MqttSource:
    """A telemetry source (`analytics.plugin.TelemetrySource`) over MQTT 3.1.1 or 5.

    Args:
        sites: the sites we know, or a function that tells them; samples of any other are refused.
        on_gap: told of records that a device counted and we did not get.
        on_link: told `True` when the broker answers and `False` with the reason when it is lost.
        wall: seconds since the Unix epoch.
    """

    name: ClassVar[str] = "mqtt"

    def __init__(
        self,
        settings: MqttSettings,
        sites: Sites,
        *,
        on_gap: Callable[[Gap], None] | None = None,
        on_link: Callable[[bool, str], None] | None = None,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.counters = Counters()
        self.connected = False
        self.links = Links(wall)
        self._settings = settings
        self._sites = sites
        self._on_gap = on_gap
        self._on_link = on_link
        self._wall = wall
        self._jitter = jitter
        self._sequences = Sequences()
        self._gateways = {one.location: one for one in settings.gateways}
        self._retained: dict[tuple[str, str, str], Reading] = {}
        self._sparkplug = Sparkplug(settings.sparkplug)

    @property
    def retained_readings(self) -> Collection[Reading]:
        """The newest retained state per device and quantity, of quality `suspect`: told again by the broker, of unknown
        age, and in no batch."""
        return self._retained.values()

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield batches until closed. Ends at once when no broker is configured.

        Close it (`contextlib.aclosing`) when done: the connection lives as long as this iterator.
        """
        if self._settings.host is None:
            return
        inbox = _Inbox(self._settings.queue_messages)
        inbox.room.set()
        keeper = asyncio.create_task(self._keep_connected(self._settings.host, inbox), name="mqtt-connection")
        keeper.add_done_callback(lambda _: inbox.news.set())
        try:
            while True:
                taking = asyncio.ensure_future(inbox.take(self._settings.batch_messages, self._settings.batch_wait_s))
                try:
                    await asyncio.wait({taking, keeper}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not taking.done():
                        taking.cancel()
                if keeper.done():
                    keeper.result()
                yield self._batch(await taking, inbox)
        finally:
            keeper.cancel()
            await asyncio.wait({keeper})

    # --- the connection ---------------------------------------------------------------------------------------------

    async def _keep_connected(self, host: str, inbox: _Inbox) -> None:
        wait_s = RECONNECT_FIRST_S
        while True:
            await inbox.room.wait()
            before = self.counters.connections
            try:
                await self._connect_once(host, inbox)
            except (aiomqtt.MqttError, OSError, ValueError) as error:
                reason = str(error) or type(error).__name__
                log.debug("The broker at %s:%d is out of reach: %s", host, self._settings.port, reason)
                self._told_link(False, reason)
            if self.counters.connections > before:
                wait_s = RECONNECT_FIRST_S
            await asyncio.sleep(self._jitter(wait_s / 2, wait_s))
            wait_s = min(wait_s * 2, RECONNECT_LONGEST_S)

    async def _connect_once(self, host: str, inbox: _Inbox) -> None:
        client = self._client(host, lambda message: inbox.put(self._arrived(connection, message)))
        connection = _Connection(client)
        client._client.manual_ack_set(True)
        try:
            async with client:
                inbox.connection = connection
                prefix = self._settings.topic_prefix
                topics = [(f"{prefix}/+/{rest}", 1) for rest in SUBSCRIPTIONS]
                if self._settings.gateway_topic is not None:
                    topics.append((self._settings.gateway_topic, 1))
                topics += [(topic, 1) for topic in self._sparkplug.topics]
                await client.subscribe(topics)
                self.counters.connections += 1
                self._told_link(True, "")
                await anext(client.messages)  # ends only by the loss of the connection
        finally:
            connection.open = False

    def _client(self, host: str, pass_on: Callable[[aiomqtt.Message], None]) -> aiomqtt.Client:
        settings, five = self._settings, self._settings.version == "5"
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_KEPT_S
            properties.ReceiveMaximum = min(settings.queue_messages, 65_535)
            properties.MaximumPacketSize = MAX_PAYLOAD_BYTES + 1024
        return aiomqtt.Client(
            host,
            settings.port,
            username=settings.username,
            password=settings.password,
            identifier=settings.client_id,
            protocol=aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311,
            clean_session=None if five else False,
            clean_start=False if five else MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
            tls_context=ssl.create_default_context() if settings.tls else None,
            queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", lambda maxsize: _Handover(pass_on)),
            timeout=5,
            socket_options=((socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),),  # else acknowledgements wait for 40 ms
        )

    def _told_link(self, up: bool, reason: str) -> None:
        changed, self.connected = self.connected != up, up
        if changed and self._on_link is not None:
            self._on_link(up, reason)

    def _arrived(self, connection: _Connection, message: aiomqtt.Message) -> _Arrived:
        payload = message.payload if isinstance(message.payload, bytes | bytearray) else b""
        return _Arrived(
            connection,
            str(message.topic),
            bytes(payload[: MAX_PAYLOAD_BYTES + 1]),
            message.mid,
            message.qos,
            bool(message.retain),
            self._wall(),
        )

    # --- messages to samples ----------------------------------------------------------------------------------------

    def _batch(self, messages: list[_Arrived], inbox: _Inbox) -> Batch:
        readings: list[Reading] = []
        positions: list[Position] = []
        rejected = 0
        uploads: list[_Arrived] = []
        """Of gateways that want to be told."""
        self.counters.pauses = inbox.pauses
        known = self._sites() if callable(self._sites) else self._sites
        for message in messages:
            topic, parsed = self._parsed(message, known)
            rejected += parsed.rejected.total()
            if topic is None:
                continue
            if message.retained:
                self._keep_retained(topic, parsed.readings)
                continue
            readings += parsed.readings
            positions += parsed.positions
            self._follow(topic, parsed)
            if message.topic == self._settings.gateway_topic and parsed.readings:
                uploads.append(message)
        done = False

        async def stored() -> None:
            nonlocal done
            if done:
                return
            done = True
            self._acknowledge(messages)
            inbox.stored(len(messages))
            await self._tell_gateways(uploads)

        return Batch(readings, positions, stored, rejected)

    def _parsed(self, message: _Arrived, known: Collection[str]) -> tuple[Topic | None, Parsed]:
        self.counters.messages += 1
        self.counters.retained += message.retained
        topic = None
        try:
            if message.topic.startswith(NAMESPACE + "/"):
                return self._from_node(message, known)
            topic = self._topic(message)
            if topic.site not in known:
                raise Rejected(Reason.SITE, f"The site {topic.site!r} is not known here.")
            parsed = parse(topic, message.payload, message.at)
        except Rejected as error:
            parsed = Parsed()
            parsed.reject(error)
        self._count(message, parsed)
        return topic, parsed

    def _from_node(self, message: _Arrived, known: Collection[str]) -> tuple[Topic, Parsed]:
        """A message of a Sparkplug edge node; it is asked for its birth where one is missing.

        Raises:
            Rejected: of no node that we know, or no payload.
        """
        outcome = self._sparkplug.take(message.topic, message.payload, message.at)
        if outcome.site not in known:
            raise Rejected(Reason.SITE, f"The site {outcome.site!r} is not known here.")
        node = message.topic.split("/")[3]
        if outcome.missing:
            gap = Gap(outcome.site, node, 0, outcome.missing + 1)
            self.counters.gaps += 1
            self.counters.missing += gap.missing
            if self._on_gap is not None:
                self._on_gap(gap)
        if outcome.rebirth is not None and message.connection.open:
            message.connection.tell(outcome.rebirth, rebirth(message.at))
        self._count(message, outcome.parsed)
        return Topic(outcome.site, "power", node, "event"), outcome.parsed

    def _count(self, message: _Arrived, parsed: Parsed) -> None:
        self.counters.take(message.topic, parsed, message.at)
        for detail in parsed.details:
            log.debug("Refused from %s: %s", message.topic[:200], detail)

    def _topic(self, message: _Arrived) -> Topic:
        if message.topic != self._settings.gateway_topic:
            return parse_topic(self._settings.topic_prefix, message.topic)
        locations = gateway_locations(message.payload)
        for location in locations:
            if (known := self._gateways.get(location)) is not None:
                return Topic(known.site, "gateway", known.device, "event")
        raise Rejected(Reason.SITE, f"The location {locations[:1]!r} of a gateway is not known here.")

    async def _tell_gateways(self, messages: Iterable[_Arrived]) -> None:
        """The uploads are stored. A gateway that is not told sends again, and repeats are dropped."""
        for message in messages:
            if message.connection.open and self._settings.gateway_ack_topic is not None:
                with contextlib.suppress(aiomqtt.MqttError):
                    ack = gateway_ack(message.payload)
                    await message.connection.client.publish(self._settings.gateway_ack_topic, ack, qos=1)

    def _keep_retained(self, topic: Topic, readings: Iterable[Reading]) -> None:
        for reading in readings:
            key = (topic.site, reading.device, reading.quantity)
            if key in self._retained or len(self._retained) < 10_000:
                self._retained[key] = replace(reading, quality="suspect")

    def _follow(self, topic: Topic, parsed: Parsed) -> None:
        for step in parsed.steps:
            gap = self._sequences.step(topic.site, topic.kind, step, self.counters)
            if gap is not None and self._on_gap is not None:
                self._on_gap(gap)

    def _acknowledge(self, messages: Iterable[_Arrived]) -> None:
        """Tell the broker, on the connection that a message came by. One that is lost needs nothing: the broker hands
        the message over again."""
        for message in messages:
            if message.qos and message.connection.open:
                with contextlib.suppress(OSError):
                    message.connection.acknowledge(message.packet_id, message.qos)
