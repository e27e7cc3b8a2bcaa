"""The faults and offences that a scene plays. Each makes an `Act`, or None when nobody is there to play it."""

import math
from collections.abc import Callable, Mapping

from analytics.simulation.layout import QUOTAS
from analytics.simulation.motion import Mover
from analytics.simulation.power import LEVEL_HIGH_M, Fault
from analytics.simulation.scene import Act, Scene

Maker = Callable[[Scene], Act | None]


def _pick(scene: Scene, movers: list[Mover], count: int = 1) -> list[Mover]:
    if len(movers) < count:
        return []
    chosen = scene.random.sample(movers, count)
    scene.used |= {one.tag for one in chosen}
    return chosen


def _crew(scene: Scene, *nodes: str) -> list[Mover]:
    people = scene.layout.facts.people
    return [one for node in nodes for one in scene.movers(node) if not people[one.tag].leader]


# --- people ---


def over_quota(scene: Scene) -> Act | None:
    face, beside = scene.random.choice((("face-1", "haulage-3"), ("face-2", "haulage-2"), ("heading-1", "rest-2")))
    beside = "haulage-3" if beside == "rest-2" else beside
    wanted = QUOTAS[face] + 5 - len(scene.at(face))
    chosen = _pick(scene, _crew(scene, beside, "haulage-3", "haulage-2", "belt-2", "incline", "return-1"), wanted)
    if not chosen:
        return None

    def begin() -> None:
        for one in chosen:
            one.change_s = math.inf
            scene.motion.send(one, face)

    def end() -> None:
        for one in chosen:
            one.change_s = 0.0

    return Act(
        "over_quota", face, 1200.0, begin, end=end, visible=lambda: len(scene.at(face)) > QUOTAS[face],
        also=("gathering",),
    )  # fmt: skip


def zone_entry(scene: Scene) -> Act | None:
    goaf, face = scene.random.choice((("goaf-1", "face-1"), ("goaf-2", "face-2")))
    people = scene.layout.facts.people
    chosen = _pick(scene, [one for one in _crew(scene, face) if people[one.tag].job != "瓦检员"])
    if not chosen:
        return None
    one, outline = chosen[0], scene.layout.facts.zones[goaf].fence.outline
    middle = (sum(x for x, _ in outline) / len(outline), sum(y for _, y in outline) / len(outline))

    def begin() -> None:
        one.aim, one.wait_s, one.change_s = [(*middle, one.place[2])], 60.0, math.inf

    def end() -> None:
        one.change_s = scene.random.uniform(600, 1200)

    return Act("zone_entry", f"{goaf}:{one.tag}", 150.0, begin, end=end, visible=lambda: scene.inside(goaf, one))


def tag_lost(scene: Scene) -> Act | None:
    chosen = _pick(scene, _crew(scene, "haulage-1", "haulage-2", "belt-1", "belt-2", "heading-1", "heading-2"))
    if not chosen:
        return None
    one = chosen[0]

    def switch(silent: bool) -> Callable[[], None]:
        return lambda: setattr(one, "silent", silent)

    return Act("tag_lost", one.tag, 260.0, switch(True), end=switch(False))


def _silence(scene: Scene, node: str, kind: str, subject: str, also: tuple[str, ...]) -> Act | None:
    chosen = scene.at(node)
    if len(chosen) < 6:
        return None

    def begin() -> None:
        if kind == "station_down":
            scene.say(subject, "station_run", 1.0)
        for one in chosen:
            one.silent = True

    def end() -> None:
        if kind == "station_down":
            scene.say(subject, "station_run", 0.0)
        for one in chosen:
            one.silent = False

    return Act(kind, subject, 300.0, begin, end=end, also=also)


def zone_silent(scene: Scene) -> Act | None:
    node = scene.random.choice(("heading-1", "heading-2", "face-1", "face-2", "belt-2"))
    return _silence(scene, node, "zone_silent", node, ("tag_lost", "count_mismatch", "no_leader"))


def station_down(scene: Scene) -> Act | None:
    node = scene.random.choice(("heading-1", "heading-2", "face-1", "face-2", "belt-1"))
    return _silence(scene, node, "station_down", f"station-{node}", ("count_mismatch", "no_leader"))


