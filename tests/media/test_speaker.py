"""Who speaks, from synthetic levels on virtual time."""

import random

from media.speaker import Dominance, Voice, loudest

SPEECH, NOISE = (20, 45), (85, 95)
"""dB below overload."""


class Table:
    """People around a table, each loud, silent or away."""

    def __init__(self, *names: str) -> None:
        self.voices = {name: Voice() for name in names}
        self.dominance = Dominance()
        self.now = 10.0
        self.changes: list[str] = []
        self._dice = random.Random(3)

    def talk(self, seconds: float, *loud: str, away: tuple[str, ...] = ()) -> None:
        for step in range(round(seconds * 10)):
            self.now += 0.1
            for name, voice in self.voices.items():
                levels = [self._dice.randint(*(SPEECH if name in loud else NOISE)) for _ in range(5)]
                voice.heard([] if name in away else levels, self.now)
            if step % 3 == 0 and self.dominance.decide(self.voices, self.voices, self.now):
                self.changes.append(self.dominance.speaker)


def test_nobody_speaks_in_noise() -> None:
    table = Table("a", "b")
    table.talk(5)
    assert (table.dominance.speaker, table.changes) == ("", [])


def test_who_speaks_is_found_within_half_a_second_and_silence_ends_it() -> None:
    table = Table("a", "b")
    table.talk(1)
    table.talk(0.5, "a")
    assert table.dominance.speaker == "a"
    table.talk(4)
    assert table.changes == ["a", ""]


def test_the_floor_passes_from_one_to_the_other() -> None:
    table = Table("a", "b", "c")
    table.talk(3, "a")
    table.talk(3, "b")
    table.talk(3, "c")
    assert table.changes == ["a", "b", "c"]


def test_a_cough_does_not_take_the_floor() -> None:
    table = Table("a", "b")
    table.talk(3, "a")
    for _ in range(5):
        table.talk(0.1, "a", "b")
        table.talk(1, "a")
    assert table.changes == ["a"]


def test_a_short_pause_keeps_the_floor() -> None:
    table = Table("a", "b")
    table.talk(3, "a")
    table.talk(1)
    table.talk(3, "a")
    assert table.changes == ["a"]


def test_packets_that_do_not_come_are_silence() -> None:
    table = Table("a", "b")
    table.talk(2, "a", "b", away=("a",))
    assert table.dominance.speaker == "b"
    table.talk(5, away=("a", "b"))
    assert table.dominance.speaker == ""


def test_a_loud_room_is_no_speech() -> None:
    table = Table("a", "b")
    for _ in range(100):
        table.now += 0.1
        table.voices["a"].heard([40, 41, 40, 39, 40], table.now)
        table.voices["b"].heard([127] * 5, table.now)
        table.dominance.decide(table.voices, table.voices, table.now)
    assert table.dominance.speaker == ""


def test_the_loudest_come_first_and_stay_for_a_moment() -> None:
    table = Table("a", "b", "c", "d")
    table.talk(1, "b", "d")
    assert set(loudest(table.voices, table.now)) == {"b", "d"}
    table.talk(0.5)
    assert set(loudest(table.voices, table.now)) == {"b", "d"}
    table.talk(1.5)
    assert loudest(table.voices, table.now) == []


def test_one_who_leaves_is_no_speaker() -> None:
    table = Table("a", "b")
    table.talk(2, "a")
    del table.voices["a"]
    table.talk(0.3)
    assert table.dominance.speaker == ""
