"""Moving pictures for the demonstration's cameras, cheap enough for a busy core and without GL.

A camera draws a few dozen key pictures once with the NumPy caster, keeps them as JPEG under `cache_dir`, and after
that only blends two of them and adds sensor noise: a few milliseconds a picture. Pictures depend on the arguments of
the calls and nothing else; a change of the officer's state is played as a walk to or from the door, or as nodding off.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import cast as typed

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analytics.training import caster, mine
from analytics.training.room import DOOR, Officer, dispatch_room
from analytics.training.scene import PERSON_ID, Box, Camera, Light, Scene

Picture = NDArray[np.uint8]
Progress = Callable[[int, int], None]

OFFICERS: tuple[Officer, ...] = ("work", "write", "sleep_desk", "sleep_back", "stand", "absent")

_IDLE_KEYS: dict[Officer, int] = {
    "work": 10, "write": 8, "sleep_desk": 4, "sleep_back": 4, "stand": 6, "absent": 1,
}  # fmt: skip
_WALK_KEYS = 12
_WALK_S = 4.0
_NOD_KEYS = 4
_NOD_S = 1.6
_FADE_S = 0.4
_SOURCES = ("scene.py", "figure.py", "furniture.py", "room.py", "texture.py", "caster.py", "mine.py", "clips.py")


def generator_sha256() -> str:
    """Hash of the sources that decide how a scene looks."""
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update(Path(__file__).with_name(name).read_bytes())
    return digest.hexdigest()


class _Keys:
    """Key pictures by name, drawn on demand, kept as JPEG in memory or on disk and decoded once."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._pictures: dict[str, NDArray[np.int16]] = {}
        self.drawn = 0
        """How many had to be drawn because neither memory nor disk had them."""

    def get(self, name: str, draw: Callable[[], Picture]) -> NDArray[np.int16]:
        found = self._pictures.get(name)
        if found is not None:
            return found
        path = self._folder / f"{name}.jpg" if self._folder else None
        if path and path.exists():
            data = path.read_bytes()
        else:
            self.drawn += 1
            buffer = BytesIO()
            Image.fromarray(draw()).save(buffer, "JPEG", quality=93, subsampling=0)
            data = buffer.getvalue()
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                part = path.with_suffix(".part")
                part.write_bytes(data)
                part.replace(path)
        picture = np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(np.int16)
        self._pictures[name] = picture
        return picture


class _Noise:
    """Sensor noise: one field, read at another offset for each picture. Deterministic in `t`."""

    def __init__(self, size: tuple[int, int], sigma: float) -> None:
        w, h = size
        rng = np.random.default_rng(77)
        self._size = size
        field = rng.normal(0, sigma * 255, (h + 64, w + 64, 1)) + rng.normal(0, sigma * 120, (h + 64, w + 64, 3))
        self._field = np.rint(field).astype(np.int16)

    def over(self, picture: NDArray[np.int16], t: float) -> Picture:
        w, h = self._size
        rng = np.random.default_rng(int(t * 1000) & 0xFFFFFFFFFFFF)
        x, y = (int(v) for v in rng.integers(0, 64, 2))
        noisy = picture + self._field[y : y + h, x : x + w]
        return np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)


def _between(a: NDArray[np.int16], b: NDArray[np.int16], share: float) -> NDArray[np.int16]:
    if a is b or share <= 0:
        return a
    return np.asarray(a + (((b - a) * np.int16(round(share * 64))) >> 6), np.int16)