def still(scene: Scene) -> Act | None:
    chosen = _pick(scene, _crew(scene, "haulage-1", "haulage-2", "return-1", "belt-1", "heading-2"))
    if not chosen:
        return None
    one = chosen[0]

    def switch(stopped: bool) -> Callable[[], None]:
        return lambda: setattr(one, "stopped", stopped)

    return Act("still", one.tag, 760.0, switch(True), end=switch(False))


def sos(scene: Scene) -> Act | None:
    chosen = _pick(scene, _crew(scene, "face-1", "face-2", "heading-1", "return-1"))
    if not chosen:
        return None
    tag = chosen[0].tag
    return Act("sos", tag, 120.0, lambda: scene.say(tag, "sos", 1.0), end=lambda: scene.say(tag, "sos", 0.0))


def tag_carried(scene: Scene) -> Act | None:
    """One person walks with two tags, from the far end of the haulage to the shaft and back."""
    chosen = _pick(scene, _crew(scene, "haulage-3", "haulage-2"), 2)
    if not chosen:
        return None
    one, other = chosen
    subject = "+".join(sorted((one.tag, other.tag)))

    def begin() -> None:
        one.change_s = math.inf
        other.held = True
        scene.carried[one.tag] = other.tag
        scene.motion.send(one, "shaft")

    def each(elapsed: float) -> None:
        if not one.way and not one.aim:
            scene.motion.send(one, "haulage-3" if one.node == "shaft" else "shaft")

    def end() -> None:
        scene.carried.pop(one.tag, None)
        other.held, one.change_s = False, 0.0

    return Act("tag_carried", subject, 1680.0, begin, each, end)


def gathering(scene: Scene) -> Act | None:
    node = scene.random.choice(("belt-2", "haulage-2", "return-1"))
    chosen = _pick(scene, _crew(scene, node, *scene.layout.neighbours(node), "haulage-1", "belt-1"), 22)
    if not chosen:
        return None
    x, y, z = scene.layout.nodes[node]

    def begin() -> None:
        for one in chosen:
            one.change_s = math.inf
            scene.motion.send(one, node)

    def each(elapsed: float) -> None:
        for one in chosen:
            if not one.way and one.node == node and math.dist(one.place, (x, y, z)) > 7:
                one.aim = [(x + scene.random.uniform(-4, 4), y + scene.random.uniform(2.4, 5), z)]

    def end() -> None:
        for one in chosen:
            one.change_s = 0.0

    def visible() -> bool:
        everybody = (one for one in scene.motion.movers.values() if not one.vehicle)
        return sum(math.dist(one.place, (x, y, z)) < 9 for one in everybody) >= 15

    return Act("gathering", node, 1200.0, begin, each, end, visible)


def no_leader(scene: Scene) -> Act | None:
    people = scene.layout.facts.people
    leaders = [one for one in scene.motion.movers.values() if not one.vehicle and people[one.tag].leader]
    if any(one.silent for one in leaders):
        return None

    def begin() -> None:
        for one in leaders:
            one.change_s = math.inf
            scene.motion.send(one, "shaft")

    def each(elapsed: float) -> None:
        for one in leaders:
            if one.node == "shaft" and not one.way and not one.aim:
                one.silent = True

    def end() -> None:
        for one in leaders:
            one.silent, one.change_s = False, 0.0

    return Act("no_leader", "mine", 2000.0, begin, each, end, lambda: all(one.silent for one in leaders))


def count_mismatch(scene: Scene) -> Act | None:
    return Act(
        "count_mismatch", "mine", 540.0, lambda: setattr(scene, "video_extra", 30),
        end=lambda: setattr(scene, "video_extra", 0),
    )  # fmt: skip


# --- machines that move ---


def displaced(scene: Scene) -> Act | None:
    tag = scene.random.choice(("H01", "H02", "L01", "L02"))
    machine, one = scene.layout.facts.machines[tag], scene.motion.movers[tag]
    place = one.place

    def begin() -> None:
        scene.plant.hold[machine.device] = 0.0

    def each(elapsed: float) -> None:
        if elapsed > 60:
            pulled = min(5.0, (elapsed - 60) * 0.4)
            one.place = (place[0] + pulled, place[1], place[2])

    def end() -> None:
        scene.plant.hold.pop(machine.device, None)

    return Act("displaced", tag, 150.0, begin, each, end, lambda: math.dist(one.place, place) > 1.2)


