"""From pictures to findings: the real worker and detector, the rule, and a room that empties."""

import asyncio
import time
from pathlib import Path

import pytest

from analytics.finding import Finding
from analytics.messages import Observed, Ready
from analytics.onnx import SHIPPED
from analytics.options import DetectorOptions
from analytics.rules.absence import DutyPost, Output, State
from analytics.training.clips import DispatchRoomCamera
from analytics.vision.absence import AbsenceDetector
from analytics.vision.picture import PictureJudge
from config.settings import AnalyticsSettings
from media.frames import Frame
from tests.fakes import onnxfile
from tests.fakes.dutylog import EPOCH, settings
from tests.fakes.visionprocess import play, vision_process, with_squares

WARN, ALARM = 8.0, 15.0


def steps(outputs: list[Output]) -> list[tuple[str, str]]:
    return [(o.change, o.severity) for o in outputs if isinstance(o, Finding) and o.rule == "absence"]


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_a_post_that_empties_before_a_real_worker_is_alarmed_about_and_cleared(
    tmp_path: Path, codec: str
) -> None:
    stays, away, back = 8.0, 18.0, 10.0
    clip = (
        with_squares(n / 10, *([] if stays <= n / 10 < stays + away else [(0.5, 0.5)]))
        for n in range(int((stays + away + back) * 10))
    )
    post = DutyPost(settings(warn_after_s=WARN, alarm_after_s=ALARM), now=time.monotonic() - 1000, at=0.0)
    outputs: list[Output] = []
    async with vision_process(tmp_path, AnalyticsSettings(model=onnxfile.write(tmp_path))) as worker:
        await worker.until(Ready)
        worker.watch()
        playing = asyncio.create_task(play(worker.tap_address, clip, codec, speed=2))
        while not playing.done() or not (steps(outputs) and steps(outputs)[-1][0] == "cleared"):
            seen = await worker.until(Observed)
            outputs += post.observe(seen.at, time.monotonic(), seen.picture, seen.detections)
            if playing.done() and seen.picture == "none":
                break
        await playing
    assert steps(outputs) == [("raised", "warning"), ("again", "alarm"), ("cleared", "alarm")]
    warning, alarm, cleared = (o for o in outputs if isinstance(o, Finding) and o.rule == "absence")
    left = EPOCH + stays
    assert left + WARN <= warning.at <= left + WARN + 2
    assert left + ALARM <= alarm.at <= left + ALARM + 2
    assert cleared.explain["duration_s"] == pytest.approx(away, abs=1.0)


@pytest.mark.skipif(not SHIPPED.exists(), reason="no model in this tree")
@pytest.mark.parametrize("coat", [False, True])
def test_the_shipped_model_and_the_rule_follow_a_rendered_officer(coat: bool) -> None:
    """One rendered room, nobody disturbed by a coat on the chair: present, away for 20 s, present again."""
    camera = DispatchRoomCamera(7, None, (320, 180), coat=coat)
    detector = AbsenceDetector(DetectorOptions("mine-1/room"))
    judge = PictureJudge(())
    post = DutyPost(settings(warn_after_s=WARN, alarm_after_s=ALARM), now=-100.0, at=EPOCH - 100)
    outputs: list[Output] = []
    for n in range(2 * 64):
        t = n / 2
        officer = "absent" if 12 <= t < 40 else "work"
        image = camera.picture(t, officer)
        frame = Frame("p1/0", t, EPOCH + t, image)
        outputs += post.observe(EPOCH + t, t, judge.judge(image), detector.detect(frame))
    assert steps(outputs) == [("raised", "warning"), ("again", "alarm"), ("cleared", "alarm")]
    alarm = next(o for o in outputs if isinstance(o, Finding) and o.severity == "alarm")
    assert EPOCH + 12 + ALARM <= alarm.at <= EPOCH + 12 + 4 + ALARM + 2  # walking out takes 4 s
    assert post.state is State.PRESENT
