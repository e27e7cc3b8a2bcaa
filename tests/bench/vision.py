"""Key spots by events on seeded scenes, twice made, and what looking costs: python tests/bench/vision.py --json

| figure    | first set                                     | second set, made differently                          |
|-----------|-----------------------------------------------|-------------------------------------------------------|
| crossing  | boxes that tremble and are missed, by chance  | painted figures through H.264, found by `motion`      |
| headcount | the same                                      | -                                                     |
| intrusion | the same, with short visits that are no event | painted figures through H.264, found by `motion`      |
| belt      | lumps of random size in grey noise            | stripes and chevrons with lamp flicker, through H.264 |

All of it is made by programs: figures tell what gets worse, and are an upper bound of what a site will give. Absence
and sleep have a bench of their own (tests/bench/duty.py). The cost is that of a vision worker's process alone, fed over
its socket with real H.264: the media worker's share is in tests/bench/forward.py.
"""

import argparse
import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a program it is run from anywhere

from analytics.decoder import TrackDecoder
from analytics.messages import Beat, Observed, Ready
from analytics.options import DetectorOptions
from analytics.plugin import Detection
from analytics.rules.spots import spot_of
from analytics.vision.flow import FlowDetector
from analytics.vision.moving import MotionDetector
from config.settings import AnalyticsSettings, RuleSettings, SpotSettings
from media.tap import AccessUnit, pack
from tests.fakes.clips import encode, scene
from tests.fakes.visionprocess import vision_process
from tests.fakes.walks import RATE, Walk, gate_walks, seen

Image = npt.NDArray[np.uint8]
Pictures = Iterable[tuple[float, list[Detection]]]
EPOCH = 1_800_000_000.0
SIZE = (320, 180)
GATE = {"kind": "crossing", "line": ((0.0, 0.6), (1.0, 0.6)), "inward": "left"}
ZONE = ((0.4, 0.4), (0.9, 0.4), (0.9, 1.0), (0.4, 1.0))
BELT_ZONE = ((0.25, 0.4), (0.75, 0.4), (0.75, 0.9), (0.25, 0.9))
FALSE_BAR, MISS_BAR, DELAY_BAR_S = 0.05, 0.10, 2.0
"""The draft bar for mine video."""


@dataclass
class Events:
    """Of one detector on one set."""

    events: int = 0
    found: int = 0
    false: int = 0
    delays_s: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def told(self) -> dict[str, Any]:
        raised = self.found + self.false
        delays = sorted(self.delays_s)
        p95 = delays[min(len(delays) - 1, math.ceil(0.95 * len(delays)) - 1)] if delays else None
        false_share = self.false / raised if raised else None
        missed = 1 - self.found / self.events if self.events else None
        met = (
            None
            if false_share is None or missed is None or p95 is None
            else false_share <= FALSE_BAR and missed <= MISS_BAR and p95 <= DELAY_BAR_S
        )
        return {
            "events": self.events, "found": self.found, "false": self.false, "seconds": round(self.seconds),
            "precision": round(self.found / raised, 4) if raised else None,
            "recall": round(self.found / self.events, 4) if self.events else None,
            "false_per_camera_day": round(self.false * 86400 / self.seconds, 2) if self.seconds else None,
            "beyond_set_time_p95_s": round(p95, 2) if p95 is not None else None, "regulator_bar": met,
        }  # fmt: skip


def settings(**more: Any) -> SpotSettings:
    return SpotSettings.model_validate({"spot": "spot", "site": "bench", "camera": "spot", **more})


# --- crossing, headcount, intrusion -----------------------------------------------------------------------------------


def crossing(pictures: Pictures, entered: int, left: int, label: str = "person") -> tuple[int, int, int]:
    """Errors, passes and undecided of one walk."""
    spot = spot_of(settings(**GATE, labels=[label]), RuleSettings(), at=EPOCH)
    for at, things in pictures:
        spot.observe(EPOCH + at, "ok", things)
    state = spot.state()
    errors = abs(int(str(state["in"])) - entered) + abs(int(str(state["out"])) - left)
    return errors, entered + left, int(str(state["undecided"]))


def headcount(seeds: Sequence[int], counts: int) -> dict[str, Any]:
    """Whether the median count of ten seconds is the number of people there."""
    exact = near = total = 0
    for seed in seeds:
        rng = np.random.default_rng([seed, 3])
        for _ in range(counts):
            people = int(rng.integers(0, 11))
            places = rng.permutation(12)[:people]
            walks = [Walk(0, 99, (0.06 + 0.08 * float(p), 0.7), (0.06 + 0.08 * float(p), 0.7)) for p in places]
            spot = spot_of(settings(kind="headcount"), RuleSettings(), at=EPOCH)
            for at, things in seen(walks, 12, seed=int(rng.integers(1 << 30)), missed=0.1, ghosts=0.05, rate=2.0):
                spot.observe(EPOCH + at, "ok", things)
            said = spot.state()["people"]
            exact, near, total = exact + (said == people), near + (abs(int(str(said)) - people) <= 1), total + 1
    return {"counts": total, "exact": round(exact / total, 4), "within_one": round(near / total, 4)}


