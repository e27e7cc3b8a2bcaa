"""What a person may do in a room, once it is known that the room concerns the person. Pure.

`site:{site}` is reached from the site and from every authority above it, looking down; nobody looks up. A
`session:{id}` is reached from the sites that are in the consultation. Pictures are published into the room of the own
site and into consultations; who looks into a mine's room from above is there to watch.
"""

from server.identity.roles import Holder, Tree, Verb, holds, reaches
from server.identity.tokens import ALL_SOURCES, Grants
from signaling.room.messages import Source

SITE_PREFIX = "site:"
SESSION_PREFIX = "session:"
GUEST_SOURCES: tuple[Source, ...] = ("camera", "microphone")
PERSON_SOURCES: tuple[Source, ...] = ("camera", "microphone", "screen")


def site_room(holder: Holder, site: str, tree: Tree) -> Grants | None:
    """What this person may do in the standing room of `site`; None if it is not theirs to enter."""
    if holder.role == "guest" or not reaches(holder.site, site, tree):
        return None
    if holder.role == "phone" or (holder.role == "device" and holder.site != site):
        return None
    return _grants(holder, publish=holder.site == site)


def session_room(holder: Holder, sites: frozenset[str]) -> Grants | None:
    """What this person may do in a consultation of `sites`; None if the own site is not in it."""
    return _grants(holder, publish=True) if holder.site in sites and holder.role not in ("device", "guest") else None


def _grants(holder: Holder, *, publish: bool) -> Grants | None:
    def has(verb: Verb) -> bool:
        return holds(holder.role, verb)

    publish = publish and has("publish")
    sources = () if not publish else ALL_SOURCES if holder.role == "device" else PERSON_SOURCES
    grants = Grants(publish=publish, subscribe=has("watch"), sources=sources, moderate=has("moderate"))
    return grants if grants.publish or grants.subscribe else None
