"""Several phones at once, or one after the other: who is waited for, and who stops ringing."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from server.phones.caller import Outcome, best
from server.phones.leg import HangUp, Leg

MENU_S = 60.0
"""Whoever has taken the receiver when the ringing is over may finish with the menu."""

Ring = Callable[[str], Awaitable[Outcome]]


async def together(
    target: str,
    told: Sequence[tuple[Leg, "asyncio.Future[Outcome]"]],
    wait_s: float,
    alive: Callable[[Leg], bool],
) -> Outcome:
    """Wait for phones that ring together until a person has it; the others stop. Cancelled, all stop."""
    waiting = {future for _, future in told}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    try:
        while waiting:
            left = max(0.0, deadline - loop.time())
            done, waiting = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if any(one.result().result == "answered_by_person" for one in done):
                break
            if not done:
                for leg, _ in told:
                    if leg.answered_at is None:
                        leg.put(HangUp("ring_timeout"))
                deadline = loop.time() + MENU_S
    finally:
        for leg, future in told:
            if not future.done() and alive(leg):
                leg.put(HangUp("cancelled"))
    return best([future.result() for _, future in told if future.done()] or [Outcome(target, "unreachable")])


async def in_a_row(targets: Sequence[str], ring: Ring) -> tuple[Outcome, ...]:
    """Until a person has it."""
    outcomes: list[Outcome] = []
    for target in targets:
        outcomes.append(await ring(target))
        if outcomes[-1].result == "answered_by_person":
            break
    return tuple(outcomes)


async def at_once(targets: Sequence[str], ring: Ring) -> tuple[Outcome, ...]:
    """All; when a person has it, the others are cancelled."""
    tasks = [asyncio.ensure_future(ring(target)) for target in targets]
    try:
        waiting = set(tasks)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if any(task.result().result == "answered_by_person" for task in done):
                break
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    return tuple(
        one if isinstance(one, Outcome) else Outcome(target, "cancelled", "another_answered")
        for target, one in zip(targets, ended, strict=True)
    )
