"""One call in the server: its record, its box of events, and the plumbing between SIP and media.

A flow (`flows.py`) asks `next()` for what concerns it: keys, answers, the end of a prompt. All else is done on the
way: offers within the call go to the phone worker and their answers back, keys by INFO go into the same stream as those
by RTP, commands of moderators are carried out, and the end is an exception, `LegOver`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import structlog

from media.phone.messages import DigitPressed, LegEnded, MediaTimeout, Played, Profile, Prompt
from server.clients import Client
from server.phones.media import PhoneMediaDown, PhoneMediaPort, PhoneMediaRefused
from signaling.sip.callevents import (
    Answered,
    CallEvent,
    Confirmed,
    Digit,
    Ended,
    Offered,
    OfferFailed,
    OfferWanted,
    PictureWanted,
    Progress,
    Referred,
    Renegotiated,
    TransferProgress,
)
from signaling.sip.endpoint import SipEndpoint
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.transactionlayer import Send
from signaling.sip.uri import SipUri
from signaling.sip.useragent import UserAgent

BOX = 200
"""Events that wait for a flow; a call with more is ended."""

log = structlog.get_logger()


class LegOver(Exception):
    """The call has ended."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended.cause)
        self.ended = ended


@dataclass(frozen=True, slots=True)
class HangUp:
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    held: bool


@dataclass(frozen=True, slots=True)
class Silenced:
    """In the room: a moderator stopped what it says, or let it go on."""

    silenced: bool


@dataclass(frozen=True, slots=True)
class Transfer:
    target: SipUri
    replaces: str | None = None
    """A call of ours, as the user agent names it: whoever is transferred takes our place in it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Which picture of the room the phone sees; "": whoever speaks."""

    track: str


Command = HangUp | Hold | Transfer | Picture
Item = CallEvent | DigitPressed | Played | MediaTimeout | LegEnded | Silenced | Command


