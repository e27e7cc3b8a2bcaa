"""An exchange over a real forwarder and socket, without a worker around it."""

import datetime
from collections.abc import Callable

from media.exchange import Exchange
from media.forwarder.reference import ReferenceForwarder
from media.messages import Message, PlainTrack
from media.transport.dtls import new_identity
from media.transport.guard import StrangerGuard
from media.transport.mux import Mux
from tests.fakes.stage import udp


class Board:
    def __init__(self, clock: Callable[[], float] | None = None, *, candidates: bool = False) -> None:
        """`clock`: the real one, instead of `now`. `candidates`: peers are told the socket's address."""
        self.socket = udp()
        self.said: list[Message] = []
        self.now = 100.0
        self.forwarder = ReferenceForwarder(self.socket, cache_packets=256, gso=True, clock=clock or (lambda: self.now))
        told = (self.socket.getsockname()[:2],) if candidates else ()
        identity = new_identity(datetime.datetime.now(datetime.UTC))
        self.exchange = Exchange(
            self.forwarder,
            lambda listener: Mux(self.forwarder, identity, told, StrangerGuard(1e6 if candidates else 100), listener),
            self.said.append,
            keyframe_interval_s=1.0,
            stalled_after_s=5.0,
            max_peers=10,
            clock=clock or (lambda: self.now),
            wall_clock=lambda: 1e9,
        )
        self.exchange.door_address = "door"

    def plain(self, codec: str) -> PlainTrack:
        return PlainTrack(mid="0", kind="video", codec=codec, clock_rate=90_000, payload_type=96, ssrc=7)
