"""Who is connected: plain records, owned by the conductor and changed only by it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from server.identity.tokens import Grant
from server.outbox import Outbox
from signaling.room.messages import Closing, Member, Person, Publication, Source, TrackNotice, View


class Connection:
    """One open WebSocket: where messages wait, and the word that ends it."""

    def __init__(self, limit: int) -> None:
        self.outbox = Outbox(limit)
        self.ended: asyncio.Future[tuple[int, Closing]] = asyncio.get_running_loop().create_future()

    def close(self, code: int, closing: Closing) -> None:
        """Ask the socket's task to say this and close. The first word counts."""
        if not self.ended.done():
            self.ended.set_result((code, closing))


@dataclass(slots=True)
class Membership:
    """One room of one client."""

    grant: Grant
    since: float
    """UTC."""
    delivered: int | None = None
    """`seq` of the last entry given to the client's outbox; None until `Joined` has told where it begins."""
    behind: bool = False
    """The store has entries that did not fit into the outbox."""
    warned: bool = False
    """`Expiring` has been sent for this grant."""


@dataclass(slots=True)
class OwnTrack:
    """A track that a client publishes."""

    track: str
    mid: str
    kind: Literal["audio", "video"]
    codec: str
    publication: Publication
    site: str
    simulated: bool
    muted: bool = False
    silenced: bool = False
    state: Literal["starting", "live", "stalled"] = "starting"
    active: tuple[str, ...] = ()
    """Layers of a simulcast that somebody takes; empty before the media worker has said so."""


@dataclass(slots=True)
class Client:
    """A browser page, or a WHIP/WHEP session or a telephone (without a connection)."""

    client: str
    key: str
    person: Person
    kind: Literal["browser", "whip", "whep", "phone"] = "browser"
    simulated: bool = False
    """A program said that what it publishes is simulated."""
    lang: Literal["zh", "en"] = "zh"
    rooms: dict[str, Membership] = field(default_factory=dict)
    connection: Connection | None = None
    armed: bool = True
    """The page would be heard. A page that does not say is believed to be."""
    reach: Literal["video", "audio", "phone", "text"] = "video"
    """By what it takes part, as it says."""
    lost_at: float | None = None
    """Monotonic seconds at which the WebSocket was lost; media is kept for a while."""
    publish_peer: str | None = None
    watch_peer: str | None = None
    peer_count: int = 0
    tracks: dict[str, OwnTrack] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()
    """What the client asked to watch."""
    sending: frozenset[str] = frozenset()
    """What of it is being sent."""
    speaker: tuple[float, str] | None = None
    """Whom it hears most: since when (monotonic seconds), and the track."""
    views: Mapping[str, View] = field(default_factory=dict)
    """How it shows what it watches."""
    media: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One negotiation at a time."""

    def next_peer(self, direction: str) -> str:
        """A peer id never used before."""
        self.peer_count += 1
        return f"{self.client}.{direction}{self.peer_count}"

    def member(self, room: str) -> Member:
        """As others in the room see it."""
        since, watching = self.rooms[room].since, bool(self.sending)
        return Member(client=self.client, person=self.person, since=since, watching=watching, reach=self.reach)

    def notice(self, own: OwnTrack) -> TrackNotice:
        """As others see one of its tracks."""
        source: Source = own.publication.source
        return TrackNotice(
            track=own.track,
            client=self.client,
            kind=own.kind,
            source=source,
            name=own.publication.name,
            codec=own.codec,
            site=own.site,
            muted=own.muted,
            silenced=own.silenced,
            state=own.state,
            simulated=own.simulated,
        )
