"""The uplinks at work: what is owed goes into the outbox, and from there to the platform, the oldest first.

A platform that is away costs nothing but time: what it has not taken waits on disk and is sent when it is back, in
order, once. One record that it refuses for good is written down and does not hold up the others.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import structlog

from analytics.mine import MineFacts
from analytics.plugin import Position, Reading
from analytics.telemetry import minefile
from analytics.telemetry.payload import GATEWAY_KEYS, QUANTITIES
from config.settings import UplinkSettings
from server.alerts import rows
from server.alerts.machine import STANDING, Alert, Change
from server.store.database import Database
from server.store.errors import StoreError
from server.store.tables import alerts
from server.uplink import records
from server.uplink.files import FileWriter
from server.uplink.outbox import KEEP_S, Item, Outbox
from server.uplink.push import Answer, PushClient
from server.uplink.records import BadRecord

log = structlog.get_logger()

FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0
MOST_TOGETHER = 100
CAMERA_FAULTS = ("camera_fault", "camera_resolution")
LOOK_S = 5.0
COUNT_EVERY_S = 60.0
MAX_WAITING = 10_000
"""Counts and alerts that are not in the outbox yet; beyond it the oldest are dropped and counted."""
MAX_STANDING = 1000
NAMES = {name: key for key, name in reversed(GATEWAY_KEYS.items())}
SYSTEM_OF = {"main_fan": "TF", "pump": "PS", "hoist": "LJ", "compressor": "KY", "winch": "JC"}
UNDERGROUND_S = 600.0
"""Who was not heard of for so long is not in a snapshot."""

Cameras = Callable[[str], Mapping[str, bool] | None]
"""Site → camera → whether its picture comes; None: nobody can say."""


class Sender(Protocol):
    """Speaks to one platform."""

    async def send(self, endpoint: str, number: str, records: list[dict[str, Any]]) -> Answer: ...


class Samples(Protocol):
    """The newest samples of a site."""

    async def newest(self, site: str) -> list[Reading]: ...
    async def positions(self, site: str) -> list[Position]: ...


@dataclass
class Uplink:
    """One platform above."""

    settings: UplinkSettings
    outbox: Outbox
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: deque[tuple[str, str, dict[str, Any]]] = field(default_factory=deque)
    """(endpoint, key, record) on the way into the outbox."""
    dropped: int = 0
    last_answer: str = ""
    last_taken_at: float | None = None
    taken: dict[str, float] = field(default_factory=dict)
    """(camera, case) → when it was taken last."""
    counted: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Camera and quantity → value and time of what was owed last."""

    def owe(self, endpoint: str, key: str, record: dict[str, Any]) -> None:
        """Into the outbox with it, soon."""
        self.waiting.append((endpoint, key, record))
        while len(self.waiting) > MAX_WAITING:
            self.waiting.popleft()
            self.dropped += 1
        self.wake.set()


