"""Chair, floor, hands, mutes and the door, as tables of who may do what."""

from dataclasses import asdict

import pytest

from server.sessions.errors import SessionError
from server.sessions.floor import ACTIONS, MAX_LOBBY, Act, Change, Floor, Place, Standing, apply, knock, withdraw

AT = 1_700_000_000.0
MINE = Standing("u1", "李调度", "hongqi", "mine", "dispatcher")
COUNTY = Standing("u2", "王县局", "county", "county", "supervisor")
CITY = Standing("u3", "赵市局", "city", "city", "supervisor")
PROVINCE = Standing("u4", "陈省局", "province", "province", "supervisor")
VIEWER = Standing("u5", "看", "county", "county", "viewer")
GUEST = Standing("guest:1", "专家", "hongqi", "guest", "guest")
ALL = (MINE, COUNTY, CITY, PROVINCE, VIEWER, GUEST)
PEOPLE = {one.user: one for one in ALL}


def chaired_by(one: Standing) -> Floor:
    return Floor(chair=Place.of(one, AT))


def do(floor: Floor, by: Standing, action: str, target: str = "", value: str = "") -> str:
    """The change that came of it."""
    moderates = by.role in ("supervisor", "admin")
    change = apply(floor, Act(action, by, moderates, target, value), PEOPLE, AT)
    return "" if change is None else change.change


def heard(floor: Floor) -> set[str]:
    return {one.user for one in ALL if floor.heard(one.user)}


EVERYBODY = set(PEOPLE)


@pytest.mark.parametrize("action", [name for name, (governed, _) in ACTIONS.items() if governed])
@pytest.mark.parametrize("by", [MINE, VIEWER, GUEST])
def test_who_does_not_govern_does_nothing_that_the_chair_does(action: str, by: Standing) -> None:
    floor = chaired_by(COUNTY)
    knock(floor, Standing("x", "x", "hongqi", "mine", "dispatcher"), AT)
    before = repr(floor)
    with pytest.raises(SessionError) as refused:
        do(floor, by, action, target="u3", value="talk")
    assert refused.value.error == "not_allowed"
    assert repr(floor) == before


def test_the_caller_chairs_whatever_the_role_and_levels_above_govern_too() -> None:
    floor = chaired_by(MINE)
    assert floor.governs(MINE, moderates=False)
    assert floor.governs(COUNTY, moderates=True)
    assert not floor.governs(VIEWER, moderates=False)
    floor = chaired_by(CITY)
    assert not floor.governs(COUNTY, moderates=True)
    assert floor.governs(PROVINCE, moderates=True)


def test_the_chair_is_handed_over_and_with_it_what_it_may() -> None:
    floor = chaired_by(MINE)
    do(floor, COUNTY, "mute", "u1")
    assert do(floor, COUNTY, "hand_over", "u3") == "chair"
    assert not floor.governs(MINE, moderates=False)
    assert do(floor, CITY, "hand_over", "u1") == "chair"
    assert floor.heard("u1"), "who is given the chair is heard"
    with pytest.raises(SessionError):
        do(floor, MINE, "hand_over", GUEST.user)
    with pytest.raises(SessionError):
        do(floor, MINE, "hand_over", "nobody")


def test_an_empty_chair_is_taken_by_whoever_may_and_a_full_one_from_above_only() -> None:
    floor = chaired_by(COUNTY)
    for below in (MINE, VIEWER, GUEST):
        with pytest.raises(SessionError):
            do(floor, below, "take_chair")
    assert do(floor, CITY, "take_chair") == "chair"
    gone = {user: one for user, one in PEOPLE.items() if user != "u3"}
    change = apply(floor, Act("take_chair", MINE, False), gone, AT)
    assert change is not None
    assert floor.is_chair("u1")
    with pytest.raises(SessionError):
        apply(chaired_by(CITY), Act("take_chair", GUEST, False), gone, AT)


