"""The question at the desk: asked once, for all warnings of a post, and ended by an answer, by time or by itself."""

from hypothesis import given
from hypothesis import strategies as st

from server.duty.challenge import Challenge, Challenges, time_to_answer

PAUSE_S = 600.0


def ask(
    made: Challenges, name: str = "c1", rule: str = "absence", *, now: float = 0.0, page: bool = True
) -> list[Challenge]:
    return made.warned(name, "desk", "mine-a", rule, 60.0, 4, page=page, now=now, at=1000.0 + now)


def test_asked_and_answered_tells_who_and_after_how_long() -> None:
    made = Challenges(PAUSE_S)
    (asked,) = ask(made)
    assert asked.as_dict()["until"] == 1060.0
    (answered,) = made.answered("c1", "李", 12.0, 1012.0)
    assert (answered.outcome, answered.by, answered.took_s) == ("answered", "李", 12.0)
    assert made.answered("c1", "李", 13.0, 1013.0) == []
    assert made.tick(100.0) == []


def test_not_answered_in_time() -> None:
    made = Challenges(PAUSE_S)
    ask(made)
    assert made.tick(59.9) == []
    assert [one.outcome for one in made.tick(60.0)] == ["unanswered"]
    assert made.answered("c1", "李", 61.0, 1061.0) == []


def test_one_question_serves_both_rules_and_is_called_off_when_both_are_over() -> None:
    made = Challenges(PAUSE_S)
    ask(made)
    assert ask(made, "c2", "sleeping") == []
    assert made.pending()[0].rules == ["absence", "sleeping"]
    assert made.over("desk", "absence") == []
    assert [one.outcome for one in made.over("desk", "sleeping")] == ["called_off"]
    assert made.pending() == []


def test_one_answer_buys_no_hour() -> None:
    made = Challenges(PAUSE_S)
    ask(made)
    made.answered("c1", "李", 1.0, 1001.0)
    assert ask(made, "c2", now=PAUSE_S - 1) == []
    assert len(ask(made, "c3", now=PAUSE_S)) == 1


def test_without_a_page_nobody_is_asked_and_the_next_page_is() -> None:
    made = Challenges(PAUSE_S)
    assert [one.outcome for one in ask(made, page=False)] == ["no_page"]
    assert made.pending() == []
    assert [one.outcome for one in ask(made, "c2", now=1.0)] == ["asked"]


def test_nobody_has_longer_to_answer_than_there_is() -> None:
    assert time_to_answer(60.0, 180.0, 300.0) == 60.0
    assert time_to_answer(60.0, 8.0, 15.0) == 0.8 * 7
    assert (
        time_to_answer(60.0, 0.0, 300.0) == time_to_answer(60.0, 300.0, 300.0) == time_to_answer(0.0, 1.0, 9.0) == 0.0
    )


@given(st.lists(st.tuples(st.sampled_from(["ask", "answer", "over", "tick"]), st.floats(0, 200)), max_size=40))
def test_every_question_has_exactly_one_end(moves: list[tuple[str, float]]) -> None:
    made, now, asked, ended = Challenges(100.0), 0.0, list[str](), list[str]()
    for number, (move, wait) in enumerate(moves):
        now += wait
        if move == "ask":
            asked += [one.challenge for one in ask(made, f"c{number}", now=now)]
        elif move == "answer" and made.pending():
            ended += [one.challenge for one in made.answered(made.pending()[0].challenge, "x", now, now)]
        elif move == "over":
            ended += [one.challenge for one in made.over("desk", "absence")]
        elif move == "tick":
            ended += [one.challenge for one in made.tick(now)]
        assert len(made.pending()) <= 1
    ended += [one.challenge for one in made.tick(now + 1000)]
    assert sorted(ended) == sorted(asked)
