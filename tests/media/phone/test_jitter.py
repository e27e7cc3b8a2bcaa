"""The jitter buffer in virtual time: order, loss, jitter, drift, silence, bursts."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from media.phone.jitter import Answer, JitterBuffer, Missing, Packet, Play, Wait

FRAME = 160
STEP = 0.02


@dataclass
class Heard:
    """What was played in one run."""

    answers: list[Answer] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)

    @property
    def order(self) -> list[int]:
        return [each.packet.sequence for each in self.answers if isinstance(each, Play)]

    def count(self, kind: type[Answer]) -> int:
        return sum(isinstance(each, kind) for each in self.answers)


def run(
    packets: int,
    arrival: Callable[[int], float | None],
    *,
    seconds: float | None = None,
    buffer: JitterBuffer | None = None,
    phase: float = 0.013,
    timestamp: Callable[[int], int] = lambda number: number * FRAME,
) -> tuple[Heard, JitterBuffer]:
    """Packets that arrive when `arrival` says (None: lost), and a frame taken each 20 ms."""
    buffer = buffer or JitterBuffer(8000)
    due = sorted((at, number) for number in range(packets) if (at := arrival(number)) is not None)
    heard = Heard()
    ticks = round((seconds or packets * STEP + 0.2) / STEP)
    for tick in range(ticks):
        now = phase + tick * STEP
        while due and due[0][0] <= now:
            at, number = due.pop(0)
            buffer.put(Packet(number, timestamp(number), FRAME, b"x", at))
        answer = buffer.get(now)
        heard.answers.append(answer)
        if isinstance(answer, Play):
            heard.delays.append(now - answer.packet.arrived_at)
            if answer.hurry:
                other = buffer.get(now)
                heard.answers.append(other)
    return heard, buffer


def test_packets_on_time_are_all_played_in_order_and_soon() -> None:
    heard, buffer = run(500, lambda number: number * STEP)
    assert heard.order == list(range(500))
    assert buffer.missing == buffer.late == 0
    assert max(heard.delays[100:]) <= 0.04


def test_packets_that_overtake_each_other_are_put_in_order() -> None:
    def arrival(number: int) -> float:
        return number * STEP + (0.025 if number % 5 == 3 else 0.0)

    heard, buffer = run(500, arrival)
    assert heard.order[50:] == list(range(heard.order[50], 500))
    assert buffer.late + buffer.missing < 5


def test_lost_packets_are_missing_once_each_and_cost_no_delay() -> None:
    lost = set(random.Random(1).sample(range(50, 950), 90))
    heard, buffer = run(1000, lambda number: None if number in lost else number * STEP)
    assert heard.order == [number for number in range(1000) if number not in lost]
    assert buffer.missing == 90
    assert max(heard.delays[100:]) <= 0.06


def test_the_delay_follows_the_jitter_up_and_down() -> None:
    noise = random.Random(2)

    def arrival(number: int) -> float:
        return number * STEP + (noise.uniform(0, 0.08) if 500 <= number < 1500 else 0.0)

    heard, buffer = run(4000, arrival)
    assert buffer.late <= 0.05 * 1000
    calm, rough, after = heard.delays[200:450], heard.delays[900:1300], heard.delays[-500:]
    assert sum(calm) / len(calm) < 0.04
    assert max(rough) > 0.06
    assert sum(after) / len(after) < 0.06
    assert max(heard.delays) < 0.25


@pytest.mark.parametrize("drift", [-500e-6, 500e-6])
def test_a_clock_that_runs_wrong_neither_fills_nor_empties_it(drift: float) -> None:
    """500 ppm for ten minutes: 300 ms in all."""
    heard, buffer = run(30_000, lambda number: number * STEP * (1 + drift), seconds=600 * (1 + drift))
    assert max(heard.delays[500:]) < 0.09
    assert buffer.played >= 29_900
    assert buffer.missing == 0


def test_silence_of_the_sender_is_not_loss() -> None:
    """No packets for a second, then on: sequence numbers go on, timestamps jump."""

    def sent(number: int) -> float:
        return number * STEP + (1.0 if number >= 100 else 0.0)

    heard, buffer = run(200, sent, seconds=5.5, timestamp=lambda n: n * FRAME + (8000 if n >= 100 else 0))
    assert buffer.missing == 0
    assert heard.order == list(range(200))
    assert heard.delays[-1] <= 0.06


def test_a_stall_of_the_net_is_bounded() -> None:
    """Nothing for a second, then fifty packets at once: old sound is skipped, the delay stays bounded."""

    def arrival(number: int) -> float:
        return 3.0 if 100 <= number < 150 else number * STEP

    heard, buffer = run(400, arrival)
    assert buffer.skipped > 30
    assert max(heard.delays[-100:]) < 0.26


def test_events_between_are_not_missing() -> None:
    buffer = JitterBuffer(8000)
    heard = Heard()
    for tick in range(60):
        now = tick * STEP
        if 20 <= tick < 30:
            buffer.other(tick)
        else:
            buffer.put(Packet(tick, tick * FRAME, FRAME, b"x", now))
        heard.answers.append(buffer.get(now + 0.001))
    assert buffer.missing == 0
    assert len(heard.order) >= 45


def test_repeats_are_counted_and_dropped() -> None:
    buffer = JitterBuffer(8000)
    packet = Packet(1, 0, FRAME, b"x", 0.0)
    buffer.put(packet)
    buffer.put(packet)
    assert buffer.duplicates == 1
    assert isinstance(buffer.get(1.0), Play)
    buffer.put(packet)
    assert buffer.late == 1


def test_a_flood_is_bounded() -> None:
    buffer = JitterBuffer(8000)
    for number in range(10_000):
        buffer.put(Packet(number, 0, FRAME, b"x", 0.0))
    assert len(buffer._packets) <= 100


def test_another_beginning_is_taken_up() -> None:
    """A sender whose timestamps jump by an hour is heard again within a fifth of a second."""
    heard, _ = run(300, lambda n: n * STEP, timestamp=lambda n: n * FRAME + (28_800_000 if n >= 150 else 0))
    assert set(range(160, 290)) <= set(heard.order)


def test_random_nets_never_break_it() -> None:
    """Whatever comes, an answer is given, time never runs backwards, and little is kept."""
    choose = random.Random(3)
    for _ in range(40):
        buffer, played = JitterBuffer(8000, max_delay_s=0.2), -1
        sequence = timestamp = 0
        for tick in range(400):
            now = tick * STEP
            for _ in range(choose.choice((0, 1, 1, 1, 1, 2, 5))):
                sequence += choose.choice((1, 1, 1, 1, 2, 3, -2))
                timestamp += choose.choice((FRAME, FRAME, FRAME, 0, 2 * FRAME, -FRAME, 100_000))
                buffer.put(Packet(max(0, sequence), max(0, timestamp), choose.choice((80, 160, 320)), b"x", now))
            answer = buffer.get(now)
            assert isinstance(answer, Play | Missing | Wait)
            if isinstance(answer, Play):
                assert answer.packet.sequence > played
                played = answer.packet.sequence