def test_hands_stand_in_the_order_in_which_they_were_raised_and_passing_the_floor_lowers_one() -> None:
    floor = chaired_by(COUNTY)
    assert [do(floor, one, "raise_hand") for one in (CITY, MINE, CITY)] == ["hand_raised", "hand_raised", ""]
    assert list(floor.hands) == ["u3", "u1"]
    with pytest.raises(SessionError):
        do(floor, MINE, "lower_hand", "u3")
    assert do(floor, COUNTY, "pass", "u3") == "floor"
    assert list(floor.hands) == ["u1"]
    assert floor.holder is not None
    assert floor.holder.user == "u3"
    assert do(floor, COUNTY, "lower_hand", "u1") == "hand_lowered"


def test_who_is_heard_in_each_mode() -> None:
    floor = chaired_by(COUNTY)
    assert heard(floor) == EVERYBODY
    do(floor, COUNTY, "mode", value="chaired")
    assert heard(floor) == {"u2"}
    do(floor, COUNTY, "pass", "u1")
    assert heard(floor) == {"u1", "u2"}
    do(floor, MINE, "release")
    assert heard(floor) == {"u2"}
    do(floor, COUNTY, "mode", value="talk")
    assert heard(floor) == set()
    assert do(floor, MINE, "talk") == "floor"
    assert heard(floor) == {"u1"}
    with pytest.raises(SessionError) as taken:
        do(floor, CITY, "talk")
    assert taken.value.error == "floor_taken"
    do(floor, MINE, "release")
    assert do(floor, CITY, "talk") == "floor"
    with pytest.raises(SessionError):
        do(floor, COUNTY, "mode", value="shouting")


def test_the_muted_stay_muted_and_those_who_come_after_mute_all_too() -> None:
    floor = chaired_by(COUNTY)
    assert do(floor, COUNTY, "mute", "u1") == "muted"
    assert heard(floor) == EVERYBODY - {"u1"}
    assert floor.muted["u1"] == COUNTY.name, "who did it stands there"
    with pytest.raises(SessionError):
        do(floor, MINE, "unmute", "u1")
    do(floor, COUNTY, "unmute", "u1")
    do(floor, COUNTY, "mute_all")
    assert heard(floor) == {"u2"}
    late = Standing("u9", "迟到", "city", "city", "supervisor")
    floor.came(late)
    assert not floor.heard("u9")
    do(floor, COUNTY, "pass", "u1")
    assert floor.heard("u1"), "who is given the floor is heard"
    do(floor, COUNTY, "unmute_all")
    assert heard(floor) == EVERYBODY
    do(floor, COUNTY, "mode", value="talk")
    do(floor, COUNTY, "mute", "u1")
    with pytest.raises(SessionError):
        do(floor, MINE, "talk")


def test_a_higher_level_takes_the_floor_and_gives_it_back() -> None:
    floor = chaired_by(COUNTY)
    do(floor, COUNTY, "mode", value="chaired")
    do(floor, COUNTY, "pass", "u1")
    assert do(floor, CITY, "preempt") == "preempted"
    assert heard(floor) == {"u3"}, "nobody else, not even the chair"
    for not_above in (COUNTY, MINE, GUEST, VIEWER):
        with pytest.raises(SessionError):
            do(floor, not_above, "preempt")
    with pytest.raises(SessionError):
        do(floor, COUNTY, "release")
    with pytest.raises(SessionError):
        do(floor, COUNTY, "pass", "u1")
    assert do(floor, PROVINCE, "preempt") == "preempted"
    assert heard(floor) == {"u4"}
    assert do(floor, PROVINCE, "release") == "floor_released"
    assert heard(floor) == {"u1", "u2"}, "back to who had it before"


def test_whoever_leaves_gives_floor_and_hand_back() -> None:
    floor = chaired_by(COUNTY)
    do(floor, MINE, "raise_hand")
    do(floor, CITY, "preempt")
    assert floor.went("u3") == ["floor"]
    assert floor.went("u1") == ["hand_lowered"]
    assert floor.went("u5") == []
    assert heard(floor) == EVERYBODY
    assert floor.is_chair("u2"), "the chair is kept for who may come back"


