"""The room protocol, version 1: every message, typed. `docs/room-protocol.md` tells the story around them.

A *room* is named after what it shows: `site:{site}` is the standing room of a mine or an authority, `session:{id}` a
consultation. One WebSocket may be in many rooms. Durable news of a room are `Event`s with a gap-free `seq` (per room
and `epoch`) that can be asked for again with `since`; `Live` messages carry the newest value only and may be dropped.

Media hangs on the client, not on a room: one publishing peer (the client offers) and one watching peer (the server
offers). `Watch` names the whole list of tracks wanted. Both outlive the WebSocket for `resume_s`.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

VERSION = 1
MAX_MESSAGE_BYTES = 64 * 1024
"""Larger frames close the socket with 1009. An SDP of 32 m-lines stays below."""

Id = Annotated[str, Field(min_length=1, max_length=128)]
Source = Literal["camera", "microphone", "screen", "other"]


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Text(Message):
    """For people, in both languages."""

    zh: str
    en: str


class Person(Message):
    """Who somebody is to the others. Never a password, a phone number or an address."""

    user: str
    name: str
    role: str
    site: str
    level: str


# --- client to server -----------------------------------------------------------------------------------------------


class Join(Message):
    """Enter a room, with a room token from `POST /api/token`. Answered by `Joined` or `Problem`."""

    type: Literal["join"] = "join"
    id: Id = "join"
    token: Annotated[str, Field(max_length=8192)]
    since: int | None = None
    """Last `seq` seen; with `epoch` the answer holds only what came after it."""
    epoch: str | None = None


class Hello(Message):
    """First message, within 5 s. Its joins prove who this is; all tokens must be of one user."""

    type: Literal["hello"] = "hello"
    version: int
    lang: Literal["zh", "en"] = "zh"
    joins: Annotated[tuple[Join, ...], Field(min_length=1, max_length=64)]
    client: Id | None = None
    """With `key`: take up the client of a socket that was lost, with its media."""
    key: Annotated[str, Field(max_length=128)] | None = None


class Leave(Message):
    type: Literal["leave"] = "leave"
    room: Id


class Refresh(Message):
    """A newer token for a room this client is in. Answered by `Done` or `Problem`."""

    type: Literal["refresh"] = "refresh"
    id: Id
    token: Annotated[str, Field(max_length=8192)]


class Publication(Message):
    """What a published m-line is, and who may see it."""

    source: Source
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")] = "camera"
    """Stable name of this source at its site, e.g. `dispatch-room`: duty posts refer to it."""
    rooms: Annotated[tuple[Id, ...], Field(min_length=1, max_length=16)]


class Publish(Message):
    """An SDP offer of the publishing peer. Answered by `Published` or `Problem`. To change tracks, offer again; to
    restart ICE, offer with new credentials; `fresh` throws the old peer away first."""

    type: Literal["publish"] = "publish"
    id: Id
    sdp: Annotated[str, Field(max_length=60_000)]
    publications: dict[str, Publication]
    """By mid."""
    fresh: bool = False


class Watch(Message):
    """The whole list of tracks this client wants. Answered by `Offer` when the list changed, always by `Watched`."""

    type: Literal["watch"] = "watch"
    id: Id
    tracks: Annotated[tuple[Id, ...], Field(max_length=64)]
    fresh: bool = False
    ice_restart: bool = False


class View(Message):
    """How the page shows a watched track."""

    height: Annotated[int, Field(ge=0, le=8192)] | None = None
    """Lines of its tile, in pixels of the screen; 0 = not visible, so that nothing is sent; absent = not known."""
    first: bool = False
    """Gets bandwidth before the others: a screen, somebody pinned or speaking."""


class Views(Message):
    """How the page shows what it watches: the whole list, sent when it changed. What is not in it is taken to fill a
    screen."""

    type: Literal["views"] = "views"
    views: Annotated[dict[Id, View], Field(max_length=64)]


class Answer(Message):
    """The client's SDP answer to `Offer` of the same generation."""

    type: Literal["answer"] = "answer"
    generation: int
    sdp: Annotated[str, Field(max_length=60_000)]


class Muted(Message):
    """I have muted or unmuted this track of mine: told to everybody, no packets are stopped by it."""

    type: Literal["muted"] = "muted"
    track: Id
    muted: bool


class Moderate(Message):
    """By a moderator: stop forwarding a track, let it go on, or remove a client from the room. Answered by `Done`."""

    type: Literal["moderate"] = "moderate"
    id: Id
    room: Id
    action: Literal["mute", "unmute", "remove"]
    track: Id | None = None
    client: Id | None = None


