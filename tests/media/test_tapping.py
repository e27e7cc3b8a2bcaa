"""Readers of a simulcast get one encoding each, and go on with another when theirs ends."""

from pathlib import Path
from typing import Any

import pytest

from media.incoming import Encoding
from media.messages import DoorPass, Outlet
from media.tapping import Taps
from tests.media.test_tapsender import Reader


class Sinks:
    """Where a forwarder keeps them."""

    def __init__(self) -> None:
        self.sinks: dict[int, Any] = {}

    def tap(self, source: int, sink: Any) -> None:
        self.sinks[source] = sink

    @property
    def used(self) -> set[int]:
        return {source for source, sink in self.sinks.items() if sink is not None}

    def frame(self, source: int, timestamp: int, seq: int, at: float, *, key: bool) -> None:
        sink = self.sinks.get(source)
        if sink is not None:
            head = bytes((0x10, 0x00 if key else 0x01))
            sink(head + b"\0\0\x9d\x01\x2a" + bytes((source,) * 20), True, timestamp, seq, at)


@pytest.fixture
def encodings() -> tuple[Encoding, ...]:
    made = tuple(Encoding(source, rid, 90000, 0.5) for source, rid in ((1, "q"), (2, "h"), (3, "f")))
    for each in made:
        each.flows = True
    return made


def test_a_recorder_gets_the_best_and_the_vision_worker_the_second_best(
    encodings: tuple[Encoding, ...], tmp_path: Path
) -> None:
    taps = Taps("camera/0", "VP8", 90000, encodings)
    vision, recorder = Reader(tmp_path / "v"), Reader(tmp_path / "r")
    assert taps.add("vision", vision.address) is encodings[1]
    assert taps.add("record", recorder.address) is encodings[2]
    assert taps.demand() == {encodings[1], encodings[2]}
    sinks = Sinks()
    taps.attach(sinks)  # type: ignore[arg-type]
    assert sinks.used == {2, 3}
    for source in (1, 2, 3):
        sinks.frame(source, 1000, 1, 1.0, key=True)
    assert [unit.data[-1] for unit in vision.read()] == [2]
    assert [unit.data[-1] for unit in recorder.read()] == [3]
    taps.clear()
    taps.attach(sinks)  # type: ignore[arg-type]
    assert sinks.used == set()
    vision.close()
    recorder.close()


@pytest.mark.parametrize("known", [False, True])
def test_a_reader_goes_on_with_another_encoding_in_the_same_time(
    encodings: tuple[Encoding, ...], tmp_path: Path, known: bool
) -> None:
    taps = Taps("camera/0", "VP8", 90000, encodings)
    recorder = Reader(tmp_path / "r")
    taps.add("record", recorder.address)
    sinks = Sinks()
    lag = 700_000 if known else None
    taps.look(sinks, lambda new, old: lag)  # type: ignore[arg-type]
    sinks.frame(3, 1000, 65535, 10.0, key=True)
    encodings[2].flows = False
    taps.look(sinks, lambda new, old: lag)  # type: ignore[arg-type]
    assert sinks.used == {2, 3}
    assert taps.asks_for_keyframe(encodings[1])
    sinks.frame(2, 703_000, 7, 10.05, key=False)
    sinks.frame(2, 709_000, 8, 10.1, key=True)
    taps.look(sinks, lambda new, old: lag)  # type: ignore[arg-type]
    assert sinks.used == {2}
    sinks.frame(2, 712_000, 9, 10.133, key=False)
    units = recorder.read()
    assert [unit.data[-1] for unit in units] == [3, 2, 2]
    assert [unit.timestamp - units[0].timestamp for unit in units] == [
        0,
        8000 if known else 9000,
        11_000 if known else 12_000,
    ]
    assert not any(unit.after_gap for unit in units[1:])
    taps.clear()
    recorder.close()


def test_other_workers_wait_for_the_encoding_that_the_pipe_carries(
    encodings: tuple[Encoding, ...], tmp_path: Path
) -> None:
    """Which is not the best one while that is not being sent."""
    taps = Taps("camera/0", "VP8", 90000, encodings)
    assert taps.piped() == set()
    sinks = Sinks()
    encodings[2].flows = False
    taps.pipe(96, [Outlet(door=DoorPass(address=str(tmp_path / "door"), token="11"), ssrc=17)])
    assert taps.demand() == {encodings[2]}
    assert taps.piped() == {encodings[1]}
    encodings[2].flows = True
    taps.look(sinks, lambda new, old: None)  # type: ignore[arg-type]
    assert taps.piped() == {encodings[1], encodings[2]}
    sinks.frame(3, 1000, 1, 1.0, key=True)
    assert taps.piped() == {encodings[2]}
    taps.clear()
