"""Which chain an alert follows, and the stations of its way up. Data only.

Settings give chains; where they give none (or none for a red alert) the built-in ones hold, so that no red alert is
without a chain. A *station* is one step of the chain at one site: the alert's own, then the authority above it, and so
on to the top.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from analytics.finding import Severity
from config.settings import EscalationChainSettings as Chain
from config.settings import EscalationStepSettings as Step

RED: tuple[Severity, ...] = ("alarm", "critical")
DAY_S = 86400

RED_CHAIN = Chain(
    chain="red",
    severities=RED,
    steps=(
        Step(ring=("browser", "webhook", "mqtt"), who=("on_duty",), seconds=20),
        Step(ring=("phone",), who=("on_duty",), seconds=20),
        Step(ring=("phone", "sms"), who=("deputy",), seconds=15),
    ),
)
"""The next level is rung after at most 55 s; pages of a level that was rung go on sounding."""
WARNING_CHAIN = Chain(
    chain="warning",
    severities=("warning",),
    steps=(Step(ring=("browser",), who=("on_duty",), seconds=60, levels=()),),
    levels=("mine",),
    repeat=1,
    revert_after_s=0,
)
BUILT_IN = (RED_CHAIN, WARNING_CHAIN)


@dataclass(frozen=True, slots=True)
class Station:
    """One step at one site."""

    site: str
    level: str
    step: Step


@dataclass(frozen=True, slots=True)
class Way:
    """The chain of one alert and its stations, in order."""

    chain: Chain
    stations: tuple[Station, ...]

    @property
    def sites(self) -> tuple[str, ...]:
        """The sites it climbs, each once."""
        return tuple(dict.fromkeys(one.site for one in self.stations))


def choose(chains: Sequence[Chain], severity: Severity, rule: str) -> Chain | None:
    """The first chain that fits. Red alerts always have one; others may have none."""
    for chain in chains or BUILT_IN:
        if severity in chain.severities and (not chain.rules or rule in chain.rules):
            return chain
    return RED_CHAIN if severity in RED else None


def way(chain: Chain, sites: Iterable[str], level_of: Callable[[str], str]) -> Way:
    """`sites`: the alert's site and the authorities above it, nearest first. A chain whose levels leave no station
    rings where the alert is."""
    ordered = list(sites)
    stations = [
        Station(site, level, step)
        for site in ordered
        for level in [level_of(site)]
        if not chain.levels or level in chain.levels
        for step in chain.steps
        if not step.levels or level in step.levels
    ]
    if not stations:
        stations = [Station(ordered[0], level_of(ordered[0]), step) for step in chain.steps]
    return Way(chain, tuple(stations))


def second_of_day(at: float, offset_h: float) -> float:
    """Local time as seconds since midnight."""
    return (at + offset_h * 3600) % DAY_S


def _second(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def within(times: tuple[str, str] | None, at: float, offset_h: float) -> bool:
    """Whether a moment lies in a daily span such as 22:00 to 06:00. Equal times are the whole day; None never."""
    if times is None:
        return False
    now, start, end = second_of_day(at, offset_h), _second(times[0]), _second(times[1])
    if start < end:
        return start <= now < end
    return now >= start or now < end


def until_end(times: tuple[str, str], at: float, offset_h: float) -> float:
    """Seconds until a daily span ends; a whole day at most."""
    left = (_second(times[1]) - second_of_day(at, offset_h)) % DAY_S
    return left or DAY_S