class DispatchRoomCamera:
    """A camera in the dispatch room of `seed`. Call `warm_up` first (seconds), or let pictures be drawn on demand.

    `coat` hangs a coat over the officer's chair, the classic false person.
    """

    def __init__(
        self, seed: int, cache_dir: Path | None, size: tuple[int, int] = (640, 360), *, coat: bool = False
    ) -> None:
        self.size = size
        self._seed = seed
        self._coat = coat
        name = f"room-{seed}-{size[0]}x{size[1]}{'-coat' if coat else ''}-{generator_sha256()[:12]}"
        self._keys = _Keys(Path(cache_dir) / name if cache_dir else None)
        self._noise = _Noise(size, 0.012)
        self._camera: Camera | None = None
        self._base: dict[str, caster.Cast] = {}
        self._state: Officer | None = None
        self._before: Officer = "absent"
        self._since = 0.0

    @property
    def drawn(self) -> int:
        """Key pictures that this object had to draw so far."""
        return self._keys.drawn

    def warm_up(self, progress: Progress | None = None) -> None:
        """Draw or load every key picture. `progress(done, of)` is called after each."""
        names = list(_key_names())
        for k, name in enumerate(names):
            self._key(name)
            if progress:
                progress(k + 1, len(names))

    def picture(self, t: float, officer: str) -> Picture:
        """(h, w, 3) RGB at `t` seconds with the officer doing `officer` (one of `OFFICERS`).

        When `officer` differs from the last call's, he first goes over from one to the other, beginning at this `t`;
        the first call, and one with `t` before the change, starts without. Raises ValueError for an unknown state."""
        if officer not in OFFICERS:
            raise ValueError(f"officer must be one of {', '.join(OFFICERS)}, not {officer!r}.")
        state = officer
        if self._state is None or t < self._since:
            self._before, self._since = state, t
        elif state != self._state:
            self._before, self._since = self._state, t
        self._state = state
        return self.frame(t, state, before=self._before, since=t - self._since)

    def frame(self, t: float, officer: Officer, *, before: Officer | None = None, since: float = 1e9) -> Picture:
        """As `picture`, without memory: `since` seconds ago the officer went over from `before`."""
        key = self._moment(t, officer, before or officer, since)
        return self._noise.over(key, t)

    def _moment(self, t: float, officer: Officer, before: Officer, since: float) -> NDArray[np.int16]:
        if before == officer or since < 0:
            return self._idle(t, officer)
        for name, keys, lasts in _passage(before, officer):
            if since < lasts:
                at = since / lasts * (keys - 1)
                first = int(at)
                a = self._key(f"{name}{first}")
                # Walking pictures are shown as they are: two of them laid over each other look like two people.
                return a if name.startswith("walk") else _between(a, self._key(f"{name}{first + 1}"), at - first)
            since -= lasts
        now = self._idle(t, officer)
        if since < _FADE_S and "absent" not in (before, officer):
            return _between(self._idle(t, before), now, since / _FADE_S) if before != officer else now
        return now

    def _idle(self, t: float, officer: Officer) -> NDArray[np.int16]:
        keys = _IDLE_KEYS[officer]
        if keys == 1:
            return self._key(f"{officer}0")
        if officer.startswith("sleep"):
            at = t % 4.0
            return _between(self._key(f"{officer}{int(at)}"), self._key(f"{officer}{(int(at) + 1) % 4}"), at % 1.0)
        turn = 2 * (keys - 1)
        at = (t * 2.5) % turn
        first, second = int(at), int(at) + 1
        a, b = (k if k < keys else turn - k for k in (first, second % turn))
        return _between(self._key(f"{officer}{a}"), self._key(f"{officer}{b}"), at - first)

    def _key(self, name: str) -> NDArray[np.int16]:
        return self._keys.get(name, lambda: self._draw(name))

    def _draw(self, name: str) -> Picture:
        if self._camera is None:
            self._camera = clear_view(self._seed, coat=self._coat)
        scene = lit_for_show(_key_scene(name, self._seed, self._camera, self._coat))
        still = sum(p.id < PERSON_ID for p in scene.primitives)
        group = f"{'back' if 'back' in name else ''}{'away' if name.startswith('absent') else ''}"
        base = self._base.get(group)
        if base is None:
            empty = replace(scene, primitives=scene.primitives[:still])
            base = self._base[group] = caster.cast(empty, self.size)
        return caster.draw(scene, self.size, base).picture


