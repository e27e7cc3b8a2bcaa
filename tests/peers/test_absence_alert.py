"""A dispatch room whose officer leaves, pushed by WHIP: one alert with its picture on two screens, ended by his return.

The pictures are rendered, and so are those the shipped model was trained on (other seeds): this shows the whole path,
not the model's worth on a real camera.
"""

import asyncio
import contextlib
import fractions
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import VideoStreamTrack
from av import VideoFrame

from analytics.onnx import SHIPPED
from analytics.training.clips import DispatchRoomCamera
from tests.fakes.browser import CHROMIUM, Visitor, chromium, visit
from tests.fakes.instance import ROOT, Instance
from tests.fakes.mediaserver import new_connection
from tests.fakes.people import whip

WARN_S, ALARM_S = 5.0, 10.0
LIMIT_S = 2.0
"""The alarm comes within this after the set time."""

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Chromium is not installed"),
    pytest.mark.skipif(not SHIPPED.exists(), reason="there is no model"),
    pytest.mark.timeout(240),
]


class RoomCamera(VideoStreamTrack):
    """Ten pictures a second of a rendered dispatch room."""

    def __init__(self, camera: DispatchRoomCamera) -> None:
        super().__init__()
        self._camera = camera
        self._start = time.monotonic()
        self._sent = 0
        self.officer = "work"

    async def recv(self) -> VideoFrame:
        await asyncio.sleep(max(0.0, self._start + self._sent * 0.1 - time.monotonic()))
        picture = await asyncio.to_thread(self._camera.picture, self._sent * 0.1, self.officer)
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = self._sent * 9000, fractions.Fraction(1, 90000)
        self._sent += 1
        return frame


async def until(what: Any, timeout_s: float) -> Any:
    """The first true value of an async function."""
    async with asyncio.timeout(timeout_s):
        while not (found := await what()):
            await asyncio.sleep(0.1)
        return found


async def shows(visitor: Visitor, words: str) -> bool:
    return await visitor.page.get_by_text(words).first.is_visible()


def alerts(server: Instance) -> list[dict[str, Any]]:
    """As on disk."""
    path = server.settings.server.data_dir / "lamproom.db"
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute("select * from alerts where rule = 'absence'")]


async def consult(dispatcher: Visitor, above: Visitor, http: aiohttp.ClientSession) -> None:
    """One click from the alert; the county answers; both see and hear each other."""
    await dispatcher.page.get_by_role("button", name="会商", exact=False).first.click()
    await dispatcher.page.get_by_role("button", name="立即呼叫", exact=True).click()
    await above.page.get_by_role("button", name="接听").click(timeout=15_000)

    async def answered() -> Any:
        async with http.get("/api/rooms/site:county/timeline", params={"limit": 500}) as answer:
            entries = (await answer.json())["items"]
        return [
            one["body"]
            for one in entries
            if one["kind"] == "session"
            and one["body"]["change"] == "answered"
            and one["body"]["invitation"]["site"] == "county"
        ]

    (told,) = await until(answered, 15)
    assert told["alert"], "called from the alert"
    before = [await screen.received() for screen in (dispatcher, above)]

    async def heard() -> bool:
        now = [await screen.received() for screen in (dispatcher, above)]
        return all(
            late["energy"] > early["energy"] and late["frames"] > early["frames"] + 20
            for early, late in zip(before, now, strict=True)
        )

    await until(heard, 30)


async def test_the_officer_leaves_and_returns(tmp_path: Path) -> None:
    post = {
        "post": "desk", "site": "hongqi", "camera": "dispatch-room", "name_zh": "调度台", "name_en": "Dispatch desk",
        "warn_after_s": WARN_S, "alarm_after_s": ALARM_S,
    }  # fmt: skip
    drawn = DispatchRoomCamera(1, ROOT / ".state" / "demo-cache")
    for officer in ("work", "absent", "work"):
        for step in range(100):
            drawn.picture(step * 0.1, officer)
    track = RoomCamera(drawn)
    camera = new_connection()
    camera.addTrack(track)
    async with (
        Instance(tmp_path, analytics={"posts": [post]}, duty={"challenge_s": 0}) as server,
        chromium() as browser,
        aiohttp.ClientSession() as http,
        contextlib.AsyncExitStack() as stack,
    ):
        screens = [await visit(browser, server, login) for login in ("dispatcher", "county")]
        county = await stack.enter_async_context(await server.session("county"))
        token = await server.device_token("dispatch-room")
        status, _, body = await whip(camera, http, f"{server.url}/whip/site:hongqi/dispatch-room", token)
        assert status == 201, body

        async def state(wanted: str) -> bool:
            async with county.get("/api/posts", params={"site": "hongqi"}) as answer:
                (found,) = (await answer.json())["items"]
            return bool(found["state"] == wanted)

        async def severity(wanted: str) -> bool:
            return [row["severity"] for row in alerts(server)] == [wanted]

        await until(lambda: state("present"), 60)
        await asyncio.sleep(ALARM_S)  # nothing is raised in the first alarm_after_s
        assert alerts(server) == []

        track.officer = "absent"
        left_at = time.time()
        await until(lambda: severity("alarm"), ALARM_S + 30)
        (raised,) = alerts(server)
        explain = json.loads(raised["explain"])
        assert explain["absent_s"] >= ALARM_S
        print(f"alarm {explain['absent_s']:.1f} s after the last picture with a person, "
              f"{time.time() - left_at:.1f} s after he got up")  # fmt: skip
        assert explain["absent_s"] <= ALARM_S + LIMIT_S
        for screen in screens:
            await until(lambda one=screen: shows(one, "空岗"), 10)
        await consult(screens[0], screens[1], county)

        track.officer = "work"

        async def cleared() -> bool:
            return [row["state"] for row in alerts(server)] == ["cleared"]

        await until(cleared, 30)
        async with county.get("/api/alerts", params={"site": "county"}) as answer:
            (told,) = (await answer.json())["items"]
        assert told["duration_s"] >= ALARM_S - WARN_S  # the alert was raised with the warning
        assert told["evidence"]
        async with county.get(f"/api/alerts/{told['id']}/evidence/{told['evidence'][0]['name']}") as answer:
            assert (answer.status, answer.content_type) == (200, "image/jpeg")
            assert (await answer.read())[:2] == b"\xff\xd8"
        assert screens[0].errors == []
        await camera.close()
