"""One camera in the vision worker: what is done on the decoding thread, and what on the inference thread.

    access units -> [queue] -> decode -> newest due picture -> judge, detect -> Observed

The newest picture wins: while one is being looked at, one more may wait, and a newer one takes its place. Whatever was
decoded or dropped without being looked at is counted and told with the next report.
"""

import base64
import contextlib
import io
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

from PIL import Image

from analytics.decoder import Decoded, TrackDecoder
from analytics.errors import BrokenOutput
from analytics.messages import Picture, PictureState, Seen, TakePicture, Watch
from analytics.plugin import BurstDetector, Detection, Detector
from analytics.vision.motion import PERSON, MotionMeter, with_motion
from analytics.vision.picture import FreezeWatch, PictureJudge
from analytics.vision.reference import HEIGHT, WIDTH, Mode, Reference, ReferenceRefused, smoothed
from analytics.vision.view import Lesson, ShakeWatch, ViewWatch, state_of
from media.frames import Frame
from media.tap import AccessUnit

MAX_QUEUED_UNITS = 150
MAX_QUEUED_BYTES = 16 << 20
MAX_DETECTIONS = 200
MAX_ATTRIBUTES = 64
MAX_JPEG_BYTES = 700_000
"""A message may have 1 MiB, and base64 makes four bytes out of three."""
JUMP_S = 10.0


