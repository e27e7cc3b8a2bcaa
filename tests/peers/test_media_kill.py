"""A media worker that is killed under people in a consultation: everybody sees and hears again each time, and what
was recorded plays. `python -m tests.bench.kills` does it twenty times and measures."""

from pathlib import Path

import pytest

from tests.fakes.killing import kill_again_and_again

pytestmark = pytest.mark.peer
KILLS = 2
PEOPLE = 5
"""Ten, as in the bench, are too many for a machine that runs other tests beside it."""


@pytest.mark.timeout(400)
async def test_everybody_receives_again_each_time_and_every_recording_plays(tmp_path: Path) -> None:
    found = await kill_again_and_again(tmp_path, KILLS, PEOPLE)
    assert len(found.back_s) == KILLS
    assert not found.broken
    assert found.tracks >= 2 * PEOPLE * (KILLS + 1)
    assert len(found.gaps_s) == 2 * PEOPLE * KILLS
