"""The bench of phones runs and measures."""

from tests.bench.phones import delays, goals, measure, ticked


async def test_a_short_run_measures_cost_and_delay() -> None:
    run = await measure(legs=4, rooms=2, seconds=2.5)
    assert run["cores"] > 0
    assert run["to_phones_per_s"] > 20
    assert run["to_door_per_s"] > 20
    assert run["phone_to_phone"]["count"] >= 1
    run["cores_ticked"] = await ticked(legs=4, rooms=2, ticks=50)
    assert 0 < run["cores_ticked"] < 1
    names = [each["name"] for each in goals(run, run)]
    assert names[0] == "CPU of the phone worker"
    assert len(names) == 5
    alone = await measure(legs=1, rooms=1, seconds=1.5)
    assert alone["to_phones_per_s"] > 20
    assert alone["phone_to_phone"]["count"] == 0


def test_delays_pair_each_loud_packet_with_the_next_one_heard() -> None:
    assert delays([1.0, 2.0, 3.0], [1.1, 2.25, 9.0]) == [1.1 - 1.0, 2.25 - 2.0]
