"""Floods and scanners: token buckets and bans by address. Pure, bounded, `now` in monotonic seconds.

Addresses that have proved who they are (a right digest, a trunk's network) have a larger bucket. A ban is silence: not
a byte of a banned address is read. Trunks are never banned, nor are addresses within an hour of a right digest: the
source of a datagram can be forged, and nobody may cut a dispatch room's line by being noisy in its name.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from itertools import islice

from signaling.sip.gate import Misdeed

MAX_ADDRESSES = 10_000
KNOWN_PER_S = 200.0
PROVED_S = 3600.0
"""How long a right digest raises the limits of its address."""
TOLD: dict[Misdeed, tuple[int, float]] = {
    "malformed": (20, 10.0),
    "unframed": (5, 60.0),
    "wrong_digest": (5, 600.0),
    "refused": (30, 60.0),
}
"""So many within so many seconds are banned."""

SCANNERS = (
    "friendly-scanner", "sipvicious", "sipcli", "vaxsipuseragent", "pplsip", "sip-scan", "sundayddr", "iwar",
    "csipsimple", "smap", "voipbuster", "gulp",
)  # fmt: skip
"""Beginnings of User-Agents that nobody uses to talk."""


@dataclass(slots=True)
class _Address:
    level: float
    at: float
    banned_until: float = float("-inf")
    why: str = ""
    proved_until: float = float("-inf")
    misdeeds: dict[Misdeed, deque[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ban:
    host: str
    left_s: float
    why: str


class Pace:
    """`per_s` and `burst` for strangers."""

    def __init__(self, per_s: float, burst: int, ban_s: float, wrong_digest_ban_s: float) -> None:
        self._per_s = per_s
        self._burst = burst
        self._ban_s = ban_s
        self._wrong_ban_s = wrong_digest_ban_s
        self._addresses: OrderedDict[str, _Address] = OrderedDict()

    def banned(self, host: str, now: float) -> bool:
        one = self._addresses.get(host)
        return one is not None and one.banned_until > now

    def take(self, host: str, now: float, *, known: bool = False) -> bool:
        """One request. False: over the limit; a stranger that goes on like this is banned."""
        one = self._address(host, now)
        known = known or one.proved_until > now
        per_s = KNOWN_PER_S if known else self._per_s
        burst = 2 * KNOWN_PER_S if known else float(self._burst)
        one.level = min(burst, one.level + (now - one.at) * per_s)
        one.at = now
        if one.level >= 1:
            one.level -= 1
            return True
        if not known:
            self._count(one, "refused", now)
        return False

    def proved(self, host: str, now: float) -> None:
        """A right digest came from there."""
        self._address(host, now).proved_until = now + PROVED_S

    def noted(self, misdeed: Misdeed, host: str, now: float) -> bool:
        """Whether it led to a ban."""
        return self._count(self._address(host, now), misdeed, now)

    def ban(self, host: str, why: str, now: float) -> None:
        one = self._address(host, now)
        if one.proved_until <= now:
            one.banned_until, one.why = now + self._ban_s, why

    def lift(self, host: str) -> bool:
        """A person takes a ban back."""
        return self._addresses.pop(host, None) is not None

    def bans(self, now: float) -> list[Ban]:
        return [
            Ban(host, one.banned_until - now, one.why)
            for host, one in self._addresses.items()
            if one.banned_until > now
        ]

    def _count(self, one: _Address, misdeed: Misdeed, now: float) -> bool:
        most, seconds = TOLD[misdeed]
        if one.proved_until > now:
            return False
        times = one.misdeeds.setdefault(misdeed, deque(maxlen=most))
        times.append(now)
        if len(times) < most or times[0] < now - seconds:
            return False
        one.banned_until = now + (self._wrong_ban_s if misdeed == "wrong_digest" else self._ban_s)
        one.why = misdeed
        times.clear()
        return True

    def _address(self, host: str, now: float) -> _Address:
        one = self._addresses.get(host)
        if one is None:
            one = self._addresses[host] = _Address(float(self._burst), now)
            while len(self._addresses) > MAX_ADDRESSES:
                self._evict(now)
        self._addresses.move_to_end(host)
        return one

    def _evict(self, now: float) -> None:
        """The quietest address that is not banned; a flood of new ones must not lift bans."""
        for host, one in islice(self._addresses.items(), 100):
            if one.banned_until <= now:
                del self._addresses[host]
                return
        self._addresses.popitem(last=False)


def scanner(agent: str) -> bool:
    return agent.strip().lower().startswith(SCANNERS)
