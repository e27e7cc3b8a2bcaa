"""Whether a file of a mine is taken, and what samples it gives. Pure; the clock is an argument.

Statuses: DONE; PARTIAL (up to a fifth of the records bad, the good ones kept); FAILED (nothing taken); STALE (older
than what is known: for the history only); DUPLICATE (same name and content again); UNKNOWN (a type that is only
archived); WAIT (no end yet: somebody is writing it). Warnings change no status. Names of people are
compared, and given out in `Judged.base` only, for the registry.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from analytics.plugin import Position, Reading
from analytics.telemetry.minefile import (
    FIELDS,
    MAX_BAD_LISTED,
    Bad,
    BadFile,
    MineFile,
    Record,
    is_whole,
    parse_name,
    read,
    seconds,
)
from analytics.telemetry.payload import GATEWAY_KEYS, NO_VALUE, QUANTITIES, UNIT_SCALE

Status = Literal["DONE", "PARTIAL", "FAILED", "STALE", "DUPLICATE", "UNKNOWN", "WAIT"]

BAD_SHARE = 0.2
AHEAD_S = 300.0
"""A header further ahead of our clock is not believed."""
INCOMPLETE_S = 600.0
"""A file without its end that has not changed for so long never gets one."""
MAX_KNOWN = 50_000
"""Cards and stations that are remembered, each."""
BASES = ("RYXX", "RYQY", "RYJZ", "RYSS", "JBSJ")
"""Types that say what there is."""
UNDERGROUND, OUT = "1", "2"
PRESENCE: dict[str, Literal["", "in", "out"]] = {UNDERGROUND: "in", OUT: "out"}
PEOPLE_DEVICE = "positioning"
"""The `device` of the headcount readings."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file in the inbox."""

    name: str
    folder: str
    """Of the mine, 12 digits; empty in the inbox itself."""
    text: str
    sha256: str
    unchanged_s: float
    """How long nobody has written to it."""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of earlier files."""

    duplicate: bool = False
    """One of this name and content was taken."""
    newest_at: float | None = None
    """Header time of the newest one of this mine and type that was DONE or PARTIAL."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What becomes of a file."""

    status: Status
    reason: str = ""
    mine: str = ""
    type: str = ""
    at: float | None = None
    records: int = 0
    bad: Sequence[Bad] = ()
    warnings: Sequence[str] = ()
    readings: Sequence[Reading] = ()
    positions: Sequence[Position] = ()
    base: MineFile | None = field(default=None, repr=False)
    """What is known of people, areas, readers or machines, of a file that counts and is not older than the last."""
    no_value: int = 0
    """-9999, or a unit, size or time that cannot be. Not a bad record, and never a number."""


@dataclass(slots=True)
class Station:
    """A reader; name and state come from different files and have times of their own."""

    name: str | None = None
    named_at: float | None = None
    run: str | None = None
    run_at: float | None = None
    place: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(slots=True)