def _passage(before: Officer, officer: Officer) -> Iterator[tuple[str, int, float]]:
    """Key series to play on the way from one state to another: name, number of keys, seconds."""
    if officer == "absent":
        yield "walkout", _WALK_KEYS, _WALK_S
    elif before == "absent":
        yield "walkin", _WALK_KEYS, _WALK_S
    elif officer.startswith("sleep") and before != "stand":
        yield f"nod-{officer}-", _NOD_KEYS, _NOD_S
    elif before.startswith("sleep") and officer != "stand":
        yield f"wake-{before}-", _NOD_KEYS, _NOD_S


def _key_names() -> Iterator[str]:
    for officer, keys in _IDLE_KEYS.items():
        for k in range(keys):
            yield f"{officer}{k}"
    for way in ("walkout", "walkin"):
        for k in range(_WALK_KEYS):
            yield f"{way}{k}"
    for kind in ("nod", "wake"):
        for sleep in ("sleep_desk", "sleep_back"):
            for k in range(_NOD_KEYS):
                yield f"{kind}-{sleep}-{k}"


def _key_scene(name: str, seed: int, camera: Camera, coat: bool) -> Scene:
    def room(
        t: float,
        officer: Officer,
        blend: tuple[Officer, Officer, float] | None = None,
        walk: float | None = None,
        leaving: bool = False,
    ) -> Scene:
        return dispatch_room(seed, t=t, officer=officer, blend=blend, walk=walk, leaving=leaving, coat=coat,
                             others=0, infrared=False, camera=camera)  # fmt: skip

    if name.startswith("walk"):
        out = name.startswith("walkout")
        k = int(name.removeprefix("walkout").removeprefix("walkin"))
        share = k / (_WALK_KEYS - 1)
        return room(0.3 * k, "stand", walk=1 - share if out else share, leaving=out)
    if "-" in name:
        kind, sleep, number = name.split("-")
        share = int(number) / (_NOD_KEYS - 1)
        share = share if kind == "nod" else 1 - share
        to = typed(Officer, sleep)
        return room(0.0, to, blend=("work", to, share * share * (3 - 2 * share)))
    officer = next(o for o in OFFICERS if name.startswith(o))
    k = int(name.removeprefix(officer))
    return room(k * (1.0 if officer.startswith("sleep") else 0.4), officer)


def lit_for_show(scene: Scene) -> Scene:
    """The same scene in good, neutral light: a demonstration is to be seen."""
    return replace(scene, light=Light(scene.light.position, 0.95, 0.45))


