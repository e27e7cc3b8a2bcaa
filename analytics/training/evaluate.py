"""Measures a person model on scenes that it has never met. Needs NumPy, Pillow, PyAV and onnxruntime only.

    python -m analytics.training.evaluate analytics/models/person.onnx

The scene classes differ on purpose in how they were made: by the ray caster instead of OpenGL, by the `hall` style of
room that training never used, through moving H.264 and VP8 at 500 kbit/s from the demonstration's cameras.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

from analytics.training import caster, clips, codecs, mine
from analytics.training.dataset import BIG, abstract
from analytics.training.labels import HEIGHT, WIDTH, Found, Tally, decode, shrink, truth
from analytics.training.room import dispatch_room
from analytics.training.scene import Scene

Picture = NDArray[np.uint8]
Rows = NDArray[np.float32]
Sample = tuple[Picture, Rows]

FIRST_SEED = 2_000_000
"""Seeds from here on are for measuring; training uses none of them."""
_NOBODY = np.zeros((0, 9), np.float32)


class PersonModel:
    """An ONNX person model on one thread. Pictures are (144, 256, 3) uint8 RGB."""

    def __init__(self, path: Path, threshold: float) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.threshold = threshold

    def __call__(self, picture: Picture) -> list[Found]:
        image = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        return decode(self._session.run(None, {"image": image})[0][0], self.threshold)


def to_input(picture: Picture) -> Picture:
    """Any picture at the model's size."""
    if picture.shape[:2] == (HEIGHT, WIDTH):
        return picture
    return np.asarray(Image.fromarray(picture).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def cast_sample(scene: Scene, rng: np.random.Generator) -> Sample:
    """A scene by the ray caster, with its sensor noise."""
    drawn = caster.draw(scene, BIG)
    rows = truth(scene, drawn.ids[::2, ::2])
    picture = shrink(drawn.picture, 2) + rng.normal(0, scene.noise * 255, (HEIGHT, WIDTH, 1))
    return np.clip(picture, 0, 255).astype(np.uint8), rows


def rooms(count: int, first: int = FIRST_SEED, **given: object) -> Iterator[Sample]:
    for seed in range(first, first + count):
        scene = dispatch_room(seed, t=float(seed % 50), **given)  # type: ignore[arg-type]
        yield cast_sample(scene, np.random.default_rng([seed, 77]))


def strange(count: int) -> Iterator[Sample]:
    """Shapes and gradients that mean nothing, and the demonstration's two places without a dispatch room."""
    for k in range(count):
        rng = np.random.default_rng([FIRST_SEED, k])
        yield shrink(abstract(rng), 2), _NOBODY
    for kind in mine.PERIOD:
        for k in range(max(1, count // 8)):
            yield to_input(clips.mine_scene(kind, 1.9 * k)), _NOBODY


_PLAY: tuple[str, ...] = ("work", "write", "sleep_desk", "sleep_back", "absent")


def show(seeds: range, coat: bool, codec: str | None, seconds: int = 3, fps: int = 8) -> Iterator[Sample]:
    """Pictures of the demonstration's cameras, each state for `seconds`, as one clip through a codec at 500 kbit/s.
    Only pictures well after each change are taken: the walks in between are not scored."""
    for seed in seeds:
        camera = clips.DispatchRoomCamera(seed, None, coat=coat)
        pictures: list[Picture] = []
        rows: list[Rows] = []
        for officer in _PLAY:
            told = _show_truth(seed, officer, coat)
            for k in range(seconds * fps):
                pictures.append(camera.frame(k / fps, officer))  # type: ignore[arg-type]
                rows.append(told)
        passed = codecs.clip(pictures, codec, 500_000, fps) if codec else pictures
        for k in range(fps // 2, len(passed), fps):
            yield to_input(passed[k]), rows[k]


def _show_truth(seed: int, officer: str, coat: bool) -> Rows:
    view = clips.clear_view(seed, coat=coat)
    scene = dispatch_room(seed, officer=officer, others=0, coat=coat, infrared=False, camera=view)  # type: ignore[arg-type]
    return truth(scene, caster.draw(scene, BIG).ids[::2, ::2])


def classes(scale: float = 1.0) -> dict[str, Callable[[], Iterator[Sample]]]:
    """Name to samples; `scale` shrinks the counts for a quick look."""
    n = max(4, int(200 * scale))
    few = range(FIRST_SEED, FIRST_SEED + max(1, int(6 * scale)))
    seated = ("work", "write", "sleep_desk", "sleep_back")

    def officers(style: str, first: int) -> Iterator[Sample]:
        for k, officer in enumerate(seated):
            yield from rooms(n // 2, first + k * n, officer=officer, style=style)

    return {
        "office_caster": lambda: officers("office", FIRST_SEED),
        "hall_caster": lambda: officers("hall", FIRST_SEED),
        "office_empty": lambda: rooms(n, FIRST_SEED + 10_000, officer="absent", coat=False, others=0),
        "office_coat": lambda: rooms(n, FIRST_SEED + 20_000, officer="absent", coat=True, others=0),
        "hall_empty": lambda: rooms(n, FIRST_SEED + 30_000, officer="absent", coat=False, others=0, style="hall"),
        "hall_coat": lambda: rooms(n, FIRST_SEED + 40_000, officer="absent", coat=True, others=0, style="hall"),
        "infrared": lambda: rooms(n, FIRST_SEED + 50_000, infrared=True),
        "no_room": lambda: strange(n),
        "show": lambda: show(few, False, None),
        "show_h264_500k": lambda: show(few, False, "h264"),
        "show_vp8_500k": lambda: show(few, False, "vp8"),
        "show_coat_vp8_500k": lambda: show(few, True, "vp8"),
    }


def measure(model: PersonModel, samples: Iterator[Sample]) -> dict[str, float | int]:
    tally = Tally()
    for picture, rows in samples:
        tally.add(model(picture), rows)
    return tally.figures()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a person model on unseen rendered scenes.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--threshold", type=float, help="default: the card's")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the pictures, for a quick look")
    args = parser.parse_args()
    threshold = args.threshold
    if threshold is None:
        threshold = float(json.loads(args.model.with_suffix(".json").read_text("utf-8"))["threshold"])
    model = PersonModel(args.model, threshold)
    for name, samples in classes(args.scale).items():
        sys.stdout.write(f"{name}: {json.dumps(measure(model, samples()))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
