"""How an alert finds a person, whatever happens on the way. No clock: the tests make time pass."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.finding import Severity
from config.settings import EscalationChainSettings as Chain
from config.settings import EscalationStepSettings as Step
from server.duty.chains import RED, RED_CHAIN, WARNING_CHAIN, Way, way
from server.duty.escalation import (
    LONG_PAUSE_S,
    NOBODY_WAIT_S,
    TELL_NOBODY_S,
    TRANSITIONS,
    Acted,
    Action,
    Answered,
    Call,
    Cancel,
    Declined,
    Due,
    Escalation,
    Event,
    Failed,
    Input,
    Revert,
    Risen,
    State,
    Status,
    Stopped,
    Tell,
)

LEVELS = {"mine-a": "mine", "liulin": "county", "lvliang": "city"}
SITES = tuple(LEVELS)
EPOCH = 1_800_000_000.0
SIMPLE = Chain(chain="simple", severities=RED, steps=(Step(ring=("browser",), seconds=20),), repeat=2)

Able = Callable[[str, str, str], str]


def everybody(site: str, who: str, channel: str) -> str:
    return ""


def pages_only(site: str, who: str, channel: str) -> str:
    return "" if channel == "browser" else "no_phones"


def nobody(site: str, who: str, channel: str) -> str:
    return "no_page"


class Run:
    """One escalation on a clock of the test's."""

    def __init__(self, chain: Chain = SIMPLE, severity: Severity = "alarm", able: Able = everybody) -> None:
        self.now, self.able = 0.0, able
        self.way = way(chain, SITES, LEVELS.__getitem__)
        self.one, self.actions = Escalation.begin(
            "a1", "mine-a", severity, "absence", self.way, 0.0, EPOCH, able, offset_h=8.0
        )

    def give(self, event: Event) -> list[Action]:
        found = self.one.handle(event, self.now, EPOCH + self.now, self.able)
        self.actions += found
        return found

    def due(self) -> list[Action]:
        """Time passes until it is due."""
        assert self.one.due is not None
        self.now = self.one.due
        return self.give(Due())

    @property
    def status(self) -> Status:
        return self.one.state.status


def changes(actions: list[Action]) -> list[str]:
    return [one.change for one in actions if isinstance(one, Tell)]


def called(actions: list[Action]) -> list[tuple[str, str]]:
    return [(one.site, one.channel) for one in actions if isinstance(one, Call)]


def test_every_status_and_input_stands_in_the_table() -> None:
    assert {before for before, _ in TRANSITIONS} == set(Status) - {Status.STOPPED}
    assert {given for _, given in TRANSITIONS} == set(Input)
    assert all(TRANSITIONS[one, Input.STOPPED] is Status.STOPPED for one in set(Status) - {Status.STOPPED})
    assert len(get_args(Event)) == len(Input)


def test_an_unanswered_level_is_followed_by_the_next_after_its_time() -> None:
    run = Run()
    assert called(run.actions) == [("mine-a", "browser")]
    assert run.one.due == 20.0
    assert called(run.due()) == [("liulin", "browser")]
    assert called(run.due()) == [("lvliang", "browser")]
    assert run.one.state.reached == ["mine-a", "liulin", "lvliang"]


def test_view_says_who_is_rung_until_when_and_who_is_next() -> None:
    run = Run()
    run.due()
    view = run.one.view()
    assert (view["at_site"], view["until"], view["status"]) == ("liulin", EPOCH + 40.0, "ringing")
    assert view["next"] == {"site": "lvliang", "level": "city"}


def test_built_in_red_chain_is_at_the_next_level_within_a_minute() -> None:
    run = Run(RED_CHAIN)
    while run.one.state.place < 3:
        run.due()
    assert run.one.view()["at_site"] == "liulin"
    assert run.now <= 60.0


