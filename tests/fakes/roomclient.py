"""A client of the room protocol for tests: speaks typed messages, keeps what it heard."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
from pydantic import BaseModel

from signaling.room import messages as m

T = TypeVar("T", bound=BaseModel)


class RoomClient:
    """One WebSocket. Everything heard is in `heard`, in order."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.heard: list[m.AnyNotice] = []
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.socket: aiohttp.ClientWebSocketResponse | None = None
        self.close_code: int | None = None

    async def token(self, room: str) -> str:
        async with self.http.post("/api/token", json={"room": room}) as answer:
            body = await answer.json()
            assert answer.status == 200, body
            return str(body["token"])

    async def connect(self, *rooms: str, **more: Any) -> "RoomClient":
        """Open the socket and say hello with a join for each room. `more` goes into the hello; `since` and `epoch`
        into the joins."""
        at = {key: more.pop(key) for key in ("since", "epoch") if key in more}
        joins = tuple([m.Join(id=room, token=await self.token(room), **at) for room in rooms])
        self.socket = await self.http.ws_connect("/api/ws", max_msg_size=0)
        self._task = asyncio.ensure_future(self._listen(self.socket))
        await self.send(m.Hello(version=m.VERSION, joins=joins, **more))
        return self

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self.heard.append(m.NOTICES.validate_python(json.loads(message.data)))
                self._news.set()
        self.close_code = socket.close_code
        self._news.set()

    async def send(self, message: BaseModel) -> None:
        await self.send_text(message.model_dump_json())

    async def send_text(self, text: str) -> None:
        assert self.socket is not None
        await self.socket.send_str(text)

    async def hear(self, kind: type[T], such: Callable[[T], bool] = lambda message: True, timeout_s: float = 10.0) -> T:
        """The first message of this kind that fits, heard already or still to come."""
        async with asyncio.timeout(timeout_s):
            while True:
                for message in self.heard:
                    if isinstance(message, kind) and such(message):
                        return message
                self._news.clear()
                await self._news.wait()

    async def event(self, kind: str, such: Callable[[dict[str, Any]], bool] = lambda body: True) -> m.Event:
        """The first entry of this kind that fits."""
        return await self.hear(m.Event, lambda one: one.kind == kind and such(one.body))

    def events(self, room: str, kind: str | None = None) -> list[m.Event]:
        return [one for one in self.heard if isinstance(one, m.Event) and one.room == room and kind in (None, one.kind)]

    async def closed(self, timeout_s: float = 10.0) -> int:
        """The close code, when the server has closed."""
        assert self._task is not None
        async with asyncio.timeout(timeout_s):
            await self._task
        return self.close_code or 0

    async def cut(self) -> None:
        """As when the network goes: no close frame."""
        assert self.socket is not None
        response = self.socket._response
        if response.connection is not None and response.connection.transport is not None:
            response.connection.transport.abort()
        await self.closed()

    async def close(self) -> None:
        if self.socket is not None and not self.socket.closed:
            await self.socket.close()
        if self._task is not None:
            await self._task
