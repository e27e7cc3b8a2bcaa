"""What is known of the simulated mines: roadways, zones, quotas, people, machines. Invented, and said to be so."""

import time

from analytics.mine import (
    Camera,
    DeviceRating,
    Drift,
    Fence,
    Level,
    Machine,
    Mine,
    MineState,
    Permit,
    Person,
    Point,
    Quota,
    Zone,
    ZoneKind,
)
from config.settings import DeviceSettings
from server.demo.world import JOBS, NEIGHBOURS, ROADS, ZONES
from server.registry.forms import Fact

BASIS = "演示数据 demo"
KINDS: dict[str, tuple[ZoneKind, str, str, float, float]] = {
    "shaft-bottom": ("work", "井底车场", "Shaft bottom", 22.0, 14.0),
    "pump-room": ("key", "水泵房", "Pump room", 9.0, 8.0),
    "substation": ("key", "变电站", "Substation", 9.0, 8.0),
    "main-haulage": ("roadway", "运输大巷", "Main haulage", 58.0, 6.0),
    "belt-roadway": ("roadway", "皮带巷", "Belt roadway", 58.0, 6.0),
    "crossing": ("work", "交岔点", "Crossing", 16.0, 14.0),
    "heading": ("heading", "掘进工作面", "Heading", 20.0, 12.0),
    "face": ("face", "采煤工作面", "Coal face", 26.0, 14.0),
    "return-airway": ("roadway", "回风巷", "Return airway", 30.0, 8.0),
}
"""Zone → kind, names, half its length and half its width in metres."""
QUOTAS = {"face": 16, "heading": 12, "substation": 3}
CALM = {"closing_mps": 50.0, "runaway_mps2": 5.0}
"""Simulated drivers give way to nobody and start at full speed: with the usual figures the story would drown in
warnings of near misses."""
HURRY = {"covert_belt_s": 5.0}
"""The stopped mine's belt runs for less than a minute of the story."""
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾肖田董潘袁蔡蒋余"


def facts(site: str, devices: list[DeviceSettings], persons: int, vehicles: int) -> dict[str, list[Fact]]:
    """Of the mine that works."""
    return {
        "mine": [Mine(code="990000000001", hazards=("high_gas",), capacity_kt=900.0, parameters=CALM)],
        "states": [MineState("demo", "producing", 0.0, basis=BASIS)],
        "levels": [Level("420", "−420 水平", "Level −420", -460.0, -400.0)],
        "drifts": [_drift(one, two) for one, two in ROADS],
        "zones": [
            *(_zone(zone) for zone in ZONES),
            Zone(
                "refuge", Fence(_box(262.0, 22.0, 7.0, 5.0), "420"), "避难硐室", "Refuge", "refuge", gathering_ok=True
            ),
        ],
        "quotas": [
            Quota("mine", 60, "", BASIS),
            *(Quota(zone, people, zone, BASIS) for zone, people in QUOTAS.items()),
        ],
        "people": [_person(n) for n in range(1, persons + 1)],
        "devices": _devices(site, devices),
        "machines": [_machine(n) for n in range(1, vehicles + 1)],
        "cameras": [Camera("dispatch-room", "调度室", "Dispatch room")],
    }


def stopped(site: str, devices: list[DeviceSettings]) -> dict[str, list[Fact]]:
    """Of the mine that must not produce."""
    permit = Permit("", max_people=5, purpose="巡检 inspection")
    return {
        "mine": [Mine(code="990000000002", positions="stations", parameters=HURRY)],
        "states": [MineState("demo", "stopped", time.time() - 30 * 86_400.0, None, (permit,), BASIS)],
        "devices": _devices(site, devices),
    }


def _box(x: float, y: float, half_length: float, half_width: float) -> tuple[Point, ...]:
    return (
        (x - half_length, y - half_width), (x + half_length, y - half_width),
        (x + half_length, y + half_width), (x - half_length, y + half_width),
    )  # fmt: skip


def _zone(zone: str) -> Zone:
    kind, zh, en, half_length, half_width = KINDS[zone]
    x, y, _ = ZONES[zone]
    neighbours = tuple(sorted(NEIGHBOURS[zone]))
    return Zone(
        zone, Fence(_box(x, y, half_length, half_width), "420"), zh, en, kind, neighbours=neighbours
    )  # fmt: skip


def _drift(one: str, two: str) -> Drift:
    name = f"{one}.{two}"
    zh, en = (f"{KINDS[one][place]}–{KINDS[two][place]}" for place in (1, 2))
    return Drift(name, (ZONES[one], ZONES[two]), zh, en, "420", 5.0, out="start")


def _person(n: int) -> Person:
    name = f"{SURNAMES[n % len(SURNAMES)]}演示{n:02d}"
    return Person(
        f"P{n:03d}",
        JOBS[n % len(JOBS)],
        f"{n % 3 + 1}队",
        "早班",
        n == 1,
        n % 12 == 0,
        name=name,
        phone=f"1990000{n:04d}",
    )


def _machine(n: int) -> Machine:
    return Machine(f"car-{n}", (f"V{n:02d}",), "truck", f"{n}号胶轮车", f"Vehicle {n}")


def _devices(site: str, devices: list[DeviceSettings]) -> list[Fact]:
    zones = {"pump-1": "pump-room", "pump-2": "pump-room", "substation": "substation", "belt": "belt-roadway"}
    return [
        DeviceRating(
            one.device, one.kind, one.name_zh or "", one.name_en or "", one.rated_a, one.rated_v, one.rated_kw,
            zones.get(one.device, "") if site == "hongqi" else "", one.required, one.expected_period_s,
        )
        for one in devices if one.site == site
    ]  # fmt: skip
