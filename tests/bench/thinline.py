"""What a real browser sees of a simulcast over a line that is cut, and over one that loses packets.

    python -m tests.bench.thinline [--json] [--seed 1]

Chromium publishes three encodings of pictures that no encoder makes small (320 × 180, some 1.5 Mbit/s, 15 a second),
another page of it watches through a UDP proxy: 3 Mbit/s, then 500 kbit/s, then 3 Mbit/s, with a queue of 0.3 s and
20 ms of delay; then a wide line that loses 5 %. Both browsers encode and decode on this machine: what it does beside
moves the figures, so the load average and the usual time between pictures are printed with them.
"""

import argparse
import asyncio
import itertools
import json
import os
import time
from collections.abc import Sequence
from typing import Any

from media.messages import SetViews, View
from tests.fakes.badway import Leg
from tests.fakes.thinline import ThinLine, thin_line

WIDE_BPS, THIN_BPS = 3e6, 500e3
CUT_S, BACK_S, LOSS_S = 12.0, 18.0, 15.0
SETTLED_QUEUE_S = 0.15
DOWN_GOAL_S, UP_GOAL_S, FREEZE_GOAL_MS, SWITCH_GOAL_MS, DECODED_GOAL = 4.0, 15.0, 500.0, 200.0, 0.95

Shown = list[tuple[float, int, int]]


def gaps(shown: Sequence[tuple[float, int, int]]) -> list[float]:
    """Milliseconds between pictures."""
    return [after[0] - before[0] for before, after in itertools.pairwise(shown)]


async def until_settled(line: ThinLine, widths: Sequence[int], timeout_s: float) -> float | None:
    """Seconds until a picture of such a width is shown while the queue is short; None = not in time."""
    began = time.monotonic()
    while time.monotonic() - began < timeout_s:
        await asyncio.sleep(0.1)
        recent = [wait for at, wait in line.way.down.waits[-50:] if at > asyncio.get_running_loop().time() - 0.5]
        shown = await line.viewer.evaluate("shown.slice(-1)")
        if shown and shown[0][1] in widths and max(recent, default=0.0) < SETTLED_QUEUE_S:
            return time.monotonic() - began
    return None


async def cut(seed: int) -> dict[str, Any]:
    async with thin_line(Leg(bps=WIDE_BPS, delay_s=0.02), seed) as line:
        first = await until_settled(line, (320,), 20)
        await asyncio.sleep(4)
        line.way.down.bps, dropped = THIN_BPS, line.way.down.dropped
        start = (await line.shown())[-1][2]
        down = await until_settled(line, (160, 80), CUT_S)
        await asyncio.sleep(max(0.0, CUT_S - (down or CUT_S)))
        dropped = line.way.down.dropped - dropped
        line.way.down.bps = WIDE_BPS
        up = await until_settled(line, (320,), BACK_S)
        await asyncio.sleep(2)
        shown = await line.shown()
        during = [each for each in shown if each[2] >= start]
        return {
            "first_s": first, "down_s": down, "up_s": up, "dropped": dropped,
            "longest_gap_ms": max(gaps(during)), "usual_gap_ms": sorted(gaps(shown))[len(shown) // 2],
        }  # fmt: skip


async def lossy(seed: int) -> dict[str, Any]:
    async with thin_line(Leg(delay_s=0.02), seed) as line:
        await until_settled(line, (320,), 20)
        line.way.down.loss = 0.05
        before = await line.inbound()
        await asyncio.sleep(LOSS_S)
        after = await line.inbound()
        numbers = {key: after[key] - before[key] for key in ("framesReceived", "framesDecoded", "packetsReceived")}
        sent = await frames_sent(line)
        await asyncio.sleep(LOSS_S)
        last = await line.inbound()
        decoded, published = last["framesDecoded"] - after["framesDecoded"], await frames_sent(line) - sent
        return {**numbers, "lost_packets": line.way.down.lost, "sent": published, "decoded": decoded}


async def frames_sent(line: ThinLine) -> int:
    """Of the largest encoding, by the publisher."""
    script = """async () => {
        for (const each of (await pc.getStats()).values())
            if (each.type === "outbound-rtp" && each.rid === "f") return each.framesSent;
    }"""
    return int(await line.publisher.evaluate(script))


async def switches(seed: int) -> list[float]:
    """Gaps at changes of encoding by the size of the tile, on a good line."""
    async with thin_line(Leg(), seed) as line:
        await until_settled(line, (320,), 20)
        for height, width in ((180, 80), (360, 160), (720, 320), (180, 80), (720, 320), (360, 160)):
            await line.link.call(SetViews(peer="viewer", views={line.track: View(height=height)}))
            await until_settled(line, (width,), 10)
            await asyncio.sleep(0.5)
        shown = await line.shown()
        return [after[0] - before[0] for before, after in itertools.pairwise(shown) if before[1] != after[1]]


def goal(name: str, value: float | None, unit: str, bound: float, *, least: bool = False) -> dict[str, Any]:
    """`value` None = it never came."""
    ok = value is not None and (value >= bound if least else value <= bound)
    words = f"{'>=' if least else '<='} {bound}"
    return {"name": name, "value": None if value is None else round(value, 3), "unit": unit, "goal": words, "ok": ok}


async def measure(seed: int) -> dict[str, Any]:
    load = os.getloadavg()[0]
    cut_, lossy_, gaps_ = await cut(seed), await lossy(seed), await switches(seed)
    goals = [
        goal("settled after a cut to 500 kbit/s", cut_["down_s"], "s", DOWN_GOAL_S),
        goal("settled after its end", cut_["up_s"], "s", UP_GOAL_S),
        goal("longest freeze meanwhile", cut_["longest_gap_ms"], "ms", FREEZE_GOAL_MS),
        goal("longest gap at a change of encoding", max(gaps_), "ms", SWITCH_GOAL_MS),
        goal("decoded with 5 % lost", lossy_["decoded"] / max(1, lossy_["sent"]), "share", DECODED_GOAL, least=True),
    ]
    return {
        "load": load,
        "cut": cut_,
        "lossy": lossy_,
        "switch_gaps_ms": [round(each) for each in gaps_],
        "goals": goals,
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.thinline", description="What a thin line shows.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--seed", type=int, default=1, help="of the die that loses packets")
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.seed))
    if arguments.json:
        print(json.dumps(found))
        return
    for key in ("load", "cut", "lossy", "switch_gaps_ms"):
        print(f"{key}: {found[key]}")
    for each in found["goals"]:
        print(f"{'ok    ' if each['ok'] else 'MISSED'} {each['name']}: {each['value']} {each['unit']} ({each['goal']})")


if __name__ == "__main__":
    main()
