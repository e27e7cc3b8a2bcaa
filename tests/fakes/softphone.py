"""A telephone for tests: a user agent on a loopback socket that registers, dials and answers."""

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from signaling.sip.address import Address
from signaling.sip.callcore import Place
from signaling.sip.callevents import Account, CallEvent, Ended, Incoming, Offered, Profile
from signaling.sip.endpoint import SipEndpoint, serve
from signaling.sip.gate import OpenGate
from signaling.sip.message import Response
from signaling.sip.registration import Registration
from signaling.sip.transactionlayer import Flow, Send
from signaling.sip.uri import SipUri
from signaling.sip.useragent import UserAgent
from tests.fakes.phonemedia import SDP

E = TypeVar("E")
OFFER = SDP.encode()


class Softphone:
    """Made by `softphone`."""

    def __init__(self, name: str, domain: str, server: Flow, password: str) -> None:
        self.name = name
        self.domain = domain
        self.server = server
        self.ports: dict[str, int] = {}
        self.agent = UserAgent(
            Place(server.host, self.ports, name), OpenGate(), lambda: secrets.token_hex(8), random.random
        )
        self.events: list[CallEvent] = []
        self.endpoint: SipEndpoint
        self.account = Account(domain, name, password)
        self.address = Address(SipUri(domain, name))
        self.registration: Registration | None = None
        self.on_call: Callable[[Incoming], None] = lambda event: self.take(event.call)

    def stepped(self) -> None:
        for event in self.agent.heard():
            self.events.append(event)
            if isinstance(event, Incoming):
                self.on_call(event)
            elif isinstance(event, Offered):
                answer = OFFER + (b"a=recvonly\r\n" if b"sendonly" in event.offer else b"")
                self.do(lambda now, event=event, answer=answer: self.agent.accept_offer(event.call, answer, now))  # type: ignore[misc]

    def do(self, step: Callable[[float], list[Send]]) -> None:
        self.endpoint.step(step)

    def take(self, call: str) -> None:
        self.do(lambda now: self.agent.ring(call, now))
        self.do(lambda now: self.agent.answer(call, OFFER, now))

    def only_ring(self, event: Incoming) -> None:
        self.do(lambda now: self.agent.ring(event.call, now))

    def reject(self, status: int) -> Callable[[Incoming], None]:
        return lambda event: self.do(lambda now: self.agent.reject(event.call, status, now))

    async def register(self, *, fails: bool = False) -> Registration:
        one = Registration(
            self.agent, SipUri(self.domain), self.address, self.server, self.account, random.random,
            secrets.token_hex(8), 100,
        )  # fmt: skip
        self.registration = one
        self.do(one.timeout)
        await until(lambda: one.state in ("registered", "waiting"))
        assert (one.state == "waiting") is fails, one.reason
        return one

    def dial(self, number: str, *, offer: bytes = OFFER, fields: tuple[tuple[str, str], ...] = ()) -> str:
        ids: list[str] = []

        def step(now: float) -> list[Send]:
            profile = Profile(account=self.account)
            call, sends = self.agent.invite(
                SipUri(self.domain, number), offer, self.server, profile, now, local=self.address, fields=fields
            )
            ids.append(call)
            return sends

        self.do(step)
        return ids[0]

    def hang_up(self, call: str) -> None:
        self.do(lambda now: self.agent.hang_up(call, now))

    def of(self, kind: type[E]) -> list[E]:
        return [one for one in self.events if isinstance(one, kind)]

    async def ask(self, method: str, **more: object) -> Response | None:
        answers: list[Response | None] = []
        self.do(
            lambda now: self.agent.ask(
                method,
                SipUri(self.domain),
                self.server,
                now,
                lambda response, at: answers.append(response),
                local=self.address,
                **more,  # type: ignore[arg-type]
            )
        )
        await until(lambda: bool(answers), 3.0)
        return answers[0]

    async def ended(self, call: str) -> Ended:
        await until(lambda: any(one.call == call for one in self.of(Ended)))
        return next(one for one in self.of(Ended) if one.call == call)


async def until(true: Callable[[], object], timeout_s: float = 15.0) -> None:
    """Wait for it. Raises TimeoutError."""
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def softphone(
    name: str,
    domain: str,
    port: int,
    password: str = "",
    *,
    host: str = "127.0.0.1",
    connection: str = "",
    own_port: int = 0,
) -> AsyncIterator[Softphone]:
    """On a port of its own, or `own_port`; `connection` as in a Flow (`tcp` opens one to the server)."""
    server = "::1" if ":" in host else "127.0.0.1"
    flow = Flow(server, port, f"{connection}:{server}:{port}" if connection else "")
    phone = Softphone(name, domain, flow, password)
    async with serve(phone.agent, host, own_port, on_step=phone.stepped) as endpoint:
        phone.endpoint = endpoint
        phone.ports |= {"UDP": endpoint.port, "TCP": endpoint.port}
        yield phone
