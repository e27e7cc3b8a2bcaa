"""A UDP way to a server with a bottleneck: so many bits a second, and a queue in front that drops what is too late."""

import asyncio

from media.transport.stun import Address
from tests.fakes.lossy import LossyPath


class NarrowPath(LossyPath):
    """All clients share the bottleneck towards the server; the way back is free."""

    def __init__(self, server: Address, *, bps: float, queue_s: float) -> None:
        super().__init__(server, up=0, down=0)
        self.bps = bps
        self.queue_s = queue_s
        self.carried = 0
        self.dropped = 0
        self.waited_s: list[float] = []
        """How long each datagram stood in the queue."""
        self._free_at = 0.0
        self._due: set[asyncio.TimerHandle] = set()

    async def __aexit__(self, *_: object) -> None:
        for handle in self._due:
            handle.cancel()
        await super().__aexit__()

    def _carry(self, way: asyncio.DatagramTransport, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        wait = max(0.0, self._free_at - now)
        if wait > self.queue_s:
            self.dropped += 1
            return
        self.carried += len(data)
        self.waited_s.append(wait)
        self._free_at = now + wait + len(data) * 8 / self.bps
        self._due = {handle for handle in self._due if handle.when() > now}
        self._due.add(loop.call_at(self._free_at, way.sendto, data, self._server))
