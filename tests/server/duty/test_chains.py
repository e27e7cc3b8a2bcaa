"""Which chain an alert follows, and the spans of a day."""

import pytest
from pydantic import ValidationError

from config.settings import EscalationChainSettings as Chain
from config.settings import EscalationStepSettings as Step
from server.duty.chains import RED_CHAIN, WARNING_CHAIN, choose, until_end, way, within

LEVELS = {"mine-a": "mine", "liulin": "county", "lvliang": "city"}
SITES = tuple(LEVELS)


def test_without_settings_red_climbs_and_warnings_stay_at_the_mine() -> None:
    assert choose((), "critical", "absence") is RED_CHAIN
    assert choose((), "warning", "absence") is WARNING_CHAIN
    assert choose((), "info", "absence") is None
    assert way(RED_CHAIN, SITES, LEVELS.__getitem__).sites == SITES
    assert way(WARNING_CHAIN, SITES, LEVELS.__getitem__).sites == ("mine-a",)


def test_first_chain_that_fits_wins_and_red_is_never_without() -> None:
    fan = Chain(chain="fan", severities=("alarm",), rules=("fan_stop",), steps=(Step(),))
    others = Chain(chain="others", severities=("warning",), steps=(Step(),))
    assert choose((fan, others), "alarm", "fan_stop") is fan
    assert choose((fan, others), "warning", "absence") is others
    assert choose((fan, others), "alarm", "absence") is RED_CHAIN


def test_a_warning_about_an_authority_rings_there() -> None:
    assert way(WARNING_CHAIN, SITES[1:], LEVELS.__getitem__).sites == ("liulin",)


def test_red_chain_for_levels_that_are_not_there_rings_at_the_site() -> None:
    far = Chain(chain="far", severities=("critical",), levels=("nation",), steps=(Step(),))
    assert way(far, SITES, LEVELS.__getitem__).sites == ("mine-a",)


def test_quiet_hours_for_red_are_refused() -> None:
    with pytest.raises(ValidationError, match="quiet hours"):
        Chain(chain="x", severities=("warning", "alarm"), steps=(Step(),), quiet=("22:00", "06:00"))


@pytest.mark.parametrize(
    ("clock", "inside", "left_h"),
    [
        ("21:59", False, 8 + 1 / 60),
        ("22:00", True, 8),
        ("23:30", True, 6.5),
        ("05:59", True, 1 / 60),
        ("06:00", False, 24),
    ],
)
def test_span_over_midnight_in_local_time(clock: str, inside: bool, left_h: float) -> None:
    hours, minutes = clock.split(":")
    at = 86400 * 20_000 + (int(hours) - 8) * 3600 + int(minutes) * 60.0  # UTC+8
    assert within(("22:00", "06:00"), at, 8.0) is inside
    assert until_end(("22:00", "06:00"), at, 8.0) == pytest.approx(left_h * 3600)


def test_span_within_a_day_and_none() -> None:
    noon = 86400 * 20_000 + 12 * 3600.0
    assert within(("08:00", "18:00"), noon, 0.0)
    assert not within(("13:00", "18:00"), noon, 0.0)
    assert not within(None, noon, 0.0)
