"""The card says what a person at the mine can do."""

from typing import get_args

import pytest

from media.ingest.messages import Facts, Opened, Reason, Stream
from server.diagnosis import FAILS_AT, STEPS, WHAT_TO_DO, Known, Step, diagnose, summary

OPENED = Opened(camera="m/c", opening=1, video=Stream(codec="H264", clock_rate=90000), width=1920, height=1080)
FACTS = Facts(camera="m/c", frames_per_s=25, bitrate_bps=4_000_000, keyframe_interval_s=2.0)


def lights(known: Known) -> dict[Step, str]:
    return {one.step: one.light for one in diagnose(known)}


@pytest.mark.parametrize("reason", [one for one in get_args(Reason) if one])
def test_every_reason_fails_at_a_step_with_words_in_both_languages(reason: Reason) -> None:
    known = Known("backoff", reason, "detail")
    steps = diagnose(known)
    failed = [one for one in steps if one.light == "failed"]
    assert [one.step for one in failed] == [FAILS_AT[reason]]
    assert failed[0].text == WHAT_TO_DO[reason] == summary(known)
    assert failed[0].text["zh"].endswith("。")
    assert failed[0].text["en"].endswith(".")
    place = STEPS.index(FAILS_AT[reason])
    assert all(one.light == "ok" for one in steps[:place])
    assert all(one.light == "unknown" for one in steps[place + 1 :])


def test_a_camera_that_is_on_has_only_green_lights() -> None:
    known = Known("live", opened=OPENED, facts=FACTS, forwarded="live", watchers=2)
    assert set(lights(known).values()) == {"ok"}
    assert summary(known)["zh"] == "画面正常。"
    texts = {one.step: one.text["en"] for one in diagnose(known)}
    assert texts["stream"] == "H.264 1920×1080"
    assert texts["picture"] == "25 pictures/s, 4.0 Mbit/s"
    assert texts["watched"] == "2 watching"


def test_the_step_that_is_being_tried_is_marked() -> None:
    assert lights(Known("connecting"))["address"] == "waiting"
    waiting = lights(Known("waiting", opened=OPENED))
    assert waiting["picture"] == "ok"
    assert waiting["keyframe"] == "waiting"
    assert lights(Known("live", opened=OPENED, forwarded="stalled"))["forwarded"] == "waiting"


@pytest.mark.parametrize(
    ("facts", "step", "word"),
    [
        (FACTS.model_copy(update={"reordered": True}), "picture", "B-frames"),
        (FACTS.model_copy(update={"jumps": 9}), "picture", "clock"),
        (FACTS.model_copy(update={"keyframe_interval_s": 10.0}), "keyframe", "10 s"),
    ],
)
def test_what_will_annoy_people_is_a_warning(facts: Facts, step: Step, word: str) -> None:
    known = Known("live", opened=OPENED, facts=facts, forwarded="live")
    assert lights(known)[step] == "warning"
    assert word in summary(known)["en"]


def test_sound_that_is_not_carried_is_told() -> None:
    opened = OPENED.model_copy(update={"audio_left_out": "aac"})
    known = Known("live", opened=opened, facts=FACTS, forwarded="live")
    assert lights(known)["stream"] == "warning"
    assert "aac" in summary(known)["zh"]
