"""Draws a scene with NumPy alone: one ray a pixel against boxes and capsules, shadow rays at half the resolution.

Exact depth and ids, the same picture on every machine that rounds alike, no GL. A primitive is tried only inside the
rectangle that it can cover on the picture. What does not move can be cast once (`Cast`), and figures laid over it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.training import texture
from analytics.training.scene import Box, Camera, Capsule, Light, Primitive, Scene

F32 = NDArray[np.float32]
Rays = tuple[F32, F32, F32]
FAR = np.float32(1e6)


@dataclass(frozen=True, slots=True)
class Cast:
    """Where each pixel's ray ended. `depth` is along the line of sight (metres), `index` counts into `primitives`
    (-1: nothing), `lit` is the share of lamp light that arrives."""

    primitives: tuple[Primitive, ...]
    depth: F32
    index: NDArray[np.int32]
    lit: F32


@dataclass(frozen=True, slots=True)
class Drawn:
    picture: NDArray[np.uint8]
    """(h, w, 3) RGB, without noise."""
    ids: NDArray[np.int32]
    depth: F32


def draw(scene: Scene, size: tuple[int, int] = (320, 180), base: Cast | None = None) -> Drawn:
    """The scene at `size` (width, height). `base` is a cast of its first primitives from the same camera."""
    found = cast(scene, size, base)
    ids = np.array([p.id for p in found.primitives] + [0], np.int32)[found.index]
    return Drawn(shade(scene, size, found), ids, found.depth)


def cast(scene: Scene, size: tuple[int, int], base: Cast | None = None) -> Cast:
    w, h = size
    camera = scene.camera
    u, v, axes = _grid(camera, size)
    if base is None:
        depth, index = np.full((h, w), FAR, np.float32), np.full((h, w), -1, np.int32)
        fresh: Sequence[Primitive] = scene.primitives
        first = 0
    else:
        depth, index = base.depth.copy(), base.index.copy()
        first = len(base.primitives)
        fresh = scene.primitives[first:]
    for k, prim in enumerate(fresh, first):
        x0, x1, y0, y1 = _rectangle(prim, camera, size)
        if x0 >= x1 or y0 >= y1:
            continue
        rays = _rays(u[x0:x1], v[y0:y1], axes)
        t = _hit(prim, camera.position, rays)
        part = depth[y0:y1, x0:x1]
        nearer = t < part
        part[nearer] = t[nearer]
        index[y0:y1, x0:x1][nearer] = k
    return Cast(scene.primitives, depth, index, _lit(scene, size, depth, index, base, first))


def _grid(camera: Camera, size: tuple[int, int]) -> tuple[F32, F32, tuple[F32, F32, F32]]:
    w, h = size
    tx, ty = camera.tangents(size)
    u = (((np.arange(w) + 0.5) * 2 / w - 1) * tx).astype(np.float32)
    v = ((1 - (np.arange(h) + 0.5) * 2 / h) * ty).astype(np.float32)
    forward, right, up = (a.astype(np.float32) for a in camera.basis())
    return u, v, (forward, right, up)


def _rays(u: F32, v: F32, axes: tuple[F32, F32, F32]) -> Rays:
    forward, right, up = axes
    x, y, z = (forward[i] + right[i] * u[None, :] + up[i] * v[:, None] for i in range(3))
    return x, y, z


def _rectangle(prim: Primitive, camera: Camera, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """x0, x1, y0, y1 of what it can cover; the whole picture where it comes near the camera's own plane."""
    signs = np.array([[a, b, c] for a in (-1, 1) for b in (-1, 1) for c in (-1, 1)], float)
    if isinstance(prim, Box):
        corners = prim.centre + (signs * prim.half) @ prim.rotation.T
    else:
        corners = np.concatenate([prim.p0 + signs * prim.radius, prim.p1 + signs * prim.radius])
    p = camera.project(corners, size)
    if p[:, 2].max() < 0.02:
        return 0, 0, 0, 0
    if p[:, 2].min() < 0.05:
        return 0, size[0], 0, size[1]
    x0, y0 = np.floor(p[:, :2].min(0)).astype(int)
    x1, y1 = np.ceil(p[:, :2].max(0)).astype(int) + 1
    return max(0, x0), min(size[0], x1), max(0, y0), min(size[1], y1)