class Floor(Message):
    """About chair, floor, hands, mutes and the door of a consultation. Answered by `Done` when it is so at the media
    worker too; then everybody gets the `Event`, whose body holds the whole `floor`. Who may: `docs/consultation.md`."""

    type: Literal["floor"] = "floor"
    id: Id
    room: Id
    action: Literal[
        "raise_hand", "lower_hand", "release", "talk", "preempt", "take_chair", "hand_over", "pass", "mute", "unmute",
        "mute_all", "unmute_all", "mode", "lock", "unlock", "admit", "refuse", "remove", "let_back", "spotlight",
    ]  # fmt: skip
    target: Annotated[str, Field(max_length=128)] = ""
    """A user: of the roster, or of the lobby."""
    value: Annotated[str, Field(max_length=128)] = ""
    """`mode`: open, chaired or talk. `spotlight`: a track or a client; empty: none."""


class Chat(Message):
    """Answered by `Done` once it is stored; then everybody gets the `Event`."""

    type: Literal["chat"] = "chat"
    id: Id
    room: Id
    text: Annotated[str, Field(min_length=1, max_length=2000)]


class GiveOrder(Message):
    """An instruction to a site. Answered by `Done`."""

    type: Literal["give_order"] = "give_order"
    id: Id
    room: Id
    to_site: Id
    text: Annotated[str, Field(min_length=1, max_length=500)]


class AnswerOrder(Message):
    """Read back (`confirmed`) or report as `done`. Answered by `Done`."""

    type: Literal["answer_order"] = "answer_order"
    id: Id
    room: Id
    order: Id
    state: Literal["confirmed", "done"]


class Screen(Message):
    """What this page can do for the duty, said after each `Welcome` and whenever it changes. Not answered."""

    type: Literal["screen"] = "screen"
    armed: bool
    """It would be heard: an alert that rings only on pages that would not goes on to the next station at once."""


class Reach(Message):
    """By what this page takes part in its consultation now: others see it beside the name. Not answered."""

    type: Literal["reach"] = "reach"
    reach: Literal["video", "audio", "phone", "text"]


class Ping(Message):
    """Every `heartbeat_s`; a socket silent for three of them is closed."""

    type: Literal["ping"] = "ping"
    t: float = 0.0


AnyRequest = Annotated[
    Hello
    | Join
    | Leave
    | Refresh
    | Publish
    | Watch
    | Views
    | Answer
    | Muted
    | Moderate
    | Floor
    | Chat
    | GiveOrder
    | AnswerOrder
    | Screen
    | Reach
    | Ping,
    Field(discriminator="type"),
]

# --- server to client -----------------------------------------------------------------------------------------------


class Welcome(Message):
    """Answer to `Hello`; the `Joined` of each room follow."""

    type: Literal["welcome"] = "welcome"
    version: int = VERSION
    client: str
    key: str
    """Secret for a later `Hello`."""
    resumed: bool
    """Whether the media peers of before are still there. If not: publish and watch again, with `fresh`."""
    you: Person
    heartbeat_s: float
    resume_s: float
    simulated: bool
    """This server shows simulated data."""


class TrackNotice(Message):
    """A track that can be watched."""

    track: str
    client: str
    kind: Literal["audio", "video"]
    source: Source
    name: str
    codec: str
    site: str
    muted: bool = False
    """By its owner."""
    silenced: bool = False
    """By a moderator: nothing is forwarded."""
    state: Literal["starting", "live", "stalled"] = "starting"
    simulated: bool = False


class Member(Message):
    """Somebody who is in a room now."""

    client: str
    person: Person
    since: float
    watching: bool = False
    """Receives media of this room: nobody watches unseen."""
    reach: Literal["video", "audio", "phone", "text"] = "video"
    """By what it takes part, as far as its line carries."""


class Event(Message):
    """One entry of a room's timeline. Bodies by kind: `docs/room-protocol.md`."""

    type: Literal["event"] = "event"
    room: str
    seq: int
    at: float
    """Seconds since the Unix epoch, UTC."""
    kind: str
    body: dict[str, object]


RecordingState = Literal["off", "on", "failed"]
"""Whether what is shown in a room is being recorded; `failed`: it should be and is not."""


