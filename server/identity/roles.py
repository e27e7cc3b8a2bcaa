"""Roles and what they may do. Denied is what is not granted here.

Two questions, always both: does the role hold the verb, and does the site of the account reach the site in question?
A site reaches itself and everything below it, never sideways or upwards.
"""

from typing import Literal, Protocol, get_args

Role = Literal["admin", "supervisor", "dispatcher", "engineer", "viewer", "device", "guest", "phone"]
Verb = Literal[
    "read",  # alerts, readings, positions, posts, cameras, timelines
    "watch",  # pictures and sound
    "publish",  # own camera, microphone, screen
    "acknowledge",  # take an alert
    "close",  # end an alert
    "consult",  # call a consultation, invite, end it
    "answer",  # answer a ring, read back and report an order, chat
    "moderate",  # mute and remove others
    "order",  # give an order
    "roster",  # rota, call lists, shift handover
    "configure",  # cameras, posts, what is known of a mine
    "identify",  # names and telephone numbers of people underground; each look is audited
    "administer",  # users, links, settings
]

ROLES: tuple[Role, ...] = get_args(Role)
VERBS: tuple[Verb, ...] = get_args(Verb)
WITHOUT_LOGIN: frozenset[Role] = frozenset({"device", "guest", "phone"})
"""Roles that have no account."""

_PERSON: frozenset[Verb] = frozenset({"read", "watch"})
_SUPERVISOR: frozenset[Verb] = _PERSON | {
    "publish", "acknowledge", "close", "consult", "answer", "moderate", "order", "identify", "roster",
}  # fmt: skip

GRANTED: dict[Role, frozenset[Verb]] = {
    "admin": _SUPERVISOR | {"configure", "administer"},
    "supervisor": _SUPERVISOR,
    # A dispatcher does not close alerts: many of them are about the dispatch room itself.
    "dispatcher": _PERSON | {"publish", "acknowledge", "consult", "answer", "identify", "roster"},
    "engineer": _PERSON | {"configure"},
    "viewer": _PERSON,
    # Publishes by WHIP with a token of its own and has no log-in; it may not even read.
    "device": frozenset({"publish"}),
    # Takes part in one consultation, by a link; what else may be done there stands in the link. No log-in.
    "guest": frozenset({"watch"}),
    # A telephone in a consultation: it is heard and hears, and came in by a call.
    "phone": frozenset({"watch", "publish", "answer"}),
}


class Tree(Protocol):
    """The sites of this server: what is needed of them to decide who reaches what."""

    def __contains__(self, site: object) -> bool: ...

    def ancestors(self, site: str) -> tuple[str, ...]:
        """The authorities above `site`, nearest first, without `site`."""
        ...


class Holder(Protocol):
    """Somebody with a role at a site."""

    @property
    def role(self) -> Role: ...

    @property
    def site(self) -> str: ...


def reaches(own: str, site: str, tree: Tree) -> bool:
    """Whether `own` is `site` or an authority above it. Sites that do not exist reach and are reached by nothing."""
    if own not in tree or site not in tree:
        return False
    return own == site or own in tree.ancestors(site)


def holds(role: Role, verb: Verb) -> bool:
    """Whether the role has this verb anywhere."""
    return verb in GRANTED.get(role, frozenset())


def may(holder: Holder, verb: Verb, site: str, tree: Tree) -> bool:
    """Whether this person may do this at this site."""
    return holds(holder.role, verb) and reaches(holder.site, site, tree)
