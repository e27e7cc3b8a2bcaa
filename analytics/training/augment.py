"""Training batches: targets from truth rows, and pictures made worse in all the ways that cameras know."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analytics.training.labels import CELL, GRID_H, GRID_W, HEIGHT, IGNORED, NONE, POSITIVE, WIDTH

F32 = NDArray[np.float32]

_GRAIN = torch.from_numpy(np.random.default_rng(3).standard_normal((3, 512, 768), np.float32))
"""Noise is cut from here: drawing it anew for every picture took as long as the network."""


def batch(pictures: NDArray[np.uint8], truth: F32, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """(n, 144, 256, 3) uint8 and (n, 3, 9) rows to a disturbed (n, 3, 144, 256) tensor and the targets of
    `model.loss`."""
    image = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    truth = truth.copy()
    image, truth = _mirrored(image, truth, rng)
    moved = np.flatnonzero(rng.random(len(truth)) < 0.5)
    if moved.size:
        image[moved], truth[moved] = _moved(image[moved], truth[moved], rng)
    image = _covered(image, truth, rng)
    image = _recoloured(image, rng).contiguous(memory_format=torch.channels_last)
    return (image, *targets(truth))


def _mirrored(image: Tensor, truth: F32, rng: np.random.Generator) -> tuple[Tensor, F32]:
    flip = rng.random(len(truth)) < 0.5
    image[flip] = image[flip].flip(3)
    rows = truth[flip]
    shown = rows[..., 5] >= 0
    rows[..., 1], rows[..., 3] = WIDTH - rows[..., 3].copy(), WIDTH - rows[..., 1].copy()
    rows[..., 5] = np.where(shown, WIDTH - rows[..., 5], -1)
    truth[flip] = rows
    return image, truth


def _moved(image: Tensor, truth: F32, rng: np.random.Generator) -> tuple[Tensor, F32]:
    """Zoom by 0.8 to 1.3 and shift, each picture by itself; persons cut by more than half are not asked for."""
    n = len(truth)
    zoom = np.exp(rng.uniform(np.log(0.8), np.log(1.3), n)).astype(np.float32)
    dx, dy = rng.uniform(-0.15, 0.15, (2, n)).astype(np.float32)
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = 1 / zoom
    theta[:, 0, 2], theta[:, 1, 2] = dx, dy
    grid = torch.nn.functional.affine_grid(torch.from_numpy(theta), list(image.shape), align_corners=False)
    image = torch.nn.functional.grid_sample(image, grid, padding_mode="border", align_corners=False)
    kept = truth[..., 0] != NONE
    for first, half, shift in ((1, WIDTH / 2, dx), (2, HEIGHT / 2, dy)):
        for column in (first, first + 2, first + 4):
            moved = (truth[..., column] / half - 1 - shift[:, None]) * zoom[:, None]
            hidden = (column >= 5) & (truth[..., 5] < 0) if column == 5 else np.zeros_like(kept)
            truth[..., column] = np.where(hidden, -1, (moved + 1) * half)
    whole = (truth[..., 3] - truth[..., 1]) * (truth[..., 4] - truth[..., 2])
    for column, most in ((1, WIDTH), (2, HEIGHT), (3, WIDTH), (4, HEIGHT)):
        truth[..., column] = np.clip(truth[..., column], 0, most)
    left = (truth[..., 3] - truth[..., 1]) * (truth[..., 4] - truth[..., 2])
    cut = kept & (left < 0.5 * whole)
    gone = kept & (left < 0.03 * whole)
    truth[cut, 0] = IGNORED
    truth[gone, 0] = NONE
    return image, truth


def _covered(image: Tensor, truth: F32, rng: np.random.Generator) -> Tensor:
    """A flat patch in a fifth of the pictures, kept off the middle of every person."""
    for k in np.flatnonzero(rng.random(len(truth)) < 0.2):
        w, h = (int(v) for v in rng.uniform(8, 60, 2))
        x, y = int(rng.uniform(0, WIDTH - w)), int(rng.uniform(0, HEIGHT - h))
        rows = truth[k][truth[k][:, 0] != NONE]
        cx, cy = (rows[:, 1] + rows[:, 3]) / 2, (rows[:, 2] + rows[:, 4]) / 2
        wide, tall = (rows[:, 3] - rows[:, 1]) / 3, (rows[:, 4] - rows[:, 2]) / 3
        if ((cx > x - wide) & (cx < x + w + wide) & (cy > y - tall) & (cy < y + h + tall)).any():
            continue
        colour = torch.from_numpy(rng.random(3).astype(np.float32))
        image[k, :, y : y + h, x : x + w] = colour[:, None, None]
    return image


def _recoloured(image: Tensor, rng: np.random.Generator) -> Tensor:
    n = len(image)

    def each(low: float, high: float, channels: int = 1) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (n, channels, 1, 1)).astype(np.float32))

    grey = torch.from_numpy((rng.random((n, 1, 1, 1)) < 0.2).astype(np.float32))
    flat = (image * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    image = image + grey * (flat - image)
    image = image.clamp(1e-4, 1) ** each(0.6, 1.6) * each(0.65, 1.3)
    image = image + (1 - grey) * each(-0.12, 0.12, 3) + each(-0.06, 0.06)
    for k, sigma in enumerate(rng.uniform(-0.03, 0.05, n)):
        if sigma > 0:
            y, x = (int(v) for v in rng.integers(0, (_GRAIN.shape[1] - HEIGHT, _GRAIN.shape[2] - WIDTH)))
            image[k] += _GRAIN[:, y : y + HEIGHT, x : x + WIDTH] * float(sigma)
    return image.clamp_(0, 1)


def targets(truth: F32) -> tuple[Tensor, ...]:
    """Heat, weight, sizes, posture and nearness maps as `model.loss` takes them."""
    n = len(truth)
    heat = np.zeros((n, 2, GRID_H, GRID_W), np.float32)
    weight = np.ones_like(heat)
    sizes = np.zeros((n, 2, GRID_H, GRID_W), np.float32)
    posture = np.zeros((n, GRID_H, GRID_W), np.int64)
    near = np.zeros((n, GRID_H, GRID_W), np.float32)
    rows_y, rows_x = np.mgrid[:GRID_H, :GRID_W]
    for k in range(n):
        for row in truth[k]:
            kind, x0, y0, x1, y1, hx, hy, state = row[:8]
            if kind == NONE:
                continue
            if kind == IGNORED:
                a, b = int(x0 // CELL), int(np.ceil(x1 / CELL))
                weight[k, :, int(y0 // CELL) : int(np.ceil(y1 / CELL)), a:b] = 0
                continue
            assert kind == POSITIVE
            cx, cy = (x0 + x1) / 2 / CELL - 0.5, (y0 + y1) / 2 / CELL - 0.5
            radius = max(0.8, 0.12 * max(x1 - x0, y1 - y0) / CELL)
            _spot(heat[k, 0], weight[k, 0], rows_x, rows_y, cx, cy, radius)
            if 0 <= hx < WIDTH and 0 <= hy < HEIGHT:
                _spot(heat[k, 1], weight[k, 1], rows_x, rows_y, hx / CELL - 0.5, hy / CELL - 0.5, 0.7)
            ix, iy = int(np.clip(round(cx), 0, GRID_W - 1)), int(np.clip(round(cy), 0, GRID_H - 1))
            around = (slice(max(0, iy - 1), iy + 2), slice(max(0, ix - 1), ix + 2))
            sizes[k, 0][around] = np.log(max(x1 - x0, 2) / 16)
            sizes[k, 1][around] = np.log(max(y1 - y0, 2) / 16)
            posture[k][around] = int(state)
            near[k][around] = 1
    return tuple(torch.from_numpy(a) for a in (heat, weight, sizes, posture, near))


def _spot(
    heat: F32, weight: F32, xs: NDArray[np.int64], ys: NDArray[np.int64], cx: float, cy: float, radius: float
) -> None:
    ix, iy = int(np.clip(round(cx), 0, GRID_W - 1)), int(np.clip(round(cy), 0, GRID_H - 1))
    bump = np.exp(-((xs - ix) ** 2 + (ys - iy) ** 2) / (2 * radius**2)).astype(np.float32)
    np.maximum(heat, bump, out=heat)
    weight[iy, ix] = 1
