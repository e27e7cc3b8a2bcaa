"""From whom a leg takes packets, and where it sends: learned once, then locked. Pure; `now` in seconds.

| state | a packet from | is |
|---|---|---|
| nothing learned | the signalled address and port | taken, and locked for good |
| nothing learned, within `learn_s` | the signalled IP address, any port | taken, and locked |
| the same, symmetric | where the signalling comes from (where that is not known: anywhere) | taken, and locked |
| locked to another than the signalled, within `learn_s` | the signalled address and port | taken, and locked for good |
| locked | the address it is locked to | taken, with the same SSRC |
| locked | the same, another SSRC, the old one silent for `SSRC_SILENT_S` | taken: it began anew |
| any | anything else | refused |

`learn_s` counts from the agreement. An agreement with another signalled address or port unlocks; a repetition of the
same (hold, session timer) does not, but after `SILENT_S` without a packet it opens the window for another port.
Media never goes to an address that nothing came from, but for what `Profile.unheard` says.
"""

from typing import Literal

Address = tuple[str, int]

SSRC_SILENT_S = 0.5
SILENT_S = 2.0
"""Who was silent for so long when the same agreement is made again may have another port since: NAT forgets."""

Verdict = Literal["taken", "locked", "stranger", "ssrc"]


class SourceLock:
    """Of one leg."""

    def __init__(self, learn_s: float) -> None:
        self._learn_s = learn_s
        self._signalled: Address | None = None
        self._host = ""
        self._symmetric = False
        self._until = float("-inf")
        self.locked: Address | None = None
        self._exact = False
        self._again = False
        """Another address may be learned in the window: see `SILENT_S`."""
        self.ssrc: int | None = None
        self._heard_at = float("-inf")

    def agree(self, signalled: Address | None, *, symmetric: bool, now: float, host: str = "") -> bool:
        """What the other side's description says; None for nothing yet. `host` is where the signalling came from: a
        symmetric leg takes that for its IP address. Says whether what was learned is forgotten."""
        same = signalled == self._signalled and symmetric == self._symmetric
        self._signalled, self._symmetric, self._host = signalled, symmetric, host
        if same:
            if self.locked is not None and now - self._heard_at >= SILENT_S:
                self._until, self._again = now + self._learn_s, True
            return False
        self._until = now + self._learn_s
        moved = self.locked is not None
        self.locked, self._exact, self.ssrc = None, False, None
        return moved

    def check(self, address: Address, ssrc: int, now: float) -> Verdict:
        """Whether a packet from here is taken; `locked` when it is the first from a new address or with a new SSRC.
        To be asked only for packets that are otherwise in order: whoever is first is kept."""
        if self.locked is not None and address == self.locked:
            return self._known(ssrc, now)
        if not self._may_lock(address, now):
            return "stranger"
        self.locked, self._exact, self._again = address, address == self._signalled, False
        self.ssrc, self._heard_at = ssrc, now
        return "locked"

    def could_be(self, address: Address, now: float) -> bool:
        """Whether `check` might take it: strangers' packets need not be decrypted."""
        return address == self.locked or self._may_lock(address, now)

    def _known(self, ssrc: int, now: float) -> Verdict:
        if ssrc != self.ssrc:
            if now - self._heard_at < SSRC_SILENT_S:
                return "ssrc"
            self.ssrc, self._heard_at = ssrc, now
            return "locked"
        self._heard_at = now
        return "taken"

    def _may_lock(self, address: Address, now: float) -> bool:
        if self._signalled is None or (self._exact and not self._again):
            return False
        if address == self._signalled:
            return self.locked is None or now <= self._until
        if (self.locked is not None and not self._again) or now > self._until:
            return False
        if address[0] == self._signalled[0]:
            return True
        return self._symmetric and (not self._host or address[0] == self._host)

    def destination(self) -> Address | None:
        """Where media goes: what is locked."""
        return self.locked

    def signalled(self) -> Address | None:
        """Where the first probes go: never proven."""
        if self._signalled is None:
            return None
        return (self._host, self._signalled[1]) if self._symmetric and self._host else self._signalled
