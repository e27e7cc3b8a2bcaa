"""Two signatures under one list, and the handover that is missing."""

import json
from dataclasses import replace

import pytest

from server.duty.handover import LOOK_BACK_S, Handover, NotSigned, Signature, due, handover_of, missing
from server.duty.rota import Person, Plan, Rota

H = 3600.0
START = 1_800_000_000.0
GRACE_S = 900.0


def rota(*turns: tuple[str, ...], made_at: float = 0.0) -> Rota:
    people = {one: Person(one, "m", one.upper()) for one in "abc"}
    return Rota(people, {"p": Plan("p", "m", "on_duty", "", START, 8 * H, turns, made_at)})


THREE = rota(("a",), ("b",), ("c",))


def test_two_people_sign_and_each_signs_for_what_stands_then() -> None:
    made = Handover("h1", "m", 1.0, standing={"alert_count": 3})
    out = made.sign(Signature("u1", "李明", 2.0, "主扇已检修"), {"alert_count": 2})
    assert (out.status, out.standing) == ("signed", {"alert_count": 2})
    done = out.sign(Signature("u2", "王芳", 3.0), {"alert_count": 1})
    assert (done.status, done.standing, done.same_account) == ("complete", {"alert_count": 1}, False)
    with pytest.raises(NotSigned):
        done.sign(Signature("u3", "赵", 4.0), {})


def test_nobody_hands_over_to_himself_and_one_account_is_noted() -> None:
    out = Handover("h1", "m", 1.0).sign(Signature("u1", "李明", 2.0), {})
    with pytest.raises(NotSigned):
        out.sign(Signature("u2", " 李明 ", 3.0), {})
    assert out.sign(Signature("u1", "王芳", 3.0), {}).same_account


def test_body_comes_back_as_it_was() -> None:
    made = Handover("h1", "m", 1.0).sign(Signature("u1", "李明", 2.0, "x", (("desk", "present"),)), {"alerts": []})
    assert handover_of(json.loads(json.dumps(made.as_dict()))) == made
    assert handover_of(Handover("h2", "m", 1.0).as_dict()) == Handover("h2", "m", 1.0)


def test_a_handover_is_due_when_people_change() -> None:
    assert due(THREE, "m", START + 9 * H) == (START + 8 * H, START + 16 * H)
    assert due(THREE, "m", START + H) == (0.0, START + 8 * H), "nobody was on duty before the first turn"
    assert due(rota(("a",)), "m", START + 9 * H) == (0.0, 0.0), "the same person goes on"
    assert due(THREE, "elsewhere", START) is None


@pytest.mark.parametrize(
    ("after_s", "done_s", "expected"),
    [
        (GRACE_S - 1, None, False),
        (GRACE_S, None, True),
        (GRACE_S + LOOK_BACK_S + 1, None, False),
        (GRACE_S, -600.0, False),
        (GRACE_S, 300.0, False),
        (GRACE_S, -7200.0, True),
    ],
)
def test_missing_is_told_after_the_grace(after_s: float, done_s: float | None, expected: bool) -> None:
    end = START + 8 * H
    done = [] if done_s is None else [end + done_s]
    assert missing(THREE, "m", done, end + after_s, GRACE_S) == (end if expected else None)


def test_a_plan_that_was_made_later_asks_for_no_handover_of_before() -> None:
    end = START + 8 * H
    assert missing(rota(("a",), ("b",), made_at=end + 60), "m", [], end + GRACE_S, GRACE_S) is None
    later = replace(THREE.plans["p"], made_at=end - 60)
    assert missing(Rota(THREE.people, {"p": later}), "m", [], end + GRACE_S, GRACE_S) == end
