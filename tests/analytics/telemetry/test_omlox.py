"""Positions from a positioning hub: what a Location says, and a hub that comes and goes."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.plugin import Position, TelemetrySource
from analytics.telemetry import omlox, omloxhub
from analytics.telemetry.omloxhub import OmloxSource
from analytics.telemetry.payload import Reason, Rejected
from config.settings import OmloxHubSettings
from tests.fakes.broker import free_port
from tests.fakes.telemetryreader import TelemetryReader, until

AT = 1_800_000_000.0


def hub(**fields: object) -> OmloxHubSettings:
    return OmloxHubSettings.model_validate({"site": "hongqi", "url": "ws://127.0.0.1:1/v2/ws/socket"} | fields)


def location(*coordinates: float, **fields: object) -> dict[str, object]:
    return {
        "position": {"type": "Point", "coordinates": list(coordinates)}, "source": "zone-7", "crs": "local",
        "provider_type": "uwb", "provider_id": "P017", "timestamp_generated": "2027-01-15T08:00:00Z",
    } | fields  # fmt: skip


def test_location_becomes_a_position() -> None:
    parsed = omlox.take([location(215.0, 11.5, -425.0)], hub(), AT)
    assert parsed.positions == [Position("hongqi", "P017", "person", 215.0, 11.5, -425.0, "zone-7", AT, AT, 0, "P017")]


def test_projected_coordinates_lose_the_origin_and_vehicles_are_known_by_their_names() -> None:
    projected = hub(crs=["EPSG:4527"], origin=[39_500_000.0, 4_000_000.0, 0.0], vehicles=["V"])
    parsed = omlox.take([location(39_500_100.0, 4_000_050.0, crs="EPSG:4527", trackables=["V-3"])], projected, AT)
    [found] = parsed.positions
    assert (found.tag, found.kind, found.x_m, found.y_m, found.z_m) == ("V-3", "vehicle", 100.0, 50.0, 0.0)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (location(1.0, 2.0, crs="EPSG:4326"), Reason.BAD_UNIT),
        (location(1.0), Reason.WRONG_SHAPE),
        (location(float("nan"), 1.0), Reason.NOT_FINITE),
        (location(1e12, 1.0), Reason.OUT_OF_RANGE),
        (location(10**400, 1.0), Reason.OUT_OF_RANGE),
        (location(1.0, 2.0, provider_id="", trackables=[]), Reason.BAD_NAME),
        (location(1.0, 2.0, timestamp_generated="soon"), Reason.BAD_TIME),
        (location(1.0, 2.0) | {"position": {"type": "Polygon", "coordinates": []}}, Reason.WRONG_SHAPE),
        ("text", Reason.WRONG_SHAPE),
    ],
)
def test_what_is_no_position_costs_itself(bad: object, reason: Reason) -> None:
    parsed = omlox.take([location(1.0, 2.0), bad, location(3.0, 4.0)], hub(), AT)
    assert [one.x_m for one in parsed.positions] == [1.0, 3.0]
    assert parsed.rejected == {reason: 1}


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(
            ["event", "topic", "payload", "position", "type", "coordinates", "crs", "provider_id", "trackables"]
        ), inner, max_size=5),
        max_leaves=12,
    )
)  # fmt: skip
def test_any_json_is_taken_or_refused(value: object) -> None:
    omlox.take([value], hub(), AT)
    with contextlib.suppress(Rejected):
        omlox.updates(json.dumps(value))


class Hub:
    """A hub of a few lines: checks the token, answers the subscription, tells what it is given."""

    def __init__(self) -> None:
        self.port = free_port()
        self.sockets: list[web.WebSocketResponse] = []
        self.asked: list[dict[str, object]] = []

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/v2/ws/socket"

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/v2/ws/socket", self._socket)
        runner = web.AppRunner(app, shutdown_timeout=0.2)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        try:
            yield
        finally:
            for socket in self.sockets:
                await socket.close()
            await runner.cleanup()

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        if request.headers.get("Authorization") != "Bearer secret":
            raise web.HTTPUnauthorized
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.asked.append(json.loads(message.data))
                await socket.send_json({"event": "subscribed", "topic": "location_updates", "subscription_id": 1})
        return socket

    async def tell(self, *locations: object) -> None:
        message = {"event": "message", "topic": "location_updates", "subscription_id": 1, "payload": list(locations)}
        await self.sockets[-1].send_str(json.dumps(message))


async def test_hub_is_subscribed_to_again_whenever_it_comes_back() -> None:
    there, told = Hub(), list[tuple[bool, str]]()
    source = OmloxSource(
        (hub(url=there.url, token="secret"),), on_link=lambda link: told.append((link.up, link.reason))
    )
    assert isinstance(source, TelemetrySource)
    async with TelemetryReader(source) as reader:
        await until(lambda: len(told) == 1)
        for x in (1.0, 2.0):
            async with there.serving():
                await until(lambda: told[-1][0])
                await there.tell(location(x, 0.0), {"no": "location"})
                await until(lambda: len(reader.positions) == int(x))  # noqa: B023, waited for at once
                await there.sockets[-1].send_str("no json")
            await until(lambda: not told[-1][0])
    assert [one.x_m for one in reader.positions] == [1.0, 2.0]
    assert there.asked == [{"event": "subscribe", "topic": "location_updates", "params": {"token": "secret"}}] * 2
    assert source.counters.rejected[Reason.WRONG_SHAPE] == 2
    assert [up for up, _ in told] == [False, True, False, True, False]


async def test_hub_that_takes_the_connection_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(omloxhub, "ANSWER_S", 0.2)
    taken, told = list[asyncio.StreamWriter](), list[str]()

    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    url = f"ws://u:secret@127.0.0.1:{server.sockets[0].getsockname()[1]}/ws?token=abc"
    source = OmloxSource((hub(url=url),), on_link=lambda link: told.append(link.name), jitter=lambda low, high: 0.01)
    async with TelemetryReader(source):
        await until(lambda: len(taken) >= 2)  # tried again
    server.close()
    for writer in taken:
        writer.close()
    assert told
    assert "secret" not in told[0]
    assert "abc" not in told[0]


async def test_refused_token_is_said_in_words() -> None:
    there, told = Hub(), list[str]()
    async with there.serving():
        source = OmloxSource((hub(url=there.url, token="wrong"),), on_link=lambda link: told.append(link.reason))
        async with TelemetryReader(source):
            await until(lambda: bool(told))
    assert "401" in told[0]
