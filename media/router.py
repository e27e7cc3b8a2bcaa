"""Who gets which track. Pure: facts in, changes out.

A subscriber *wants* a list of tracks (the server's command), and *agreed* to some of them (its SDP answer). A track
flows to a subscriber while it is published, wanted and agreed upon. Each method gives back what has to change.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from media.rtpparameters import SendingMedia


@dataclass(frozen=True, slots=True)
class Connect:
    """Begin to send this track to this subscriber."""

    peer: str
    media: SendingMedia


@dataclass(frozen=True, slots=True)
class Update:
    """Go on, with these parameters."""

    peer: str
    media: SendingMedia


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Stop sending."""

    peer: str
    track: str


Change = Connect | Update | Disconnect


class Router:
    """The table of one worker."""

    def __init__(self) -> None:
        self._published: set[str] = set()
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._agreed: dict[str, dict[str, SendingMedia]] = {}
        self._flowing: dict[str, dict[str, SendingMedia]] = {}
        self._watchers: dict[str, dict[str, None]] = {}
        """By track: peers to which it flows, in the order in which that began."""

    def publish(self, track: str) -> list[Change]:
        """A track is here."""
        self._published.add(track)
        return [change for peer in self._wanted for change in self._settle(peer)]

    def unpublish(self, track: str) -> list[Change]:
        """It is gone."""
        self._published.discard(track)
        return [change for peer in tuple(self._flowing) for change in self._settle(peer)]

    def want(self, peer: str, tracks: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...], list[Change]]:
        """The whole list that a subscriber is to get: those that exist, those that do not, and what changes now.

        What is no longer wanted stops at once, and needs a new agreement to come back: its m-line may be another by
        then. What is new waits for the subscriber's agreement.
        """
        wanted = tuple(dict.fromkeys(tracks))
        self._wanted[peer] = wanted
        agreed = self._agreed.get(peer, {})
        self._agreed[peer] = {track: media for track, media in agreed.items() if track in wanted}
        here = tuple(track for track in wanted if track in self._published)
        gone = tuple(track for track in wanted if track not in self._published)
        return here, gone, self._settle(peer)

    def agree(self, peer: str, sending: Sequence[SendingMedia]) -> list[Change]:
        """The subscriber's newest answer."""
        self._agreed[peer] = {media.track: media for media in sending}
        return self._settle(peer)

    def leave(self, peer: str) -> list[Change]:
        """A subscriber is gone."""
        self._wanted.pop(peer, None)
        self._agreed.pop(peer, None)
        return self._settle(peer)

    def watchers(self, track: str) -> tuple[str, ...]:
        """Subscribers to which this track flows."""
        return tuple(self._watchers.get(track, ()))

    def watched(self, track: str) -> int:
        """To how many subscribers this track flows."""
        return len(self._watchers.get(track, ()))

    def _settle(self, peer: str) -> list[Change]:
        agreed = self._agreed.get(peer, {})
        wanted = self._wanted.get(peer, ())
        target = {track: agreed[track] for track in wanted if track in agreed and track in self._published}
        flowing = self._flowing.get(peer, {})
        changes: list[Change] = []
        for track in flowing:
            if track not in target:
                changes.append(Disconnect(peer, track))
                del self._watchers[track][peer]
                if not self._watchers[track]:
                    del self._watchers[track]
        for track, media in target.items():
            if track not in flowing:
                changes.append(Connect(peer, media))
                self._watchers.setdefault(track, {})[peer] = None
            elif flowing[track] != media:
                changes.append(Update(peer, media))
        if target:
            self._flowing[peer] = target
        else:
            self._flowing.pop(peer, None)
        return changes
