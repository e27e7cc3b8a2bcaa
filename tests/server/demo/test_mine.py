"""What the simulated mine sends, read back by the parser that the server uses."""

import math

import pytest

from analytics.plugin import Position, Reading
from analytics.rules.runstate import RunState, RunStates
from analytics.telemetry.payload import Parsed, parse, parse_topic
from server.demo.mine import TERMINALS, SimulatedMine
from server.demo.story import LENGTH_S, SetGathering, SetLoad, Story
from server.demo.world import ZONES, route

NOW = 1_790_000_000.0


def seconds(mine: SimulatedMine, count: int, start: float = NOW) -> list[Parsed]:
    parsed = []
    for n in range(count):
        for message in mine.tick(start + n):
            parsed.append(parse(parse_topic("lamproom/v1", message.topic), message.payload, start + n))
    return parsed


def readings(parsed: list[Parsed], site: str, device: str, quantity: str = "current_a") -> list[Reading]:
    return [
        reading
        for one in parsed
        for reading in one.readings
        if (reading.site, reading.device, reading.quantity) == (site, device, quantity)
    ]


def positions(parsed: list[Parsed]) -> list[Position]:
    return [position for one in parsed for position in one.positions]


def test_everything_is_valid_and_marked_as_simulated() -> None:
    parsed = seconds(SimulatedMine(seed=1), 120)
    assert not any(one.rejected for one in parsed)
    assert all(reading.simulated for one in parsed for reading in one.readings)
    assert all(position.simulated for position in positions(parsed))
    assert all(reading.quality == "good" for one in parsed for reading in one.readings)


def test_eight_terminals_and_all_tags_send_every_second() -> None:
    parsed = seconds(SimulatedMine(seed=1), 1)
    devices = {reading.device for one in parsed for reading in one.readings if reading.site == "hongqi"}
    assert len(devices) == 8
    kinds = [position.kind for position in positions(parsed)]
    assert (kinds.count("person"), kinds.count("vehicle")) == (36, 6)
    assert len({position.tag for position in positions(parsed)}) == 42


def test_equal_seeds_send_the_same_and_others_do_not() -> None:
    def sent(seed: int) -> list[bytes]:
        mine = SimulatedMine(seed)
        return [message.payload for n in range(30) for message in mine.tick(NOW + n)]

    assert sent(5) == sent(5)
    assert sent(5) != sent(6)


def test_count_of_each_device_rises_by_one() -> None:
    parsed = seconds(SimulatedMine(seed=1), 5)
    assert [reading.seq for reading in readings(parsed, "hongqi", "belt")] == [1, 2, 3, 4, 5]


def test_usual_currents_are_near_their_share_of_the_rated_one() -> None:
    parsed = seconds(SimulatedMine(seed=2), 60)
    for terminal in TERMINALS:
        if terminal.cycle_s == 0:
            values = [reading.value for reading in readings(parsed, terminal.site, terminal.device)[10:]]
            mean = sum(values) / len(values)
            assert mean == pytest.approx(terminal.rated_a * terminal.usual, abs=0.05 * terminal.rated_a)


def test_fan_drop_of_the_story_is_seen_in_the_current() -> None:
    mine = SimulatedMine(seed=1)
    before = readings(seconds(mine, 20), "hongqi", "fan-main")[-1].value
    mine.take(SetLoad("hongqi", "fan-main", 0.05))
    after = readings(seconds(mine, 20, NOW + 20), "hongqi", "fan-main")[-1].value
    assert after < 0.1 * before
    mine.take(SetLoad("hongqi", "fan-main", None))
    again = readings(seconds(mine, 20, NOW + 40), "hongqi", "fan-main")[-1].value
    assert again == pytest.approx(before, rel=0.1)


def test_story_tells_of_the_fan_and_the_stopped_belt_and_of_no_other_machine() -> None:
    mine, story, states, told = SimulatedMine(seed=1), Story(), RunStates(), []
    for n in range(int(LENGTH_S)):
        for action in story.until(float(n)):
            mine.take(action)
        for one in seconds(mine, 1, NOW + n):
            for reading in one.readings:
                if word := states.notable(None, reading):
                    told.append((reading.site, reading.device, word))
    others = [entry for entry in told if entry[1] not in ("hoist", "heading")]  # these two work in strokes
    assert others == [("hongqi", "fan-main", "stopped"), ("hongqi", "fan-main", "started"),
                      ("dongfeng", "belt", "started"), ("dongfeng", "belt", "stopped")]  # fmt: skip


def test_stopped_mines_belt_is_seen_to_start() -> None:
    mine, rule = SimulatedMine(seed=1), RunState(rated_a=110.0)

    def feed(parsed: list[Parsed]) -> list[str]:
        changes = (rule.feed(r.value, r.source_at) for r in readings(parsed, "dongfeng", "belt"))
        return [change.state for change in changes if change]

    assert feed(seconds(mine, 20)) == ["off"]
    mine.take(SetLoad("dongfeng", "belt", 0.68))
    assert feed(seconds(mine, 20, NOW + 20)) == ["on"]


def test_people_gather_in_the_zone_and_disperse() -> None:
    mine = SimulatedMine(seed=1)

    def there(parsed: list[Parsed]) -> int:
        last = {position.tag: position.zone for position in positions(parsed)}
        return sum(zone == "return-airway" for zone in last.values())

    assert there(seconds(mine, 60)) < 6
    mine.take(SetGathering("return-airway"))
    assert there(seconds(mine, 300, NOW + 60)) >= 18
    mine.take(SetGathering(None))
    assert there(seconds(mine, 180, NOW + 360)) < 6


@pytest.mark.parametrize("seed", range(1, 9))
def test_gathering_shows_in_time_for_the_story_with_any_seed(seed: int) -> None:
    mine = SimulatedMine(seed)
    seconds(mine, 60)
    mine.take(SetGathering("return-airway"))
    last = {position.tag: position.zone for position in positions(seconds(mine, 60, NOW + 60))}
    assert sum(zone == "return-airway" for zone in last.values()) >= 7  # fifteen seconds after the fan drops


def test_somebody_called_back_on_the_road_turns_round() -> None:
    people = SimulatedMine(seed=1).people
    walker = people.walkers[0]
    walker.zone, walker.place, walker.way = "crossing", (210.0, 9.5, -424.8), ["main-haulage"]
    walker.go("return-airway")
    assert walker.way == ["crossing", "return-airway"]
    walker.way = ["main-haulage"]
    walker.go("shaft-bottom")
    assert walker.way == ["main-haulage", "shaft-bottom"]


def test_nobody_walks_faster_than_he_can() -> None:
    mine, last = SimulatedMine(seed=3), {}
    for n in range(300):
        for walker in mine.people.walkers:
            last[walker.tag] = walker.place
        mine.tick(NOW + n)
        for walker in mine.people.walkers:
            limit = 1.3 if walker.kind == "person" else 3.5
            assert math.dist(walker.place, last[walker.tag]) <= limit + 1e-6


@pytest.mark.parametrize("start", ZONES)
def test_every_zone_is_reached_from_every_other(start: str) -> None:
    for goal in ZONES:
        way = route(start, goal)
        assert way[-1:] == ([goal] if goal != start else [])
