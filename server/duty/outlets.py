"""Sends the messages of escalations to webhooks, SMS gateways and the MQTT broker, until they are taken.

The messages are rows, written in the transaction of the step that sends them, so neither a crash nor a broker that is
away loses one; a receiver may see one twice and knows it by its id. `storm` decides what goes now and together. The
first failure of a message is reported, so that the chain goes on at once; it is tried again all the same.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
import aiomqtt
import jinja2
import jinja2.sandbox
import structlog

from config.settings import Settings
from server.broker import broker_client
from server.duty import rota, rows, webhook
from server.duty.rows import Message
from server.duty.storm import StormGuard, Waiting
from server.store.database import Database
from server.store.errors import StoreError

log = structlog.get_logger()

LIMIT = 200
"""Most messages of one address looked at in one turn."""
LOOK_S = 1.0
TIMEOUT_S = 5.0
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 300.0
ATTEMPTS = 20
"""About an hour and a half."""
KEEP_S = 30 * 86400.0
FORGET_EVERY_S = 3600.0


class NotTaken(Exception):
    """The other side did not take it; `str` is a short reason."""


class Outlets:
    """Wake it by `wake` when there is something new."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        on_failed: Callable[[Message, str], None],
    ) -> None:
        """`on_failed`: a message was not taken at the first attempt."""
        self._settings = settings
        self._database = database
        self._on_failed = on_failed
        duty = settings.duty
        self._guard = StormGuard(duty.storm_messages, duty.storm_window_s, duty.group_wait_s)
        self._first_seen: dict[str, float] = {}
        self._not_before: dict[str, float] = {}
        self._wake = asyncio.Event()
        self._template = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined).from_string(
            duty.sms.body
        )
        self.sent = 0
        self.failed = 0

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        forget_at = time.monotonic()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as http:
            while True:
                self._wake.clear()
                try:
                    await self._turn(http)
                    if time.monotonic() >= forget_at:
                        forget_at = time.monotonic() + FORGET_EVERY_S
                        async with self._database.transaction() as connection:
                            await rows.forget(connection, time.time() - KEEP_S)
                except StoreError as error:
                    log.warning("messages_wait", reason=str(error))
                try:
                    async with asyncio.timeout(LOOK_S):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def _turn(self, http: aiohttp.ClientSession) -> None:
        async with self._database.reading() as connection:
            waiting = await rows.waiting(connection, LIMIT)
            over = await rows.rings_of_drills_that_are_over(connection, waiting)
        if over:
            async with self._database.transaction() as connection:
                await rows.mark(connection, over, "failed", "the drill is over")
            waiting = [one for one in waiting if one not in over]
        now = time.monotonic()
        known = {one.message: one for one in waiting}
        self._first_seen = {key: self._first_seen.get(key, now) for key in known}
        self._not_before = {key: due for key, due in self._not_before.items() if key in known}
        due = [
            Waiting(one.message, f"{one.channel} {one.address}", one.red, self._first_seen[one.message], one.drill)
            for one in waiting
            if self._not_before.get(one.message, 0.0) <= now
        ]
        batches = [[known[one.message] for one in batch] for batch in self._guard.batches(due, now)]
        # One address that hangs does not keep the others waiting.
        await asyncio.gather(*(self._send(http, batch) for batch in batches))

    async def _send(self, http: aiohttp.ClientSession, batch: Sequence[Message]) -> None:
        first = batch[0]
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await self._by_channel(http, first, [one.body for one in batch])
        except (NotTaken, TimeoutError, aiohttp.ClientError, aiomqtt.MqttError, OSError, ValueError) as error:
            await self._not_taken(batch, str(error) or type(error).__name__)
            return
        self.sent += 1
        self._guard.sent(f"{first.channel} {first.address}", time.monotonic())
        async with self._database.transaction() as connection:
            await rows.mark(connection, batch, "sent")

    async def _not_taken(self, batch: Sequence[Message], reason: str) -> None:
        self.failed += 1
        first = batch[0]
        address = rota.masked(first.address) if first.channel == "sms" else first.address
        log.info("message_not_taken", channel=first.channel, address=address, reason=reason)
        async with self._database.transaction() as connection:
            for one in batch:
                given_up = one.attempts + 1 >= ATTEMPTS
                await rows.mark(connection, [one], "failed" if given_up else "waiting", reason)
        for one in batch:
            wait = min(FIRST_RETRY_S * 2.0**one.attempts, LONGEST_RETRY_S)
            self._not_before[one.message] = time.monotonic() + wait
            if one.attempts == 0:
                self._on_failed(one, reason)

    async def _by_channel(
        self, http: aiohttp.ClientSession, first: Message, bodies: Sequence[Mapping[str, Any]]
    ) -> None:
        if first.channel == "webhook":
            await self._webhook(http, first, bodies)
        elif first.channel == "sms":
            await self._sms(http, first, bodies)
        else:
            await self._mqtt(first, bodies)

    async def _webhook(self, http: aiohttp.ClientSession, first: Message, bodies: Sequence[Mapping[str, Any]]) -> None:
        hook = next((one for one in self._settings.duty.webhooks if one.name == first.address), None)
        if hook is None:
            raise NotTaken("no webhook of this name any more")
        body = json.dumps(
            {
                "type": "org.lamproom.escalation.v1",
                "timestamp": first.created_at,
                "data": {"escalations": list(bodies)},
            },
            ensure_ascii=False,
        ).encode()
        headers = webhook.headers(hook.secret, _name(first, bodies), int(time.time()), body)
        await self._post(http, hook.url, body, {**headers, "Content-Type": "application/json"})

    async def _sms(self, http: aiohttp.ClientSession, first: Message, bodies: Sequence[Mapping[str, Any]]) -> None:
        sms = self._settings.duty.sms
        if sms.url is None:
            raise NotTaken("no gateway any more")
        text = str(bodies[0]["text"][sms.language])
        if len(bodies) > 1:
            text += f" (+{len(bodies) - 1})"
        try:
            body = self._template.render(
                phone=first.address, name=bodies[0].get("name", ""), text=text, alerts=[one["alert"] for one in bodies]
            )
        except jinja2.TemplateError as error:
            raise NotTaken(f"template: {error}") from error
        await self._post(http, sms.url, body.encode(), {**sms.headers, "Content-Type": sms.content_type})

    async def _post(self, http: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> None:
        async with http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            if not 200 <= answer.status < 300:
                raise NotTaken(f"HTTP {answer.status}")

    async def _mqtt(self, first: Message, bodies: Sequence[Mapping[str, Any]]) -> None:
        mqtt = self._settings.mqtt
        if mqtt.host is None:
            raise NotTaken("no broker any more")
        # Topics are sent to at the same time, and a broker ends a connection when another comes with its name.
        async with broker_client(mqtt, f"duty-{secrets.token_hex(4)}", TIMEOUT_S) as client:
            for body in bodies:
                raw = json.dumps(body, ensure_ascii=False).encode()
                await client.publish(first.address, raw, qos=1)


def _name(first: Message, bodies: Sequence[Mapping[str, Any]]) -> str:
    """Equal for equal content only: a receiver that has seen a part must not take the whole for a repetition."""
    if len(bodies) == 1:
        return first.message
    return hashlib.sha256(" ".join(str(one["id"]) for one in bodies).encode()).hexdigest()[:32]
