"""What a real browser sees of a simulcast over a line that is cut, and over one that loses packets.

    python -m tests.bench.thinline [--json] [--seed 1] [--parts cut,loss,switches,joins]

Chromium publishes three encodings of pictures that no encoder makes small (320 × 180, some 1.5 Mbit/s, 15 a second),
another page of it watches through a UDP proxy: 3 Mbit/s, then 500 kbit/s, then 3 Mbit/s, with a queue of 0.3 s and
20 ms of delay; then a wide line that loses 5 % of the packets, and 10 % in bursts of four. Twenty more viewers come one
after the other, on the loopback address and over a way of 100 ms there and back that loses 2 % either way. Both
browsers encode and decode on this machine: what it does beside moves the figures, so the load average, the usual time
between pictures and the share decoded without loss are printed with them.
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
CUT_S, BACK_S, LOSS_S, JOINS = 12.0, 18.0, 12.0, 20
SETTLED_QUEUE_S = 0.15
DOWN_GOAL_S, UP_GOAL_S, FREEZE_GOAL_MS, SWITCH_GOAL_MS, DECODED_GOAL = 4.0, 15.0, 500.0, 200.0, 0.95
NEAR_GOAL_MS, FAR_GOAL_MS = 800.0, 2000.0

PARTS = ("cut", "loss", "switches", "joins")


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
    """Shares of the pictures sent that are decoded: without loss (what the machine can show at all), with single
    packets lost, and with several in a row."""
    async with thin_line(Leg(delay_s=0.02), seed) as line:
        await until_settled(line, (320,), 20)
        await asyncio.sleep(2)
        found: dict[str, Any] = {}
        for name, loss, burst in (("clean", 0.0, 1.0), ("random", 0.05, 1.0), ("bursts", 0.10, 4.0)):
            line.way.down.loss, line.way.down.burst, lost = loss, burst, line.way.down.lost
            before, sent = await line.inbound(), await frames_sent(line)
            await asyncio.sleep(LOSS_S)
            after = await line.inbound()
            found[name] = {
                "sent": await frames_sent(line) - sent,
                "decoded": after["framesDecoded"] - before["framesDecoded"],
                "lost_packets": line.way.down.lost - lost,
                "freezes_ms": round(1000 * (after["totalFreezesDuration"] - before["totalFreezesDuration"])),
            }
        return found


async def joining(seed: int) -> dict[str, list[float]]:
    """From the wish to see to the first decoded picture, one viewer after the other. Signalling goes by HTTP on the
    loopback address either way."""
    found: dict[str, list[float]] = {}
    for name, loss, delay_s in (("loopback", 0.0, 0.0), ("far", 0.02, 0.05)):
        legs = [Leg(delay_s=delay_s, loss=loss) for _ in range(2)]
        async with thin_line(legs[0], seed, legs[1]) as line:
            await until_settled(line, (320, 160, 80), 20)
            found[name] = sorted([round(await line.join(f"viewer{number}")) for number in range(JOINS)])
    return found


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


def share(part: dict[str, int]) -> float:
    return part["decoded"] / max(1, part["sent"])


async def measure(seed: int, parts: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"load": os.getloadavg()[0]}
    goals: list[dict[str, Any]] = []
    if "cut" in parts:
        cut_ = found["cut"] = await cut(seed)
        goals += [
            goal("settled after a cut to 500 kbit/s", cut_["down_s"], "s", DOWN_GOAL_S),
            goal("settled after its end", cut_["up_s"], "s", UP_GOAL_S),
            goal("longest freeze meanwhile", cut_["longest_gap_ms"], "ms", FREEZE_GOAL_MS),
        ]
    if "loss" in parts:
        lossy_ = found["loss"] = await lossy(seed)
        goals += [
            goal("decoded with 5 % lost", share(lossy_["random"]), "share", DECODED_GOAL, least=True),
            goal("decoded with 10 % lost in bursts", share(lossy_["bursts"]), "share", DECODED_GOAL, least=True),
        ]
    if "switches" in parts:
        gaps_ = await switches(seed)
        found["switch_gaps_ms"] = [round(each) for each in gaps_]
        goals.append(goal("longest gap at a change of encoding", max(gaps_), "ms", SWITCH_GOAL_MS))
    if "joins" in parts:
        joins_ = found["joins_ms"] = await joining(seed)
        for name, bound in (("loopback", NEAR_GOAL_MS), ("far", FAR_GOAL_MS)):
            late = joins_[name][int(0.95 * (JOINS - 1))]
            goals.append(goal(f"join to first decoded picture, p95, {name}", late, "ms", bound))
    return {**found, "goals": goals}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.thinline", description="What a thin line shows.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--seed", type=int, default=1, help="of the die that loses packets")
    parser.add_argument("--parts", default=",".join(PARTS), help="what is measured, with commas")
    arguments = parser.parse_args()
    parts = arguments.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"there is no part of the name {', '.join(sorted(unknown))}")
    found = asyncio.run(measure(arguments.seed, parts))
    if arguments.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        if key != "goals":
            print(f"{key}: {value}")
    for each in found["goals"]:
        print(f"{'ok    ' if each['ok'] else 'MISSED'} {each['name']}: {each['value']} {each['unit']} ({each['goal']})")


if __name__ == "__main__":
    main()
