"""Tests leave the machine as they found it."""

import os

import pytest

from tests.fakes import clips, encoded


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264", "AV1"])
def test_encoding_gives_nobody_real_time_priority(codec: str) -> None:
    list(clips.encode([clips.scene(number * 0.1) for number in range(4)], codec))
    encoded.encode(codec, pictures=4)
    policies = {os.sched_getscheduler(int(thread)) for thread in os.listdir("/proc/self/task")}
    assert policies == {os.SCHED_OTHER}
