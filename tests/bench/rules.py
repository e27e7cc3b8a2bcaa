"""Rules against a mine that knows the truth: python tests/bench/rules.py --seeds 9001 9002 --json

Three parts:

- *scenes*: each seed is some hours of a mine with 150 people and 30 machines, in which faults and offences are played
  by lot. For every rule: how many were played and found (recall), how many alerts were about something that happened
  (precision), how long after it could be seen the alert came (delay, by the server's clock), and how many alerts and
  false alerts a day that makes. Advice (severity info) is counted apart.
- *quiet*: the same mine with nothing played, for alerts a day where all is well (chance still brings people beside
  machines, and that is counted as true).
- *covert*: months of stopped mines at one sample a minute: compliant ones, with and without a list of permits, and
  ones that produce covertly in six shapes.

What was played is found when an alert about it is raised or stands. An alert is right when its rule and subject were
played, from 15 s before to 60 s after, or when what was played names the rule as one that may speak of it too. Seeds
are to be ones that nobody has looked at while writing the rules. The mine is simulated by this very project: figures
tell rules apart and find what gets worse; a real mine will give others.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a program it is run from anywhere

from analytics.finding import Finding
from analytics.rules.covert import CovertRules
from analytics.rules.site import SiteRules
from analytics.simulation.days import PLANS, Days, Shape
from analytics.simulation.power import devices
from analytics.simulation.scene import Scene
from analytics.simulation.truth import Truth
from config.settings import RuleSettings

DAY_S = 86_400.0
EARLY_S, LATE_S = 15.0, 60.0
FIGURES = RuleSettings(sump_high_m=3.6)


@dataclass
class Score:
    """What all seeds gave for one rule."""

    played: int = 0
    found: int = 0
    alerts: int = 0
    right: int = 0
    advice: int = 0
    delays_s: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def as_dict(self, days: float) -> dict[str, object]:
        delays = sorted(self.delays_s)
        return {
            "played": self.played,
            "found": self.found,
            "recall": round(self.found / self.played, 4) if self.played else None,
            "alerts": self.alerts,
            "right": self.right,
            "precision": round(self.right / self.alerts, 4) if self.alerts else None,
            "delay_median_s": round(median(delays), 1) if delays else None,
            "delay_max_s": round(delays[-1], 1) if delays else None,
            "alerts_per_day": round(self.alerts / days, 1),
            "false_per_day": round((self.alerts - self.right) / days, 1),
            "advice_per_day": round(self.advice / days, 1),
            "missed": self.missed[:10],
        }


def fits(one: Truth, finding: Finding) -> bool:
    about = (one.kind, one.subject) == (finding.rule, finding.subject) or finding.rule in one.also
    return about and one.start - EARLY_S <= finding.at <= one.end + LATE_S


def scene(seed: int, seconds: float, kinds: Sequence[str] | None, scores: dict[str, Score]) -> float:
    """Play one; returns the seconds of processor time that the rules took."""
    played = Scene(seed, seconds, kinds)
    site = played.layout.facts.site
    rules = SiteRules(played.layout.facts, devices(site, 2.0), FIGURES, now=played.start)
    found: list[tuple[Finding, float]] = []
    busy = 0.0
    for moment in played.run():
        began = time.process_time()
        new = rules.feed(moment.readings, moment.positions) + rules.tick(moment.now)
        busy += time.process_time() - began
        found += ((one, moment.now) for one in new if one.change in ("raised", "again", "cleared"))
    weigh(played.truth, found, scores, seed)
    return busy


def weigh(
    truth: Sequence[Truth], found: Sequence[tuple[Finding, float]], scores: dict[str, Score], seed: int
) -> None:  # fmt: skip
    standing: dict[str, tuple[Finding, float]] = {}
    alerts: list[tuple[Finding, float, float]] = []
    """Alerts: the finding that made it one, when it came, when it was over."""
    for finding, now in found:
        score = scores[finding.rule]
        if finding.change == "cleared":
            if (opened := standing.pop(finding.key, None)) is not None:
                alerts.append((*opened, now))
        elif finding.severity == "info":
            score.advice += finding.change == "raised"
        elif finding.key not in standing:  # later ones are the same alert, graver
            standing[finding.key] = (finding, now)
            score.alerts += 1
            score.right += any(fits(one, finding) for one in truth)
    alerts += ((*opened, float("inf")) for opened in standing.values())
    for one in truth:
        score = scores[one.kind]
        score.played += 1
        about = [
            (began, over) for finding, began, over in alerts
            if (finding.rule, finding.subject) == (one.kind, one.subject)
            and finding.at <= one.end + LATE_S and over >= one.start - EARLY_S
        ]  # fmt: skip
        if not about:
            score.missed.append(f"{seed}: {one.subject} at {one.start - truth[0].start:.0f} s")
            continue
        score.found += 1
        began = min(began for began, _ in about)
        if began >= one.start - EARLY_S:  # else one stood already, and nobody can say how long it would have taken
            score.delays_s.append(max(0.0, began - one.start))


@dataclass
class Covert:
    """One stopped mine."""

    seed: int
    shape: Shape
    permits: bool
    days: int
    incidents: int = 0
    highest: str = ""
    runs: int = 0
    check_after_h: float | None = None
    """From the first run to the first word."""
    second_source_h: float | None = None
    """From the second source to the alarm; below 0 is not possible: 0 when it came at once."""


def months(seed: int, shape: Shape, days: int, permits: bool) -> Covert:
    mine = Days(seed, shape, producing_days=8, stopped_days=days, begins_day=6, permits=permits)
    rules = CovertRules(mine.facts, devices("dongfeng", 60.0), RuleSettings())
    found = [(one, now) for now, readings in mine.run() for one in rules.feed(readings)]
    result = Covert(seed, shape, permits, days, runs=len(mine.runs))
    result.incidents = sum(one.change == "raised" for one, _ in found)
    order = ("info", "warning", "alarm", "critical")
    result.highest = max((one.severity for one, _ in found), key=order.index, default="")
    if mine.runs and found:
        result.check_after_h = round((found[0][1] - mine.runs[0].start) / 3600, 2)
        second = mine.runs[0].second_source_at
        alarm = next((now for one, now in found if one.severity in ("alarm", "critical")), None)
        if second is not None and alarm is not None:
            result.second_source_h = round(max(0.0, alarm - second) / 3600, 2)
    return result


def goal(name: str, value: float, unit: str, wanted: float, ok: bool) -> dict[str, object]:
    return {"name": name, "value": value, "unit": unit, "goal": wanted, "ok": ok}


def goals(covert: Sequence[Covert]) -> list[dict[str, object]]:
    compliant = [one for one in covert if one.shape == "none" and one.permits]
    bare = [one for one in covert if one.shape == "none" and not one.permits]
    published = [one for one in covert if one.shape == "published"]
    several = [one for one in covert if one.shape in PLANS and one.shape != "power_only"]
    late = [one.second_source_h if one.second_source_h is not None else 999.0 for one in published]
    every = [one.second_source_h if one.second_source_h is not None else 999.0 for one in several]
    found = []
    if compliant:
        count = sum(one.incidents for one in compliant)
        found.append(goal("covert incidents at compliant stopped mines", count, "1", 0, count == 0))
    if bare:
        count = sum(one.incidents for one in bare)
        found.append(goal("the same, with no permits on file", count, "1", 0, count == 0))
    if late:
        found.append(goal("published pattern, second source to alarm", max(late), "h", 2, max(late) <= 2))
    if every:
        found.append(goal("all shapes with two sources, second source to alarm", max(every), "h", 2, max(every) <= 2))
    return found


def table(scores: dict[str, Score], days: float) -> Iterable[str]:
    yield (
        f"{'rule':<22}{'played':>7}{'recall':>8}{'alerts':>8}{'prec.':>7}"
        f"{'delay':>8}{'max':>8}{'/day':>8}{'false/day':>10}"
    )
    for rule in sorted(scores):
        one = scores[rule].as_dict(days)

        def shown(name: str, one: dict[str, object] = one) -> str:
            return "-" if one[name] is None else str(one[name])

        yield (
            f"{rule:<22}{shown('played'):>7}{shown('recall'):>8}{shown('alerts'):>8}{shown('precision'):>7}"
            f"{shown('delay_median_s'):>8}{shown('delay_max_s'):>8}{shown('alerts_per_day'):>8}{shown('false_per_day'):>10}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[9101, 9102, 9103, 9104])
    parser.add_argument("--seconds", type=float, default=7200.0, help="length of a scene")
    parser.add_argument("--quiet-seeds", type=int, nargs="*", default=[9201])
    parser.add_argument("--covert-seeds", type=int, nargs="*", default=[9301, 9302])
    parser.add_argument("--days", type=int, default=60, help="of a compliant stop")
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    scores: dict[str, Score] = defaultdict(Score)
    calm: dict[str, Score] = defaultdict(Score)
    busy = sum(scene(seed, wanted.seconds, None, scores) for seed in wanted.seeds)
    for seed in wanted.quiet_seeds:
        scene(seed, wanted.seconds, (), calm)
    covert = [months(seed, "none", wanted.days, permits) for seed in wanted.covert_seeds for permits in (True, False)]
    covert += [months(seed, shape, 12, True) for seed in wanted.covert_seeds for shape in PLANS]
    days, calm_days = (max(len(seeds), 1) * wanted.seconds / DAY_S for seeds in (wanted.seeds, wanted.quiet_seeds))
    found = goals(covert)
    if wanted.json:
        result = {
            "seeds": wanted.seeds, "seconds": wanted.seconds, "rules_busy_s": round(busy, 1),
            "scenes": {rule: scores[rule].as_dict(days) for rule in sorted(scores)},
            "quiet": {rule: calm[rule].as_dict(calm_days) for rule in sorted(calm)},
            "covert": [vars(one) for one in covert],
            "goals": found,
        }  # fmt: skip
        print(json.dumps(result, ensure_ascii=False))
        return
    print("\n".join(table(scores, days)))
    print("\nnothing played:")
    print("\n".join(table(calm, calm_days)))
    print("\ncovert running:")
    for one in covert:
        print(vars(one))
    for one_goal in found:
        print(one_goal)


if __name__ == "__main__":
    main()
