"""Makes the rule that a key spot's settings ask for."""

from collections.abc import Mapping

from analytics.finding import Severity
from analytics.rules.beltrule import Belt
from analytics.rules.crossing import Crossing
from analytics.rules.spot import Spot, Watching, board_of
from analytics.rules.zones import Danger, Headcount
from config.settings import RuleSettings, SpotSettings


def spot_of(
    settings: SpotSettings,
    rules: RuleSettings,
    *,
    at: float,
    counted: tuple[int, int] = (0, 0),
    open_alerts: Mapping[str, tuple[Severity, float]] | None = None,
    simulated: bool = False,
) -> Spot:
    """A spot at work.

    Args:
        counted: in and out, as last said before a restart.
        open_alerts: key → severity and when it was raised.
    """
    board = board_of(settings, rules, simulated=simulated)
    watching: Watching
    if settings.kind == "crossing":
        watching = Crossing(settings, *counted)
    elif settings.kind == "headcount":
        watching = Headcount(settings, rules, board)
    elif settings.kind == "danger":
        watching = Danger(settings, rules, board)
    else:
        watching = Belt(settings, rules, board)
    spot = Spot(settings, board, watching, at=at)
    for key, (severity, opened_at) in (open_alerts or {}).items():
        site, _, rest = key.partition("/")
        rule, _, subject = rest.partition("/")
        if (site, subject) == (settings.site, settings.spot):
            spot.take_up(rule, severity, opened_at)
    return spot