class Uplinks:
    """All uplinks of this server."""

    def __init__(
        self,
        settings: Sequence[UplinkSettings],
        database: Database,
        samples: Samples,
        *,
        facts: Callable[[str], MineFacts] = MineFacts,
        cameras: Cameras = lambda site: None,
        sender: Callable[[UplinkSettings, aiohttp.ClientSession], Sender] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.all = [Uplink(one, Outbox(database, one.name)) for one in settings]
        self._database = database
        self._samples, self._facts, self._cameras = samples, facts, cameras
        self._sender = sender or _sender
        self._clock = clock

    # --- what is owed ---

    def stored(self, readings: Iterable[Reading]) -> None:
        """Counts of cameras, on change and not more often than once a minute."""
        for one in readings:
            for uplink in self.all:
                if uplink.settings.kind == "push" and uplink.settings.site == one.site:
                    self._count(uplink, one)

    def _count(self, uplink: Uplink, one: Reading) -> None:
        if one.quantity not in ("headcount_video", "people_in", "people_out") or one.quality == "bad":
            return
        code = self._code(one.site, one.device)
        key = f"{one.device}/{one.quantity}"
        before = uplink.counted.get(key)
        if code is None or (before and (before[0] == one.value or one.source_at - before[1] < COUNT_EVERY_S)):
            return
        mine = uplink.settings.mine
        try:
            if one.quantity == "headcount_video":
                endpoint, record = "undergroundCount", records.underground(code, mine, one.source_at, one.value)
            else:
                kind = records.IN if one.quantity == "people_in" else records.OUT
                endpoint, record = "countingRecog", records.counting(code, mine, one.source_at, kind, one.value)
        except BadRecord as error:
            log.debug("no_record", device=one.device, reason=str(error))
            return
        uplink.counted[key] = (one.value, one.source_at)
        uplink.owe(endpoint, f"{endpoint}/{code}/{one.quantity}/{one.source_at:.3f}", record)

    def alert_changed(self, alert: Alert, change: Change) -> None:
        """A camera's picture is not as it should be."""
        if alert.rule not in CAMERA_FAULTS or change not in (Change.RAISED, Change.AGAIN):
            return
        picture = str((alert.explain or {}).get("reason") or "none")
        code = self._code(alert.site, alert.subject)
        for uplink in self.all:
            if uplink.settings.kind != "push" or uplink.settings.site != alert.site or code is None:
                continue
            case = f"{code}/{picture}"
            if self._clock() - uplink.taken.get(case, 0.0) < uplink.settings.cooldown_s:
                continue
            try:
                record = records.anomaly(code, uplink.settings.mine, alert.opened_at, picture)
            except BadRecord as error:
                log.debug("no_record", camera=alert.subject, reason=str(error))
                continue
            uplink.owe("videoAnomaly", f"anomaly/{alert.id}/{alert.occurrences}", record)

    async def _owe_standing(self) -> None:
        """Faults that stand when the server starts: what was in memory only is owed again, and the key knows what was
        sent."""
        sites = {one.settings.site for one in self.all if one.settings.kind == "push"}
        wanted = (
            alerts.c.site.in_(sites), alerts.c.rule.in_(CAMERA_FAULTS), alerts.c.state.in_(STANDING),
            alerts.c.at >= self._clock() - KEEP_S,
        )  # fmt: skip
        while sites:
            try:
                async with self._database.reading() as connection:
                    found = await rows.page(connection, *wanted, after=None, limit=MAX_STANDING)
                break
            except StoreError as error:
                log.error("uplink_waits", reason=str(error))
                await asyncio.sleep(FIRST_WAIT_S)
        else:
            return
        for alert in reversed(found):
            self.alert_changed(alert, Change.RAISED)

    def _code(self, site: str, camera: str) -> str | None:
        """The 20-digit code of a camera; without one nothing is said of it."""
        known = self._facts(site).cameras.get(camera)
        return known.code if known is not None and known.code else None

    def owe_cameras(self, uplink: Uplink) -> None:
        """The base data of every camera that has a code; what was told already is not told again."""
        one, now = uplink.settings, self._clock()
        for camera in self._facts(one.site).cameras.values():
            if camera.code:
                record = records.camera(
                    camera.code, one.mine, now, position_type=camera.place_type, description=camera.name_zh
                )
                words = f"{camera.code}/{camera.place_type}/{camera.name_zh}"
                uplink.owe("camera", f"camera/{words}", record)

    def owe_states(self, uplink: Uplink) -> None:
        """The state of every camera; nothing at all when nobody can say it."""
        one, now = uplink.settings, self._clock()
        on = self._cameras(one.site)
        if on is None:
            return
        slot = int(now // one.status_interval_s)
        for camera in self._facts(one.site).cameras.values():
            if camera.code:
                record = records.status(camera.code, one.mine, now, on=on.get(camera.camera, False))
                uplink.owe("cameraStatus", f"status/{camera.code}/{slot}", record)

    async def owe_files(self, uplink: Uplink) -> None:
        """A file of each type that is to be sent, named by the beginning of the interval."""
        one, now = uplink.settings, self._clock()
        at = now // one.file_interval_s * one.file_interval_s
        for kind in one.file_types:
            found = [_plain_record(record) for record in await self._rows(one.site, kind, now)]
            if not found and kind != "RYSS":
                continue
            name = minefile.file_name(one.mine, kind, at)
            facts = self._facts(one.site)
            text = minefile.write(kind, one.mine, _plain(facts.site), at, found)
            folder = f"jxry/{one.mine}" if kind.startswith("RY") else one.mine
            key = f"file/{name}"
            if kind == "JBSJ":
                key = f"file/JBSJ/v{facts.version}"
            uplink.owe("file", key, {"folder": folder, "name": name, "text": text})

    async def _rows(self, site: str, kind: str, now: float) -> list[minefile.Record]:
        facts = self._facts(site)
        if kind == "RYSS":
            return [
                _person(one, facts) for one in await self._samples.positions(site)
                if one.kind == "person" and len(one.tag) == 17 and one.tag.isdigit()
                and now - one.source_at <= UNDERGROUND_S
            ]  # fmt: skip
        if kind == "JBSJ":
            return [
                {
                    "device": one.device, "name": one.name_zh, "model": one.model, "maker": one.maker,
                    "factory_no": one.factory_no, "safety_mark": one.safety_mark, "explosion_no": one.explosion_no,
                    "rated_v": _number(one.rated_v), "rated_a": _number(one.rated_a), "rated_kw": _number(one.rated_kw),
                }
                for one in facts.devices.values()
            ]  # fmt: skip
        devices = {name for name, one in facts.devices.items() if SYSTEM_OF.get(one.kind) == kind[:2]}
        return [_value(one, facts) for one in await self._samples.newest(site) if one.device in devices]

    # --- at work ---

    async def run(self) -> None:
        """Until cancelled."""
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
            group.create_task(self._owe_standing())
            for uplink in self.all:
                group.create_task(self._keep(uplink))
                group.create_task(self._send(uplink, self._sender(uplink.settings, session)))
                group.create_task(self._regularly(uplink))

    async def _regularly(self, uplink: Uplink) -> None:
        one = uplink.settings
        while True:
            try:
                if one.kind == "push":
                    self.owe_cameras(uplink)
                    self.owe_states(uplink)
                else:
                    await self.owe_files(uplink)
            except StoreError as error:
                log.error("uplink_waits", uplink=one.name, reason=str(error))
            except ValueError as error:  # one fact that no record holds: senders go on, and the next interval tries
                log.error("uplink_not_owed", uplink=one.name, reason=str(error))
            interval = one.status_interval_s if one.kind == "push" else one.file_interval_s
            await asyncio.sleep(interval - self._clock() % interval)

    async def _keep(self, uplink: Uplink) -> None:
        """Into the outbox, in order."""
        while True:
            if not uplink.waiting:
                uplink.wake.clear()
                await uplink.wake.wait()
                continue
            endpoint, key, record = uplink.waiting[0]
            try:
                await uplink.outbox.put(endpoint, key, record)
            except StoreError as error:
                log.error("uplink_waits", uplink=uplink.settings.name, reason=str(error))
                await asyncio.sleep(FIRST_WAIT_S)
                continue
            uplink.waiting.popleft()

    async def _send(self, uplink: Uplink, sender: Sender) -> None:
        """The oldest first; what is not taken is tried again, later each time."""
        wait = FIRST_WAIT_S
        forgotten_at = 0.0
        while True:
            try:
                items = await uplink.outbox.head(MOST_TOGETHER)
                if not items:
                    if self._clock() - forgotten_at > 3600:
                        forgotten_at = self._clock()
                        await uplink.outbox.forget(forgotten_at)
                    await asyncio.sleep(min(LOOK_S, uplink.settings.status_interval_s))
                    continue
                answer = await self._sent(uplink, sender, items)
            except StoreError as error:  # sent perhaps, and not written down: the same batch goes again
                log.error("uplink_waits", uplink=uplink.settings.name, reason=str(error))
                answer = Answer("again", str(error))
            if answer.result == "again":
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_WAIT_S)
            else:
                wait = FIRST_WAIT_S

    async def _sent(self, uplink: Uplink, sender: Sender, items: list[Item]) -> Answer:
        number = items[0].id if len(items) == 1 else f"{items[0].id}-{items[-1].id}"
        answer = await sender.send(items[0].endpoint, number, [one.body for one in items])
        uplink.last_answer = answer.words
        match answer.result:
            case "taken":
                await uplink.outbox.done(items, "sent", answer.words)
                uplink.last_taken_at = now = self._clock()
                for one in items:
                    if one.endpoint == "videoAnomaly":
                        picture = next(k for k, v in records.ANOMALIES.items() if v == one.body["analysisCase"])
                        uplink.taken[f"{one.body['cameraCode']}/{picture}"] = now
            case "refused" if len(items) == 1:
                log.error(
                    "uplink_refused", uplink=uplink.settings.name, endpoint=items[0].endpoint, reason=answer.words
                )
                await uplink.outbox.done(items, "refused", answer.words)
            case "refused":
                await uplink.outbox.apart(items)
            case _:
                log.info("uplink_again", uplink=uplink.settings.name, reason=answer.words, waiting=len(items))
                await uplink.outbox.failed(items, answer.words)
        return answer


def _sender(settings: UplinkSettings, session: aiohttp.ClientSession) -> Sender:
    if settings.kind == "files":
        assert settings.folder is not None
        return FileWriter(settings.folder)
    return PushClient(settings, session)


def _plain(text: str) -> str:
    return "".join(" " if one in ";~|\r\n" else one for one in text)


def _plain_record(record: minefile.Record) -> minefile.Record:
    """What people and devices call things may hold what separates fields and lines."""
    return {name: value if value is None else _plain(value) for name, value in record.items()}


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:g}"


def _person(one: Position, facts: MineFacts) -> minefile.Record:
    """No name: whoever receives the file knows its cards."""
    card, zone = facts.people.get(one.tag), facts.zones.get(one.zone)
    return {
        "card": one.tag, "flag": "1" if one.zone else "2", "area": (zone.area_code if zone else "") or None,
        "station_in_time": minefile.china(one.source_at), "status": "正常",
        "is_leader": "1" if card and card.leader else "0", "is_special": "1" if card and card.special else "0",
    }  # fmt: skip


def _value(one: Reading, facts: MineFacts) -> minefile.Record:
    device = facts.devices[one.device]
    known = QUANTITIES.get(one.quantity)
    return {
        "point": f"{one.device}.{one.quantity}"[:63], "type_code": one.quantity,
        "type_name": NAMES.get(one.quantity, one.quantity), "device": device.name_zh or one.device,
        "value": f"{one.value:g}" if one.quality != "bad" else "-9999", "unit": known.unit if known else one.unit,
        "status": "正常" if one.quality == "good" else "异常", "time": minefile.china(one.source_at),
    }  # fmt: skip