class CameraRunner:
    """State of one watched camera. Methods say on which thread they are called."""

    def __init__(self, watch: Watch, frames_per_s: float) -> None:
        self.watch = watch
        self.detector: Detector | None = None
        self.reported_blind = False
        self.last_picture_now = 0.0
        """Monotonic time of the last decoded picture, set on the main thread."""
        self._limit_per_s = frames_per_s
        self._judge = PictureJudge(watch.zone)
        self._freeze = FreezeWatch()
        self._motion = MotionMeter()
        self._view = ViewWatch(_references(watch))
        self._shake = ShakeWatch()
        self._decoder: TrackDecoder | None = None
        self._units: deque[AccessUnit] = deque()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._waiting: tuple[Decoded, bool] | None = None
        self._waiting_since = 0.0
        self._newest: Decoded | None = None
        self._burst: list[Decoded] = []
        self._last_due_s: float | None = None
        self._starved_at: float | None = None
        self._fed_at = 0.0
        self._skipped = 0
        self._decode_s = 0.0
        self._seen: tuple[Seen, ...] = ()

    # --- main thread --------------------------------------------------------------------------------------------------

    def queue(self, unit: AccessUnit) -> None:
        """Take a unit; when decoding is too slow, everything up to the next key frame goes."""
        if len(self._units) >= MAX_QUEUED_UNITS or self._queued_bytes + len(unit.data) > MAX_QUEUED_BYTES:
            with self._lock:
                self._skipped += len(self._units)
            self._units.clear()
            self._queued_bytes = 0
            unit = AccessUnit(unit.track, unit.codec, unit.key, True, unit.timestamp, unit.arrived_at, unit.data)
        self._units.append(unit)
        self._queued_bytes += len(unit.data)

    def take_units(self, most: int) -> list[AccessUnit]:
        """The next units to decode."""
        units = [self._units.popleft() for _ in range(min(most, len(self._units)))]
        self._queued_bytes -= sum(len(unit.data) for unit in units)
        return units

    @property
    def frames_per_s(self) -> float:
        if self.watch.frames_per_s:
            return self.watch.frames_per_s
        wanted = self.detector.frames_per_s if self.detector is not None else self._limit_per_s
        return min(self._limit_per_s, wanted)

    @property
    def waiting_since(self) -> float | None:
        """Since when (the wall clock of the picture) one waits to be looked at; None = none waits."""
        return self._waiting[0].arrived_at if self._waiting is not None else None

    @property
    def starving_s(self) -> float:
        """For how long units have come that cannot be decoded for want of a key frame, on the packets' clock."""
        return self._fed_at - self._starved_at if self._starved_at is not None else 0.0

    def fed_anew(self) -> None:
        """The connection was cut so that the next one begins with a key frame."""
        self._starved_at = None

    def take_over(self, older: "CameraRunner") -> None:
        """Go on with the decoder of the watch that this one replaces: its next key frame may be far away."""
        if older.watch.track == self.watch.track:
            self._decoder, self._units = older._decoder, older._units
            self._queued_bytes, self._newest = older._queued_bytes, older._newest
            self.last_picture_now = older.last_picture_now
            self._shake = older._shake

    # --- decoding thread ----------------------------------------------------------------------------------------------

    def decode(self, units: Sequence[AccessUnit]) -> int:
        """Decode; leaves the newest due picture waiting. Returns how many pictures came out.

        Raises:
            UndecodableTrack: the track's codec has no decoder.
        """
        count = 0
        began = time.perf_counter()
        for unit in units:
            if self._decoder is None or self._decoder.codec != unit.codec:
                self._decoder = TrackDecoder(unit.track, unit.codec)
            dropped = self._decoder.dropped
            for decoded in self._decoder.feed(unit):
                count += 1
                self._newest = decoded
                self._offer(decoded)
            dropped = self._decoder.dropped - dropped
            self._fed_at = unit.arrived_at
            if not dropped:
                self._starved_at = None
            elif self._starved_at is None:
                self._starved_at = unit.arrived_at
            with self._lock:
                self._skipped += dropped
        with self._lock:
            self._decode_s += time.perf_counter() - began
        return count

    def _offer(self, decoded: Decoded) -> None:
        due = self._is_due(decoded.pts_s)
        if self._shake.wants(decoded.pts_s):
            self._shake.offer(smoothed(decoded.grey(WIDTH, HEIGHT)), decoded.pts_s)
        if due or decoded.key:
            self._freeze.take(decoded.digest(), decoded.pts_s, decoded.key)
        with self._lock:
            if not due and not self._burst:
                self._skipped += 1
                return
            whole = self._gathered(decoded)
            if whole is None:
                return
            if self._waiting is not None:
                self._skipped += 1 + len(self._waiting[0].before)
            self._waiting = (whole, self._freeze.frozen)

    def _gathered(self, decoded: Decoded) -> Decoded | None:
        """The picture with those before it, where the detector looks at bursts; None while there are too few."""
        detector = self.detector
        if not isinstance(detector, BurstDetector):
            self._burst.clear()
            return decoded
        self._burst.append(decoded)
        if len(self._burst) < detector.burst:
            return None
        *before, last = self._burst
        self._burst = []
        return replace(last, before=tuple(before))

    def _is_due(self, pts_s: float) -> bool:
        """Whether a picture is to be looked at, so that the rate is met on the source's clock."""
        interval = 1.0 / self.frames_per_s
        last = self._last_due_s
        if last is None or not 0 <= pts_s - last <= JUMP_S:
            self._last_due_s = pts_s
            return True
        if pts_s - last < interval - 0.01:
            return False
        self._last_due_s = max(last + interval, pts_s - interval)  # steady, however the source's rate divides
        return True

    def picture(self, asked: TakePicture) -> Picture:
        """The newest picture as a JPEG, plain; what was seen in the last analysed one comes beside it."""
        newest = self._newest
        if newest is None:
            return Picture(request=asked.request, camera=asked.camera)
        image = Image.fromarray(newest.frame().image)
        width = max(16, min(asked.max_width, image.width))
        image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.BOX)
        data = _jpeg(image)
        return Picture(
            request=asked.request,
            camera=asked.camera,
            at=newest.arrived_at,
            jpeg=base64.b64encode(data).decode(),
            width=image.width,
            height=image.height,
            detections=self._seen,
        )

    # --- inference thread ---------------------------------------------------------------------------------------------

    def take_waiting(self) -> tuple[Decoded, PictureState] | None:
        """The picture to look at, and `frozen` where it is known to be."""
        with self._lock:
            waiting, self._waiting = self._waiting, None
        return None if waiting is None else (waiting[0], "frozen" if waiting[1] else "ok")

    def look(self, decoded: Decoded, state: PictureState) -> tuple[PictureState, tuple[Seen, ...]]:
        """Judge a picture and, where it can be used, run the detector on it.

        Raises:
            BrokenOutput: the detector gave what is no detection.
            Exception: whatever the detector raises.
        """
        frame = decoded.frame()
        if state == "ok":
            state = self._judge.judge(frame.image)
        if state == "ok":
            state = state_of(state, self._view.look(frame.image, decoded.pts_s), self._shake.shaking())
        seen = checked(self._found(decoded, frame) if state == "ok" else ())
        if state == "ok":
            boxes = [one.box for one in seen if one.label == PERSON]
            seen = with_motion(seen, self._motion.measure(frame.image, decoded.pts_s, boxes), self._motion.noise)
        else:
            self._motion.forget()
        self._seen = seen
        return state, self._seen

    def _found(self, decoded: Decoded, frame: Frame) -> Sequence[Detection]:
        if self.detector is None:
            return ()
        if isinstance(self.detector, BurstDetector) and decoded.before:
            return self.detector.detect_burst([*(one.frame() for one in decoded.before), frame])
        return self.detector.detect(frame)

    def take_lessons(self) -> list[Lesson]:
        """What was learned of the view since the last call."""
        lessons, self._view.lessons = self._view.lessons, []
        return lessons

    def take_decode_ms(self) -> float:
        """How long decoding has taken since the last call."""
        with self._lock:
            seconds, self._decode_s = self._decode_s, 0.0
        return round(seconds * 1000, 2)

    def take_skipped(self) -> int:
        """How many were skipped since the last call."""
        with self._lock:
            skipped, self._skipped = self._skipped, 0
        return skipped