def _hit(prim: Primitive, origin: NDArray[np.float64], rays: Rays) -> F32:
    """Distance along each ray in the ray's own length, FAR where it misses."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return _hit_box(prim, origin, rays) if isinstance(prim, Box) else _hit_capsule(prim, origin, rays)


def _hit_box(box: Box, origin: NDArray[np.float64], rays: Rays) -> F32:
    r = box.rotation.astype(np.float32)
    o = (box.rotation.T @ (origin - box.centre)).astype(np.float32)
    near: F32 = np.float32(-FAR) + np.zeros_like(rays[0])
    far: F32 = FAR + np.zeros_like(rays[0])
    for i in range(3):
        d = rays[0] * r[0, i] + rays[1] * r[1, i] + rays[2] * r[2, i]
        inverse = np.float32(1) / np.where(np.abs(d) < 1e-9, np.float32(1e-9), d)
        middle, reach = -o[i] * inverse, np.float32(box.half[i]) * np.abs(inverse)
        near = np.maximum(near, middle - reach)
        far = np.minimum(far, middle + reach)
    return np.where((near <= far) & (near > 1e-3), near, FAR)


def _hit_capsule(c: Capsule, origin: NDArray[np.float64], rays: Rays) -> F32:
    axis = c.p1 - c.p0
    oa, ob = origin - c.p0, origin - c.p1
    length2 = np.float32(max(float(axis @ axis), 1e-8))
    r2 = c.radius * c.radius

    def along(v: NDArray[np.float64]) -> F32:
        a, b, e = (np.float32(x) for x in v)
        return np.asarray(rays[0] * a + rays[1] * b + rays[2] * e)

    dd = rays[0] * rays[0] + rays[1] * rays[1] + rays[2] * rays[2]
    axis_d, oa_d, ob_d = along(axis), along(oa), along(ob)
    axis_oa = np.float32(axis @ oa)
    a = length2 * dd - axis_d * axis_d
    b = length2 * oa_d - axis_oa * axis_d
    h = b * b - a * np.float32(float(length2) * float(oa @ oa) - float(axis_oa) ** 2 - r2 * float(length2))
    t = (-b - np.sqrt(h)) / a
    y = axis_oa + t * axis_d
    body = (h >= 0) & (y > 0) & (y < length2) & (t > 1e-3)
    best = np.where(body, t, FAR)
    for end_d, end in ((oa_d, oa), (ob_d, ob)):
        k = end_d * end_d - dd * np.float32(float(end @ end) - r2)
        cap = (-end_d - np.sqrt(k)) / dd
        best = np.where((k >= 0) & (cap > 1e-3) & (cap < best), cap, best)
    return best


def _lit(
    scene: Scene, size: tuple[int, int], depth: F32, index: NDArray[np.int32], base: Cast | None, first: int
) -> F32:
    """Share of the lamp's light at each pixel: 1, or 0 in a shadow, softened by working at half the resolution."""
    w, h = size
    if scene.light.infrared:
        return np.ones((h, w), np.float32)
    light = scene.light.position
    u, v, axes = _grid(scene.camera, size)
    half = depth[::2, ::2]
    d = _rays(u[::2], v[::2], axes)
    from_light = (scene.camera.position - light).astype(np.float32)
    rel = [d[i] * half + from_light[i] for i in range(3)]
    shape = half.shape
    new = (index[::2, ::2] >= first).ravel() if base is not None else np.ones(half.size, bool)
    lit = np.ones(half.size, np.float32)
    if base is not None:
        lit[:] = base.lit[::2, ::2].ravel()
        lit[new] = 1
    flat: Rays = (rel[0].ravel(), rel[1].ravel(), rel[2].ravel())
    norm = np.sqrt(flat[0] ** 2 + flat[1] ** 2 + flat[2] ** 2) + np.float32(1e-6)
    for k, prim in enumerate(scene.primitives):
        if prim.casts:
            _shadow(prim, light, flat, norm, lit, new if base is not None and k < first else None)
    full = np.repeat(np.repeat(lit.reshape(shape), 2, 0), 2, 1)[:h, :w]
    return full if base is None and w < 64 else _soften(full)