class Snapshot(Message):
    """A room as it is now."""

    members: tuple[Member, ...] = ()
    tracks: tuple[TrackNotice, ...] = ()
    alerts: tuple[dict[str, object], ...] = ()
    """Open and acknowledged alerts of the site and all below it, as in `GET /api/alerts`."""
    sessions: tuple[dict[str, object], ...] = ()
    """For a site room: consultations that are going on and concern the site. For a session room: itself."""
    duty: tuple[dict[str, object], ...] = ()
    """State of the duty posts of the site and below."""
    readings: tuple[dict[str, object], ...] = ()
    """Newest value of each device and quantity (a mine's room only)."""
    positions: tuple[dict[str, object], ...] = ()
    escalations: tuple[dict[str, object], ...] = ()
    """Who is being rung about which alert of the site and below, as in `escalation` entries."""
    challenges: tuple[dict[str, object], ...] = ()
    """Questions to desks that wait for an answer, as in `challenge` entries."""
    checks: tuple[dict[str, object], ...] = ()
    """Spot checks and roll calls that wait for an answer, as in `check` entries."""
    recent: tuple[Event, ...] = ()
    """The last entries of the timeline (at most 100)."""
    recording: RecordingState = "off"


class Joined(Message):
    """Answer to `Join`: either the events missed, or a snapshot. The entry with number `seq` is the last included."""

    type: Literal["joined"] = "joined"
    id: str
    room: str
    epoch: str
    seq: int
    grants: dict[str, object]
    expires_at: float
    snapshot: Snapshot | None = None
    events: tuple[Event, ...] = ()


class Roster(Message):
    """Members and tracks of a room changed; the whole list, newest wins."""

    type: Literal["roster"] = "roster"
    room: str
    members: tuple[Member, ...]
    tracks: tuple[TrackNotice, ...]
    recording: RecordingState = "off"


class Live(Message):
    """Newest value only, no `seq`: `reading`, `position`, `positions` (`{items}`: many at once), `duty`, `observed`,
    `quality`."""

    type: Literal["live"] = "live"
    room: str
    kind: str
    key: str
    """Same room, kind and key: the newer replaces the older in a full outbox."""
    body: dict[str, object]


class Published(Message):
    type: Literal["published"] = "published"
    id: str
    sdp: str
    tracks: dict[str, str]
    """mid to track id."""


class Offer(Message):
    """The server's offer for the watching peer."""

    type: Literal["offer"] = "offer"
    generation: int
    sdp: str
    mids: dict[str, str]
    """mid to track id."""


class Encodings(Message):
    """Which layers (by RID) of one of this client's tracks somebody takes: it may stop the others. Newest wins."""

    type: Literal["encodings"] = "encodings"
    track: str
    active: tuple[str, ...]


class Speaker(Message):
    """Whose voice dominates among those that this client hears; newest wins."""

    type: Literal["speaker"] = "speaker"
    track: str
    """Of sound; empty = nobody's."""


class Watched(Message):
    type: Literal["watched"] = "watched"
    id: str
    refused: dict[str, Text] = {}
    """track id to the reason why it does not come."""


class MediaState(Message):
    """One of this client's two peers changed, or a watched track did; `text` says it in words."""

    type: Literal["media_state"] = "media_state"
    peer: Literal["publish", "watch"]
    state: Literal["connecting", "connected", "disconnected", "closed"]
    reason: str = ""
    text: Text | None = None


class Quality(Message):
    """Every 2 s while media flows: how each own or watched track is doing, as the server sees it."""

    type: Literal["quality"] = "quality"
    tracks: dict[str, dict[str, object]]
    """track id to {level, loss, jitter_ms, rtt_ms, bitrate_bps, reason}."""


class Done(Message):
    type: Literal["done"] = "done"
    id: str


class Problem(Message):
    """Something was refused. `error` is stable and for programs, `text` is for people."""

    type: Literal["problem"] = "problem"
    id: str | None = None
    error: str
    room: str | None = None
    """Set when this client is no longer in that room."""
    text: Text
    detail: str = ""


class Expiring(Message):
    """The token of this room ends soon: fetch another and send `Refresh`."""

    type: Literal["expiring"] = "expiring"
    room: str
    expires_at: float


class Closing(Message):
    """The server is about to close this socket; come back after `after_s` (unless `final`)."""

    type: Literal["closing"] = "closing"
    error: str
    text: Text
    after_s: float = 0.0
    final: bool = False


class Pong(Message):
    type: Literal["pong"] = "pong"
    t: float = 0.0
    at: float = 0.0
    """The server's clock, seconds since the Unix epoch."""


AnyNotice = Annotated[
    Welcome
    | Event
    | Joined
    | Roster
    | Live
    | Published
    | Offer
    | Encodings
    | Speaker
    | Watched
    | MediaState
    | Quality
    | Done
    | Problem
    | Expiring
    | Closing
    | Pong,
    Field(discriminator="type"),
]

REQUESTS: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)
NOTICES: TypeAdapter[AnyNotice] = TypeAdapter(AnyNotice)
