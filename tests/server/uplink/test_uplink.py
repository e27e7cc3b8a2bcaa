"""Pushes to a platform that is down, slow, forgetful and picky; files for upload. None lost, none twice, in order."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analytics.mine import Camera, DeviceRating, MineFacts, PersonCard, Zone
from analytics.plugin import Position, Reading
from analytics.telemetry import minefile
from config.settings import Settings, UplinkSettings
from server.alerts import rows
from server.alerts.machine import Alert, Change, State
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.uplink import service
from server.uplink.outbox import Outbox
from server.uplink.quality import DataQuality
from server.uplink.service import Uplinks
from tests.fakes.platform import Platform

MINE = "141124000001"
CODES = {f"c{n}": f"1411240000131{n:07d}" for n in range(3)}
FACTS = MineFacts(
    "mine-a",
    1,
    cameras={name: Camera(name, name, zone="", place_type="main_shaft", code=code) for name, code in CODES.items()}
    | {"bare": Camera("bare")},
    zones={"z1": Zone("z1", area_code="1" * 16)},
    people={"1" * 17: PersonCard("1" * 17, leader=True)},
    devices={"fan": DeviceRating("fan", "main_fan", "主扇", rated_v=10_000.0, rated_a=52.0)},
)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database.open(sqlite_url(tmp_path)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("FIRST_WAIT_S", 0.01), ("LONGEST_WAIT_S", 0.05), ("LOOK_S", 0.02)):
        monkeypatch.setattr(service, name, seconds)


class Newest:
    """The newest samples of the mine."""

    async def newest(self, site: str) -> list[Reading]:
        return [Reading(site, "fan", "current_a", 42.5, "A", time.time(), time.time())]

    async def positions(self, site: str) -> list[Position]:
        now = time.time()
        gone = Position(site, "2" * 17, "person", 0, 0, 0, "z1", now - 9999, now)
        return [Position(site, "1" * 17, "person", 1, 2, 3, "z1", now, now), gone]


def push(base: str, **given: Any) -> UplinkSettings:
    return UplinkSettings.model_validate(
        {
            "name": "province", "kind": "push", "site": "mine-a", "mine": MINE, "url": f"{base}coal/mine/ai",
            "token_url": f"{base}auth", "token_request": {"user": "mine", "password": "secret"},
            "token_field": "data.token", "timeout_s": 2.0,
        } | given
    )  # fmt: skip


def uplinks(database: Database, *settings: UplinkSettings, cameras: Any = None) -> Uplinks:
    return Uplinks(settings, database, Newest(), facts=lambda site: FACTS, cameras=cameras or (lambda site: None))


@asynccontextmanager
async def running(some: Uplinks) -> AsyncIterator[Uplinks]:
    task = asyncio.ensure_future(some.run())
    try:
        yield some
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(outbox: Outbox, **wanted: int) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while True:
            ledger = await outbox.ledger()
            if all(ledger[name] == count for name, count in wanted.items()):
                return ledger
            await asyncio.sleep(0.02)


async def test_a_bad_day_of_the_platform_loses_nothing_and_doubles_nothing(database: Database) -> None:
    platform = Platform(
        moods=["drop", "down", "lost", "busy", "", "expired", "slow", "lost", "down", "expired", "", "lost", "drop"]
    )
    async with platform.server() as server:
        some = uplinks(database, push(str(server.make_url("/")), timeout_s=0.2))
        outbox = some.all[0].outbox
        owed = [{"cameraCode": CODES["c0"], "analysisCase": f"{n:04d}", "n": n} for n in range(300)]
        for n, record in enumerate(owed):
            await outbox.put("undergroundCount" if n % 40 < 25 else "countingRecog", f"k{n}", record)
        async with running(some):
            await until(outbox, waiting=0)
    counted = [record["n"] for endpoint, record in platform.taken if endpoint in ("undergroundCount", "countingRecog")]
    assert counted == list(range(300))
    assert platform.repeats >= 2
    assert (await outbox.ledger())["refused"] == 0


async def test_no_redirection_leads_records_or_the_password_elsewhere(database: Database) -> None:
    platform = Platform(moods=["elsewhere"], token_moods=["elsewhere"])
    async with platform.server() as server:
        some = uplinks(database, push(str(server.make_url("/"))))
        await some.all[0].outbox.put("countingRecog", "k", {"n": 1})
        async with running(some):
            await until(some.all[0].outbox, waiting=0)
    assert platform.strayed == 0
    assert "elsewhere" in platform.asked
    assert ("countingRecog", {"n": 1}) in platform.taken


async def test_a_server_that_dies_between_sending_and_writing_it_down_sends_the_same_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = Platform()
    async with platform.server() as server:
        settings = push(str(server.make_url("/")))
        some = uplinks(database, settings)
        for n in range(5):
            await some.all[0].outbox.put("countingRecog", f"k{n}", {"n": n})
        done = Outbox.done

        async def dies(self: Outbox, *given: Any) -> None:
            raise asyncio.CancelledError

        monkeypatch.setattr(Outbox, "done", dies)
        async with running(some):
            async with asyncio.timeout(10):
                while not any(endpoint == "countingRecog" for endpoint, _ in platform.taken):
                    await asyncio.sleep(0.02)
        monkeypatch.setattr(Outbox, "done", done)
        again = uplinks(database, settings)
        for n in range(5, 8):
            await again.all[0].outbox.put("countingRecog", f"k{n}", {"n": n})
        async with running(again):
            await until(again.all[0].outbox, waiting=0)
    assert [record["n"] for endpoint, record in platform.taken if endpoint == "countingRecog"] == list(range(8))
    assert platform.repeats == 1


async def test_one_refused_record_is_written_down_and_holds_up_no_other(database: Database) -> None:
    platform = Platform(poison="poison")
    async with platform.server() as server:
        some = uplinks(database, push(str(server.make_url("/"))))
        outbox = some.all[0].outbox
        for n in range(6):
            await outbox.put(
                "videoAnomaly",
                f"k{n}",
                {"n": n, "cameraCode": "x", "analysisCase": "0003", "what": "poison" if n == 2 else ""},
            )
        async with running(some):
            ledger = await until(outbox, waiting=0)
    assert ledger["refused"] == 1
    assert [one["n"] for endpoint, one in platform.taken if endpoint == "videoAnomaly"] == [0, 1, 3, 4, 5]


async def test_states_of_all_cameras_are_owed_once_an_interval_and_none_when_nobody_can_say(database: Database) -> None:
    platform = Platform()
    async with platform.server() as server:
        settings = push(str(server.make_url("/")))
        some = uplinks(database, settings, cameras=lambda site: {"c0": True})
        async with running(some):
            await until(some.all[0].outbox, waiting=0, sent=6)
            some.owe_states(some.all[0])
            some.owe_cameras(some.all[0])
            await asyncio.sleep(0.2)
        states = {
            one["cameraCode"]: one["cameraStatus"] for endpoint, one in platform.taken if endpoint == "cameraStatus"
        }
        assert states == {CODES["c0"]: "1", CODES["c1"]: "0", CODES["c2"]: "0"}
        assert [endpoint for endpoint, _ in platform.taken] == ["camera"] * 3 + ["cameraStatus"] * 3
        blind = uplinks(database, settings.model_copy(update={"name": "blind"}))
        blind.owe_states(blind.all[0])
        assert not blind.all[0].waiting


def fault(number: int, reason: str = "dark", camera: str = "c1") -> Alert:
    key = f"mine-a/camera_fault/{camera}"
    return Alert(f"a{number}", "mine-a", key, "camera_fault", camera, "warning", "", "", time.time(), 0.0,
                 explain={"reason": reason})  # fmt: skip


async def test_a_dark_camera_is_told_and_again_only_after_the_cooldown(database: Database) -> None:
    platform = Platform(moods=["down"] * 3)
    async with platform.server() as server:
        some = uplinks(database, push(str(server.make_url("/"))))
        outbox = some.all[0].outbox
        async with running(some):
            some.alert_changed(fault(1), Change.RAISED)
            some.alert_changed(fault(1), Change.CLEARED)
            some.alert_changed(fault(9, camera="bare"), Change.RAISED)
            await until(outbox, waiting=0, sent=4)
            some.alert_changed(fault(2), Change.RAISED)
            some.alert_changed(fault(3, "frozen"), Change.RAISED)
            await until(outbox, waiting=0, sent=5)
    cases = [one["analysisCase"] for endpoint, one in platform.taken if endpoint == "videoAnomaly"]
    assert cases == ["0003", "0006"]


async def test_faults_that_stand_at_a_start_are_owed_once(database: Database) -> None:
    tree = await SiteTree.load(database)
    await tree.add("mine-a", None, "mine", "甲矿", "Mine A")
    old = replace(fault(3, camera="c2"), at=time.time() - 8 * 86_400)
    over = replace(fault(2, camera="c0"), state=State.CLEARED, at=time.time())
    async with database.transaction() as connection:
        for alert in (replace(fault(1), at=time.time()), over, old):
            await rows.add(connection, alert)
    platform = Platform()
    async with platform.server() as server:
        settings = push(str(server.make_url("/")))
        async with running(uplinks(database, settings)) as some:
            await until(some.all[0].outbox, waiting=0, sent=4)  # with three cameras
        async with database.transaction() as connection:
            await rows.add(connection, replace(fault(4, camera="c0"), at=time.time()))
        async with running(uplinks(database, settings)) as some:
            await until(some.all[0].outbox, waiting=0, sent=5)
    told = [one["cameraCode"] for endpoint, one in platform.taken if endpoint == "videoAnomaly"]
    assert told == [CODES["c1"], CODES["c0"]]


async def test_counts_go_up_on_change_and_once_a_minute(database: Database) -> None:
    some = uplinks(database, push("http://127.0.0.1:9/"))
    now = time.time()

    def count(at: float, value: float, device: str = "c0", quantity: str = "headcount_video") -> None:
        some.stored([Reading("mine-a", device, quantity, value, "1", now + at, now + at)])

    count(0, 82)
    count(10, 83)
    count(70, 82)
    count(80, 85)
    count(90, 3, "bare")
    count(90, 3, "c1", "people_in")
    assert [(endpoint, one["analysisCase"]) for endpoint, _, one in some.all[0].waiting] == [
        ("undergroundCount", "0082"), ("undergroundCount", "0085"), ("countingRecog", "0003"),
    ]  # fmt: skip


async def test_files_are_whole_in_order_and_wait_for_a_share_that_is_away(database: Database, tmp_path: Path) -> None:
    share = tmp_path / "share"
    settings = UplinkSettings.model_validate(
        {"name": "ftp", "kind": "files", "site": "mine-a", "mine": MINE, "folder": str(share),
         "file_types": ["RYSS", "JBSJ", "TFSS"], "file_interval_s": 300}
    )  # fmt: skip
    some = uplinks(database, settings)
    async with running(some):
        async with asyncio.timeout(10):
            while "FileNotFoundError" not in some.all[0].last_answer:
                await asyncio.sleep(0.02)
        share.mkdir()
        await until(some.all[0].outbox, waiting=0, sent=3)
        await some.owe_files(some.all[0])
        await asyncio.sleep(0.1)
    assert (await some.all[0].outbox.ledger())["sent"] == 3
    written = sorted(path for path in share.rglob("*") if path.is_file())
    assert [path.name.split("_")[1] for path in written] == ["JBSJ", "TFSS", "RYSS"]
    people = minefile.read("RYSS", written[2].read_text("utf-8"))
    assert [(one["card"], one["flag"], one["is_leader"], one["area"]) for one in people.records] == [
        ("1" * 17, "1", "1", "1" * 16)
    ]
    fans = minefile.read("TFSS", written[1].read_text("utf-8"))
    assert (fans.records[0]["value"], fans.records[0]["type_name"], fans.bad) == ("42.5", "A相电流", [])


def files(share: Path, *kinds: str) -> UplinkSettings:
    return UplinkSettings.model_validate(
        {"name": "ftp", "kind": "files", "site": "mine-a", "mine": MINE, "folder": str(share),
         "file_types": list(kinds), "file_interval_s": 300}
    )  # fmt: skip


async def test_separators_in_names_of_the_registry_become_blanks(database: Database, tmp_path: Path) -> None:
    fan = DeviceRating("fan", "main_fan", "主扇;一号", model="a~b", maker="厂|家", factory_no="1\n2")
    facts = replace(FACTS, devices={"fan": fan})
    some = Uplinks([files(tmp_path, "JBSJ", "TFSS")], database, Newest(), facts=lambda site: facts)
    await some.owe_files(some.all[0])
    base, fans = (one["text"] for _, _, one in some.all[0].waiting)
    (told,) = minefile.read("JBSJ", base).records
    assert (told["name"], told["model"], told["maker"], told["factory_no"]) == ("主扇 一号", "a b", "厂 家", "1 2")
    assert minefile.read("TFSS", fans).records[0]["device"] == "主扇 一号"


async def test_what_cannot_be_owed_does_not_stop_the_senders(database: Database, tmp_path: Path) -> None:
    def broken(site: str) -> MineFacts:
        raise ValueError("a fact that no record holds")

    share = tmp_path / "share"
    share.mkdir()
    platform = Platform()
    async with platform.server() as server:
        some = Uplinks([files(share, "JBSJ"), push(str(server.make_url("/")))], database, Newest(), facts=broken)
        async with running(some):
            await some.all[1].outbox.put("countingRecog", "k", {"n": 1})
            await until(some.all[1].outbox, waiting=0, sent=1)
    assert platform.taken == [("countingRecog", {"n": 1})]


def test_an_uplink_needs_its_address() -> None:
    with pytest.raises(ValueError, match="needs url"):
        UplinkSettings.model_validate({"name": "p", "kind": "push", "site": "m", "mine": MINE})


def test_data_quality_of_a_mine_falls_with_what_is_missing_late_and_doubtful() -> None:
    clock = [1000.0]
    settings = Settings.model_validate(
        {"devices": [{"site": "mine-a", "device": "fan", "expected_period_s": 10.0}]}
    )  # fmt: skip
    quality = DataQuality(settings, MineFacts, clock=lambda: clock[0])
    assert quality.of("mine-a")["mine"] is None
    samples: list[Reading] = []
    for n in range(100):
        at, late = 1000.0 + 20 * n, 300 if n < 10 else 0
        good: Any = "suspect" if n % 4 == 0 else "good"
        samples.append(Reading("mine-a", "fan", "current_a", 40 + n % 3, "A", at, at + late, n, good))
    quality.stored(samples)
    clock[0] = 3000.0
    found: Any = quality.of("mine-a")["mine"]
    assert found == {"completeness": 0.5, "lateness": 0.1, "plausibility": 0.75, "score": 66.2, "samples": 100}
    assert json.dumps(quality.of("mine-a"))