def collision(scene: Scene) -> Act | None:
    """Two cars drive towards each other on one track and stop some metres apart."""
    west, east = (
        _pick(scene, scene.movers("haulage-1", vehicle=True)),
        _pick(scene, scene.movers("haulage-3", vehicle=True)),
    )
    if not west or not east or scene.motion.driving:
        return None
    one, other = west[0], east[0]
    before = one.place, other.place
    speed = 3.0
    lane = scene.layout.nodes["haulage-1"][1]
    stopped_at: list[float] = []

    def gap() -> float:
        return abs(one.place[0] - other.place[0])

    def each(elapsed: float) -> None:
        scene.motion.acting = {one.tag, other.tag}
        for mover, way in ((one, 1.0), (other, -1.0)):
            x, y, z = mover.place
            mover.held = True
            if abs(y - lane) > 0.1:
                mover.place = (x, y + math.copysign(min(1.0, abs(lane - y)), lane - y), z)
            elif gap() > 6.0 and not stopped_at:
                mover.place = (x + way * speed, y, z)
        if gap() <= 6.0 and not stopped_at:
            stopped_at.append(elapsed)

    def end() -> None:
        scene.motion.acting = set()
        for mover, place in ((one, before[0]), (other, before[1])):
            mover.place, mover.held = place, False

    def visible() -> bool:
        return not stopped_at and one.held and (gap() - 4.0) / (2 * speed) < 5.0

    return Act("collision", "+".join(sorted((one.tag, other.tag))), 130.0, each=each, end=end, visible=visible)


def approach(scene: Scene) -> Act | None:
    """Somebody stands on the track; a car that comes along brakes late."""
    if scene.motion.driving:
        return None
    cars, people = _pick(scene, scene.movers("haulage-2", vehicle=True)), _pick(scene, _crew(scene, "haulage-3"))
    if not cars or not people:
        return None
    car, person = cars[0], people[0]
    lane, before = scene.layout.nodes["haulage-2"][1], car.place
    spot = (car.place[0] + 110.0, lane, person.place[2])

    def gap() -> float:
        return math.dist(car.place[:2], spot[:2])

    def begin() -> None:
        scene.motion.acting = {car.tag}
        car.held = True
        person.change_s, person.held = math.inf, True

    def each(elapsed: float) -> None:
        x, y, z = person.place
        away = math.dist((x, y), spot[:2])
        step = min(1.0, 1.3 / away) if away > 0 else 0.0
        person.place = (x + (spot[0] - x) * step, y + (spot[1] - y) * step, z)
        x, y, z = car.place
        if abs(y - lane) > 0.1:
            car.place = (x, y + math.copysign(min(1.0, abs(lane - y)), lane - y), z)
        elif away < 1.0 and gap() > 3.0:
            car.place = (x + min(3.2, gap() - 2.5), y, z)

    def end() -> None:
        scene.motion.acting = set()
        car.held = person.held = False
        car.place, person.change_s = before, 0.0

    def visible() -> bool:
        return 3.0 < gap() < 9.0

    return Act("approach", f"{car.tag}+{person.tag}", 200.0, begin, each, end, visible)


def person_near_machine(scene: Scene) -> Act | None:
    tag, node, beside = scene.random.choice((("H01", "heading-1", "haulage-3"), ("H02", "heading-2", "belt-2")))
    machine, people = scene.layout.facts.machines[tag], scene.layout.facts.people
    strangers = [one for one in _crew(scene, beside) if people[one.tag].job not in machine.operators]
    chosen = _pick(scene, strangers)
    if not chosen:
        return None
    one = chosen[0]
    there = scene.motion.movers[tag]

    def begin() -> None:
        one.change_s = math.inf
        scene.motion.send(one, node)
        scene.plant.hold[machine.device] = 0.75

    def each(elapsed: float) -> None:
        if one.node == node and not one.way and math.dist(one.place, there.place) > 1.8 and not one.aim:
            x, y, z = there.place
            one.aim = [(x + 1.0, y + 1.0, z)]
        one.wait_s = 20.0

    def end() -> None:
        one.change_s = 0.0
        scene.plant.hold.pop(machine.device, None)

    return Act(
        "person_near_machine", f"{tag}+{one.tag}", 420.0, begin, each, end,
        lambda: math.dist(one.place, there.place) < 5.0,
    )  # fmt: skip


