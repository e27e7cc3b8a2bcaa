"""Alive, ready, metrics: and to whom."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.store.errors import StoreUnavailable
from tests.fakes.serving import serve


async def fine() -> str | None:
    return None


async def broken() -> str | None:
    return "The media worker at 10.0.0.7 is silent."


async def storeless() -> str | None:
    raise StoreUnavailable("no connection")


async def hanging() -> str | None:
    await asyncio.sleep(60)
    return None


async def test_alive_even_when_not_ready(tmp_path: Path) -> None:
    async with serve(tmp_path, checks={"media": broken}) as served, served.browser() as session:
        for path in ("/-/healthy", "/healthz"):
            async with session.get(path) as response:
                assert (response.status, await response.text()) == (200, "ok\n")


async def test_ready_when_every_check_passes(tmp_path: Path) -> None:
    async with serve(tmp_path, checks={"store": fine, "media": fine}) as served, served.browser() as session:
        async with session.get("/-/ready") as response:
            assert response.status == 200
            assert await response.json() == {"ready": True, "checks": {"store": True, "media": True}}


async def test_not_ready_names_the_check_and_keeps_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.api.health.CHECK_TIMEOUT_S", 0.05)
    checks = {"store": storeless, "media": broken, "bus": hanging, "units": fine}
    async with serve(tmp_path, checks=checks) as served, served.browser() as session:
        async with session.get("/-/ready") as response:
            assert response.status == 503
            body = await response.json()
        async with session.get("/metrics") as response:
            text = await response.text()
    assert body == {"ready": False, "checks": {"store": False, "media": False, "bus": False, "units": True}}
    assert 'lamproom_ready{check="media"} 0.0' in text
    assert 'lamproom_ready{check="units"} 1.0' in text


async def test_metrics_count_what_was_answered(tmp_path: Path) -> None:
    async with serve(tmp_path) as served, served.browser() as session:
        for _ in range(3):
            async with session.get("/api/me"):
                pass
        async with session.get("/api/alerts/some-id"), session.get("/api/alerts/other-id"):
            pass
        async with session.get("/nothing/here"), session.request("PROPFIND", "/nothing"):
            pass
        async with session.get("/metrics") as response:
            assert response.content_type == "text/plain"
            families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    counted = {
        (one.labels["method"], one.labels["route"], one.labels["status"]): one.value
        for one in families["lamproom_http_requests"].samples
        if one.name.endswith("_total")
    }
    assert counted["GET", "/api/me", "401"] == 3
    assert counted["GET", "/api/alerts/{id}", "401"] == 2
    assert counted["GET", "none", "404"] == 1
    assert ("other", "none", "404") in counted
    assert "process_resident_memory_bytes" in families
    assert families["lamproom_refused"].samples[0].value >= 1


@pytest.mark.parametrize(
    ("login", "header", "status"),
    [
        (None, None, 200),
        (None, "X-Forwarded-For", 403),
        (None, "Forwarded", 403),
        (None, "Via", 403),
        ("wang", "X-Forwarded-For", 403),
        ("eng", "X-Forwarded-For", 200),
    ],
)
async def test_metrics_are_for_this_machine_and_for_engineers(
    tmp_path: Path, login: str | None, header: str | None, status: int
) -> None:
    async with serve(tmp_path) as served:
        await served.add_user("wang", "dispatcher", "mine-a")
        await served.add_user("eng", "engineer", "mine-a")
        async with served.browser(login) as session:
            headers = {header: "192.0.2.1"} if header else {}
            async with session.get("/metrics", headers=headers) as response:
                assert response.status == status
