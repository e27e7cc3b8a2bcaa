"""What the server and the phone worker say to each other.

A *leg* is the media of one call: one UDP port pair, one codec, one jitter buffer. The server's call control chooses its
id and passes session descriptions through; they are read and written here, where ports and keys are. Commands carry a
`request` number and each is answered by exactly one `Reply` or `Refused` with the same number. Events carry none.

A *room* is a mixer. It is there while a leg is in it, and its sound is that of its legs and of the tracks that `Hear`
names, whose access units come over the tap. Each leg hears all but itself.

The worker can be killed at any moment; every leg is gone then.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


LegId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
RoomId = Annotated[str, Field(min_length=1, max_length=200)]
Sdp = Annotated[str, Field(max_length=64 << 10)]
CodecName = Literal["opus", "G722", "PCMA", "PCMU"]
Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
Digits = Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,64}$")]
Digit = Annotated[str, Field(pattern=r"^[0-9A-D*#]$")]

# --- what a leg is like ---------------------------------------------------------------------------------------------


class Profile(Message):
    """What a trunk or a phone allows and needs."""

    codecs: tuple[CodecName, ...] = ("opus", "G722", "PCMA", "PCMU")
    """In our order of preference; those of the other side's offer are taken in its order."""
    srtp: Literal["off", "allow", "require"] = "allow"
    """SDES (RFC 4568). `allow`: taken when offered, and offered beside plain RTP (RFC 8643)."""
    symmetric: bool = False
    """Learn the address that packets come from although its IP address is not that of the SDP: for phones behind NAT.
    Only while a window of `learn_s` is open, and only once."""
    signalled_ip: str = ""
    """Where the signalling came from; the only further IP address that a `symmetric` leg learns. "": any."""
    listen_host: str = ""
    """Address the leg's ports are bound to; "" = the settings'."""
    advertise: str = ""
    """Address told in the SDP; "" = the settings', or where the ports are bound."""
    unheard: Literal["probe", "send"] = "probe"
    """What goes to a signalled address from which nothing has come: a packet of silence each second for 10 s, which
    opens the way for others that wait, or everything."""
    ptime_ms: int = Field(default=20, ge=20, le=60, multiple_of=20)
    video: bool = False
    """Pictures (H.264) are offered, and taken when offered."""


# --- what is played -------------------------------------------------------------------------------------------------


class Tone(Message):
    """Sine waves together; none for silence."""

    type: Literal["tone"] = "tone"
    frequencies: Annotated[tuple[Annotated[float, Field(ge=20, le=7000)], ...], Field(max_length=4)] = ()
    duration_ms: int = Field(ge=10, le=60_000)
    level_dbm0: float = Field(default=-15.0, ge=-60, le=0)
    """Of each."""


class Prompt(Message):
    """A recording `{folder}/{language}/{name}.wav` of the user's, else spoken words, else tones that stand for it."""

    type: Literal["prompt"] = "prompt"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    language: Literal["zh", "en"] = "zh"


Sound = Annotated[Tone | Prompt, Field(discriminator="type")]

# --- commands, server to worker -------------------------------------------------------------------------------------


class Configure(Message):
    """First message. Answered by `Ready`."""

    type: Literal["configure"] = "configure"
    settings: dict[str, object]
    """A dumped `PhoneMediaSettings`."""
    tap_address: str
    """Where the worker listens for access units of media workers (`media.tap`)."""
    speech: str = ""
    """Folder where spoken prompts are kept; "": nothing is spoken."""


class Command(Message):
    request: int = 0
    leg: LegId


class MakeOffer(Command):
    """Our offer: the first one opens the leg; later ones with another `direction` hold and resume. Answered by
    `Reply.sdp`."""

    type: Literal["make_offer"] = "make_offer"
    profile: Profile = Profile()
    direction: Direction = "sendrecv"


class TakeAnswer(Command):
    """The other side's answer to our newest offer. A provisional one (183) may be followed by another."""

    type: Literal["take_answer"] = "take_answer"
    sdp: Sdp


