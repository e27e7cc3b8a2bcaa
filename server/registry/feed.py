"""What the files that a mine sends say of people, areas, readers and machines, as facts. Pure.

A file fills the fields that it has and leaves the others as they are. The live snapshot (RYSS) brings only people whom
nothing else has named yet; the base file (RYXX) completes them, whichever comes first.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from analytics.mine import DeviceRating, MineFacts, Person, Quota, Zone, ZoneKind
from analytics.telemetry.minefile import MineFile, Record
from server.registry.forms import Fact, parse

UNSET = "未设置"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}")
AREA_KINDS: dict[str, ZoneKind] = {"井口区域": "shaft_mouth", "重点区域": "key", "限制区域": "restricted"}
STATION_AREA_DIGITS = 16
"""A reader's code begins with that of its area."""

F = TypeVar("F", Person, Zone, Quota, DeviceRating)


class Known(Protocol):
    """What is needed of the registry."""

    def facts(self, site: str) -> MineFacts: ...

    def person(self, site: str, card: str) -> Person | None: ...


def from_file(file: MineFile, known: Known, site: str, devices: Mapping[str, str]) -> dict[str, list[Fact]]:
    """Facts by kind. A record that gives no valid fact is left out: the file itself has been judged already.

    Args:
        devices: what the files call a machine → our device.
    """
    facts = known.facts(site)
    if file.type in ("RYXX", "RYSS"):
        return {"people": _people(file, known, site)}
    if file.type == "RYQY":
        return _areas(file.records, facts)
    if file.type == "RYJZ":
        return {"zones": _stations(file.records, facts)}
    if file.type == "JBSJ":
        return {"devices": _devices(file.records, facts, devices)}
    return {}


def _text(record: Record, name: str) -> str:
    value = (record.get(name) or "")[:120]
    return "" if value == UNSET else value


def _people(file: MineFile, known: Known, site: str) -> list[Fact]:
    found: dict[str, Fact] = {}
    for record in file.records:
        card, name = record["card"] or "", _text(record, "name")
        before = known.person(site, card)
        if file.type == "RYSS" and before is not None and (not name or before.name == name):
            continue
        if before is None or (before.name and name and before.name != name):
            before = Person(card)
        values: dict[str, object] = {"name": name or before.name}
        for ours in ("job", "title", "dept"):
            if text := _text(record, ours):
                values[ours] = text
        for ours, theirs in (("leader", "is_leader"), ("special", "is_special")):
            if record.get(theirs) is not None:
                values[ours] = record[theirs] == "1"
        found[card] = replace(before, **values)  # type: ignore[arg-type]
    return list(found.values())


def _areas(records: Sequence[Record], facts: MineFacts) -> dict[str, list[Fact]]:
    by_code = {zone.area_code: zone for zone in facts.zones.values() if zone.area_code}
    zones: dict[str, Fact] = {}
    quotas: dict[str, Fact] = {}
    for record in records:
        code = record["area"] or ""
        zone = by_code.get(code) or Zone(code, area_code=code)
        kind = AREA_KINDS.get(record["area_type"] or "", zone.kind)
        if zone.kind not in ("other", *AREA_KINDS.values()):
            kind = zone.kind  # ours says more: a face is a key area to the file
        zones[zone.zone] = replace(zone, name_zh=_text(record, "area_name") or zone.name_zh, kind=kind)
        if record["quota"] is not None and float(record["quota"]) > 0:
            quota = parse("quotas", {"quota": zone.zone, "zone": zone.zone, "people": int(float(record["quota"]))})
            if not isinstance(quota, list):
                quotas[zone.zone] = quota
    return {"zones": list(zones.values()), "quotas": list(quotas.values())}


def _stations(records: Sequence[Record], facts: MineFacts) -> list[Fact]:
    heard: dict[str, list[str]] = {}
    for record in records:
        station = record["station"] or ""
        heard.setdefault(station[:STATION_AREA_DIGITS], []).append(station)
    return [
        replace(zone, stations=tuple(sorted(set(heard[zone.area_code]))[:200]))
        for zone in facts.zones.values() if zone.area_code in heard
    ]  # fmt: skip


def _devices(records: Sequence[Record], facts: MineFacts, devices: Mapping[str, str]) -> list[Fact]:
    found: dict[str, Fact] = {}
    for record in records:
        named, factory_no = record["device"] or "", _text(record, "factory_no")
        id = devices.get(named) or next((word for word in (named, factory_no) if ID.fullmatch(word)), None)
        if id is None:
            continue
        before = facts.devices.get(id) or DeviceRating(id)
        values: dict[str, object] = {"name_zh": _text(record, "name") or before.name_zh, "factory_no": factory_no}
        for name in ("model", "maker", "safety_mark", "explosion_no"):
            values[name] = _text(record, name) or getattr(before, name)
        for name in ("rated_a", "rated_v", "rated_kw"):
            if (value := record[name]) is not None and float(value) > 0:
                values[name] = float(value)
        found[id] = replace(before, **values)  # type: ignore[arg-type]
    return list(found.values())
