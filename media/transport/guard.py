"""What strangers may cost us: a token bucket per source of STUN packets. Pure."""

from collections import OrderedDict

MAX_SOURCES = 4096
"""Buckets kept; the one unused for longest gives way."""


class StrangerGuard:
    """Takes so many packets a second from each unknown IP address, with a burst of the same size."""

    def __init__(self, packets_per_s: float) -> None:
        self._rate = packets_per_s
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def admits(self, ip: str, now: float) -> bool:
        """Whether one more packet from this address is taken at `now`."""
        tokens, since = self._buckets.get(ip, (self._rate, now))
        tokens = min(self._rate, tokens + (now - since) * self._rate)
        admitted = tokens >= 1
        self._buckets[ip] = (tokens - 1 if admitted else tokens, now)
        self._buckets.move_to_end(ip)
        if len(self._buckets) > MAX_SOURCES:
            self._buckets.popitem(last=False)
        return admitted