def test_a_step_that_cannot_be_done_says_so_and_is_passed_at_once() -> None:
    run = Run(RED_CHAIN, able=pages_only)
    found = run.due()
    assert run.now == 20.0
    assert changes(found) == ["skipped", "skipped", "ringing"]
    skipped = [one.more for one in found if isinstance(one, Tell) and one.change == "skipped"]
    assert skipped[0]["reasons"] == {"on_duty/phone": "no_phones"}
    assert called(found) == [("liulin", "browser")]


def test_all_of_a_step_are_rung_at_once_and_it_goes_on_only_when_all_have_failed() -> None:
    both = Chain(chain="both", severities=RED, steps=(Step(ring=("phone", "sms"), who=("on_duty", "deputy")),))
    run = Run(both)
    assert len(called(run.actions)) == 4
    ring = run.one.state.ring
    for who, channel in [("on_duty", "phone"), ("on_duty", "sms"), ("deputy", "phone")]:
        assert changes(run.give(Failed(ring, who, channel, "busy"))) == ["failed"]
    assert run.give(Failed(ring, "on_duty", "phone", "busy")) == []
    last = run.give(Failed(ring, "deputy", "sms", "busy"))
    assert changes(last) == ["failed", "ringing"]
    assert run.now == 0.0
    assert run.one.view()["at_site"] == "liulin"


def test_news_of_an_older_ring_change_nothing() -> None:
    run = Run()
    old = run.one.state.ring
    run.due()
    assert run.give(Failed(old, "on_duty", "browser", "busy")) == []
    assert run.give(Declined(old, "李")) == []


def test_call_the_next_goes_on_at_once_and_hangs_up() -> None:
    run = Run()
    ring = run.one.state.ring
    found = run.give(Declined(ring, "李"))
    assert found[0] == Cancel(ring)
    assert changes(found) == ["declined", "ringing"]
    assert run.one.view()["at_site"] == "liulin"


def test_answered_by_a_person_stops_the_ringing() -> None:
    run = Run()
    ring = run.one.state.ring
    found = run.give(Answered("王", "liulin"))
    assert found == [Cancel(ring), Tell("answered")]
    assert (run.status, run.one.view()["by"]) == (Status.ANSWERED, "王")


def test_taken_and_nothing_done_rings_again_from_the_beginning() -> None:
    run = Run()
    run.due()
    run.give(Answered("王", "liulin"))
    found = run.due()
    assert run.now == 20.0 + SIMPLE.revert_after_s
    assert found[0] == Revert("untouched")
    assert changes(found) == ["reverted", "ringing"]
    assert called(found) == [("mine-a", "browser")]
    assert run.one.state.reached == ["mine-a"]


def test_a_deed_holds_what_was_taken() -> None:
    run = Run()
    run.give(Answered("王", "liulin"))
    run.give(Acted("王", "liulin"))
    assert (run.status, run.one.due) == (Status.SETTLED, None)


def test_zero_never_reverts() -> None:
    run = Run(SIMPLE.model_copy(update={"revert_after_s": 0.0}))
    run.give(Answered("王", "liulin"))
    assert run.one.due is None


def test_a_warning_that_becomes_an_alarm_takes_the_answer_back_and_climbs() -> None:
    run = Run(WARNING_CHAIN, "warning")
    run.give(Answered("王", "mine-a"))
    found = run.give(Risen("alarm", way(SIMPLE, SITES, LEVELS.__getitem__)))
    assert found[0] == Revert("risen")
    assert called(found) == [("mine-a", "browser")]
    assert called(run.due()) == [("liulin", "browser")]


def test_not_red_is_given_up_after_its_rounds_and_may_still_be_answered() -> None:
    run = Run(WARNING_CHAIN, "warning")
    assert changes(run.due()) == ["exhausted"]
    assert (run.status, run.one.due) == (Status.EXHAUSTED, None)
    run.give(Answered("王", "mine-a"))
    assert run.status is Status.ANSWERED


