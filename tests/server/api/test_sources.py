"""Samples that are sent by HTTP, and what engineers see of all sources."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from config.settings import OmloxHubSettings, PushKeySettings, Settings
from server.api.http import Routes
from server.api.sources import SourceDoor
from server.sources import Sources
from tests.fakes.serving import Served, serve

KEY = "k" * 24
AT = 1_800_000_000.0
KEYS = (
    PushKeySettings(name="gateway", site="mine-a", key=KEY),
    PushKeySettings(name="other", site="mine-b", key="o" * 24),
    PushKeySettings(name="early", site="gone", key="g" * 24),
)
HUB = OmloxHubSettings(site="mine-a", url="ws://hub", crs=("EPSG:4527",), origin=(100.0, 0.0, 0.0))


class Notes:
    """Stands in for the conductor: what would be told to screens."""

    def __init__(self) -> None:
        self.notes: list[tuple[list[str], dict[str, object]]] = []

    def note(self, rooms: list[str], kind: str, body: dict[str, object]) -> None:
        self.notes.append((rooms, body))


@dataclass
class Desk:
    served: Served
    sources: Sources

    async def push(self, where: str, body: object, key: str | None = KEY) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        async with (
            ClientSession(self.served.url) as session,
            session.post(f"/api/push/{where}", data=data, headers=headers) as response,
        ):
            return response.status, await response.json()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    found: list[Sources] = []

    def _door() -> SourceDoor:
        return SourceDoor(found[0], KEYS, (HUB,))

    late = Routes()
    for route in SourceDoor(None, KEYS, (HUB,)).routes():  # type: ignore[arg-type]
        name = route.handler.__name__

        async def handler(context: Any, request: Any, body: Any, name: str = name) -> Any:
            return await getattr(_door(), name)(context, request, body)

        late.route(
            route.method, route.path, access=route.access, summary=route.summary, ok=route.ok, query=route.query,
            errors=route.errors,
        )(handler)  # fmt: skip
    async with serve(tmp_path, further=late) as served:
        await served.add_user("eng", "engineer", "mine-a")
        settings = Settings.model_validate({"modbus": {"meters": [
            {"site": "mine-a", "device": "meter", "host": "127.0.0.1", "port": 1, "profile": "sdm630"},
            {"site": "mine-b", "device": "meter", "host": "127.0.0.1", "port": 1, "profile": "sdm630"},
        ]}})  # fmt: skip
        context = served.context
        found.append(Sources(settings, context.tree, context.telemetry, Notes()))  # type: ignore[arg-type]
        yield Desk(served, found[0])


def power(second: float = 0.0, **values: float) -> dict[str, object]:
    return {"ts": AT + second, "values": values or {"current_a": 12.0}}


async def test_samples_are_stored_before_the_answer_and_repeats_are_dropped(desk: Desk) -> None:
    for _ in range(2):
        status, body = await desk.push("mine-a/power/fan", [power(0), power(1, current_a=13.0)])
        assert (status, body["readings"], body["rejected"]) == (200, 2, {})
    telemetry = desk.served.context.telemetry
    found = await telemetry.readings("mine-a", "fan", "current_a", AT - 1, AT + 2, 10)
    assert [one.value for one in found] == [12.0, 13.0]
    assert telemetry.counts.duplicates == 2


async def test_bad_records_cost_themselves_and_are_told(desk: Desk) -> None:
    status, body = await desk.push("mine-a/power/fan", [power(), {"values": {}}, power(2, speed=3.0)])
    assert (status, body["readings"]) == (200, 1)
    assert body["rejected"] == {"missing_field": 1, "unknown_quantity": 1}
    assert len(body["details"]) == 2


async def test_tags_and_gateways_are_taken_too(desk: Desk) -> None:
    tag = {"ts": AT, "kind": "person", "x": 1.0, "y": 2.0}
    assert (await desk.push("mine-a/tag/P017", tag))[1]["positions"] == 1
    upload = {
        "version": "1.0", "location_code": "6", "ts": "2027-01-15 16:00:00",
        "properties": [{"type": "AI", "key": "A相电流", "value": 5.0, "unit": "A", "timestamp": "2027-01-15 16:00:00"}],
    }  # fmt: skip
    assert (await desk.push("mine-a/gateway/belt", upload))[1]["readings"] == 1


async def test_locations_are_positions_by_the_settings_of_the_sites_hub(desk: Desk) -> None:
    location = {
        "position": {"type": "Point", "coordinates": [150.0, 2.0]}, "crs": "EPSG:4527", "provider_id": "P1",
    }  # fmt: skip
    status, body = await desk.push("mine-a/omlox", [location, location | {"crs": "EPSG:4326"}])
    assert (status, body["positions"], body["rejected"]) == (200, 1, {"bad_unit": 1})
    [found] = await desk.served.context.telemetry.positions("mine-a")
    assert (found.tag, found.x_m) == ("P1", 50.0)
    status, body = await desk.push("mine-b/omlox", location, "o" * 24)  # no hub: metres of the mine's own grid only
    assert (status, body["error"]) == (400, "bad_request")


@pytest.mark.parametrize(
    ("where", "key", "status", "error"),
    [
        ("mine-a/power/fan", None, 401, "token_invalid"),
        ("mine-a/power/fan", "x" * 24, 401, "token_invalid"),
        ("mine-b/power/fan", KEY, 403, "not_allowed"),
        ("mine-a/weather/fan", KEY, 404, "not_found"),
        ("gone/power/fan", "g" * 24, 404, "not_found"),
        ("mine-a/power/.fan", KEY, 404, "not_found"),
    ],
)
async def test_sender_sends_for_his_own_site_only(
    desk: Desk, where: str, key: str | None, status: int, error: str
) -> None:
    got, body = await desk.push(where, power(), key)
    assert (got, body["error"]) == (status, error)
    assert desk.served.context.telemetry.counts.readings == 0


@pytest.mark.parametrize(
    ("body", "status"), [("no json", 400), ("[]", 200), ("x" * 300_000, 413), ('{"ts": NaN}', 400), (b"\xff", 400)]
)
async def test_message_that_is_none_is_refused_in_words(desk: Desk, body: str | bytes, status: int) -> None:
    got, answer = await desk.push("mine-a/power/fan", body)
    assert got == status
    assert status == 200 or answer["detail"]


async def test_engineer_sees_links_and_refusals_of_his_own_sites(desk: Desk) -> None:
    await desk.push("mine-a/power/fan", [power(), {"values": {}}])
    await desk.push("mine-b/power/fan", [power(), {"values": {}}], "o" * 24)
    async with desk.served.browser("eng") as session, session.get("/api/sources?site=mine-a") as response:
        items = {one["name"]: one for one in (await response.json())["items"]}
    [link] = items["modbus"]["links"]
    assert (link["name"], link["up"], link["reason"]) == ("mine-a/meter", False, "not yet connected")
    assert [one["topic"] for one in items["push"]["refusals"]] == ["/api/push/mine-a/power/fan"]
    assert items["push"]["rejected"] == {"missing_field": 2}


async def test_counts_are_metrics(desk: Desk) -> None:
    await desk.push("mine-a/power/fan", [power(), {"values": {}}])
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in desk.sources.collect()
        for sample in family.samples
    }
    assert found["lamproom_source_links_up", "modbus"] == 0
    assert found["lamproom_source_events_total", "push", "readings"] == 1
    assert found["lamproom_source_refused_total", "push", "missing_field"] == 1
