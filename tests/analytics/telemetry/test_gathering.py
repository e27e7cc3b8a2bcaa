"""Several connections, one bounded way to the store."""

import asyncio
from functools import partial

import pytest

from analytics.plugin import Reading
from analytics.telemetry.gathering import MOST_SAMPLES, Gathering
from analytics.telemetry.payload import Parsed, Reason, Rejected


def parsed(*values: float) -> Parsed:
    return Parsed([Reading("hongqi", "fan", "current_a", value, "A", value, value) for value in values])


async def feed(gathering: Gathering, count: int, put: list[int]) -> None:
    for number in range(count):
        await gathering.put(parsed(float(number)))
        put.append(number)
    await asyncio.Event().wait()


async def test_feeders_are_slowed_down_by_a_slow_store() -> None:
    gathering, put = Gathering(most=3, wait_s=0.0), list[int]()
    batches = gathering.batches([partial(feed, gathering, 50, put)])
    first = await anext(batches)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(put) <= 3 + len(first.readings) + 1  # nobody asked for a second batch
    seen = list(first.readings)
    while len(seen) < 50:
        seen += (await anext(batches)).readings
    assert [one.value for one in seen] == [float(number) for number in range(50)]
    await batches.aclose()


async def test_batch_joins_what_comes_quickly_and_has_an_end() -> None:
    gathering, put = Gathering(most=10_000, wait_s=5.0), list[int]()
    batches = gathering.batches([partial(feed, gathering, MOST_SAMPLES + 10, put)])
    assert len((await anext(batches)).readings) == MOST_SAMPLES
    await batches.aclose()


async def test_refusals_are_counted_in_their_batch() -> None:
    gathering = Gathering(wait_s=0.0)

    async def one() -> None:
        bad = parsed(1.0)
        bad.reject(Rejected(Reason.NO_VALUE, "no value"))
        await gathering.put(bad)
        await asyncio.Event().wait()

    batches = gathering.batches([one])
    assert (await anext(batches)).rejected == 1
    await batches.aclose()


async def test_feeder_that_fails_ends_the_source_and_its_neighbours() -> None:
    gathering, ended = Gathering(), asyncio.Event()

    async def fails() -> None:
        raise OSError("broken")

    async def goes_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(OSError, match="broken"):
        await anext(gathering.batches([goes_on, fails]))
    assert ended.is_set()