def test_red_is_never_given_up() -> None:
    run = Run()
    seen = [run.due() for _ in range(40)]
    assert "exhausted" not in changes([one for part in seen for one in part])
    assert run.status is Status.RINGING
    pauses = [n for n, part in enumerate(seen) if changes(part) == ["pausing"]]
    assert len(pauses) > 5
    assert LONG_PAUSE_S <= 300.0


def test_with_nobody_to_ring_it_tries_again_without_spinning_and_says_so_seldom() -> None:
    run = Run(able=nobody)
    assert changes(run.actions)[-1] == "nobody"
    assert run.one.due == NOBODY_WAIT_S
    told = 0
    while run.now < TELL_NOBODY_S - NOBODY_WAIT_S:
        told += len(changes(run.due()))
    assert told == 0
    run.able = everybody
    assert called(run.due()) == [("mine-a", "browser")]


NIGHT = 86400 * 20_000 + 16 * 3600.0
"""Midnight in UTC+8."""


def begin_at(at: float, chain: Chain, severity: Severity) -> Escalation:
    one, _ = Escalation.begin(
        "a1", "mine-a", severity, "x", way(chain, SITES, LEVELS.__getitem__), 0.0, at, everybody, offset_h=8.0
    )
    return one


def test_quiet_hours_hold_until_they_end() -> None:
    quiet = WARNING_CHAIN.model_copy(update={"quiet": ("22:00", "06:00")})
    one = begin_at(NIGHT, quiet, "warning")
    assert (one.state.status, one.due) == (Status.HELD, 6 * 3600.0)
    found = one.handle(Due(), 6 * 3600.0, NIGHT + 6 * 3600.0, everybody)
    assert called(found) == [("mine-a", "browser")]


def test_quiet_hours_never_hold_back_red_even_when_the_settings_say_so() -> None:
    forced = SIMPLE.model_copy(update={"quiet": ("22:00", "06:00")})
    assert begin_at(NIGHT, forced, "alarm").state.status is Status.RINGING


def test_a_step_for_office_hours_is_passed_at_night() -> None:
    office = Step(ring=("phone",), seconds=5, between=("08:00", "18:00"))
    chain = Chain(chain="x", severities=RED, steps=(office, Step(ring=("browser",), seconds=7)))
    assert begin_at(NIGHT, chain, "alarm").due == 7.0
    assert begin_at(NIGHT + 10 * 3600, chain, "alarm").due == 5.0


@pytest.mark.parametrize(("passed", "left"), [(5.0, 15.0), (19.0, 1.0), (60.0, 0.0), (-3600.0, 20.0)])
def test_after_a_restart_it_goes_on_where_it_was(passed: float, left: float) -> None:
    """Also when the clock was set back meanwhile: no wait becomes longer than it was to be."""
    run = Run()
    kept = State.from_dict(json.loads(json.dumps(run.one.state.as_dict())))
    again = Escalation.take_up(kept, run.way, 500.0, EPOCH + passed)
    assert again.due == pytest.approx(500.0 + left)
    assert again.view() == run.one.view()
    assert called(again.handle(Due(), 520.0, EPOCH + 60.0, everybody)) == [("liulin", "browser")]


def test_after_a_restart_with_a_shorter_chain_it_begins_anew() -> None:
    run = Run()
    run.due()
    run.due()
    short = way(SIMPLE, SITES[:1], LEVELS.__getitem__)
    again = Escalation.take_up(run.one.state, short, 500.0, EPOCH + 45.0)
    assert again.due is not None
    assert called(again.handle(Due(), again.due, EPOCH + 60.0, everybody)) == [("mine-a", "browser")]


# --- whatever comes ---------------------------------------------------------------------------------------------------

