"""Who hears what in a room."""

import numpy as np
import pytest

from media.phone.audio import FULL_SCALE, Samples, level, silence
from media.phone.mixer import NARROW, WIDE, Mixer
from tests.fakes.sound import dominant, share_at, tone


def noise(seed: int, samples: int = 160, peak: int = 5000) -> Samples:
    return np.random.default_rng(seed).integers(-peak, peak, samples).astype(np.float32)


def test_everybody_hears_exactly_all_the_others() -> None:
    mixer = Mixer()
    said = {f"leg{number}": noise(number, peak=2000) for number in range(10)}
    for leg in said:
        mixer.add(leg, 8000)
    track = noise(99)
    heard = mixer.mix(said, [track])
    for leg in said:
        others = sum((each for name, each in said.items() if name != leg), track.copy())
        assert np.array_equal(heard[leg], others)


def test_who_says_nothing_hears_everything() -> None:
    mixer = Mixer()
    for leg in ("a", "b", "c"):
        mixer.add(leg, 8000)
    sound = noise(1)
    heard = mixer.mix({"a": sound})
    assert np.array_equal(heard["b"], sound)
    assert np.array_equal(heard["c"], sound)
    assert np.array_equal(heard["a"], silence(160))


def test_one_alone_hears_nothing() -> None:
    mixer = Mixer()
    mixer.add("a", 8000)
    assert not mixer.mix({"a": noise(1)})["a"].any()


def test_loud_voices_together_do_not_wrap() -> None:
    mixer = Mixer()
    for leg in ("a", "b", "c", "d"):
        mixer.add(leg, 8000)
    loud = tone(440, 0.02, 8000, 30000)
    heard = mixer.mix({"a": loud, "b": loud, "c": loud})
    assert float(np.abs(heard["d"]).max()) < FULL_SCALE
    assert float((heard["d"] * loud).min()) >= 0


def test_a_wide_phone_makes_the_room_wide_and_leaves_it_narrow() -> None:
    mixer = Mixer()
    mixer.add("narrow", 8000)
    assert mixer.rate == NARROW
    mixer.add("wide", 16000)
    assert mixer.rate == WIDE
    mixer.remove("wide")
    assert mixer.rate == NARROW


@pytest.mark.parametrize(("frequency", "arrives"), [(1000.0, True), (6000.0, False)])
def test_rates_are_converted_between_phones(frequency: float, arrives: bool) -> None:
    """A wide phone's 1 kHz is heard by a narrow one, its 6 kHz is not; the other way round 1 kHz arrives too."""
    mixer = Mixer()
    mixer.add("narrow", 8000)
    mixer.add("wide", 16000)
    narrow, wide = tone(1500, 1, 8000), tone(frequency, 1, 16000)
    at_narrow, at_wide = [], []
    for frame in range(50):
        said = {"narrow": narrow[frame * 160 : frame * 160 + 160], "wide": wide[frame * 320 : frame * 320 + 320]}
        heard = mixer.mix(said)
        at_narrow.append(heard["narrow"])
        at_wide.append(heard["wide"])
    low, high = np.concatenate(at_narrow)[1000:], np.concatenate(at_wide)[2000:]
    assert dominant(high, 16000) == pytest.approx(1500, abs=1)
    assert level(high) == pytest.approx(level(narrow), abs=0.3)
    if arrives:
        assert dominant(low, 8000) == pytest.approx(1000, abs=1)
        assert level(low) == pytest.approx(level(wide), abs=0.3)
        assert share_at(low, 1500, 8000) < 0.001
    else:
        assert level(low) < level(wide) - 40


def test_a_leg_that_is_not_in_the_room_is_not_heard() -> None:
    mixer = Mixer()
    mixer.add("a", 8000)
    assert not mixer.mix({"stranger": noise(1)})["a"].any()
