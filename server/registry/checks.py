"""Whether the facts of a mine fit each other. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from analytics.fences import area, crosses_itself
from analytics.mine import Fence, MineFacts, Zone
from server.registry.errors import Mistake
from server.registry.forms import KINDS

SMALLEST_M2 = 0.01


def mistakes(facts: MineFacts) -> list[Mistake]:
    """All that does not fit, in the order of the kinds."""
    return [
        *_too_many(facts), *_levels(facts), *_drifts(facts), *_zones(facts), *_quotas(facts), *_machines(facts),
        *_cameras(facts), *_states(facts), *_plans(facts),
    ]  # fmt: skip


def _missing(
    kind: str, id: str, key: str, wanted: Iterable[str], known: Mapping[str, object], zh: str, en: str
) -> Iterator[Mistake]:
    for one in wanted:
        if one and one not in known:
            yield Mistake(kind, id, key, f"没有{zh} {one}", f"there is no {en} {one}")


def _too_many(facts: MineFacts) -> Iterator[Mistake]:
    for kind, form in KINDS.items():
        if kind != "mine" and len(getattr(facts, kind)) > form.most:
            yield Mistake(kind, "", "", f"一个矿最多 {form.most} 条", f"a mine has at most {form.most} of them")


def _levels(facts: MineFacts) -> Iterator[Mistake]:
    for one in facts.levels.values():
        if one.z_low_m >= one.z_high_m:
            yield Mistake("levels", one.level, "z_high_m", "须高于下限", "must be above z_low_m")


def _drifts(facts: MineFacts) -> Iterator[Mistake]:
    for one in facts.drifts.values():
        yield from _missing("drifts", one.drift, "level", [one.level], facts.levels, "水平", "level")
        if len(set(one.line)) < 2:
            yield Mistake("drifts", one.drift, "line", "巷道没有长度", "the roadway has no length")


def _zones(facts: MineFacts) -> Iterator[Mistake]:
    codes: dict[str, str] = {}
    for one in facts.zones.values():
        yield from _fence(one, facts)
        yield from _missing("zones", one.zone, "neighbours", one.neighbours, facts.zones, "区域", "zone")
        if one.area_code and (other := codes.setdefault(one.area_code, one.zone)) != one.zone:
            yield Mistake(
                "zones", one.zone, "area_code", f"区域编码已用于 {other}", f"zone {other} has this area code"
            )  # fmt: skip


def _fence(zone: Zone, facts: MineFacts) -> Iterator[Mistake]:
    fence: Fence = zone.fence
    yield from _missing("zones", zone.zone, "fence.level", [fence.level], facts.levels, "水平", "level")
    yield from _missing("zones", zone.zone, "fence.drift", [fence.drift], facts.drifts, "巷道", "roadway")
    if fence.outline and fence.drift:
        yield Mistake(
            "zones", zone.zone, "fence", "边界和巷道只能填一种", "is either an outline or a span of a roadway"
        )  # fmt: skip
    if fence.outline:
        if len(fence.outline) < 3 or area(fence.outline) < SMALLEST_M2:
            yield Mistake("zones", zone.zone, "fence.outline", "边界没有围成面积", "the outline encloses no area")
        elif len(fence.outline) <= 500 and crosses_itself(fence.outline):
            yield Mistake("zones", zone.zone, "fence.outline", "边界自相交", "the outline crosses itself")
    if fence.z_low_m is not None and fence.z_high_m is not None and fence.z_low_m >= fence.z_high_m:
        yield Mistake("zones", zone.zone, "fence.z_high_m", "须高于下限", "must be above z_low_m")
    if fence.from_m is not None and fence.to_m is not None and fence.from_m >= fence.to_m:
        yield Mistake("zones", zone.zone, "fence.to_m", "须大于起点里程", "must be more than from_m")


def _quotas(facts: MineFacts) -> Iterator[Mistake]:
    for one in facts.quotas.values():
        yield from _missing("quotas", one.quota, "zone", [one.zone], facts.zones, "区域", "zone")


def _machines(facts: MineFacts) -> Iterator[Mistake]:
    carried: dict[str, str] = {}
    for one in facts.machines.values():
        yield from _missing("machines", one.machine, "device", [one.device], facts.devices, "设备", "device")
        yield from _missing("machines", one.machine, "drifts", one.drifts, facts.drifts, "巷道", "roadway")
        yield from _missing("machines", one.machine, "zones", one.zones, facts.zones, "区域", "zone")
        for tag in one.tags:
            if (other := carried.setdefault(tag, one.machine)) != one.machine:
                yield Mistake("machines", one.machine, "tags", f"标签已用于 {other}", f"machine {other} has this tag")
            if tag in facts.people:
                yield Mistake("machines", one.machine, "tags", "标签已用于人员", "a person has this tag")


def _cameras(facts: MineFacts) -> Iterator[Mistake]:
    for one in facts.cameras.values():
        yield from _missing("cameras", one.camera, "zone", [one.zone], facts.zones, "区域", "zone")
    for device in facts.devices.values():
        yield from _missing("devices", device.device, "zone", [device.zone], facts.zones, "区域", "zone")


def _states(facts: MineFacts) -> Iterator[Mistake]:
    for one in facts.states.values():
        if one.end is not None and one.end <= one.start:
            yield Mistake("states", one.period, "end", "须晚于开始时间", "must be after start")
        for permit in one.permits:
            yield from _missing("states", one.period, "permits", [permit.device], facts.devices, "设备", "device")


def _plans(facts: MineFacts) -> Iterator[Mistake]:
    for one in facts.plans.values():
        yield from _missing("plans", one.plan, "level", [one.level], facts.levels, "水平", "level")
