"""What a consultation of ten loses when its media worker is killed with -9, twenty times.

    python -m tests.bench.kills [--json] [--kills 20]

Everybody publishes pictures and sound and watches another one's; everybody is recorded. After each kill the time is
taken until the last of them sees and hears again; the next follows 1 to 2 s after all are recorded again. At the end
every file is decoded. Clients and server share this machine: the load average is printed.
"""

import argparse
import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from tests.fakes.killing import PEOPLE, kill_again_and_again

BACK_GOAL_S, LOST_GOAL_S = 3.0, 1.0


def goal(name: str, value: float, unit: str, bound: float) -> dict[str, Any]:
    return {"name": name, "value": round(value, 3), "unit": unit, "goal": f"<= {bound}", "ok": value <= bound}


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


async def measure(kills: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found = await kill_again_and_again(Path(folder), kills)
    return {
        "people": PEOPLE,
        "kills": kills,
        "load": found.load,
        "back_s": [round(each, 3) for each in found.back_s],
        "files": found.tracks,
        "broken": found.broken,
        "lost_before_the_kill_s": {"middle": middle(found.lost_s), "most": max(found.lost_s)},
        "gap_in_the_recording_s": {"middle": middle(found.gaps_s), "most": max(found.gaps_s)},
        "goals": [
            goal("everybody sees and hears again", max(found.back_s), "s", BACK_GOAL_S),
            goal("recorded until so long before the kill", max(found.lost_s), "s", LOST_GOAL_S),
            goal("missing in the recording in all, worst of all tracks and kills", max(found.gaps_s), "s", LOST_GOAL_S),
            goal("files that do not play as they are", len(found.broken), "files", 0),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.kills", description="What kills of media cost.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--kills", type=int, default=20)
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments.kills))
    if arguments.json:
        print(json.dumps(found))
        return
    for key in ("load", "back_s", "files", "lost_before_the_kill_s", "gap_in_the_recording_s"):
        print(f"{key}: {found[key]}")
    for each in found["goals"]:
        print(f"{'ok    ' if each['ok'] else 'MISSED'} {each['name']}: {each['value']} {each['unit']} ({each['goal']})")


if __name__ == "__main__":
    main()