STEPS = st.builds(
    Step,
    ring=st.lists(st.sampled_from(["browser", "phone", "sms", "webhook"]), min_size=1, max_size=3, unique=True).map(
        tuple
    ),
    who=st.lists(st.sampled_from(["on_duty", "deputy"]), min_size=1, max_size=2, unique=True).map(tuple),
    seconds=st.sampled_from([5.0, 20.0]),
    levels=st.sampled_from([(), ("mine",), ("county", "city"), ("nation",)]),
    between=st.sampled_from([None, None, ("08:00", "18:00")]),
)
CHAINS = st.builds(
    Chain,
    chain=st.just("x"),
    severities=st.just(RED),
    steps=st.lists(STEPS, min_size=1, max_size=3).map(tuple),
    repeat=st.integers(1, 3),
    revert_after_s=st.sampled_from([0.0, 60.0]),
)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["due", "due", "due", "fail", "decline", "answer", "act", "rise", "stale"]),
        st.integers(0, 15),  # who can be rung: a bit for each channel
        st.floats(0, 30),
    ),
    max_size=40,
)
CHANNELS = ("browser", "phone", "sms", "webhook")


def able_by(bits: int) -> Able:
    return lambda site, who, channel: "" if bits >> CHANNELS.index(channel) & 1 else "away"


def play(chain: Chain, severity: Severity, moves: list[tuple[str, int, float]]) -> list[list[Action]]:
    """Every move's actions; the promises of the module are checked after each."""
    way_up: Way = way(chain, SITES, LEVELS.__getitem__)
    one, actions = Escalation.begin("a1", "mine-a", severity, "x", way_up, 0.0, EPOCH, able_by(1), offset_h=8.0)
    seen, now = [actions], 0.0
    for move, bits, wait in moves:
        before = one.copy()
        s = one.state
        now = max(now + wait, one.due or 0.0) if move == "due" else now + wait
        if move == "due" and one.due is None:
            continue
        failing = s.calls[0] if s.calls else ("on_duty", "browser")
        events: dict[str, Event] = {
            "due": Due(),
            "fail": Failed(s.ring, *failing, "busy"),
            "decline": Declined(s.ring, "李"),
            "answer": Answered("王", "liulin"),
            "act": Acted("王", "liulin"),
            "rise": Risen("critical", way_up),
            "stale": Failed("a1.0", "on_duty", "phone", "late"),
        }
        event = events[move]
        found = one.handle(event, now, EPOCH + now, able_by(bits))
        seen.append(found)
        again = before.handle(event, now, EPOCH + now, able_by(bits))
        assert again == found, "the same event gives the same actions"
        assert before.state == one.state
        held_to_its_promises(one, found)
    return seen


def held_to_its_promises(one: Escalation, found: list[Action]) -> None:
    s = one.state
    if one.red:
        # Nobody has it: then it is ringing, and there is a moment at which it goes on.
        assert s.status in (Status.RINGING, Status.ANSWERED, Status.SETTLED)
        assert s.status is not Status.RINGING or one.due is not None
        assert s.status is Status.RINGING or s.answered_by
    calls = [action for action in found if isinstance(action, Call)]
    told = [action.change for action in found if isinstance(action, Tell)]
    assert not calls or "ringing" in told, "nobody is rung that the timeline does not tell of"
    assert len({call.ring for call in calls}) <= 1
    assert {(call.who, call.channel) for call in calls} <= set(s.calls)
    assert State.from_dict(json.loads(json.dumps(s.as_dict()))) == s
    assert (s.due_at is None) == (one.due is None)
    if found and s.status is not Status.RINGING:
        assert s.calls == []
        assert s.ring == ""


@given(CHAINS, st.sampled_from(RED), MOVES)
def test_an_unanswered_red_alert_has_a_person_or_is_ringing_whatever_comes(
    chain: Chain, severity: Severity, moves: list[tuple[str, int, float]]
) -> None:
    play(chain, severity, moves)