@lru_cache(maxsize=64)
def clear_view(seed: int, *, coat: bool = False) -> Camera:
    """The place in the room from which the officer at the desk and the door are seen best, found by trying 28."""
    plain = dispatch_room(seed, officer="work", others=0, coat=coat, infrared=False)
    person = plain.persons[0]
    hips = (person.joints[11] + person.joints[12]) / 2
    ahead = person.head - hips
    forward = np.array([ahead[0], ahead[1], 0.0])
    forward /= max(float(np.linalg.norm(forward)), 1e-9)
    size = (96, 54)
    best, best_score = plain.camera, -1.0
    rng = np.random.default_rng([seed, 1234])
    for k in range(28):
        azimuth = np.radians((k % 14) * 360 / 14)
        turn = np.array([[np.cos(azimuth), -np.sin(azimuth)], [np.sin(azimuth), np.cos(azimuth)]])
        away = turn @ forward[:2] * (2.6 + 0.9 * (k // 14) + rng.uniform(-0.2, 0.2))
        position = np.array([hips[0] + away[0], hips[1] + away[1], 2.45])
        target = np.array([hips[0], hips[1], 0.98]) + 0.25 * forward
        camera = Camera(position, target, 62.0)
        score = _clearness(seed, camera, size, coat, float(np.cos(azimuth)))
        if score > best_score:
            best, best_score = camera, score
    return best


def _clearness(seed: int, camera: Camera, size: tuple[int, int], coat: bool, front: float) -> float:
    """The least that is seen of the officer over three postures, a little more for a frontal view and for the door;
    below 0 outside the room."""
    seen: list[float] = []
    for officer in ("work", "sleep_desk", "sleep_back"):
        scene = dispatch_room(seed, officer=officer, others=0, coat=coat, infrared=False, camera=camera)
        drawn = caster.draw(scene, size)
        if float(np.median(drawn.depth)) < 1.2 or float(drawn.depth.min()) < 0.5:
            return -2.0
        seen.append(float((drawn.ids >= PERSON_ID).mean()))
        if not _inside(scene, camera):
            return -3.0
    door = dispatch_room(seed, officer="absent", camera=camera).primitives[DOOR]
    assert isinstance(door, Box)
    x, y, away = camera.project(door.centre[None], size)[0]
    shown = away > 0 and 0.05 * size[0] < x < 0.95 * size[0] and 0 < y < size[1]
    return min(min(seen), 0.05) + 0.2 * min(seen) + 0.008 * max(-0.2, front) + (0.012 if shown else 0.0)


def _inside(scene: Scene, camera: Camera) -> bool:
    floor, ceiling = scene.primitives[0], scene.primitives[1]
    assert isinstance(floor, Box)
    assert isinstance(ceiling, Box)
    reach = floor.half[:2] - 0.3
    below = camera.position[2] < ceiling.centre[2] - 0.1
    return bool(np.all(np.abs(camera.position[:2] - floor.centre[:2]) < reach) and below)


class MineCamera:
    """A camera at a `mine.MineKind`: `shaft` (a cage that comes and goes) or `belt` (a running belt)."""

    def __init__(self, kind: mine.MineKind, cache_dir: Path | None, size: tuple[int, int] = (640, 360)) -> None:
        self.size = size
        self._kind: mine.MineKind = kind
        self._count = 12 if kind == "belt" else 64
        name = f"{kind}-{size[0]}x{size[1]}-{generator_sha256()[:12]}"
        self._keys = _Keys(Path(cache_dir) / name if cache_dir else None)
        self._noise = _Noise(size, 0.016)
        self._base: caster.Cast | None = None

    def warm_up(self, progress: Progress | None = None) -> None:
        names = sorted({self._name(k) for k in range(self._count)})
        for done, name in enumerate(names):
            self._key(name)
            if progress:
                progress(done + 1, len(names))

    def picture(self, t: float, officer: str = "") -> Picture:
        """(h, w, 3) RGB at `t` seconds. `officer` is taken so that all cameras are called alike, and ignored."""
        period = mine.PERIOD[self._kind]
        k = int(t % period / period * self._count)
        return self._noise.over(self._key(self._name(k)), t)

    def _name(self, k: int) -> str:
        """Moments in which nothing differs share one picture."""
        if self._kind == "belt":
            return f"k{k:03d}"
        height = mine.cage_height(k / self._count * mine.PERIOD["shaft"])
        return f"k{round(-height * 1000):04d}"

    def _key(self, name: str) -> NDArray[np.int16]:
        def draw() -> Picture:
            k = next(k for k in range(self._count) if self._name(k) == name)
            scene = mine.mine_solids(self._kind, k / self._count * mine.PERIOD[self._kind])
            if self._base is None:
                still = scene.primitives[: mine.still_count(self._kind)]
                self._base = caster.cast(replace(scene, primitives=still), self.size)
            return caster.draw(scene, self.size, self._base).picture

        return self._keys.get(name, draw)


@lru_cache(maxsize=8)
def _mine_camera(kind: mine.MineKind, size: tuple[int, int]) -> MineCamera:
    return MineCamera(kind, None, size)


def mine_scene(kind: mine.MineKind, t: float, size: tuple[int, int] = (640, 360)) -> Picture:
    """One picture of the shaft mouth or the belt; key pictures are drawn on demand and kept in memory."""
    return _mine_camera(kind, size).picture(t)
