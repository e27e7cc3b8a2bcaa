"""The server's side of a phone worker, which runs in the test's own process."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from config.settings import PhoneMediaSettings
from media.link import Link
from media.phone.messages import (
    ANSWERS,
    COMMANDS,
    AnswerOffer,
    AnyAnswer,
    AnyCommand,
    Command,
    Configure,
    Hear,
    Message,
    Profile,
    Ready,
    Refused,
    Reply,
)
from media.phone.worker import PhoneWorker
from tests.fakes.rtpphone import RtpPhone

M = TypeVar("M", bound=Message)
USUAL = Profile()


class PhoneLink:
    """Commands go out by `call`, events are kept in `events`."""

    def __init__(self, link: Link[AnyAnswer]) -> None:
        self._link = link
        self._waiting: dict[int, asyncio.Future[Reply | Refused]] = {}
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()
        self.events: list[Message] = []

    async def read(self) -> None:
        while (message := await self._link.receive()) is not None:
            if isinstance(message, Reply | Refused):
                self._waiting.pop(message.request).set_result(message)
            else:
                self.events.append(message)
                self._news.set()

    async def ask(self, command: Command) -> Reply | Refused:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self._link.send(command.model_copy(update={"request": number}))
        return await asyncio.wait_for(self._waiting[number], 10)

    async def call(self, command: Command) -> Reply:
        reply = await self.ask(command)
        assert isinstance(reply, Reply), reply
        return reply

    async def refused(self, command: Command) -> str:
        reply = await self.ask(command)
        assert isinstance(reply, Refused), reply
        return reply.error

    def hear(self, room: str, *tracks: str) -> None:
        self._link.send(Hear(room=room, tracks=tracks))

    async def event(self, kind: type[M], fits: Callable[[M], bool] = lambda _: True, timeout_s: float = 10) -> M:
        """The first event, past or to come, of this kind that fits."""
        async with asyncio.timeout(timeout_s):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and fits(event):
                        return event
                self._news.clear()
                await self._news.wait()

    def all(self, kind: type[M]) -> list[M]:
        return [event for event in self.events if isinstance(event, kind)]

    async def dial(self, leg: str, telephone: RtpPhone, profile: Profile = USUAL) -> None:
        """The phone calls: its offer, our answer."""
        reply = await self.call(AnswerOffer(leg=leg, sdp=telephone.sdp(), profile=profile))
        telephone.take(reply.sdp)


@contextlib.asynccontextmanager
async def running_phone_worker(folder: Path, **settings: Any) -> AsyncIterator[PhoneLink]:
    """`folder` holds the tap's socket."""
    ours, theirs = socket.socketpair()
    worker_link: Link[AnyCommand] = Link(*await asyncio.open_unix_connection(sock=theirs), COMMANDS)
    link: Link[AnyAnswer] = Link(*await asyncio.open_unix_connection(sock=ours), ANSWERS)
    settings = {"rtp_port_min": 24000, "rtp_port_max": 29999} | settings
    configure = Configure(
        settings=PhoneMediaSettings(**settings).model_dump(mode="json"), tap_address=str(folder / "tap")
    )
    phones = PhoneLink(link)
    async with asyncio.TaskGroup() as group:
        group.create_task(PhoneWorker(worker_link, configure).run())
        reading = group.create_task(phones.read())
        try:
            await phones.event(Ready)
            yield phones
        finally:
            link.close()
            reading.cancel()
    worker_link.close()
    await asyncio.sleep(0.01)  # both transports close
