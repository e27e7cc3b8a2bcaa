"""The pieces that the benchmark of a thin line counts with. How anything went is not asserted."""

from tests.bench.thinline import gaps, goal


def test_gaps_are_between_pictures() -> None:
    assert gaps([(0.0, 320, 1), (66.0, 320, 2), (300.0, 160, 3)]) == [66.0, 234.0]


def test_a_goal_is_met_from_below_or_from_above() -> None:
    assert goal("freeze", 400, "ms", 500)["ok"]
    assert not goal("freeze", 600, "ms", 500)["ok"]
    assert goal("decoded", 0.96, "share", 0.95, least=True)["ok"]
    assert not goal("settled", None, "s", 4)["ok"]
