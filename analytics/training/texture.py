"""Surface patterns, the same arithmetic as in the fragment shader of `render`: cells numbered by an integer hash."""

import numpy as np
from numpy.typing import NDArray

from analytics.training.scene import PLAIN, PORTRAIT, SCREEN, SPECKLE, TILES, WOOD, Box

F32 = NDArray[np.float32]


def hashed(x: NDArray[np.int32], y: NDArray[np.int32], seed: int) -> F32:
    """0 to 1 for each cell (x, y)."""
    h = x.astype(np.uint32) * np.uint32(374761393) + y.astype(np.uint32) * np.uint32(668265263)
    h = h + np.uint32(seed * 2246822519 & 0xFFFFFFFF)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(1274126177)
    h = h ^ (h >> np.uint32(16))
    return np.asarray((h & np.uint32(0xFFFF)).astype(np.float32) / np.float32(65535))


def cells(a: F32) -> NDArray[np.int32]:
    return np.floor(a).astype(np.int32)


def of_box(box: Box, local: F32, normal: F32) -> F32:
    """Colours at points of a box, given in its own metres with their own normals: (n, 3)."""
    colour = np.broadcast_to(np.array(box.colour, np.float32), local.shape)
    if box.texture == PLAIN:
        return colour
    steep = np.abs(normal)
    # The two axes that lie in the face that was hit.
    p = np.where(steep[:, 0] > 0.5, local[:, 1], local[:, 0])
    q = np.where(steep[:, 2] > 0.5, local[:, 1], local[:, 2])
    if box.texture in (SCREEN, PORTRAIT):
        front = normal[:, 1] < -0.5
        u, v = local[:, 0] / np.float32(box.half[0]), local[:, 2] / np.float32(box.half[2])
        painted = _screen(box, u, v) if box.texture == SCREEN else _portrait(box, u, v)
        return np.where(front[:, None], painted, colour * np.float32(0.3))
    return np.asarray(colour * _grain(box, p, q)[:, None])


def _grain(box: Box, p: F32, q: F32) -> F32:
    if box.texture == SPECKLE:
        return 0.9 + 0.2 * hashed(cells(p * 14), cells(q * 14), box.seed)
    if box.texture == WOOD:
        return 0.88 + 0.24 * hashed(cells(p * 2.5), cells(q * 40), box.seed)
    assert box.texture == TILES
    x, y = p / np.float32(0.6), q / np.float32(0.6)
    seam = (x - np.floor(x) < 0.03) | (y - np.floor(y) < 0.03)
    return np.where(seam, np.float32(0.6), 0.94 + 0.12 * hashed(cells(x), cells(y), box.seed)).astype(np.float32)


def _screen(box: Box, u: F32, v: F32) -> F32:
    """A dark ground with rows of coloured blocks, as mimic diagrams and lists have."""
    x, y = cells((u + 1) * 8), cells((v + 1) * 6)
    pick = hashed(x // 2, y, box.seed)
    strength = hashed(x, y, box.seed + 1)
    ground = np.array(box.colour, np.float32) * np.float32(0.35)
    tone = np.stack([0.3 + 0.7 * hashed(x // 4, y, box.seed + k) for k in (2, 3, 4)], 1)
    inside = (np.abs(u) < 0.94) & (np.abs(v) < 0.92)
    shown = inside & (pick > 0.55) & (((v + 1) * 6 - np.floor((v + 1) * 6)) > 0.35)
    return np.where(shown[:, None], tone * (0.3 + 0.7 * strength)[:, None], ground).astype(np.float32)


def _portrait(box: Box, u: F32, v: F32) -> F32:
    """Head and shoulders of somebody who is not there."""
    tone = hashed(np.arange(6, dtype=np.int32), np.zeros(6, np.int32), box.seed)
    head = (u / 0.36) ** 2 + ((v - 0.30) / 0.36) ** 2 < 1
    hair = (u / 0.40) ** 2 + ((v - 0.42) / 0.34) ** 2 < 1
    body = (u / 0.80) ** 2 + ((v + 1.0) / 0.90) ** 2 < 1
    out = np.broadcast_to(np.array(box.colour, np.float32), (len(u), 3)).copy()
    out[body] = [0.1 + 0.6 * tone[0], 0.1 + 0.6 * tone[1], 0.1 + 0.8 * tone[2]]
    out[hair] = 0.05 + 0.2 * tone[3]
    out[head & (v < 0.45)] = [0.6 + 0.3 * tone[4], 0.45 + 0.3 * tone[4], 0.35 + 0.25 * tone[4]]
    return out
