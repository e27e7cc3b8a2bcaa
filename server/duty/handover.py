"""The handover of a shift (交接班): what is open, what is silenced, notes, two signatures. Pure: no clock, no store.

| status  | first signature      | second signature            |
|---------|----------------------|-----------------------------|
| open    | signed (outgoing)    | -                           |
| signed  | -                    | complete (incoming, another name) |

The list of what stands is taken anew with each signature, so that nobody signs for what has changed meanwhile. A
handover is *due* at the end of each turn of the rota after which other people are on duty; one that is not complete
some time after is missing, and that is an alert.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from server.duty.rota import Rota

Status = Literal["open", "signed", "complete"]
EARLY_S = 3600.0
"""A handover this long before the end of the turn is the one of that end."""
LOOK_BACK_S = 3600.0
"""Ends that are longer ago than this beyond the grace are not asked about any more."""


class NotSigned(ValueError):
    """This signature does not fit; the sentence says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Somebody puts his name to it."""

    user: str
    name: str
    at: float
    notes: str = ""
    posts: tuple[tuple[str, str], ...] = ()
    """What the cameras said of the duty posts at this moment: post and state; empty where none is watched."""


@dataclass(frozen=True, slots=True)
class Handover:
    """One handover of one site."""

    handover: str
    site: str
    opened_at: float
    status: Status = "open"
    outgoing: Signature | None = None
    incoming: Signature | None = None
    same_account: bool = False
    """Both signed from one account: the names are all there is to tell them apart."""
    standing: Mapping[str, Any] = field(default_factory=dict)
    """Open alerts, silenced tracks, consultations, orders: as they were at the last signature."""
    simulated: bool = False

    def sign(self, signature: Signature, standing: Mapping[str, Any]) -> "Handover":
        """The next signature.

        Raises:
            NotSigned
        """
        if self.status == "complete":
            raise NotSigned("Both have signed already.")
        if self.outgoing is None:
            return replace(self, status="signed", outgoing=signature, standing=standing)
        if signature.name.strip().casefold() == self.outgoing.name.strip().casefold():
            raise NotSigned("The second signature is somebody else's.")
        same = signature.user == self.outgoing.user
        return replace(self, status="complete", incoming=signature, standing=standing, same_account=same)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def handover_of(body: Mapping[str, Any]) -> Handover:
    """Back from `asdict`."""

    def signature(given: Mapping[str, Any] | None) -> Signature | None:
        return Signature(**{**given, "posts": tuple(tuple(one) for one in given["posts"])}) if given else None

    known = {**body, "outgoing": signature(body["outgoing"]), "incoming": signature(body["incoming"])}
    return Handover(**known)


def due(rota: Rota, site: str, at: float) -> tuple[float, float] | None:
    """The last end of a turn with a change of people, and the next one: (last or 0, next). None: no rota."""
    shift = rota.shift(site, at)
    if shift is None:
        return None
    before = rota.shift(site, shift.start - 1.0)
    after = rota.shift(site, shift.end)
    changed = before is not None and before.people != shift.people
    return (shift.start if changed else 0.0, shift.end if after is None or after.people != shift.people else 0.0)


def missing(rota: Rota, site: str, done_at: Sequence[float], at: float, grace_s: float) -> float | None:
    """The end of a turn whose handover should be complete by now and is not. `done_at`: when some were completed."""
    for moment in (at, at - grace_s):
        ends = due(rota, site, moment)
        if ends is None or ends[0] <= 0:
            continue
        end = ends[0]
        since = max((plan.made_at for plan in rota.plans.values() if plan.site == site), default=0.0)
        in_question = end + grace_s <= at <= end + grace_s + LOOK_BACK_S and end > since
        if in_question and not any(done >= end - EARLY_S for done in done_at):
            return end
    return None
