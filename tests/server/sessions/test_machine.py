"""The life of a consultation, with time as an argument."""

import json

import pytest

from server.sessions.errors import SessionError
from server.sessions.machine import (
    ORDER_TRANSITIONS,
    RING_TRANSITIONS,
    Actor,
    Answered,
    Chatted,
    Declined,
    Ended,
    Entry,
    Invited,
    Joined,
    Left,
    OrderAnswered,
    OrderGiven,
    OrderState,
    Ring,
    Session,
    Started,
    State,
)

RING_S = 20.0
AT = 1_700_000_000.0
DISPATCHER = Actor("u1", "李调度", "hongqi", "mine", "dispatcher")
COUNTY = Actor("u2", "王值班", "county", "county", "supervisor")
CITY = Actor("u3", "赵值班", "city", "city", "supervisor")


def opened() -> Session:
    state = State("s1", "hongqi", "空岗会商", COUNTY.name, COUNTY.site, AT)
    session = Session(state, RING_S, 0.0)
    session.handle(Started(COUNTY), 0.0, AT)
    session.handle(Invited("hongqi", "mine", COUNTY), 0.0, AT)
    session.handle(Invited("city", "city", COUNTY), 0.0, AT)
    return session


def changes(entries: list[Entry]) -> list[object]:
    return [entry.body.get("change") for entry in entries]


def test_an_invitation_rings_in_the_room_of_the_site_that_is_called() -> None:
    session = Session(State("s1", "hongqi", "t", "x", "county", AT), RING_S, 0.0)
    (entry,) = session.handle(Invited("city", "city", COUNTY), 0.0, AT)
    assert entry.rooms == ("session:s1", "site:city")
    assert entry.body["change"] == "ringing"
    assert session.next_timeout() == RING_S


def test_an_answer_stops_the_ring_and_keeps_the_time_it_took() -> None:
    session = opened()
    assert changes(session.handle(Answered(DISPATCHER), 3.0, AT + 3)) == ["answered"]
    assert session.state.invitations["hongqi"].answer_s == 3.0
    assert changes(session.tick(RING_S, AT + RING_S)) == ["unreachable"]  # only the city
    assert session.next_timeout() is None


def test_a_ring_without_answer_ends_as_unreachable_exactly_once() -> None:
    session = opened()
    assert session.tick(RING_S - 0.01, AT) == []
    assert changes(session.tick(RING_S, AT + RING_S)) == ["unreachable", "unreachable"]
    assert session.tick(RING_S * 10, AT) == []


def test_who_was_not_reached_may_still_come_in_or_be_rung_again() -> None:
    session = opened()
    session.tick(RING_S, AT + RING_S)
    assert changes(session.handle(Joined("c1", CITY), 30.0, AT + 30)) == ["answered", "joined"]
    assert changes(session.handle(Invited("hongqi", "mine", COUNTY), 31.0, AT + 31)) == ["ringing"]
    assert session.next_timeout() == 31.0 + RING_S


def test_declining_is_told_and_does_not_ring_on() -> None:
    session = opened()
    assert changes(session.handle(Declined(CITY), 1.0, AT + 1)) == ["declined"]
    assert session.state.invitations["city"].state is Ring.DECLINED
    assert session.handle(Declined(CITY), 2.0, AT + 2) == []


def test_joining_twice_and_leaving_twice_are_told_once() -> None:
    session = opened()
    session.handle(Joined("c1", DISPATCHER), 1.0, AT + 1)
    assert session.handle(Joined("c1", DISPATCHER), 2.0, AT + 2) == []
    assert changes(session.handle(Left("c1"), 3.0, AT + 3)) == ["left"]
    assert session.handle(Left("c1"), 4.0, AT + 4) == []
    assert changes(session.handle(Joined("c1", DISPATCHER), 5.0, AT + 5)) == ["joined"]


def test_an_order_is_read_back_only_by_the_site_it_went_to() -> None:
    session = opened()
    session.handle(OrderGiven(COUNTY, "o1", "hongqi", "撤出 2301 面人员"), 1.0, AT + 1)
    with pytest.raises(SessionError) as refused:
        session.handle(OrderAnswered(CITY, "o1", OrderState.CONFIRMED), 2.0, AT + 2)
    assert refused.value.error == "not_allowed"
    assert changes(session.handle(OrderAnswered(DISPATCHER, "o1", OrderState.CONFIRMED), 3.0, AT + 3)) == ["confirmed"]
    assert session.handle(OrderAnswered(DISPATCHER, "o1", OrderState.CONFIRMED), 4.0, AT + 4) == []
    assert changes(session.handle(OrderAnswered(DISPATCHER, "o1", OrderState.DONE), 9.0, AT + 9)) == ["done"]
    order = session.state.orders["o1"]
    assert (order.confirmed_at, order.done_at) == (AT + 3, AT + 9)


def test_an_order_done_without_read_back_counts_as_read() -> None:
    session = opened()
    session.handle(OrderGiven(COUNTY, "o1", "hongqi", "停风"), 1.0, AT + 1)
    session.handle(OrderAnswered(DISPATCHER, "o1", OrderState.DONE), 5.0, AT + 5)
    assert session.state.orders["o1"].confirmed_at == AT + 5


def test_an_order_to_a_site_outside_is_refused() -> None:
    with pytest.raises(SessionError, match="does not take part"):
        opened().handle(OrderGiven(COUNTY, "o1", "elsewhere", "x"), 1.0, AT)


def test_the_end_stops_all_ringing_and_refuses_what_comes_later() -> None:
    session = opened()
    entries = session.handle(Ended(COUNTY), 5.0, AT + 5)
    assert changes(entries) == ["cancelled", "cancelled", "ended"]
    assert set(entries[-1].rooms) == {"session:s1", "site:hongqi", "site:county", "site:city"}
    assert session.next_timeout() is None
    with pytest.raises(SessionError) as refused:
        session.handle(Chatted(COUNTY, "还在吗"), 6.0, AT + 6)
    assert refused.value.error == "session_over"


def test_the_state_survives_json_and_rings_on_after_a_restart() -> None:
    session = opened()
    session.handle(Joined("c1", COUNTY), 1.0, AT + 1)
    session.handle(OrderGiven(COUNTY, "o1", "hongqi", "x"), 1.0, AT + 1)
    again = State.from_dict(json.loads(json.dumps(session.state.as_dict())))
    assert again == session.state
    assert Session(again, RING_S, 100.0).next_timeout() == 100.0 + RING_S


def test_every_ring_state_but_the_cancelled_can_be_left_or_has_been_answered() -> None:
    left = {state for state, _ in RING_TRANSITIONS}
    assert set(Ring) - left == {Ring.ANSWERED, Ring.CANCELLED}
    assert all(after is not before for before, after in ORDER_TRANSITIONS)