def visits(seed: int, count: int) -> list[tuple[Walk, bool]]:
    """Stays in the danger zone: of 3 to 8 s, and of at most 1.4 s, which are none; and people who pass beside it."""
    rng = np.random.default_rng([seed, 5])
    found, at = [], 2.0
    for _ in range(count):
        kind = rng.random()
        x, y = float(rng.uniform(0.5, 0.8)), float(rng.uniform(0.65, 0.95))
        lasts = float(rng.uniform(3, 8)) if kind < 0.6 else float(rng.uniform(0.6, 1.4))
        if kind > 0.85:
            found.append((Walk(at, at + 5, (0.1, y), (0.3, y)), False))
        else:
            found.append((Walk(at, at + lasts, (x, y), (x + 0.08, y)), kind < 0.6))
        at += lasts + float(rng.uniform(9, 12))
    return found


def intrusion(events: list[tuple[Walk, bool]], pictures: Pictures, score: Events, label: str = "person") -> None:
    spot = spot_of(settings(kind="danger", zone=ZONE, labels=[label]), RuleSettings(), at=EPOCH)
    raised: list[float] = []
    last = 0.0
    for last, things in pictures:
        findings = [*spot.observe(EPOCH + last, "ok", things).findings, *spot.tick(EPOCH + last).findings]
        raised += [last for one in findings if one.change == "raised"]
    score.seconds += last
    wanted = RuleSettings().intrusion_s
    for walk, counts in events:
        if not counts:
            continue
        score.events += 1
        good = [at for at in raised if walk.begins_s + wanted - 1 / RATE <= at <= walk.ends_s + 4]
        if good:
            score.found += 1
            score.delays_s.append(good[0] - walk.begins_s - wanted)
            raised.remove(good[0])
    score.false += len(raised)


# --- painted pictures -------------------------------------------------------------------------------------------------


def painted(walks: Sequence[Walk], seconds: float, seed: int) -> Iterator[Image]:
    """Figures of two colours and a head, in front of blocks of grey; light that breathes, and noise."""
    rng = np.random.default_rng([seed, 7])
    rows, columns = SIZE[1] // 4, SIZE[0] // 4
    wall = rng.integers(60, 150, (rows, columns)).repeat(4, axis=0).repeat(4, axis=1).astype(np.float32)
    wall = np.repeat(wall[..., None], 3, axis=2)
    colours = rng.uniform(0, 255, (len(walks), 2, 3))
    colours = np.where(np.abs(colours - 105) < 60, 240.0, colours)
    for number in range(int(seconds * RATE)):
        at = number / RATE
        image = wall * (1 + 0.03 * math.sin(at / 7))
        for walk, (coat, legs) in zip(walks, colours, strict=True):
            if (box := walk.box(at)) is not None:
                x0, y0, x1, y1 = (round(v * s) for v, s in zip(box, (*SIZE, *SIZE), strict=True))
                middle = (y0 + 2 * y1) // 3
                image[max(y0, 0) : middle, max(x0, 0) : x1] = coat
                image[middle : max(y1, 0), max(x0, 0) : x1] = legs
        yield np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def through_h264(pictures: Iterator[Image], rate: int) -> Iterator[Any]:
    """Frames as the vision worker sees them."""
    decoder = TrackDecoder("bench", "H264")
    for unit in encode(pictures, "H264", track="bench", rate=rate):
        for decoded in decoder.feed(unit):
            yield decoded.frame()


def by_motion(walks: Sequence[Walk], seconds: float, seed: int) -> Pictures:
    detector = MotionDetector(DetectorOptions("bench/spot"))
    for frame in through_h264(painted(walks, seconds, seed), int(RATE)):
        yield frame.pts_s - 100.0, list(detector.detect(frame))


# --- belts ------------------------------------------------------------------------------------------------------------


