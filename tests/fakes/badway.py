"""A UDP way between clients and a server with a bottleneck, delay and seeded loss, each way by itself, to be changed
while it is used."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any, Self

from media.transport.stun import Address


@dataclass
class Leg:
    """One way. STUN, DTLS and RTCP are never lost by the die, but wait and overflow like all else."""

    bps: float = 1e9
    queue_s: float = 0.3
    """What would wait longer is dropped."""
    delay_s: float = 0.0
    loss: float = 0.0
    burst: float = 1.0
    """Mean number of packets lost in a row."""
    carried: int = 0
    """Bytes."""
    lost: int = 0
    dropped: int = 0
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When a datagram came, and how long it stood in the queue."""
    free_at: float = 0.0
    losing: bool = False

    def loses(self, dice: random.Random) -> bool:
        """Gilbert's model: losses of `burst` in the mean, `loss` of all."""
        if self.loss <= 0:
            return False
        begin = self.loss / (self.burst * (1 - self.loss))
        self.losing = dice.random() < (1 - 1 / self.burst if self.losing else begin)
        return self.losing


class BadWay:
    """Clients send to `port`; each gets a socket of its own towards the server."""

    def __init__(self, server: Address, *, up: Leg | None = None, down: Leg | None = None, seed: int = 1) -> None:
        self.up, self.down = up or Leg(), down or Leg()
        self.port = 0
        self._server = server
        self._dice = random.Random(seed)
        self._front: asyncio.DatagramTransport | None = None
        self._ways: dict[Address, asyncio.DatagramTransport] = {}
        self._early: dict[Address, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._due: set[asyncio.TimerHandle] = set()

    async def __aenter__(self) -> Self:
        self._front = await _open(self._from_client)
        self.port = self._front.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for handle in self._due:
            handle.cancel()
        for task in self._tasks:
            task.cancel()
        for transport in (self._front, *self._ways.values()):
            if transport is not None:
                transport.close()
        await asyncio.sleep(0)

    def _from_client(self, data: bytes, client: Address) -> None:
        way = self._ways.get(client)
        if way is not None:
            self._carry(self.up, way, data, self._server)
        elif client in self._early:
            self._early[client].append(data)
        else:
            self._early[client] = [data]
            task = asyncio.get_running_loop().create_task(self._new_way(client))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _new_way(self, client: Address) -> None:
        self._ways[client] = await _open(lambda data, _: self._to_client(data, client))
        for data in self._early.pop(client):
            self._from_client(data, client)

    def _to_client(self, data: bytes, client: Address) -> None:
        if self._front is not None:
            self._carry(self.down, self._front, data, client)

    def _carry(self, leg: Leg, way: asyncio.DatagramTransport, data: bytes, to: Address) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        media = data[:1] >= b"\x80" and not 192 <= data[1] <= 223
        if media and leg.loses(self._dice):
            leg.lost += 1
            return
        wait = max(0.0, leg.free_at - now)
        if wait > leg.queue_s:
            leg.dropped += 1
            return
        leg.carried += len(data)
        leg.waits.append((now, wait))
        leg.free_at = now + wait + (len(data) + 28) * 8 / leg.bps
        self._due = {handle for handle in self._due if handle.when() > now} if len(self._due) > 256 else self._due
        self._due.add(loop.call_at(leg.free_at + leg.delay_s, way.sendto, data, to))


async def _open(take: Any) -> asyncio.DatagramTransport:
    class Protocol(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            take(data, addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
    return transport
