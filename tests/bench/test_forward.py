"""The benchmark runs and says what it ran. How fast anything was is not asserted."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.floor import floor_us
from tests.bench.forward import Joins, Run, shape, table
from tests.bench.forwardgoals import Goal, cost, goals

RUN = Run("native", "burst10", 100, 5.3, 1250, 125_000, 0.0, 0.5, 0.1, 2.0, 1.0, 2.0, 3.0, 60.0, 0.01, 0.01, 0.1, False)
JANUS = replace(RUN, server="janus", cpu_us_per_packet=20.0)
TUNED = replace(RUN, server="janus event_loops=1", cpu_us_per_packet=9.0)


async def test_two_subscribers_for_two_seconds_give_one_json_object() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.forward", "--json", "--no-janus", "--servers", "python,janus"),
        *("--seconds", "2", "--subscribers", "2", "--shapes", "burst10"),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    result = json.loads(output)
    assert result.keys() == {"what", "runs", "joins", "goals"}
    (run,) = result["runs"]
    assert run.keys() == set(Run.__slots__)
    assert (run["server"], run["shape"], run["subscribers"]) == ("python", "burst10", 2)
    assert run["packets_in"] == 500
    assert 0 < run["packets_out"] <= 1000
    assert run["cpu_s"] > 0
    assert run["delay_ms_p50"] > 0
    assert {goal["name"].removesuffix(" (disturbed)") for goal in result["goals"]} == {"loss up to 50 % load"}
    assert result["goals"][0].keys() == {"name", "value", "unit", "goal", "ok"}


def named(found: Sequence[Goal]) -> dict[str, bool]:
    return {goal.name: goal.ok for goal in found}


def test_goals_compare_with_janus_under_the_same_load() -> None:
    met = named(goals([RUN, JANUS, TUNED], floor_us=1.4))
    assert len(met) == 5
    assert all(met.values())
    dear = replace(RUN, cpu_us_per_packet=26.0, loss=0.001)
    assert not any(named(goals([dear, JANUS, TUNED], floor_us=1.4)).values())
    elsewhere = replace(JANUS, shape="frames")
    assert len(goals([RUN, elsewhere])) == 2


def test_the_code_in_python_has_goals_of_its_own() -> None:
    python = replace(RUN, server="python", cpu_us_per_packet=5.0)
    assert named(goals([python, TUNED]))["python, burst10, 100 subscribers: of janus event_loops=1"]
    dear = replace(python, cpu_us_per_packet=6.0)
    assert not named(goals([dear, TUNED]))["python, burst10, 100 subscribers: of janus event_loops=1"]


def test_costs_are_medians_of_the_runs_that_nothing_disturbed() -> None:
    runs = [RUN, replace(RUN, cpu_us_per_packet=4.0), replace(RUN, cpu_us_per_packet=3.0)]
    noisy = [replace(RUN, cpu_us_per_packet=50.0, disturbed=True)] * 5
    assert cost([*noisy, *runs], "native", "burst10", 100) == (3.0, False)
    assert cost(noisy, "native", "burst10", 100) == (50.0, True)
    assert cost(noisy, "native", "burst10", 10) is None


def test_the_cost_per_packet_must_not_grow_with_the_audience() -> None:
    few = replace(RUN, shape="slow10", subscribers=50)
    many = replace(few, subscribers=1000, cpu_us_per_packet=2.5)
    assert [goal.ok for goal in goals([few, many])][-1] is False
    assert [goal.ok for goal in goals([few, replace(many, cpu_us_per_packet=2.3)])][-1] is True


def test_joins_count_when_there_are_many() -> None:
    few, many = Joins("native", 9, 9.0, 900.0), Joins("native", 50, 1.6, 120.0)
    assert [goal.ok for goal in goals([], [few, many, replace(many, server="janus")])] == [False, True]


def test_loss_counts_only_up_to_half_load() -> None:
    busy = replace(RUN, cpu_load=0.9, loss=0.2)
    assert all(goal.ok for goal in goals([RUN, busy]))


@pytest.mark.peer
def test_the_floor_is_measured() -> None:
    least = floor_us("127.0.0.1")
    assert least is not None
    assert least > 0


def test_the_table_has_a_ratio_where_janus_ran() -> None:
    text = table([RUN, JANUS]).splitlines()
    assert len(text) == 3
    assert "disturbed" not in text[1]
    assert "disturbed" in table([replace(RUN, disturbed=True)])
    assert " 0.10 " in text[1]
    assert " 1.00 " in text[2]


def test_real_frames_are_uneven() -> None:
    load = shape("frames")
    sizes = [size for picture in load.pictures for size in picture]
    assert len(set(sizes)) > 20
    assert 2 < len(sizes) / len(load.pictures) < 10
    with pytest.raises(ValueError, match="no load"):
        shape("nothing")
