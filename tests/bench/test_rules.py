"""The bench of the rules measures what it says, on a small piece."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from analytics.finding import Finding
from analytics.simulation.truth import Truth
from tests.bench.rules import Score, goals, months, weigh


def finding(rule: str, subject: str, at: float, severity: str = "alarm") -> tuple[Finding, float]:
    return Finding("m", f"m/{rule}/{subject}", rule, subject, "raised", severity, at, "", ""), at + 2  # type: ignore[arg-type]


def test_alerts_are_weighed_against_what_was_played() -> None:
    truth = [Truth("sos", "P1", 100.0, 200.0), Truth("still", "P2", 300.0, 900.0, ("lone_worker",))]
    scores: dict[str, Score] = defaultdict(Score)
    found = [
        finding("sos", "P1", 100.0), finding("sos", "P9", 100.0), finding("lone_worker", "P5", 400.0),
        finding("zone_entry", "z:P1", 5.0, "info"),
    ]  # fmt: skip
    weigh(truth, found, scores, 1)
    assert (scores["sos"].played, scores["sos"].found, scores["sos"].alerts, scores["sos"].right) == (1, 1, 2, 1)
    assert scores["sos"].delays_s == [2.0]
    assert (scores["still"].played, scores["still"].found) == (1, 0)
    assert (scores["lone_worker"].alerts, scores["lone_worker"].right) == (1, 1)
    assert (scores["zone_entry"].alerts, scores["zone_entry"].advice) == (0, 1)


def test_a_compliant_mine_meets_the_goal_and_an_incident_does_not() -> None:
    calm = months(31, "none", 3, True)
    assert goals([calm])[0] == {
        "name": "covert incidents at compliant stopped mines", "value": 0, "unit": "1", "goal": 0, "ok": True,
    }  # fmt: skip
    calm.incidents = 1
    assert goals([calm])[0]["ok"] is False


def test_it_prints_one_object() -> None:
    path = Path(__file__).parent / "rules.py"
    words = ["--seeds", "3", "--seconds", "200", "--quiet-seeds", "--covert-seeds", "--json"]
    done = subprocess.run([sys.executable, str(path), *words], capture_output=True, text=True, timeout=100, check=True)
    result = json.loads(done.stdout)
    assert set(result) == {"seeds", "seconds", "rules_busy_s", "scenes", "quiet", "covert", "goals"}
