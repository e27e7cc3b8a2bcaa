"""Hurt models, as many as you like: each must be refused with a reason, or run, and no process but a trial's may end.

    python -m tests.bench.models --count 500 --json

A hurt model has a card that fits its bytes, so that only what is looked into, loaded and run can find the harm. The
same model beside the card of the whole one must be refused for its hash. A signal ends the trial's process, and is
counted as `crashed`; one that reached this process would leave no report.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from analytics.errors import ModelRefused
from analytics.onnx import load_tried
from tests.fakes import onnxfile
from tests.fakes.onnxfile import cells_card, red_cells, red_squares


def mutant(seed: int) -> tuple[bytes, dict[str, object]]:
    """One of two sound models, changed, and what its card must say beside the usual."""
    rng = np.random.default_rng(seed)
    squares = rng.random() < 0.5
    data, card = (red_squares(), {}) if squares else (red_cells(2), cells_card(classes=["lamp", "cart"]))
    while (changed := _changed(data, rng)) == data:
        pass
    return changed, card


def _changed(data: bytes, rng: np.random.Generator) -> bytes:
    """Bytes of its structure, a cut, a piece moved, a piece repeated, zeros."""
    changed = bytearray(data)
    kind = int(rng.integers(0, 5))
    at = int(rng.integers(0, len(data)))
    length = int(rng.integers(1, 400))
    if kind == 0:
        structure = [*range(150), *range(len(data) - 120, len(data))]
        for place in rng.choice(structure, int(rng.integers(1, 6))):
            changed[place] = int(rng.integers(0, 256))
    elif kind == 1:
        del changed[at:]
    elif kind == 2:
        piece = changed[at : at + length]
        del changed[at : at + length]
        changed[at // 2 : at // 2] = piece
    elif kind == 3:
        changed[at:at] = changed[:length]
    else:
        changed[at // 8 : at // 8 + length] = bytes(len(changed[at // 8 : at // 8 + length]))
    return bytes(changed)


def hurt(folder: Path, seed: int) -> str:
    """Why it is refused; empty where it runs."""
    data, card = mutant(seed)
    path = onnxfile.write(folder, data, **card)
    try:
        load_tried(path)
    except ModelRefused as error:
        return error.reason
    return ""


def beside_the_old_card(folder: Path, seed: int) -> str:
    """The same with the card of the whole model."""
    data, card = mutant(seed)
    path = onnxfile.write(folder, red_cells(2) if card else red_squares(), **card)
    path.write_bytes(data)
    try:
        load_tried(path)
    except ModelRefused as error:
        return error.reason
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fitted = Counter(hurt(folder, asked.seed + n) for n in range(asked.count))
        stale = Counter(beside_the_old_card(folder, asked.seed + n) for n in range(asked.count))
    runs = fitted.pop("", 0)
    checked, rejected = fitted.total() + runs, stale.total() - stale[""]
    goals = [
        {"name": "checked to the end", "value": checked, "unit": "models", "goal": asked.count,
         "ok": checked == asked.count},
        {"name": "refused beside the old card", "value": rejected, "unit": "models", "goal": asked.count,
         "ok": rejected == asked.count},
    ]  # fmt: skip
    report = {
        "models": asked.count,
        "card_fits": {"refused": dict(fitted), "harm_without_effect": runs},
        "old_card": dict(stale),
        "goals": goals,
    }
    sys.stdout.write(json.dumps(report, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main()
