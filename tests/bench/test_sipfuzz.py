"""The first inputs of the million, in every target, and that what goes wrong is told."""

import random
from collections.abc import Iterator

import pytest

from tests.bench import sipfuzz
from tests.fakes.siphostile import hostile


@pytest.mark.parametrize("batch", range(len(sipfuzz.TARGETS)))
def test_mutated_input_raises_only_what_is_documented(batch: int) -> None:
    assert sipfuzz.run_batch(4475, batch) == list(sipfuzz.TARGETS)[batch]


def test_what_nobody_documented_is_told_with_its_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(rng: random.Random) -> Iterator[bytes]:
        while True:
            data = rng.randbytes(4)
            yield data
            data.decode("ascii")

    monkeypatch.setattr(sipfuzz, "TARGETS", {"careless": careless})
    with pytest.raises(UnicodeDecodeError) as caught:
        sipfuzz.run_batch(1, 7)
    (note,) = caught.value.__notes__
    assert note.startswith("batch 7 of seed 1, careless, fed with b'")


def test_a_batch_is_the_same_each_time() -> None:
    def first(seed: str) -> list[bytes]:
        source = sipfuzz.TARGETS["user agent"](random.Random(seed))
        return [next(source) for _ in range(20)]

    assert first("1/3") == first("1/3")
    assert first("1/3") != first("1/4")


def test_every_hostile_message_is_timed() -> None:
    took = sipfuzz.hostile_ms(size=4000, runs=1)
    assert len(took) == 2 * len(hostile(0))
    assert min(took.values()) >= 0