def reverse_travel(scene: Scene) -> Act | None:
    one = scene.motion.movers["M02"]
    place = one.place
    goal = scene.layout.nodes["return-1"]

    def begin() -> None:
        one.aim = [goal]

    def end() -> None:
        one.stand(900.0)
        one.place = place

    return Act("reverse_travel", "M02", 60.0, begin, end=end)


def overspeed(scene: Scene) -> Act | None:
    chosen = [] if scene.motion.driving else _pick(scene, scene.movers("haulage-1", vehicle=True))
    if not chosen:
        return None
    one, place = chosen[0], chosen[0].place
    goal = scene.layout.nodes["shaft"]

    def begin() -> None:
        one.speed_m_s = one.now_m_s = 6.8
        one.aim = [goal]
        scene.motion.acting = {one.tag}

    def end() -> None:
        one.speed_m_s = 3.2
        scene.motion.acting = set()
        one.stand(300.0)
        one.place = place

    return Act("overspeed", one.tag, 30.0, begin, end=end)


def runaway(scene: Scene) -> Act | None:
    chosen = [] if scene.motion.driving else _pick(scene, scene.movers("haulage-3", vehicle=True))
    if not chosen:
        return None
    one, place = chosen[0], chosen[0].place
    top, bottom = scene.layout.nodes["haulage-3"], scene.layout.nodes["incline"]
    length = math.dist(top, bottom)

    def each(elapsed: float) -> None:
        one.held = True
        scene.motion.acting = {one.tag}
        share = min(1.0, 0.5 * 0.9 * max(0.0, elapsed - 10) ** 2 / length)
        x, y, z = (a + (b - a) * share for a, b in zip(top, bottom, strict=True))
        one.place = (x, y, z)

    def end() -> None:
        one.held, one.place = False, place
        scene.motion.acting = set()
        one.stand(300.0)

    def visible() -> bool:
        moved = math.dist(one.place, top)
        return one.held and 1.0 < moved < length - 0.5

    return Act("runaway", one.tag, 45.0, each=each, end=end, visible=visible, also=("overspeed", "approach"))


def out_of_route(scene: Scene) -> Act | None:
    chosen = _pick(scene, scene.movers("haulage-2", vehicle=True))
    if not chosen:
        return None
    one, place = chosen[0], chosen[0].place

    def begin() -> None:
        scene.motion.send(one, "face-2")

    def end() -> None:
        one.node = "haulage-2"
        one.stand(600.0)
        one.place = place

    return Act(
        "out_of_route", one.tag, 150.0, begin, end=end, visible=lambda: scene.near(one) in ("face-2", "return-1")
    )


# --- power ---


def _faulty(kind: str, device: str, fault: Fault, lasts_s: float, share: float | None = None) -> Maker:
    def make(scene: Scene) -> Act:
        def begin() -> None:
            scene.plant.faults[device] = fault
            if share is not None:
                scene.plant.hold[device] = share

        def end() -> None:
            scene.plant.faults.pop(device, None)
            scene.plant.hold.pop(device, None)

        return Act(
            kind, device, lasts_s, begin, end=end, also=("under_voltage",) if kind == "voltage_unbalance" else ()
        )

    return make


def main_fan_stop(scene: Scene) -> Act:
    lasts = scene.random.choice((120.0, 700.0))
    return Act(
        "main_fan_stop", "fan-main", lasts, lambda: scene.plant.hold.update({"fan-main": 0.0}),
        end=lambda: _release(scene, "fan-main"),
    )  # fmt: skip


def _release(scene: Scene, *devices: str) -> None:
    for device in devices:
        scene.plant.hold.pop(device, None)


def overload(scene: Scene) -> Act:
    return Act(
        "overload", "belt", 180.0, lambda: scene.plant.hold.update({"belt": 1.25}), end=lambda: _release(scene, "belt"),
        also=("current_unbalance",),
    )  # fmt: skip


def supply_loss(scene: Scene) -> Act:
    also = (
        "main_fan_stop",
        "under_voltage",
        "over_voltage",
        "voltage_unbalance",
        "drainage_flow",
        "current_unbalance",
        "phase_loss",
    )
    return Act(
        "supply_loss", "substation", 90.0, lambda: setattr(scene.plant, "dead", True),
        end=lambda: setattr(scene.plant, "dead", False), also=also,
    )  # fmt: skip