class AnswerOffer(Command):
    """The other side's offer: the first one opens the leg; later ones (re-INVITE, UPDATE) change it or hold us.
    Answered by `Reply.sdp`, or refused with `not_acceptable` (488): what was agreed before then holds."""

    type: Literal["answer_offer"] = "answer_offer"
    sdp: Sdp
    profile: Profile = Profile()
    direction: Direction = "sendrecv"
    """What we would like; the answer never has more than the offer allows."""


class Drop(Command):
    """Our offer was refused, or the request that carried it failed: what was agreed before holds."""

    type: Literal["drop"] = "drop"


class Join(Command):
    """Into a room's mixer, out of another one. With a door, what the phone says also goes there."""

    type: Literal["join"] = "join"
    room: RoomId
    door: str = ""
    """Address of a media worker's door (`media.door`); "" = the room's phones alone hear it."""
    token: str = ""
    ssrc: int = 0
    payload_type: int = 111
    video_ssrc: int = 0
    """With one, the phone's pictures go there as well."""
    video_payload_type: int = 102


class Leave(Command):
    """Out of the mixer: the phone hears prompts only. No error when it is in none."""

    type: Literal["leave"] = "leave"


class Mute(Command):
    """What the phone says goes nowhere. DTMF is still heard."""

    type: Literal["mute"] = "mute"
    muted: bool


class Play(Command):
    """Sounds to the phone, instead of what is being played. Ends with `Played`. The room is not heard meanwhile,
    unless `over_room`."""

    type: Literal["play"] = "play"
    prompt: Annotated[str, Field(max_length=64)] = ""
    """Comes back in `Played`."""
    sounds: Annotated[tuple[Sound, ...], Field(min_length=1, max_length=32)]
    repeat: int = Field(default=1, ge=0, le=1000)
    """0: until something else is played, or `Stop`."""
    over_room: bool = False


class Stop(Command):
    """Ends what is being played. No error when nothing is."""

    type: Literal["stop"] = "stop"


class SendDigits(Command):
    """DTMF towards the phone: RFC 4733 where agreed, else as tones. Queued behind digits under way."""

    type: Literal["send_digits"] = "send_digits"
    digits: Digits
    tone_ms: int = Field(default=160, ge=40, le=5000)
    gap_ms: int = Field(default=80, ge=40, le=5000)


class InjectDigit(Command):
    """A digit that came by SIP INFO. Dropped when the same one has just come by RTP."""

    type: Literal["inject_digit"] = "inject_digit"
    digit: Digit
    duration_ms: int = Field(default=160, ge=0, le=60_000)


class Close(Command):
    """Ends a leg. Unknown ones are no error."""

    type: Literal["close"] = "close"
    reason: Annotated[str, Field(max_length=200)] = ""


class Show(Message):
    """The track of pictures that a phone sees, H.264. Not answered. "": none."""

    type: Literal["show"] = "show"
    leg: LegId
    track: str = ""


class NeedPicture(Message):
    """Somebody who watches the phone needs a key frame: the phone is asked. Not answered."""

    type: Literal["need_picture"] = "need_picture"
    leg: LegId


class WishPicture(Message):
    """The phone has asked for a key frame by its signalling (RFC 5168). Not answered."""

    type: Literal["wish_picture"] = "wish_picture"
    leg: LegId


class Hear(Message):
    """The whole list of tracks that a room's phones hear, beside each other. Not answered. Empty: none."""

    type: Literal["hear"] = "hear"
    room: RoomId
    tracks: Annotated[tuple[str, ...], Field(max_length=64)] = ()


AnyCommand = Annotated[
    Configure
    | MakeOffer
    | TakeAnswer
    | AnswerOffer
    | Drop
    | Join
    | Leave
    | Mute
    | Play
    | Stop
    | SendDigits
    | InjectDigit
    | Close
    | Show
    | NeedPicture
    | WishPicture
    | Hear,
    Field(discriminator="type"),
]

# --- answers and events, worker to server ---------------------------------------------------------------------------


class Ready(Message):
    type: Literal["ready"] = "ready"
    ports: tuple[int, int]
    """First and last of the range."""


class Reply(Message):
    type: Literal["reply"] = "reply"
    request: int
    sdp: str = ""