def _references(watch: Watch) -> dict[Mode, Reference]:
    """Those of the message that can be read; the server has checked them."""
    found: dict[Mode, Reference] = {}
    for mode, png in watch.references.items():
        with contextlib.suppress(ReferenceRefused, ValueError):
            found[mode] = Reference.from_png(base64.b64decode(png))
    return found


def checked(found: Sequence[Detection]) -> tuple[Seen, ...]:
    """A detector's answer, held to the contract.

    Raises:
        BrokenOutput: not detections, too many, or figures that are none.
    """
    if not isinstance(found, Sequence) or len(found) > MAX_DETECTIONS:
        raise BrokenOutput(f"A detector must return a sequence of at most {MAX_DETECTIONS} detections.")
    return tuple(_checked(one) for one in found)


def _checked(one: object) -> Seen:
    if not isinstance(one, Detection):
        raise BrokenOutput(f"A detector returned {type(one).__name__} instead of Detection.")
    figures = (one.score, *one.box, *one.attributes.values())
    if len(one.box) != 4 or not all(isinstance(f, Real) and math.isfinite(f) for f in figures):
        raise BrokenOutput(f"A detection of {str(one.label)[:40]!r} holds figures that are not finite numbers.")
    if len(one.attributes) > MAX_ATTRIBUTES or len(one.label) > 64 or any(len(name) > 64 for name in one.attributes):
        raise BrokenOutput("A detection has too many attributes or too long names.")
    x0, y0, x1, y1 = (min(max(float(v), 0.0), 1.0) for v in one.box)
    if x0 > x1 or y0 > y1 or not 0 <= one.score <= 1:
        raise BrokenOutput(f"A detection has the box {one.box} and the score {one.score}.")
    attributes = {name: float(value) for name, value in one.attributes.items()}
    return Seen(label=one.label, score=float(one.score), box=(x0, y0, x1, y1), attributes=attributes)


def _jpeg(image: Image.Image) -> bytes:
    for quality in (85, 70, 50, 30):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        if buffer.tell() <= MAX_JPEG_BYTES:
            return buffer.getvalue()
    return _jpeg(image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.BOX))
