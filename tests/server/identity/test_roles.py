"""Who reaches what: the table of roles, and random trees."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.identity.roles import GRANTED, ROLES, VERBS, Role, Verb, may, reaches
from server.identity.rooms import session_room, site_room
from tests.fakes.trees import FakeTree


@dataclass(frozen=True)
class Somebody:
    role: Role
    site: str


TREE = FakeTree({
    "nation": None, "north": "nation", "city": "north", "county": "city", "mine-a": "county", "mine-b": "county",
    "south": "nation", "mine-c": "south",
})  # fmt: skip

# Written out by hand, so that a change of the table has to be made twice and on purpose.
EXPECTED: dict[str, str] = {
    "admin": "read watch publish acknowledge close consult answer moderate order configure administer identify roster",
    "supervisor": "read watch publish acknowledge close consult answer moderate order identify roster",
    "dispatcher": "read watch publish acknowledge consult answer identify roster",
    "engineer": "read watch configure",
    "viewer": "read watch",
    "device": "publish",
    "guest": "watch",
    "phone": "watch publish answer",
}


@pytest.mark.parametrize("role", ROLES)
def test_role_holds_exactly_its_verbs(role: Role) -> None:
    assert GRANTED[role] == set(EXPECTED[role].split())


def test_every_verb_is_held_by_somebody() -> None:
    assert set().union(*GRANTED.values()) == set(VERBS)


@pytest.mark.parametrize(
    ("role", "own", "verb", "site", "allowed"),
    [
        ("supervisor", "county", "acknowledge", "mine-a", True),
        ("supervisor", "nation", "close", "mine-c", True),
        ("supervisor", "north", "read", "mine-c", False),
        ("dispatcher", "mine-a", "read", "mine-b", False),
        ("dispatcher", "mine-a", "read", "county", False),
        ("dispatcher", "mine-a", "close", "mine-a", False),
        ("engineer", "county", "close", "mine-a", False),
        ("viewer", "nation", "publish", "nation", False),
        ("admin", "county", "administer", "north", False),
        ("admin", "gone", "read", "mine-a", False),
        ("admin", "nation", "read", "gone", False),
    ],
)
def test_may_needs_the_verb_and_the_reach(role: Role, own: str, verb: Verb, site: str, allowed: bool) -> None:
    assert may(Somebody(role, own), verb, site, TREE) is allowed


def test_unknown_role_may_nothing() -> None:
    nobody = Somebody("janitor", "nation")  # type: ignore[arg-type]
    assert not any(may(nobody, verb, "nation", TREE) for verb in VERBS)


@st.composite
def trees(draw: st.DrawFn) -> FakeTree:
    count = draw(st.integers(1, 25))
    parents: dict[str, str | None] = {"s0": None}
    for number in range(1, count):
        parents[f"s{number}"] = draw(st.sampled_from([*sorted(parents), None]))
    return FakeTree(parents)


def on_the_path(tree: FakeTree, own: str, site: str) -> bool:
    """The promise in other words: walk up from `site` and meet `own`."""
    step: str | None = site
    while step is not None:
        if step == own:
            return True
        step = tree.parents[step]
    return False


@settings(max_examples=2000, deadline=None)
@given(data=st.data(), tree=trees(), role=st.sampled_from(ROLES), verb=st.sampled_from(VERBS))
def test_nobody_acts_outside_the_own_part_of_a_random_tree(
    data: st.DataObject, tree: FakeTree, role: Role, verb: Verb
) -> None:
    own = data.draw(st.sampled_from(sorted(tree.parents)))
    for site in tree.parents:
        granted = on_the_path(tree, own, site)
        assert reaches(own, site, tree) is granted
        assert may(Somebody(role, own), verb, site, tree) is (granted and verb in EXPECTED[role].split())
        room = site_room(Somebody(role, own), site, tree)
        assert (room is not None and room.subscribe) is (granted and role not in ("device", "guest", "phone"))


def test_site_room_is_entered_from_above_and_not_from_below_or_beside() -> None:
    above = site_room(Somebody("supervisor", "county"), "mine-a", TREE)
    assert above is not None
    assert above.subscribe
    assert above.moderate
    assert not above.publish
    assert site_room(Somebody("dispatcher", "mine-a"), "county", TREE) is None
    assert site_room(Somebody("dispatcher", "mine-a"), "mine-b", TREE) is None


def test_dispatcher_publishes_at_the_own_site() -> None:
    own = site_room(Somebody("dispatcher", "mine-a"), "mine-a", TREE)
    assert own is not None
    assert own.publish
    assert own.sources == ("camera", "microphone", "screen")
    assert not own.moderate


def test_device_publishes_to_its_own_site_only_and_sees_nothing() -> None:
    own = site_room(Somebody("device", "mine-a"), "mine-a", TREE)
    assert own is not None
    assert own.publish
    assert not own.subscribe
    assert not own.moderate
    assert site_room(Somebody("device", "county"), "mine-a", TREE) is None
    assert session_room(Somebody("device", "mine-a"), frozenset({"mine-a"})) is None


def test_session_room_is_for_its_sites_only() -> None:
    sites = frozenset({"mine-a", "county"})
    inside = session_room(Somebody("dispatcher", "mine-a"), sites)
    assert inside is not None
    assert inside.publish
    assert inside.subscribe
    watcher = session_room(Somebody("viewer", "county"), sites)
    assert watcher is not None
    assert watcher.subscribe
    assert not watcher.publish
    assert session_room(Somebody("supervisor", "nation"), sites) is None