def pump_blocked(scene: Scene) -> Act:
    def begin() -> None:
        scene.plant.level_m = 2.9
        scene.plant.hold["pump-1"] = 0.88

    def each(elapsed: float) -> None:
        if elapsed > 400:
            scene.plant.faults["pump-1"] = Fault(flow_share=0.45)

    def end() -> None:
        scene.plant.faults.pop("pump-1", None)
        _release(scene, "pump-1")

    return Act("drainage_flow", "pump-1", 700.0, begin, each, end, lambda: "pump-1" in scene.plant.faults)


def sump_high(scene: Scene) -> Act:
    def begin() -> None:
        scene.plant.level_m = LEVEL_HIGH_M + 0.2
        scene.plant.hold["pump-1"] = 0.0

    def end() -> None:
        scene.plant.level_m = 1.5
        _release(scene, "pump-1")

    return Act("drainage_level", "pump-1", 260.0, begin, end=end)


def pump_restarts(scene: Scene) -> Act:
    def each(elapsed: float) -> None:
        scene.plant.hold["pump-1"] = 0.88 if elapsed % 200 < 120 else 0.0

    return Act(
        "drainage_starts", "pump-1", 2000.0, each=each, end=lambda: _release(scene, "pump-1"), also=("drainage_flow",)
    )


def data_replayed(scene: Scene) -> Act | None:
    if not scene.plant.taped("fan-main"):
        return None
    fault = Fault(replayed=True)
    return Act(
        "data_replayed", "fan-main", 860.0, lambda: scene.plant.faults.update({"fan-main": fault}),
        end=lambda: _mended(scene, "fan-main"),
        also=("energy_mismatch", "main_fan_stop", "stuck_data", "current_unbalance"),
    )  # fmt: skip


def _mended(scene: Scene, device: str) -> None:
    scene.plant.faults.pop(device, None)


PEOPLE: Mapping[str, Maker] = {
    "over_quota": over_quota, "zone_entry": zone_entry, "tag_lost": tag_lost, "zone_silent": zone_silent,
    "station_down": station_down, "sos": sos, "gathering": gathering, "count_mismatch": count_mismatch,
}  # fmt: skip
SLOW: Mapping[str, Maker] = {"still": still, "tag_carried": tag_carried, "no_leader": no_leader}
MOVING: Mapping[str, Maker] = {
    "displaced": displaced, "collision": collision, "approach": approach, "person_near_machine": person_near_machine,
    "reverse_travel": reverse_travel, "overspeed": overspeed, "runaway": runaway, "out_of_route": out_of_route,
}  # fmt: skip
POWER: Mapping[str, Maker] = {
    "main_fan_stop": main_fan_stop, "overload": overload, "supply_loss": supply_loss,
    "phase_loss": _faulty("phase_loss", "compressor", Fault(lost_phase=True), 60.0, 0.6),
    "current_unbalance": _faulty("current_unbalance", "fan-main", Fault(unbalanced_a=0.28), 160.0),
    "voltage_unbalance": _faulty("voltage_unbalance", "substation", Fault(unbalanced_v=0.09), 160.0),
    "under_voltage": _faulty("under_voltage", "belt", Fault(low_volts=0.2), 60.0),
    "stuck_data": _faulty("stuck_data", "fan-main", Fault(frozen=True), 240.0),
    "source_time_stuck": _faulty("source_time_stuck", "aux-hoist", Fault(clock_stuck=True), 60.0),
    "telemetry_gap": _faulty("telemetry_gap", "compressor", Fault(silent=True), 60.0),
    "data_replayed": data_replayed,
    "energy_mismatch": _faulty("energy_mismatch", "fan-main", Fault(energy_share=0.8), 1500.0),
}  # fmt: skip
DRAINAGE: Mapping[str, Maker] = {
    "pump_blocked": pump_blocked, "sump_high": sump_high, "pump_restarts": pump_restarts,
}  # fmt: skip
ACTS: Mapping[str, Maker] = {**PEOPLE, **SLOW, **MOVING, **POWER, **DRAINAGE}
LANES = (tuple(PEOPLE), tuple(SLOW), tuple(MOVING), tuple(POWER), tuple(DRAINAGE))