def _shadow(
    prim: Primitive, light: NDArray[np.float64], flat: Rays, norm: F32, lit: F32, only: NDArray[np.bool_] | None
) -> None:
    """Take the light from the points behind `prim`. Points outside the cone around it are not tried."""
    if isinstance(prim, Box):
        centre, radius = prim.centre, float(np.linalg.norm(prim.half))
    else:
        centre, radius = (prim.p0 + prim.p1) / 2, float(np.linalg.norm(prim.p1 - prim.p0)) / 2 + prim.radius
    to = centre - light
    distance = float(np.linalg.norm(to))
    if distance <= radius:
        near = lit > 0.5
    else:
        x, y, z = (np.float32(a) for a in to / distance)
        cosine = np.float32(np.sqrt(1 - (radius / distance) ** 2))
        near = (flat[0] * x + flat[1] * y + flat[2] * z > cosine * norm) & (norm > distance - radius) & (lit > 0.5)
    if only is not None:
        near &= only
    at = np.flatnonzero(near)
    if at.size:
        t = _hit(prim, light, (flat[0][at], flat[1][at], flat[2][at]))
        lit[at[t < 1 - np.float32(0.012) / norm[at]]] = 0


def _soften(lit: F32) -> F32:
    padded = np.pad(lit, 1, mode="edge")
    rows = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    return ((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 4).astype(np.float32)


def shade(scene: Scene, size: tuple[int, int], found: Cast) -> NDArray[np.uint8]:
    """Colours of a cast: (h, w, 3) RGB."""
    w, h = size
    u, v, axes = _grid(scene.camera, size)
    rays = _rays(u, v, axes)
    out = np.zeros((h * w, 3), np.float32)
    index = found.index.ravel()
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(found.primitives) + 1))
    flat = [r.ravel() for r in rays]
    depth, lit = found.depth.ravel(), found.lit.ravel()
    eye = scene.camera.position.astype(np.float32)
    for k, prim in enumerate(found.primitives):
        at = order[starts[k] : starts[k + 1]]
        if at.size:
            point = np.stack([flat[i][at] * depth[at] + eye[i] for i in range(3)], 1)
            out[at] = _colours(prim, point, lit[at], scene.light, eye)
    picture = np.clip(out, 0, 1) ** np.float32(1 / 1.6)
    return (picture * 255 + 0.5).astype(np.uint8).reshape(h, w, 3)


def _colours(prim: Primitive, point: F32, lit: F32, light: Light, eye: F32) -> F32:
    if isinstance(prim, Box):
        rotation = prim.rotation.astype(np.float32)
        local = (point - prim.centre.astype(np.float32)) @ rotation
        ratio = np.abs(local) / prim.half.astype(np.float32)
        axis = ratio.argmax(1)
        own = np.zeros_like(local)
        own[np.arange(len(local)), axis] = np.sign(local[np.arange(len(local)), axis])
        normal = own @ rotation.T
        colour = texture.of_box(prim, local, own)
    else:
        axis_v = (prim.p1 - prim.p0).astype(np.float32)
        rel = point - prim.p0.astype(np.float32)
        s = np.clip(rel @ axis_v / max(float(axis_v @ axis_v), 1e-8), 0, 1)
        normal = (rel - s[:, None] * axis_v) / np.float32(prim.radius)
        colour = np.broadcast_to(np.array(prim.colour, np.float32), point.shape)
    if light.infrared:
        return _infrared(prim, colour, normal, point, eye)
    if prim.emissive:
        return np.asarray(colour * np.float32(prim.emissive))
    to = light.position.astype(np.float32) - point
    distance2 = (to * to).sum(1)
    facing = np.maximum(0, (normal * to).sum(1) / np.sqrt(distance2))
    direct = light.strength * 7.0 / (3.0 + distance2) * facing * lit
    sky = light.ambient * (0.8 + 0.2 * normal[:, 2])
    return np.asarray(colour * (direct + sky)[:, None] * np.array(light.tint, np.float32))


def _infrared(prim: Primitive, colour: F32, normal: F32, point: F32, eye: F32) -> F32:
    """Grey, lit from the camera; screens hardly shine, cloth shines more than its colour says."""
    grey = colour @ np.array([0.45, 0.35, 0.2], np.float32)
    if prim.emissive:
        return np.repeat((grey * 0.35 * prim.emissive)[:, None], 3, 1)
    to = eye - point
    distance2 = (to * to).sum(1)
    facing = np.abs((normal * to).sum(1)) / np.sqrt(distance2)
    value = (0.25 + 0.75 * grey) * (0.10 + 8.0 / (3.0 + distance2) * facing * 0.75)
    return np.repeat(value[:, None], 3, 1).astype(np.float32)