class Refused(Message):
    """The command did nothing."""

    type: Literal["refused"] = "refused"
    request: int
    error: Literal["not_acceptable", "sdp_invalid", "capacity", "unknown_leg", "no_such_prompt", "invalid"]
    """`not_acceptable`: no common codec, or encryption refused or missing (SIP 488); `sdp_invalid`: SIP 400;
    `capacity`: no port is free (SIP 503)."""
    detail: str


class Started(Message):
    """The first packet came, and from where: the leg sends there from now on. Again after another lock."""

    type: Literal["started"] = "started"
    leg: LegId
    address: str
    port: int
    ssrc: int
    codec: CodecName
    encrypted: bool


class VideoAgreed(Message):
    """What has been agreed about pictures, each time it changes."""

    type: Literal["video_agreed"] = "video_agreed"
    leg: LegId
    receives: bool
    """The phone may send some."""
    sends: bool
    """It sees some."""
    profile_level_id: str = ""
    """Of what it sends (RFC 6184)."""


class DigitPressed(Message):
    """Told when it ends, at the latest 0.1 s after its last packet."""

    type: Literal["digit_pressed"] = "digit_pressed"
    leg: LegId
    digit: Digit
    source: Literal["rtp", "info"]
    duration_ms: int


class Played(Message):
    type: Literal["played"] = "played"
    leg: LegId
    prompt: str
    how: Literal["finished", "stopped", "replaced"]


class MediaTimeout(Message):
    """Nothing has come for longer than the settings allow. Told once, until something comes; never on hold."""

    type: Literal["media_timeout"] = "media_timeout"
    leg: LegId
    silent_s: float
    ever: bool
    """Whether anything had come before."""


class MediaBack(Message):
    type: Literal["media_back"] = "media_back"
    leg: LegId


class Levels(Message):
    """Twice a second: of each leg in a room, what it says and what it hears, dBov (0 = full scale, -127 = silence)."""

    type: Literal["levels"] = "levels"
    legs: dict[str, tuple[float, float]]


class LegStatistics(Message):
    """Every 5 s, and a last time at the end. Totals since the leg was opened."""

    type: Literal["leg_statistics"] = "leg_statistics"
    leg: LegId
    codec: str
    encrypted: bool
    packets_in: int
    packets_out: int
    lost: int
    """Expected and never there in time."""
    concealed: int
    """Frames of 20 ms that were made up."""
    late: int
    jitter_ms: float
    delay_ms: float
    """In the jitter buffer, now."""
    remote_loss: float | None = None
    """0 to 1, as the other side reports."""
    remote_jitter_ms: float | None = None
    rtt_ms: float | None = None
    video_in: int = 0
    """Packets of pictures from the phone."""
    video_out: int = 0
    pictures_out: int = 0
    dropped: dict[str, int] = {}
    """Reason to count: `stranger`, `malformed`, `srtp`, `ssrc`, `payload_type`, `rtcp`, `duplicate`."""


class LegEnded(Message):
    """The leg is gone by itself. After `Close` only its last statistics come."""

    type: Literal["leg_ended"] = "leg_ended"
    leg: LegId
    reason: Literal["failed"]
    detail: str


class Beat(Message):
    """Once a second; silence means that the worker is stuck."""

    type: Literal["beat"] = "beat"
    legs: int
    rooms: int
    cpu_s: float
    late_ticks: int
    """Ticks of 20 ms that began more than 10 ms late, in total."""
    skipped_ticks: int
    """Ticks that were left out because the worker was too far behind, in total."""
    counters: dict[str, float]


AnyAnswer = Annotated[
    Ready
    | Reply
    | Refused
    | Started
    | VideoAgreed
    | DigitPressed
    | Played
    | MediaTimeout
    | MediaBack
    | Levels
    | LegStatistics
    | LegEnded
    | Beat,
    Field(discriminator="type"),
]

COMMANDS: TypeAdapter[AnyCommand] = TypeAdapter(AnyCommand)
ANSWERS: TypeAdapter[AnyAnswer] = TypeAdapter(AnyAnswer)