@dataclass(slots=True)
class Leg:
    """`id` is the media's name of it, `call` that of the user agent."""

    id: str
    direction: Literal["in", "out"]
    peer: str
    """`phone:...` or `trunk:...`."""
    caller: str
    called: str
    name: str
    """For others to see: no whole telephone number."""
    site: str
    profile: Profile
    agent: UserAgent
    endpoint: SipEndpoint
    media: PhoneMediaPort
    note: "Callable[[Leg, str], None]" = lambda leg, change: None
    refer: "Callable[[Leg, Referred], Awaitable[None]] | None" = None
    call: str = ""
    call_id: str = ""
    """Call-ID, for the trace."""
    session: str = ""
    alert: str = ""
    rule: str = ""
    by: str = ""
    drill: bool = False
    """It is told so before anything else."""
    began_at: float = field(default_factory=time.time)
    answered_at: float | None = None
    ended_at: float | None = None
    state: Literal["ringing", "answered", "talking", "ended"] = "ringing"
    result: str = ""
    reason: str = ""
    status: int = 0
    held: bool = False
    muted: bool = False
    language: Literal["zh", "en"] = "zh"
    """Of what it is told."""
    level: float | None = None
    """dBov of what it says, as last told."""
    client: Client | None = None
    picture: str = ""
    """The track that was chosen for it to see."""
    open_media: bool = False
    box: asyncio.Queue[Item] = field(default_factory=lambda: asyncio.Queue(BOX))
    _leaving: HangUp | None = None

    @property
    def leaving(self) -> HangUp | None:
        """Why we are ending it."""
        return self._leaving

    # --- in ---

    def put(self, item: Item) -> None:
        try:
            self.box.put_nowait(item)
        except asyncio.QueueFull:
            self.box.get_nowait()
            self.box.put_nowait(item)
            if self._leaving is None:
                log.warning("call_ended", call=self.id, reason="its events are not read")
                self.hang_up("overrun")

    async def next(self, timeout_s: float | None = None) -> Item | None:
        """What concerns a flow; None after `timeout_s`.

        Raises:
            LegOver: the call has ended.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout_s is None else loop.time() + timeout_s
        while True:
            try:
                async with asyncio.timeout_at(deadline):
                    item = await self.box.get()
            except TimeoutError:
                return None
            if isinstance(item, Ended):
                raise LegOver(item)
            try:
                if not await self._plumbed(item):
                    return item
            except PhoneMediaRefused as error:
                log.info("phone_media_refused", call=self.id, error=error.error, detail=error.detail)
                self.hang_up("media_failed", error.detail)
            except PhoneMediaDown as error:
                self.hang_up("media_down", str(error))

    async def _plumbed(self, item: Item) -> bool:
        """Whether it was done with here."""
        match item:
            case Offered(_, offer):
                await self._their_offer(offer)
            case OfferWanted():
                sdp = await self.media.make_offer(self.id, self.profile, self._direction)
                self.step(lambda now: self.agent.accept_offer(self.call, sdp.encode(), now))
            case Renegotiated(_, answer):
                await self.media.take_answer(self.id, answer.decode("utf-8", "replace"))
            case OfferFailed():
                await self.media.drop(self.id)
            case Digit(_, digit, milliseconds):
                await self.media.inject_digit(self.id, digit, milliseconds)
            case MediaTimeout(silent_s=silent_s):
                self.hang_up("no_media", f"Nothing was heard for {silent_s:.0f} s.")
            case LegEnded(detail=detail):
                self.hang_up("media_failed", detail)
            case _:
                return await self._commanded(item)
        return True

    async def _commanded(self, item: Item) -> bool:
        match item:
            case HangUp():
                self.hang_up(item.reason, item.detail)
            case Hold(held):
                await self._hold(held)
            case Transfer(target, replaces):
                self._command(lambda now: self.agent.transfer(self.call, target, now, replaces))
                self.note(self, "transferring")
            case Picture(track):
                self.picture = track
                self.media.select(self.id, track)
            case PictureWanted():
                self.media.wish_picture(self.id)
            case Silenced(silenced):
                self.muted = silenced
                if not self.held:
                    await self.play("muted" if silenced else "unmuted", over_room=True)
                self.note(self, "muted" if silenced else "unmuted")
            case TransferProgress(_, status):
                self._transferred(status)
            case Referred():
                if self.refer is not None:
                    await self.refer(self, item)
            case _:
                return False
        return True

    async def _their_offer(self, offer: bytes) -> None:
        """A hold, a resume, a refresh, other codecs."""
        try:
            sdp = await self.media.answer_offer(
                self.id, offer.decode("utf-8", "replace"), self.profile, self._direction
            )
        except PhoneMediaRefused as error:
            status = 400 if error.error == "sdp_invalid" else 488
            self.step(lambda now: self.agent.refuse_offer(self.call, status, now))
            return
        self.step(lambda now: self.agent.accept_offer(self.call, sdp.encode(), now))
        theirs = any(line in offer for line in (b"a=sendonly", b"a=inactive"))
        self.note(self, "held_by_them" if theirs else "resumed_by_them")

    @property
    def _direction(self) -> Literal["sendrecv", "sendonly"]:
        return "sendonly" if self.held else "sendrecv"

    async def _hold(self, held: bool) -> None:
        """By a moderator: the phone hears music and is not heard."""
        if held == self.held or self.state != "talking":
            return
        self.held = held
        sdp = await self.media.make_offer(self.id, self.profile, self._direction)
        self._command(lambda now: self.agent.offer(self.call, sdp.encode(), now))
        if held:
            await self.play("hold", repeat=0)
        else:
            await self.media.stop(self.id)
        await self.media.mute(self.id, held)
        self.note(self, "held" if held else "resumed")

    def _transferred(self, status: int) -> None:
        if status < 200:
            return
        if status < 300:
            self.hang_up("transferred")
        else:
            self.note(self, f"transfer_failed:{status}")

    def _command(self, do: Callable[[float], list[Send]]) -> None:
        """A command that the state of the call may not allow."""
        try:
            self.step(do)
        except (LocalSipError, MessageError) as error:
            log.info("call_command_refused", call=self.id, reason=error.detail)

    # --- out ---

    def step(self, do: Callable[[float], list[Send]]) -> None:
        self.endpoint.step(do)

    def hang_up(self, reason: str, detail: str = "") -> None:
        """End the call; `LegOver` follows. The first reason counts."""
        if self._leaving is None:
            self._leaving = HangUp(reason, detail)
        self.step(lambda now: self.agent.hang_up(self.call, now))

    async def play(self, *names: str, repeat: int = 1, over_room: bool = False) -> None:
        """Behind each other; told as the last of them when they have been heard. In a drill, menu and welcome are led
        in by word of it."""
        if self.drill and names[0] in ("menu-alert", "pin-ok"):
            names = ("drill", *names)
        prompts = [Prompt(name=name, language=self.language) for name in names]
        await self.media.play(self.id, *prompts, prompt=names[-1], repeat=repeat, over_room=over_room)

    def over(self, ended: Ended) -> None:
        """Write down how it ended."""
        self.state, self.ended_at = "ended", time.time()
        if self._leaving is not None and not (ended.by == "them" and ended.cause == "hangup"):
            self.result = self.result or self._leaving.reason
            self.reason = self._leaving.detail
        else:
            self.result = self.result or ended.cause
            self.reason = ended.reason
        self.status = ended.status

    def shown(self) -> dict[str, object]:
        """For the API and the page."""
        return {
            "call": self.id, "direction": self.direction, "peer": self.peer, "name": self.name, "site": self.site,
            "session": self.session, "alert": self.alert, "rule": self.rule, "state": self.state, "at": self.began_at,
            "answered_at": self.answered_at, "ended_at": self.ended_at, "result": self.result, "reason": self.reason,
            "status": self.status, "held": self.held, "muted": self.muted, "level": self.level,
            "picture": self.picture, "client": self.client.client if self.client is not None else "", "by": self.by,
        }  # fmt: skip


__all__ = [
    "Answered", "Confirmed", "DigitPressed", "HangUp", "Hold", "Leg", "LegOver", "Played", "Progress", "Transfer",
]  # fmt: skip