@given(CHAINS, MOVES)
def test_every_ring_has_a_number_of_its_own(chain: Chain, moves: list[tuple[str, int, float]]) -> None:
    rings = [{action.ring for action in found if isinstance(action, Call)} for found in play(chain, "alarm", moves)]
    placed = [ring for one in rings for ring in one]
    assert len(placed) == len(set(placed))


@given(CHAINS.filter(lambda chain: any(not step.levels and step.between is None for step in chain.steps)), MOVES)
def test_left_alone_with_pages_everywhere_it_reaches_every_level(
    chain: Chain, moves: list[tuple[str, int, float]]
) -> None:
    way_up = way(chain, SITES, LEVELS.__getitem__)
    one, _ = Escalation.begin("a1", "mine-a", "alarm", "x", way_up, 0.0, EPOCH, able_by(0), offset_h=8.0)
    everyone = able_by(15)
    for _ in range(len(way_up.stations) + 1):
        assert one.due is not None
        one.handle(Due(), one.due, EPOCH + one.due, everyone)
    assert set(one.state.reached) == set(SITES)


@given(CHAINS, st.sampled_from(RED), MOVES)
def test_replayed_with_a_restart_after_every_step_it_does_the_same(
    chain: Chain, severity: Severity, moves: list[tuple[str, int, float]]
) -> None:
    way_up = way(chain, SITES, LEVELS.__getitem__)
    straight, said = Escalation.begin("a1", "mine-a", severity, "x", way_up, 0.0, EPOCH, able_by(15), offset_h=8.0)
    stopping, again = Escalation.begin("a1", "mine-a", severity, "x", way_up, 0.0, EPOCH, able_by(15), offset_h=8.0)
    assert again == said
    now = 0.0
    for move, bits, wait in moves:
        kept = State.from_dict(json.loads(json.dumps(stopping.state.as_dict())))
        stopping = Escalation.take_up(kept, way_up, now, EPOCH + now, offset_h=8.0)
        now = max(now + wait, straight.due or 0.0)
        events: dict[str, Event] = {"answer": Answered("王", "liulin"), "decline": Declined(kept.ring, "李")}
        event = events.get(move, Due())
        found = straight.handle(event, now, EPOCH + now, able_by(bits))
        assert stopping.handle(event, now, EPOCH + now, able_by(bits)) == found
        assert stopping.state == straight.state


@given(CHAINS, MOVES)
def test_nothing_is_dropped_in_silence(chain: Chain, moves: list[tuple[str, int, float]]) -> None:
    """What changes the status, rings or stops ringing is told; whom a step names is rung, or it is told why not."""
    way_up = way(chain, SITES, LEVELS.__getitem__)
    one, _ = Escalation.begin("a1", "mine-a", "alarm", "x", way_up, 0.0, EPOCH, able_by(1), offset_h=8.0)
    now = 0.0
    for move, bits, wait in moves:
        before, ring = one.state.status, one.state.ring
        now = max(now + wait, one.due or 0.0)
        events: dict[str, Event] = {
            "answer": Answered("王", "liulin"), "act": Acted("王", "liulin"), "decline": Declined(ring, "李"),
            "rise": Risen("critical", way_up),
        }  # fmt: skip
        found = one.handle(events.get(move, Due()), now, EPOCH + now, able_by(bits))
        told = [action for action in found if isinstance(action, Tell)]
        assert told or one.state.status is before
        assert told or one.state.ring == ring or not one.state.ring
        for tell in told:
            if tell.change == "skipped":
                reasons = tell.more["reasons"]
                assert isinstance(reasons, dict)
                assert set(reasons.values()) == {"away"}


def test_an_event_that_does_not_fit_changes_nothing() -> None:
    run = Run()
    run.give(Stopped("cleared"))
    before = replace(run.one.state)
    for event in (Due(), Answered("王", "x"), Acted("王", "x"), Failed("a1.1", "on_duty", "browser", "x")):
        assert run.give(event) == []
    assert run.one.state == before
    assert run.one.over
