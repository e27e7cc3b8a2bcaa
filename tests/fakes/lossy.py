"""A UDP way between clients and a server that loses packets, by a seeded die."""

import asyncio
import random
from typing import Any, Self

from media.transport.stun import Address


class LossyPath:
    """Clients send to `port`; each gets a socket of its own towards the server. STUN and DTLS always pass."""

    def __init__(self, server: Address, *, up: float, down: float, seed: int = 1) -> None:
        self._server = server
        self._loss = {"up": up, "down": down}
        self._random = random.Random(seed)
        self._front: asyncio.DatagramTransport | None = None
        self._ways: dict[Address, asyncio.DatagramTransport] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.lost = {"up": 0, "down": 0}

    async def __aenter__(self) -> Self:
        self._front = await self._open(lambda data, address: self._up(data, address))
        self.port = self._front.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for transport in (self._front, *self._ways.values()):
            assert transport is not None
            transport.close()
        await asyncio.sleep(0)

    async def _open(self, take: Any) -> asyncio.DatagramTransport:
        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                take(data, addr)

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
        return transport

    def _passes(self, data: bytes, way: str) -> bool:
        media = data[:1] >= b"\x80" and not 192 <= data[1] <= 223
        if media and self._random.random() < self._loss[way]:
            self.lost[way] += 1
            return False
        return True

    def _up(self, data: bytes, client: Address) -> None:
        if client not in self._ways:
            task = asyncio.get_running_loop().create_task(self._new_way(data, client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif self._passes(data, "up"):
            self._carry(self._ways[client], data)

    def _carry(self, way: asyncio.DatagramTransport, data: bytes) -> None:
        """To the server."""
        way.sendto(data, self._server)

    async def _new_way(self, data: bytes, client: Address) -> None:
        way = await self._open(lambda answer, _: self._down(answer, client))
        self._ways.setdefault(client, way).sendto(data, self._server)

    def _down(self, data: bytes, client: Address) -> None:
        if self._front is not None and self._passes(data, "down"):
            self._front.sendto(data, client)
