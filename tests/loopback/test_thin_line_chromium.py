"""What a real browser sees of a simulcast over a bad way: counts, no times."""

import asyncio

import pytest

from tests.fakes.badway import Leg
from tests.fakes.thinline import thin_line

pytestmark = pytest.mark.peer


@pytest.mark.parametrize("burst", [1.0, 4.0])
async def test_five_percent_lost_costs_few_pictures(burst: float) -> None:
    async with thin_line(Leg(delay_s=0.02)) as line:
        await line.until_width(320, timeout_s=20)
        line.way.down.loss, line.way.down.burst = 0.05, burst
        before = await line.inbound()
        await asyncio.sleep(6)
        async with asyncio.timeout(40):
            while line.way.down.lost <= 5:  # packets are few, and bursts of them rare
                await asyncio.sleep(0.5)
        after = await line.inbound()
        line.way.down.loss = 0.0
        await asyncio.sleep(0.5)
        settled = await line.inbound()
        assert after["framesReceived"] - before["framesReceived"] > 10
        lost = settled["packetsLost"] - before["packetsLost"]
        arrived = settled["packetsReceived"] - before["packetsReceived"]
        assert lost + arrived > 100
        # Lost packets come again: what is received whole is decoded, and hardly anything is not received whole.
        whole = settled["framesDecoded"] + settled.get("framesDropped", 0)  # a busy machine shows fewer
        assert whole >= settled["framesReceived"] - 0.05 * settled["framesReceived"] - 2
        assert settled["retransmittedPacketsReceived"] >= 0.9 * (line.way.down.lost - lost) / 2
        assert settled["pliCount"] <= 2


async def test_a_line_that_gets_thin_and_wide_again_gets_smaller_and_larger_pictures() -> None:
    async with thin_line(Leg(bps=3e6, delay_s=0.02)) as line:
        await line.until_width(320, timeout_s=20)
        line.way.down.bps = 500e3
        await line.until_width(160, 80, timeout_s=15)
        dropped = line.way.down.dropped
        before = await line.inbound()
        await asyncio.sleep(5)
        after = await line.inbound()
        assert line.way.down.dropped - dropped <= 30
        assert after["framesDecoded"] - before["framesDecoded"] > 5
        assert (await line.shown())[-1][1] in (160, 80)
        line.way.down.bps = 3e6
        await line.until_width(320, timeout_s=30)
