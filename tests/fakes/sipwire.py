"""Two SIP user agents on a wire in virtual time: latency, and loss by a seeded generator; no sockets, no sleeping."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from signaling.sip.callcore import Place
from signaling.sip.callevents import CallEvent, Profile
from signaling.sip.gate import OpenGate
from signaling.sip.message import Request, Response, parse
from signaling.sip.transactionlayer import Flow, Send
from signaling.sip.uri import SipUri
from signaling.sip.useragent import UserAgent

OFFER = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=sendrecv\r\n"
ANSWER = OFFER.replace(b"192.0.2.1", b"192.0.2.2")
HOLD = OFFER.replace(b"sendrecv", b"sendonly")
HOLD_ANSWER = ANSWER.replace(b"sendrecv", b"recvonly")
TARGET = SipUri("192.0.2.2", "dispatch")
E = TypeVar("E")


def tokens(name: str) -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{name}{next(numbers):04d}"


@dataclass
class Wire:
    """`a` is 192.0.2.1, `b` is 192.0.2.2; `a` calls `b` unless a test does otherwise."""

    loss: float = 0.0
    seed: int = 1
    latency_s: float = 0.01
    connection: str = ""
    """"t" for a reliable transport."""
    profile: Profile = field(default_factory=Profile)
    profile_b: Profile | None = None

    def __post_init__(self) -> None:
        self.now = 0.0
        self.dice = random.Random(self.seed)
        self.agents: dict[str, UserAgent] = {}
        for name, host, profile in (("a", "192.0.2.1", self.profile), ("b", "192.0.2.2", self.profile_b)):
            place = Place(host, {"UDP": 5060, "TCP": 5060, "T": 5060})
            gate = OpenGate(profile or self.profile)
            self.agents[host] = UserAgent(place, gate, tokens(name), random.Random(self.seed).random)
        self.a, self.b = self.agents["192.0.2.1"], self.agents["192.0.2.2"]
        self.to_b = Flow("192.0.2.2", 5060, self.connection)
        self.log: list[tuple[float, str, Request | Response]] = []
        """(when, from whom, what) of everything that was sent, lost or not."""
        self.drop: Callable[[str, Request | Response], bool] = lambda sender, message: False
        self.on_event: Callable[[str, CallEvent], None] = lambda who, event: None
        self.events: dict[str, list[CallEvent]] = {"a": [], "b": []}
        self._flying: list[tuple[float, int, str, str, bytes]] = []
        self._order = count()

    def invite(self, offer: bytes = OFFER, profile: Profile | None = None) -> str:
        call, sends = self.a.invite(TARGET, offer, self.to_b, profile or self.profile, self.now)
        self.put("a", sends)
        return call

    def do(self, who: str, sends: list[Send]) -> None:
        self.put(who, sends)

    def put(self, who: str, sends: list[Send]) -> None:
        host = "192.0.2.1" if who == "a" else "192.0.2.2"
        for one in sends:
            message = parse(one.data)
            self.log.append((self.now, who, message))
            if self.dice.random() < self.loss or self.drop(who, message):
                continue
            if one.flow.host in self.agents:
                heapq.heappush(
                    self._flying, (self.now + self.latency_s, next(self._order), host, one.flow.host, one.data)
                )
        self._hear()

    def _hear(self) -> None:
        for who, agent in (("a", self.a), ("b", self.b)):
            for event in agent.heard():
                self.events[who].append(event)
                self.on_event(who, event)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            times = [self._flying[0][0]] if self._flying else []
            times += [at for agent in self.agents.values() if (at := agent.next_timeout()) is not None]
            if not times or min(times) > end:
                self.now = end
                return
            self.now = max(self.now, min(times))
            while self._flying and self._flying[0][0] <= self.now:
                _, _, source, target, data = heapq.heappop(self._flying)
                flow = Flow(source, 5060, self.connection)
                who = "a" if target == "192.0.2.1" else "b"
                self.put(who, self.agents[target].receive(data, flow, self.now))
            for host, agent in self.agents.items():
                self.put("a" if host == "192.0.2.1" else "b", agent.timeout(self.now))

    def of(self, who: str, kind: type[E]) -> list[E]:
        return [one for one in self.events[who] if isinstance(one, kind)]

    def sent(self, who: str, method_or_status: str | int) -> list[Request | Response]:
        def named(message: Request | Response) -> str | int:
            return message.method if isinstance(message, Request) else message.status

        return [message for _, sender, message in self.log if sender == who and named(message) == method_or_status]
