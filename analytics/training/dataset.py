"""Renders the training frames: one per random scene, with its truth, through a codec, into a folder.

`pictures.npy` (n, 144, 256, 3) uint8 · `truth.npy` (n, 3, 9) float32, rows of `labels.FIELDS`.

Nine in ten frames are dispatch rooms. The rest hold nobody at all and are no rooms: heaps of shapes and gradients, the
shaft mouth, the belt. They teach the model that not every blob is a person.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from analytics.training import caster, codecs, mine
from analytics.training.labels import FIELDS, HEIGHT, MOST_PERSONS, WIDTH, shrink, truth
from analytics.training.room import dispatch_room
from analytics.training.scene import Scene

Picture = NDArray[np.uint8]
Draw = Callable[[Scene], caster.Drawn]

BIG = (2 * WIDTH, 2 * HEIGHT)
_BATCH = 24


def renderer(kind: str) -> Draw:
    """`gl` (default for training) or `caster` (no GL, about four times slower); both at `BIG`."""
    if kind == "caster":
        return lambda scene: caster.draw(scene, BIG)
    os.environ.setdefault("LP_NUM_THREADS", "1")
    from analytics.training.render import Renderer

    return Renderer(BIG).draw


def frame(seed: int, draw: Draw) -> tuple[Picture, NDArray[np.float32]]:
    """One picture at `BIG` and its truth."""
    rng = np.random.default_rng([seed, 31])
    nobody = np.zeros((MOST_PERSONS, len(FIELDS)), np.float32)
    kind = rng.random()
    if kind < 0.05:
        return abstract(rng), nobody
    if kind < 0.10:
        return draw(mine_view(rng)).picture, nobody
    walk = float(rng.uniform(0.1, 1)) if rng.random() < 0.06 else None
    officer = "stand" if walk is not None else None
    scene = dispatch_room(seed, t=float(rng.uniform(0, 60)), officer=officer, walk=walk)  # type: ignore[arg-type]
    drawn = draw(scene)
    return drawn.picture, truth(scene, drawn.ids[::2, ::2])


def abstract(rng: np.random.Generator) -> Picture:
    """Gradients, blobs, bars and grain that mean nothing."""
    w, h = BIG
    corner = rng.integers(0, 256, (2, 2, 3)).astype(np.uint8)
    image = Image.fromarray(corner).resize((w, h), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 40))):
        x, y = int(rng.uniform(0, w)), int(rng.uniform(0, h))
        a, b = (int(v) for v in rng.uniform(4, 110, 2))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        shape = int(rng.integers(4))
        if shape == 0:
            pen.ellipse((x - a, y - b, x + a, y + b), fill=colour)
        elif shape == 1:
            pen.rectangle((x - a, y - b, x + a, y + b), fill=colour)
        elif shape == 2:
            pen.line((x, y, int(rng.uniform(0, w)), int(rng.uniform(0, h))), fill=colour, width=1 + a // 6)
        else:
            pen.rounded_rectangle((x - a, y - b, x + a, y + b), radius=min(a, b) // 2, fill=colour)
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 5))))
    coarse = rng.normal(0, 18, (int(rng.integers(4, h)), int(rng.integers(4, w)))).astype(np.float32)
    grain = np.asarray(Image.fromarray(coarse).resize((w, h), Image.Resampling.BILINEAR))
    return np.asarray(np.clip(np.asarray(image).astype(np.float32) + grain[..., None], 0, 255), np.uint8)


def mine_view(rng: np.random.Generator) -> Scene:
    kind: mine.MineKind = "belt" if rng.random() < 0.5 else "shaft"
    scene = mine.mine_solids(kind, float(rng.uniform(0, 32)))
    camera, light = scene.camera, scene.light
    moved = replace(camera, position=camera.position + rng.normal(0, 0.25, 3), fov=float(rng.uniform(48, 75)))
    lit = replace(light, strength=float(rng.uniform(0.4, 1.2)), infrared=bool(rng.random() < 0.3))
    return replace(scene, camera=moved, light=lit)


def through_codec(pictures: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """A batch through one of: nothing, H.264 key frames, JPEG; with grain first, as sensors have."""
    grained = [
        np.clip(p + rng.normal(0, rng.uniform(0, 9), p.shape[:2])[..., None], 0, 255).astype(np.uint8)
        if rng.random() < 0.5
        else p
        for p in pictures
    ]
    kind = rng.random()
    if kind < 0.45:
        return codecs.intra(grained, int(rng.integers(23, 40)))
    if kind < 0.70:
        return [codecs.jpeg(p, int(rng.integers(15, 85))) for p in grained]
    return grained


def make(folder: Path, first_seed: int, count: int, draw: Draw, say: Callable[[str], None]) -> None:
    """Render `count` frames from seeds `first_seed` on into `folder`; a finished folder is left as it is."""
    if (folder / "truth.npy").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    shape = (count, HEIGHT, WIDTH, 3)
    pictures = np.lib.format.open_memmap(folder / "pictures.npy", "w+", np.uint8, shape)
    rows = np.zeros((count, MOST_PERSONS, len(FIELDS)), np.float32)
    begun = time.monotonic()
    for start in range(0, count, _BATCH):
        batch = [frame(first_seed + k, draw) for k in range(start, min(count, start + _BATCH))]
        passed = through_codec([p for p, _ in batch], np.random.default_rng([first_seed + start, 32]))
        for k, (picture, (_, row)) in enumerate(zip(passed, batch, strict=True), start):
            pictures[k] = shrink(picture, 2)
            rows[k] = row
        if start % (40 * _BATCH) == 0:
            say(f"{start + len(batch)} of {count} frames, {time.monotonic() - begun:.0f} s")
    pictures.flush()
    np.save(folder / "truth.npy", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Render training frames into a folder.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--first-seed", type=int, default=100_000)
    parser.add_argument("--count", type=int, default=9000)
    parser.add_argument("--renderer", choices=("gl", "caster"), default="gl")
    args = parser.parse_args()

    def say(line: str) -> None:
        sys.stderr.write(line + "\n")

    make(args.folder, args.first_seed, args.count, renderer(args.renderer), say)


if __name__ == "__main__":
    main()