def belt(seed: int, kind: str, *, seconds: float = 40.0) -> tuple[int, int, float | None]:
    """A belt that starts or stops half way: windows judged right and wrong, and seconds until the change was seen."""
    rng = np.random.default_rng([seed, 11])
    speed = float(rng.uniform(3, 14)) * (1 if rng.random() < 0.5 else -1)
    first = bool(rng.random() < 0.5)
    texture = _lumps(rng) if kind == "lumps" else _stripes(rng)
    detector = FlowDetector(DetectorOptions("bench/belt", BELT_ZONE))
    spot = spot_of(settings(kind="belt", zone=BELT_ZONE), RuleSettings(belt_window_s=10.0), at=EPOCH)
    right = wrong = 0
    seen_after: float | None = None
    travelled = 200.0
    for number in range(int(seconds / 2)):
        at = number * 2.0
        running = first == (at < seconds / 2)
        frames: list[Image] = []
        for _ in range(detector.burst):
            travelled = 100 + (travelled - 100 + speed * running) % 700
            frames.append(_belt_picture(texture, travelled, rng, flicker=kind != "lumps"))
        things = list(detector.detect_burst(_framed(frames, at, kind)))
        spot.observe(EPOCH + at, "ok", things)
        state, wanted = spot.state()["state"], "running" if running else "stopped"
        since = at if at < seconds / 2 else at - seconds / 2
        if since >= seconds / 2 and seen_after is None and state == wanted:
            seen_after = since - seconds / 2
        if at >= seconds / 2 and state == wanted and seen_after is None:
            seen_after = since
        if since >= 12:
            right, wrong = right + (state == wanted), wrong + (state != wanted)
    return right, wrong, seen_after