class Register:
    """What files of one mine have said about cards and stations, newest by source time. In memory."""

    persons: dict[str, tuple[str, float, bool]] = field(default_factory=dict)
    """Card → digest of the name, its source time, completed by RYXX."""
    stations: dict[str, Station] = field(default_factory=dict)
    calling: set[str] = field(default_factory=set)
    """Cards that called for help in the newest file."""
    calling_at: float = 0.0
    running_at: float = 0.0
    running: dict[str, str] = field(default_factory=dict)
    """Reader → the state that was told last."""

    def take(self, file: MineFile) -> list[str]:
        """Remember; returns warnings."""
        warnings: list[str] = []
        for record in file.records:
            if file.type in ("RYXX", "RYSS"):
                warnings += self._person(record, file)
            elif file.type in ("RYJZ", "JZSS"):
                self._station(record, file)
        return warnings

    def _person(self, record: Record, file: MineFile) -> list[str]:
        card, name, base = record["card"] or "", record["name"], file.type == "RYXX"
        digest = hashlib.sha256(name.encode()).hexdigest() if name else ""
        known = self.persons.get(card)
        if known is None:
            if len(self.persons) < MAX_KNOWN:
                self.persons[card] = (digest, file.at, base)
            return []
        before, at, completed = known
        changed = bool(before and digest and before != digest and file.at >= at)
        keep = digest if digest and (file.at >= at or not before) else before
        self.persons[card] = (keep, max(at, file.at), base or (completed and not changed))
        return [f"person_changed:{card}"] if changed else []

    def _station(self, record: Record, file: MineFile) -> None:
        code = record["station"] or ""
        if code not in self.stations and len(self.stations) >= MAX_KNOWN:
            return
        station = self.stations.setdefault(code, Station())
        if file.type == "RYJZ" and file.at >= (station.named_at or 0.0):
            x, y, z = (float(record[axis] or 0.0) for axis in ("x", "y", "z"))
            station.name, station.named_at, station.place = record["station_name"], file.at, (x, y, z)
        elif file.type == "JZSS" and file.at >= (station.run_at or 0.0):
            station.run, station.run_at = record["run"], file.at


def judge(
    found: Found,
    known: Known,
    *,
    sites: Mapping[str, str],
    register: Mapping[str, Register],
    devices: Mapping[str, str],
    now: float,
    incomplete_s: float = INCOMPLETE_S,
) -> Judged:
    """Take a file or not.

    Args:
        sites: mine code → site.
        register: by mine code; what the file says is remembered there.
        devices: what the files call a machine → our device.
        now: UTC seconds.
    """
    name = parse_name(found.name)
    if name is None:
        return Judged("FAILED", "bad_name")
    refused = Judged("FAILED", _misplaced(name.mine, found.folder, sites), name.mine, name.type)
    if refused.reason:
        return refused
    if not is_whole(found.text):
        late = found.unchanged_s >= incomplete_s
        return Judged("FAILED" if late else "WAIT", "no_end", name.mine, name.type)
    if known.duplicate:
        return Judged("DUPLICATE", "", name.mine, name.type)
    if name.type not in FIELDS:
        return Judged("UNKNOWN", "", name.mine, name.type)
    try:
        file = read(name.type, found.text)
    except BadFile as error:
        return Judged("FAILED", error.reason, name.mine, name.type)
    count, bad = len(file.records) + len(file.bad), file.bad[:MAX_BAD_LISTED]
    if reason := _not_believed(file, name.mine, count, now):
        return Judged("FAILED", reason, name.mine, name.type, file.at, count, bad)
    file, warnings = _last_wins(file)
    warnings += register[name.mine].take(file)
    stale = known.newest_at is not None and file.at < known.newest_at
    status: Status = "STALE" if stale else "PARTIAL" if bad else "DONE"
    readings, positions, no_value = samples(file, sites[name.mine], register[name.mine], devices, now)
    base = file if name.type in BASES and not stale else None
    return Judged(
        status, "", name.mine, name.type, file.at, count, bad, warnings, readings, positions, base, no_value
    )  # fmt: skip


def _misplaced(mine: str, folder: str, sites: Mapping[str, str]) -> str:
    if not folder:
        return "in_the_root"
    if folder not in sites:
        return "folder_of_no_mine"
    if mine not in sites:
        return "unknown_mine"
    return "" if mine == folder else "folder_of_another_mine"


def _not_believed(file: MineFile, mine: str, count: int, now: float) -> str:
    if file.mine != mine:
        return "header_of_another_mine"
    if file.at - now > AHEAD_S:
        return "in_the_future"
    return "too_many_bad_records" if len(file.bad) > BAD_SHARE * count else ""


def _last_wins(file: MineFile) -> tuple[MineFile, list[str]]:
    if file.type not in ("RYXX", "RYSS"):
        return file, []
    times = Counter(record["card"] for record in file.records)
    kept = {record["card"]: record for record in file.records}
    warnings = [f"duplicate_card:{card}" for card, count in times.items() if count > 1]
    return MineFile(file.mine, file.type, file.at, list(kept.values()), file.bad), warnings


