"""Ends a process whose event loop is stuck: whoever supervises it starts it again, which beats a server that is there
and does nothing. Before it ends, the stacks of all threads go to standard error."""

import asyncio
import faulthandler

LONGEST_S = 10.0
EVERY_S = 1.0


async def watch(longest_s: float = LONGEST_S) -> None:
    """Run in the loop that is watched; it ends by cancellation."""
    try:
        while True:
            faulthandler.dump_traceback_later(longest_s, exit=True)
            await asyncio.sleep(EVERY_S)
    finally:
        faulthandler.cancel_dump_traceback_later()