def _lumps(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    block = int(rng.integers(3, 7))
    rough = rng.normal(95, 38, (120 // block + 1, 1200 // block + 1))
    return np.clip(rough.repeat(block, axis=0).repeat(block, axis=1)[:120, :1200], 0, 255)


def _stripes(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Chevrons at uneven distances, with dirt."""
    places = np.cumsum(rng.uniform(18, 46, 80)).astype(int)
    texture = rng.normal(70, 9, (120, 1200))
    for place in places[places < 1130]:
        for row in range(120):
            left = place + abs(row - 60) // 3
            texture[row, left : left + 9] += 80
    return np.clip(texture, 0, 255)


def _belt_picture(
    texture: npt.NDArray[np.float64], travelled: float, rng: np.random.Generator, *, flicker: bool
) -> Image:  # fmt: skip
    image = np.full((SIZE[1], SIZE[0]), 120.0)
    image[::12] = 70
    image[:, ::16] = 160
    left = round(travelled)
    image[72:162, 80:240] = texture[:90, left : left + 160]
    if flicker:
        image *= float(rng.uniform(0.92, 1.08))
    image += rng.normal(0, 4, image.shape)
    return np.repeat(np.clip(image, 0, 255).astype(np.uint8)[..., None], 3, axis=2)


def _framed(frames: list[Image], at: float, kind: str) -> list[Any]:
    from media.frames import Frame

    if kind == "lumps":
        return [Frame("bench", at + n / 25, at, image, False) for n, image in enumerate(frames)]
    return list(through_h264(iter(frames), 25))


# --- cost -------------------------------------------------------------------------------------------------------------


async def cost(cameras: int, seconds: float) -> dict[str, Any]:
    """CPU and memory of a vision worker with so many 360p cameras at 25 pictures a second, one of them looked at."""
    clip = list(encode([scene(n / 25, size=(640, 360)) for n in range(100)], "H264", rate=25, key_every=50))
    options = AnalyticsSettings.model_validate({"frames_per_s": 1.0})
    with tempfile.TemporaryDirectory() as name:
        async with vision_process(Path(name), options) as worker:
            await worker.until(Ready)
            before = await worker.until(Beat)
            for number in range(cameras):
                worker.watch(f"bench/c{number}", f"t{number}", "absence")
            playing = [asyncio.create_task(_camera(worker.tap_address, f"t{n}", clip)) for n in range(cameras)]
            try:
                await worker.until(Beat, lambda beat: beat.cameras == cameras)
                warm = time.monotonic() + 6.0
                first = await worker.until(Beat, lambda _: time.monotonic() >= warm)
                began, at = time.monotonic(), len(worker.messages)
                last = await worker.until(Beat, lambda _: time.monotonic() >= began + seconds)
                took = time.monotonic() - began
            finally:
                for task in playing:
                    task.cancel()
                await asyncio.gather(*playing, return_exceptions=True)
            looked = [one for one in worker.messages[at:] if isinstance(one, Observed) and one.picture == "ok"]
    ms = (last.cpu_s - first.cpu_s) / took * 1000 / cameras
    return {
        "cameras": cameras, "seconds": round(took, 1), "cpu_ms_per_camera_s": round(ms, 2),
        "cameras_per_core_at_80": round(800 / ms, 1), "looked_at_per_camera_s": round(len(looked) / took / cameras, 2),
        "rss_mb": round(last.rss_mb), "rss_mb_per_camera": round((last.rss_mb - before.rss_mb) / cameras, 1),
    }  # fmt: skip


async def _camera(address: str, track: str, clip: Sequence[AccessUnit]) -> None:
    _, writer = await asyncio.open_unix_connection(address)
    began, sent = time.monotonic(), 0
    try:
        while True:
            unit = clip[sent % len(clip)]
            stamp = sent * 3600 + 9_000_000
            writer.write(pack(AccessUnit(track, "H264", unit.key, False, stamp, time.time(), unit.data)))
            await writer.drain()
            sent += 1
            await asyncio.sleep(max(0.0, began + sent / 25 - time.monotonic()))
    except ConnectionError:
        return
    finally:
        writer.close()


# --- all together -----------------------------------------------------------------------------------------------------


def bench(seeds: Sequence[int], scale: float = 1.0) -> dict[str, Any]:
    """Everything but the cost, as plain data. `scale`: how much is played for each seed."""
    passes, stays_of, counts, changes = (max(1, round(n * scale)) for n in (60, 12, 25, 4))
    sets: dict[str, dict[str, Any]] = {"first": {}, "second": {}}
    for name in sets:
        wrong = total = undecided = 0
        score = Events()
        for seed in seeds:
            walks, entered, left = gate_walks(seed, passes)
            length = walks[-1].ends_s + 4
            events = visits(seed, stays_of)
            stays = [walk for walk, _ in events]
            end = stays[-1].ends_s + 12
            if name == "first":
                errors = crossing(seen(walks, length, seed=seed), entered, left)
                intrusion(events, seen(stays, end, seed=seed), score)
            else:
                errors = crossing(by_motion(walks, length, seed), entered, left, "moving")
                intrusion(events, by_motion(stays, end, seed), score, "moving")
            wrong, total, undecided = wrong + errors[0], total + errors[1], undecided + errors[2]
        belts = [
            belt(seed * 10 + n, "lumps" if name == "first" else "stripes") for seed in seeds for n in range(changes)
        ]
        right, judged = sum(b[0] for b in belts), sum(b[0] + b[1] for b in belts)
        late = [b[2] for b in belts if b[2] is not None]
        sets[name] = {
            "crossing": {
                "passes": total, "errors": wrong, "right": round(1 - wrong / total, 4), "undecided": undecided,
            },
            "intrusion": score.told(),
            "belt": {
                "windows": judged, "right": round(right / judged, 4), "changes": len(belts), "changes_seen": len(late),
                "change_seen_after_max_s": max(late, default=None),
            },
        }  # fmt: skip
    sets["first"]["headcount"] = headcount(seeds, counts)
    gap = {
        "crossing_right": _less(sets, "crossing", "right"),
        "intrusion_recall": _less(sets, "intrusion", "recall"),
        "intrusion_precision": _less(sets, "intrusion", "precision"),
        "belt_right": _less(sets, "belt", "right"),
    }
    return {"seeds": list(seeds), "sets": sets, "gap": gap}


def _less(sets: dict[str, dict[str, Any]], part: str, figure: str) -> float | None:
    one, two = sets["first"][part][figure], sets["second"][part][figure]
    return None if one is None or two is None else round(one - two, 4)


def goals(result: dict[str, Any]) -> list[dict[str, Any]]:
    """As the project states them; for the first set, and for the second beside it."""
    found = []
    for name in ("first", "second"):
        one = result["sets"][name]
        found += [
            _goal(f"{name}: passes right", one["crossing"]["right"], "share", 0.98),
            _goal(f"{name}: belt state right", one["belt"]["right"], "share", 0.999),
        ]
    found.append(_goal("first: headcount exact", result["sets"]["first"]["headcount"]["exact"], "share", 0.95))
    if "cost" in result:
        one = result["cost"]
        found += [
            _goal("360p cameras per core at 1 a second", one["cameras_per_core_at_80"], "cameras", 50),
            _goal("memory per camera", one["rss_mb_per_camera"], "MB", 20, most=True),
        ]
    return found


def _goal(name: str, value: float, unit: str, goal: float, *, most: bool = False) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "goal": goal, "ok": value <= goal if most else value >= goal}


def main() -> None:
    parser = argparse.ArgumentParser(description="Key spots by events, twice made, and what looking costs.")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(3001, 3009)))
    parser.add_argument("--cameras", type=int, default=10, help="for the cost; 0 = leave it out")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the cost's measurement")
    parser.add_argument("--json", action="store_true", help="one line")
    given = parser.parse_args()
    result = bench(given.seeds)
    if given.cameras:
        result["cost"] = asyncio.run(cost(given.cameras, given.seconds))
    result["goals"] = goals(result)
    sys.stdout.write(json.dumps(result, indent=None if given.json else 1) + "\n")


if __name__ == "__main__":
    main()