def samples(
    file: MineFile, site: str, register: Register, devices: Mapping[str, str], now: float
) -> tuple[list[Reading], list[Position], int]:
    """Readings, positions, and how many values were none."""
    if file.type == "RYSS":
        return _people(file, site, register, now)
    if file.type == "JZSS":
        return _readers(file, site, register, now), [], 0
    if file.type in ("RYXX", "RYQY", "RYJZ", "JZSS", "JBSJ") or not file.type.endswith("SS"):
        return [], [], 0
    readings: list[Reading] = []
    no_value = 0
    for record in file.records:
        value, at = record["value"], seconds(record["time"] or "")
        if value is None or at is None or at - now > AHEAD_S or float(value) == NO_VALUE:
            no_value += 1
            continue
        device = devices.get(record["device"] or "", record["point"] or "")
        measured = _measured(record, float(value))
        if measured is None:
            no_value += 1
            continue
        quantity, number, unit = measured
        good = record["status"] in (None, "0", "正常")
        quality: Literal["good", "suspect"] = "good" if good else "suspect"
        readings.append(Reading(site, device, quantity, number, unit, at, now, 0, quality))
    return readings, [], no_value


def _measured(record: Record, value: float) -> tuple[str, float, str] | None:
    """Quantity, value and unit; by its code where we have no name for it. None: a unit or value that cannot be."""
    unit = record["unit"] or ""
    quantity = GATEWAY_KEYS.get(record["type_name"] or "")
    if quantity is None:
        code = re.sub(r"[^a-z0-9_]", "_", (record["type_code"] or "").lower())
        return f"code_{code}"[:63], value, unit[:16] or "1"
    ours = QUANTITIES[quantity]
    scale = 1.0 if unit in ("", ours.unit) else UNIT_SCALE.get((unit, ours.unit))
    if scale is None or not ours.low <= value * scale <= ours.high:
        return None
    return quantity, value * scale, ours.unit


def _readers(file: MineFile, site: str, register: Register, now: float) -> list[Reading]:
    """States of readers that turned since the last file; of one never heard of only a fault."""
    found: list[Reading] = []
    if file.at < register.running_at:
        return found
    register.running_at = file.at
    for record in file.records:
        station, run = record["station"] or "", record["run"] or "9"
        before = register.running.get(station, "0")
        if len(register.running) < MAX_KNOWN or station in register.running:
            register.running[station] = run
        if run != before:
            found.append(Reading(site, station, "station_run", float(run), "1", file.at, now))
    return found


def _people(file: MineFile, site: str, register: Register, now: float) -> tuple[list[Reading], list[Position], int]:
    positions: list[Position] = []
    calls_now: list[Reading] = []
    """Of whom calls for help, and of whom did in the last file."""
    newest = file.at >= register.calling_at
    register.calling_at = max(file.at, register.calling_at)
    for record in file.records:
        card, inside = record["card"] or "", record["flag"] == UNDERGROUND
        station = register.stations.get(record["station"] or "")
        x, y, z = station.place if station else (0.0, 0.0, 0.0)
        zone = (record["area"] or "") if inside else ""
        presence = PRESENCE.get(record["flag"] or "", "")
        positions.append(Position(site, card, "person", x, y, z, zone, file.at, now, 0, card, presence=presence))
        calling = record["status"] == "求救"
        if newest and (calling or card in register.calling):
            calls_now.append(Reading(site, card, "sos", float(calling), "1", file.at, now))
            (register.calling.add if calling else register.calling.discard)(card)
    underground = sum(record["flag"] == UNDERGROUND for record in file.records)
    calls = sum(record["status"] == "求救" for record in file.records)
    readings = [
        Reading(site, PEOPLE_DEVICE, quantity, float(count), "1", file.at, now)
        for quantity, count in (("headcount_underground", underground), ("persons_calling_for_help", calls))
    ]
    return readings + calls_now, positions, 0
