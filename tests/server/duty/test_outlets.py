"""Messages of escalations at real HTTP receivers and a broker: signed, tried again, gathered."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import Any, Self

import aiomqtt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from config.settings import Settings
from server.duty import outlets as module
from server.duty import rows, webhook
from server.duty.outlets import Outlets
from server.duty.rows import Message
from server.store.database import Database
from tests.fakes.databases import database, database_url, postgresql

__all__ = ["database", "database_url", "postgresql"]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """Takes posts; answers what `answers` holds, else 200."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 200
        headers = {"Location": "http://127.0.0.1:1/"} if status == 302 else {}
        return web.Response(status=status, headers=headers)


@pytest.fixture
async def receiver() -> AsyncIterator[tuple[Receiver, str]]:
    made, app = Receiver(), web.Application()
    app.router.add_post("/in", made.take)
    async with TestServer(app, host="127.0.0.1") as server:
        yield made, str(server.make_url("/in"))


def message(name: str, channel: str = "webhook", address: str = "hook", *, red: bool = True) -> Message:
    body = {"id": name, "alert": "a1", "text": {"zh": "【甲矿】空岗", "en": "x"}, "name": '李"明'}
    return Message(name, channel, address, red, "a1", "a1.1", "on_duty", body, time.time())


@contextlib.asynccontextmanager
async def sending(database: Database, url: str, **duty: Any) -> AsyncIterator[tuple[Outlets, list[str]]]:
    failed: list[str] = []
    settings = Settings.model_validate(
        {"duty": {"webhooks": [{"name": "hook", "url": url, "secret": SECRET}], "sms": {"url": url}, **duty}}
    )
    outlets = Outlets(settings, database, lambda one, reason: failed.append(reason))
    task = asyncio.ensure_future(outlets.run())
    try:
        yield outlets, failed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def put(database: Database, *messages: Message) -> None:
    async with database.transaction() as connection:
        await rows.put(connection, messages)


async def waiting(database: Database) -> list[str]:
    async with database.reading() as connection:
        return [one.message for one in await rows.waiting(connection, 100)]


async def until(such: Any) -> None:
    async with asyncio.timeout(10):
        while not (await such() if asyncio.iscoroutinefunction(such) else such()):
            await asyncio.sleep(0.01)


async def test_webhook_is_signed_and_marked_as_sent(database: Database, receiver: tuple[Receiver, str]) -> None:
    got, url = receiver
    await put(database, message("m1"))
    async with sending(database, url):

        async def done() -> bool:
            return await waiting(database) == []

        await until(done)
    headers, body = got.got[0]
    sent_at = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == webhook.headers(SECRET, "m1", sent_at, body)["webhook-signature"]
    assert json.loads(body)["data"]["escalations"][0]["alert"] == "a1"
    assert len(got.got) == 1


@pytest.mark.parametrize("answer", [500, 302, 404])
async def test_refused_is_reported_once_and_tried_again(
    database: Database, receiver: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    got, url = receiver
    got.answers = [answer, answer]
    await put(database, message("m1"))
    async with sending(database, url) as (_, failed):
        await until(lambda: len(got.got) == 3)
    assert failed == [f"HTTP {answer}"]
    assert {headers["webhook-id"] for headers, _ in got.got} == {"m1"}


async def test_given_up_after_many_attempts_and_kept_as_failed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_RETRY_S", 0.0)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "ATTEMPTS", 3)
    await put(database, message("m1"))
    async with sending(database, "http://127.0.0.1:1/in") as (outlets, failed):

        async def done() -> bool:
            return await waiting(database) == []

        await until(done)
        assert (outlets.failed, len(failed)) == (3, 1)


async def test_what_waited_while_the_server_was_down_is_sent_by_the_next(
    database: Database, receiver: tuple[Receiver, str]
) -> None:
    got, url = receiver
    async with sending(database, "http://127.0.0.1:1/in") as (_, failed):
        await put(database, message("m1"))
        await until(lambda: failed)
    async with sending(database, url):
        await until(lambda: got.got)
    assert got.got[0][0]["webhook-id"] == "m1"


async def test_sms_gateway_gets_its_template_with_values_escaped(
    database: Database, receiver: tuple[Receiver, str]
) -> None:
    got, url = receiver
    await put(database, message("m1", "sms", "13800000000"))
    async with sending(database, url, sms={"url": url, "body": '{"to": {{ phone|tojson }}, "who": {{ name|tojson }}}'}):
        await until(lambda: got.got)
    assert json.loads(got.got[0][1]) == {"to": "13800000000", "who": '李"明'}


async def test_messages_that_are_not_red_come_as_one(database: Database, receiver: tuple[Receiver, str]) -> None:
    got, url = receiver
    await put(database, *(message(f"m{n}", "sms", "13800000000", red=False) for n in range(4)))
    async with sending(database, url, group_wait_s=0.1):
        await until(lambda: got.got)
    assert len(got.got) == 1
    assert json.loads(got.got[0][1])["text"] == "【甲矿】空岗 (+3)"


async def test_an_address_that_takes_nothing_keeps_no_other_one_waiting(
    database: Database, receiver: tuple[Receiver, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT", 3)
    got, url = receiver
    await put(database, *(message(f"m{n}", "webhook", "gone") for n in range(9)), message("m9", "sms", "13800000000"))
    async with sending(database, url):
        await until(lambda: got.got)
    assert "13800000000" in got.got[0][1].decode()


async def test_topics_that_are_sent_to_at_once_do_not_end_each_others_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: dict[str, object] = {}
    both = asyncio.Event()

    class Client:
        """As at a broker: of two with one name the first is put out."""

        def __init__(self, *_: object, identifier: str, **__: object) -> None:
            self.name = identifier

        async def __aenter__(self) -> Self:
            there[self.name] = self
            self.number = len(there)
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def publish(self, topic: str, raw: bytes, qos: int) -> None:
            began.append(topic)
            if len(began) == 2:
                both.set()
            await both.wait()
            if there[self.name] is not self:
                raise aiomqtt.MqttError("Disconnected")

    began: list[str] = []
    monkeypatch.setattr(aiomqtt, "Client", Client)
    await put(database, message("m1", "mqtt", "a"), message("m2", "mqtt", "b"))
    async with sending(database, "http://127.0.0.1:1/in") as (outlets, failed):
        with_broker = Settings.model_validate({"mqtt": {"host": "127.0.0.1"}})
        outlets._settings = outlets._settings.model_copy(update={"mqtt": with_broker.mqtt})
        await until(lambda: outlets.sent + outlets.failed >= 2)
    assert (sorted(began), failed, outlets.sent) == (["a", "b"], [], 2)


async def test_the_log_does_not_hold_whole_telephone_numbers(database: Database) -> None:
    await put(database, message("m1", "sms", "13800001234"))
    with capture_logs() as logs:
        async with sending(database, "http://127.0.0.1:1/in") as (_, failed):
            await until(lambda: failed)
    (told,) = [one for one in logs if one["event"] == "message_not_taken"]
    assert told["address"] == "138****1234"
    assert "13800001234" not in str(logs)