def test_who_is_gone_without_a_word_has_let_go_of_the_floor() -> None:
    floor = chaired_by(COUNTY)
    do(floor, COUNTY, "mode", value="talk")
    do(floor, MINE, "talk")
    assert floor.lost("u2") is None
    assert floor.lost("u1") == Change("floor_released", Place.of(MINE, AT))
    assert do(floor, CITY, "talk") == "floor"


def test_who_may_end_it_for_everybody() -> None:
    floor = chaired_by(COUNTY)
    ends = {one.user for one in ALL if floor.may_end(one, PEOPLE, moderates=one.role == "supervisor")}
    assert ends == {"u2", "u3", "u4"}
    without = {user: one for user, one in PEOPLE.items() if user != "u2"}
    assert floor.may_end(MINE, without, moderates=False), "an empty chair keeps nobody in"
    do(floor, COUNTY, "remove", "u1")
    assert not floor.may_end(MINE, without, moderates=False)


def test_a_locked_door_opens_for_those_who_were_in_and_for_levels_above_the_chair() -> None:
    floor = chaired_by(COUNTY)
    do(floor, COUNTY, "lock")
    assert floor.refusal(MINE, known=True, needs_leave=False) == ""
    assert floor.refusal(MINE, known=False, needs_leave=False) == "locked"
    assert floor.refusal(PROVINCE, known=False, needs_leave=False) == ""
    change = knock(floor, MINE, AT)
    assert change == Change("knocked", Place.of(MINE, AT))
    assert knock(floor, MINE, AT) is None
    assert do(floor, COUNTY, "admit", "u1") == "admitted"
    assert floor.refusal(MINE, known=False, needs_leave=False) == ""
    do(floor, COUNTY, "unlock")
    assert floor.refusal(VIEWER, known=False, needs_leave=False) == ""
    assert floor.refusal(GUEST, known=False, needs_leave=True) == "locked"


def test_who_is_turned_away_or_removed_stays_out_until_let_back() -> None:
    floor = chaired_by(COUNTY)
    knock(floor, GUEST, AT)
    assert do(floor, COUNTY, "refuse", GUEST.user) == "turned_away"
    assert floor.refusal(GUEST, known=False, needs_leave=True) == "removed"
    assert knock(floor, GUEST, AT) is None
    assert do(floor, COUNTY, "remove", "u1") == "removed"
    assert floor.refusal(MINE, known=True, needs_leave=False) == "removed"
    assert do(floor, COUNTY, "let_back", "u1") == "let_back"
    assert floor.refusal(MINE, known=True, needs_leave=False) == ""
    floor = chaired_by(CITY)
    for by, target in ((CITY, "u3"), (PROVINCE, "u4")):
        with pytest.raises(SessionError):
            do(floor, by, "remove", target)
    assert do(floor, PROVINCE, "remove", "u3") == "removed"


def test_the_lobby_is_bounded() -> None:
    floor = chaired_by(COUNTY)
    for number in range(MAX_LOBBY + 10):
        knock(floor, Standing(f"g{number}", "g", "hongqi", "guest", "guest"), AT)
    assert len(floor.lobby) == MAX_LOBBY


def test_who_goes_away_from_the_door_makes_room_for_others() -> None:
    floor = chaired_by(COUNTY)
    for number in range(MAX_LOBBY):
        knock(floor, Standing(f"g{number}", "g", "hongqi", "guest", "guest"), AT)
    assert knock(floor, GUEST, AT) is None
    gone = withdraw(floor, "g0")
    assert gone is not None
    assert (gone.change, gone.about and gone.about.user) == ("withdrew", "g0")
    assert withdraw(floor, "g0") is None, "told once"
    assert knock(floor, GUEST, AT) is not None


def test_a_floor_comes_back_from_plain_data_as_it_was() -> None:
    floor = chaired_by(COUNTY)
    do(floor, MINE, "raise_hand")
    do(floor, CITY, "preempt")
    knock(floor, GUEST, AT)
    do(floor, COUNTY, "mute", "u1")
    do(floor, COUNTY, "spotlight", value="c1/camera")
    assert Floor.from_dict(asdict(floor)) == floor
    assert Floor.from_dict({}) == Floor()
