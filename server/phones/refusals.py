"""What was turned away, and by which rule: the newest, for the page, and how often. The log hears of the first, the
tenth, the hundredth and each thousandth in a row: a scanner fills neither.
"""

from collections import deque
from dataclasses import dataclass, replace

import structlog

KEPT = 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """A request that was turned away, and the rule that did it."""

    at: float
    rule: str
    why: str
    status: int
    method: str
    address: str
    transport: str
    caller: str
    called: str
    count: int = 1


class Refusals:
    """`rules`: how many each rule refused since the start."""

    def __init__(self) -> None:
        self.items: deque[RefusedCall] = deque(maxlen=KEPT)
        self.rules: dict[str, int] = {}

    def remember(self, refused: RefusedCall) -> None:
        """The newest; the same again is counted, so that a scanner leaves room for others."""
        self.rules[refused.rule] = self.rules.get(refused.rule, 0) + 1
        last = self.items[-1] if self.items else None
        same = last is not None and (last.rule, last.address, last.method) == (
            refused.rule, refused.address, refused.method,
        )  # fmt: skip
        if last is not None and same:
            refused = replace(refused, count=last.count + 1)
            self.items[-1] = refused
        else:
            self.items.append(refused)
        if refused.count in (1, 10, 100) or refused.count % 1000 == 0:
            log.info(
                "sip_refused", rule=refused.rule, why=refused.why, status=refused.status, method=refused.method,
                address=refused.address, transport=refused.transport, count=refused.count,
            )  # fmt: skip
