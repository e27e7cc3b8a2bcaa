"""A supervision platform as met in the field: tokens that run out, codes in bodies, and bad days."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass
class Platform:
    """Takes pushes. What it does next is in `moods`, one for each request; afterwards it is well.

    Moods: `down` (503), `busy` (code 500 in a body of 200), `lost` (taken, and the answer never comes), `expired` (the
    token runs out), `refuse` (400), `slow` (answers late), `drop` (closes the connection before it reads), `elsewhere`
    (a 307 to `/elsewhere`, which takes everything, and says so in `strayed`).
    """

    moods: list[str] = field(default_factory=list)
    taken: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(endpoint, record), each once, in the order of their arrival."""
    repeats: int = 0
    tokens: int = 0
    poison: str = ""
    """A record that holds this is refused, and its whole request with it."""
    numbers: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    strayed: int = 0
    token_moods: list[str] = field(default_factory=list)
    """`elsewhere` for requests of a token."""

    def server(self) -> TestServer:
        app = web.Application()
        app.router.add_post("/auth", self._token)
        app.router.add_post("/coal/mine/ai/{endpoint}", self._push)
        app.router.add_post("/elsewhere", self._elsewhere)
        return TestServer(app, host="127.0.0.1")

    async def _token(self, request: web.Request) -> web.Response:
        if self.token_moods and self.token_moods.pop(0) == "elsewhere":
            raise web.HTTPTemporaryRedirect("/elsewhere")
        assert await request.json() == {"user": "mine", "password": "secret"}
        self.tokens += 1
        return web.json_response({"code": 200, "data": {"token": f"t{self.tokens}"}})

    async def _elsewhere(self, request: web.Request) -> web.Response:
        self.strayed += 1
        return web.json_response({"code": 200, "data": {"token": "t0"}})

    async def _push(self, request: web.Request) -> web.StreamResponse:
        mood = self.moods.pop(0) if self.moods else ""
        self.asked.append(mood)
        if mood == "drop":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if mood == "elsewhere":
            return web.json_response({"code": 200}, status=307, headers={"Location": "/elsewhere"})
        if mood == "down":
            return web.Response(status=503)
        if mood == "expired":  # the next token counts
            return web.json_response({"code": 401, "msg": "token expired"})
        if request.headers.get("Authorization") != f"Bearer t{self.tokens}":
            return web.json_response({"code": 401, "msg": "no token"})
        if mood == "busy":
            return web.json_response({"code": 500, "msg": "busy"})
        records = await request.json()
        if mood == "refuse" or (self.poison and self.poison in json.dumps(records)):
            return web.json_response({"code": 400, "msg": "bad record"})
        self._take(request.match_info["endpoint"], request.headers["Idempotency-Key"], records)
        if mood == "lost":
            assert request.transport is not None
            request.transport.close()
        if mood == "slow":
            await asyncio.sleep(0.3)
        return web.json_response({"code": 200, "msg": "ok"})

    def _take(self, endpoint: str, number: str, records: list[dict[str, Any]]) -> None:
        text = json.dumps(records, sort_keys=True)
        if number in self.numbers:
            assert self.numbers[number] == text, "the same number for other records"
            self.repeats += 1
            return
        self.numbers[number] = text
        self.taken += ((endpoint, one) for one in records)
