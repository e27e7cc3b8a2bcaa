"""What people said about alerts of the eyes: precision by camera, and the pictures of false alarms."""

import hashlib
import io
import json
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from analytics.finding import Finding
from config.settings import AnalyticsSettings
from server.alerts.machine import Alert, Outcome
from server.store.pictures import store_picture
from tests.fakes.serving import Served, serve

JPEG = b"\xff\xd8\xff\xe0" + b"picture" * 50


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(tmp_path) as one:
        await one.add_user("zhao", "supervisor", "county")
        await one.add_user("eng", "engineer", "county")
        await one.add_user("south", "engineer", "south")
        yield one


async def ended(served: Served, subject: str, outcome: Outcome, reason: str = "", rule: str = "absence") -> Alert:
    at = time.time()
    finding = Finding("mine-a", f"mine-a/{rule}/{subject}", rule, subject, "raised", "alarm", at, "空岗", "Empty")
    alert = await served.context.alerts.apply(finding, at=at)
    assert alert is not None
    path, sha256 = store_picture(served.context.settings.server.data_dir, alert.id, "alarm", JPEG)
    await served.context.alerts.attach(alert.id, "alarm", path, sha256, 640, 360, at)
    return await served.context.alerts.close(
        alert.id, by=served.users["zhao"], outcome=outcome, reason=reason, comment="", at=at
    )


def with_post(served: Served) -> None:
    """The post `desk` looks through `dispatch-room`."""
    analytics = AnalyticsSettings.model_validate(
        {"posts": [{"post": "desk", "site": "mine-a", "camera": "dispatch-room"}]}
    )
    context = served.context
    object.__setattr__(context.settings, "analytics", analytics)


async def test_precision_is_told_by_camera_and_rule_with_the_reasons(served: Served) -> None:
    with_post(served)
    for outcome, reason in (("confirmed", ""), ("false_alarm", "coat"), ("false_alarm", "coat"), ("explained", "")):
        await ended(served, "desk", outcome, reason)  # type: ignore[arg-type]
    await ended(served, "desk", "confirmed", rule="sleeping")
    await ended(served, "fan", "false_alarm", rule="main_fan_stop")
    async with served.browser("zhao") as session, session.get("/api/vision/precision?site=county") as response:
        items: list[dict[str, Any]] = (await response.json())["items"]
    assert items[0] == {
        "site": "mine-a", "camera": "dispatch-room", "rule": "absence", "closed": 4, "confirmed": 1, "false_alarms": 2,
        "explained": 1, "precision": 0.5, "reasons": {"coat": 2},
    }  # fmt: skip
    assert [(one["rule"], one["precision"]) for one in items[1:]] == [("sleeping", 1.0)]


async def test_false_alarms_are_given_as_pictures_with_labels_and_hashes(served: Served) -> None:
    with_post(served)
    false = await ended(served, "desk", "false_alarm", "coat on the chair")
    await ended(served, "desk", "confirmed")
    async with served.browser("eng") as session, session.get("/api/vision/negatives?site=mine-a") as response:
        assert response.status == 200
        folder = zipfile.ZipFile(io.BytesIO(await response.read()))
    name = f"pictures/{false.id}-alarm.jpg"
    assert sorted(folder.namelist()) == ["labels.json", "manifest.json", "manifest.sha256", name]
    assert folder.read(name) == JPEG
    (label,) = json.loads(folder.read("labels.json"))
    assert (label["reason"], label["camera"], label["label"]) == ("coat on the chair", "dispatch-room", "false_alarm")
    assert label["pictures"][0]["file"] == name
    listed = {one["path"]: one for one in json.loads(folder.read("manifest.json"))["files"]}
    assert listed[name]["sha256"] == hashlib.sha256(JPEG).hexdigest()
    assert listed[name]["as_recorded"] is True


@pytest.mark.parametrize(("login", "path", "status"), [
    ("zhao", "negatives?site=mine-a", 403),
    ("south", "negatives?site=mine-a", 404),
    ("south", "precision?site=mine-a", 404),
    ("eng", "negatives?site=mine-c", 404),
])  # fmt: skip
async def test_pictures_are_for_engineers_of_the_site(served: Served, login: str, path: str, status: int) -> None:
    async with served.browser(login) as session, session.get(f"/api/vision/{path}") as response:
        assert response.status == status
