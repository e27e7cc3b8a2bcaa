"""The one place that may catch everything: leaf units run here and are started again.

A TaskGroup ends all its tasks at the first exception, which is right inside one peer and wrong across a hundred
cameras. So units that may fail alone (a worker process, a plug-in, a link) run under `supervise`.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger()

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 60.0
HEALTHY_AFTER_S = 30.0
"""A unit that ran this long starts again with the first delay."""


@dataclass(slots=True)
class Health:
    """What supervised units report, for `/-/ready` and the pages."""

    failing: dict[str, str] = field(default_factory=dict)
    """Unit to the last failure, while it waits to be started again."""
    restarts: dict[str, int] = field(default_factory=dict)


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    health: Health,
    *,
    longest_delay_s: float = LONGEST_DELAY_S,
) -> None:
    """Run `run` until it returns; start it again, with growing delays and jitter, whenever it raises."""
    loop = asyncio.get_running_loop()
    delay = FIRST_DELAY_S
    while True:
        started = loop.time()
        try:
            health.failing.pop(name, None)
            await run()
        except Exception as error:
            log.exception("unit_failed", unit=name)
            health.failing[name] = f"{type(error).__name__}: {error}"
            health.restarts[name] = health.restarts.get(name, 0) + 1
        else:
            return
        if loop.time() - started > HEALTHY_AFTER_S:
            delay = FIRST_DELAY_S
        await asyncio.sleep(delay * random.uniform(0.5, 1.0))
        delay = min(delay * 2, longest_delay_s)


async def apart(name: str, run: Callable[[], Awaitable[None]]) -> bool:
    """One of many that is not started again: a call, a ring. What it raises is logged and ends it alone; whether it
    went well is returned."""
    try:
        await run()
    except Exception:
        log.exception("unit_failed", unit=name)
        return False
    return True
