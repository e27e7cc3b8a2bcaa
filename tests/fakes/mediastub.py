"""A media worker that moves no packets and answers as it is told, with streams and people over it."""

import time
from collections.abc import Callable
from typing import Any, Literal, cast

from media.messages import AnyCommand, Beat, Close, DoorPass, Publish, PublishPlain, Reply, TrackInfo
from server.clients import Client, Membership
from server.conductor import Conductor
from server.identity.tokens import Grant
from server.media import MediaDown, MediaListener
from server.sessions.machine import State
from server.streams import Streams
from signaling.room.messages import Person, Publication, Source


class MediaStub:
    """`told` is everything that was commanded; `meanwhile` happens while the next one is answered."""

    def __init__(self) -> None:
        self.listener: MediaListener | None = None
        self.told: list[AnyCommand] = []
        self.down = False
        self.mutes = False
        """What it says of new tracks."""
        self.meanwhile: Callable[[], object] = lambda: None

    serves = True
    beat: Beat | None = None

    def place(self, peer: str, room: str) -> None:
        pass

    def generation(self, peer: str) -> int:
        return 1

    async def request(self, command: AnyCommand) -> Reply:
        self.told.append(command)
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()
        if self.down:
            raise MediaDown("no worker")
        tracks: tuple[TrackInfo, ...] = ()
        if isinstance(command, Publish | PublishPlain):
            name = f"{command.peer}/0"
            tracks = (TrackInfo(track=name, peer=command.peer, mid="0", kind="audio", codec="opus", muted=self.mutes),)
        door = DoorPass(address="door", token="00") if isinstance(command, PublishPlain) else None
        return Reply(request=0, tracks=tracks, door=door)

    def closed(self) -> list[str]:
        return [one.peer for one in self.told if isinstance(one, Close)]


class NoSessions:
    """Nobody is in a consultation."""

    def about(self, site: str) -> list[State]:
        return []

    def get_open(self, session: str) -> State | None:
        return None


class People:
    """Clients of one site's room."""

    def __init__(self) -> None:
        self.media = MediaStub()
        self.sessions = cast(Any, NoSessions())
        self.conductor = Conductor(cast(Any, None), cast(Any, None), self.sessions, resume_s=1.0)
        self.streams = Streams(self.conductor, self.media)
        self.media.listener = self.streams
        self.conductor.on_removed = self.streams.client_removed

    def client(self, name: str, *, kind: Literal["browser", "phone"] = "browser") -> Client:
        person = Person(user=f"u-{name}", name=name, role="dispatcher", site="mine", level="mine")
        grant = Grant(
            user=person.user, name=name, role="dispatcher", site="mine", level="mine", room="site:mine", publish=True,
            subscribe=True, sources=("microphone", "camera"), moderate=False, jti=name, login=None,
            issued_at=time.time(), expires_at=time.time() + 3600,
        )  # fmt: skip
        client = Client(name, "key", person, kind=kind)
        client.rooms["site:mine"] = Membership(grant, time.time())
        self.conductor.clients[name] = client
        return client

    async def publish(self, client: Client, source: Source = "microphone", *, fresh: bool = False) -> str:
        """The track's id."""
        await self.streams.publish(client, "", {"0": publication(source)}, fresh=fresh)
        return next(iter(client.tracks))


def publication(source: Source = "microphone") -> Publication:
    return Publication(source=source, name="desk", rooms=("site:mine",))
