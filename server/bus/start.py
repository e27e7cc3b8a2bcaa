"""Which bus the settings ask for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from config.settings import BusSettings
from server.bus import Bus
from server.bus.memory import MemoryBus
from server.bus.redis import RedisBus


@asynccontextmanager
async def open_bus(settings: BusSettings) -> AsyncIterator[Bus]:
    """The bus of this process, until the block ends."""
    if settings.url is None:
        bus = MemoryBus()
        try:
            yield bus
        finally:
            bus.close()
    else:
        async with RedisBus.open(settings.url, settings.prefix) as shared:
            yield shared
