"""The user agent against what the net may send, and its sockets: TCP, TLS, WebSocket, connections of its own."""

import asyncio
import datetime
import ipaddress
import random
import ssl
from functools import partial
from pathlib import Path

import aiohttp
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from signaling.sip.callcore import Place
from signaling.sip.callevents import Answered, Confirmed, Ended, Incoming, Profile
from signaling.sip.endpoint import SipEndpoint, serve
from signaling.sip.gate import OpenGate
from signaling.sip.message import Request, Response, parse
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri
from signaling.sip.useragent import UserAgent
from tests.fakes.siphostile import mutated
from tests.fakes.sipmessages import request
from tests.fakes.siptorture import SEEDS
from tests.fakes.sipwire import ANSWER, OFFER, Wire, tokens
from tests.signaling.sip.test_calls import up


def test_mutated_messages_raise_nothing_in_the_middle_of_calls() -> None:
    rng = random.Random(3261)
    wire = Wire(profile=Profile(session_s=100))
    up(wire)
    recorded = [message.serialize() for _, sender, message in wire.log if sender == "a"]
    mine = wire.invite()
    wire.run(0.1)
    recorded += [message.serialize() for _, sender, message in wire.log if sender == "a"]
    assert mine
    for _ in range(4000):
        data = mutated(rng.choice([*recorded, *SEEDS]), rng)
        wire.now += 0.02
        for one in wire.b.receive(data, Flow("192.0.2.1", 5060), wire.now):
            assert one.flow.host == "192.0.2.1"
        wire.b.timeout(wire.now)
        wire.b.heard()
    wire.drop = lambda sender, message: True
    wire.run(400)
    assert len(wire.b.layer) == 0
    assert not wire.b._dialogs
    assert len(wire.b._due) < 100


def test_deadlines_of_calls_that_are_over_do_not_pile_up() -> None:
    wire = Wire()
    wire.on_event = lambda who, event: (
        wire.do("b", wire.b.answer(event.call, ANSWER, wire.now)) if isinstance(event, Incoming) else None
    )
    for _ in range(300):
        call = wire.invite()
        wire.run(0.2)
        wire.do("a", wire.a.hang_up(call, wire.now))
        wire.run(0.2)
    assert len(wire.of("a", Ended)) == 300
    assert len(wire.a._due) < 700
    wire.run(60)
    assert not wire.a._graves
    assert not wire.b._graves


def agent(port: dict[str, int] | None = None) -> UserAgent:
    return UserAgent(Place("127.0.0.1", port or {"UDP": 5060}), OpenGate(), tokens("t"), random.random)


def taking(endpoint_of: list[SipEndpoint], events: list[object]) -> object:
    """Takes every call."""

    def step() -> None:
        (endpoint,) = endpoint_of
        one = endpoint.service
        assert isinstance(one, UserAgent)
        for event in one.heard():
            events.append(event)
            if isinstance(event, Incoming):
                endpoint.step(partial(one.answer, event.call, ANSWER))

    return step


def certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=30)).add_extension(names, False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    paths = folder / "c.pem", folder / "k.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


async def until(events: list[object], kind: type) -> None:
    async with asyncio.timeout(10):
        while not any(isinstance(one, kind) for one in events):
            await asyncio.sleep(0.005)


async def call_over(kind: str, tmp_path: Path) -> None:
    crt, key = certificate(tmp_path)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(crt, key)
    called, calling = agent(), agent()
    there: list[SipEndpoint] = []
    here: list[SipEndpoint] = []
    theirs: list[object] = []
    ours: list[object] = []
    async with (
        serve(called, "127.0.0.1", 0, tls=server_tls, on_step=lambda: taking(there, theirs)()) as one,  # type: ignore[operator]
        serve(calling, "127.0.0.1", 0, on_step=lambda: ours.extend(calling.heard())) as two,
    ):
        there.append(one)
        here.append(two)
        two.client_tls = ssl.create_default_context(cafile=str(crt))
        port = one.tls_port if kind == "tls" else one.port
        flow = Flow("127.0.0.1", port, "" if kind == "udp" else f"{kind}:127.0.0.1:{port}")
        ids: list[str] = []

        def dial(now: float):  # type: ignore[no-untyped-def]
            call, sends = calling.invite(SipUri("127.0.0.1", "dispatch"), OFFER, flow, Profile(), now)
            ids.append(call)
            return sends

        two.step(dial)
        await until(ours, Answered)
        await until(theirs, Confirmed)
        two.step(lambda now: calling.hang_up(ids[0], now))
        await until(theirs, Ended)
        assert not calling.calls
        assert not called.calls


async def test_a_call_over_udp(tmp_path: Path) -> None:
    await call_over("udp", tmp_path)


async def test_a_call_over_a_tcp_connection_of_our_own(tmp_path: Path) -> None:
    await call_over("tcp", tmp_path)


async def test_a_call_over_tls(tmp_path: Path) -> None:
    await call_over("tls", tmp_path)


async def test_a_connection_that_cannot_be_opened_ends_the_call(tmp_path: Path) -> None:
    calling = agent()
    ours: list[object] = []
    async with serve(calling, "127.0.0.1", 0, on_step=lambda: ours.extend(calling.heard())) as endpoint:
        flow = Flow("127.0.0.1", 1, "tcp:127.0.0.1:1")
        endpoint.step(lambda now: calling.invite(SipUri("127.0.0.1"), OFFER, flow, Profile(), now)[1])
        await until(ours, Ended)
        assert not endpoint.connections


async def test_a_call_over_a_websocket() -> None:
    called = agent()
    there: list[SipEndpoint] = []
    theirs: list[object] = []
    async with serve(called, "127.0.0.1", 0, on_step=lambda: taking(there, theirs)()) as endpoint:  # type: ignore[operator]
        there.append(endpoint)
        app = web.Application()
        app.router.add_get("/sip", endpoint.websocket)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            async with aiohttp.ClientSession() as session:
                async with session.ws_connect(f"http://127.0.0.1:{port}/sip", protocols=["sip"]) as socket:
                    await socket.send_str("\r\n\r\n")
                    assert await socket.receive_str() == "\r\n"
                    invite = request(
                        "INVITE", "sip:b@127.0.0.1", "Content-Type: application/sdp", body=OFFER,
                        Via="SIP/2.0/WS df7jal23ls0d.invalid;branch=z9hG4bKws1",
                        Contact="<sip:lamp@df7jal23ls0d.invalid;transport=ws>",
                    )  # fmt: skip
                    await socket.send_str(invite.decode())
                    answers: list[Response] = []
                    while not answers or answers[-1].status < 200:
                        message = parse((await socket.receive_str()).encode())
                        assert isinstance(message, Response)
                        answers.append(message)
                    assert [one.status for one in answers] == [100, 200]
                    assert "transport=ws" in (answers[-1].headers.first("Contact") or "")
                async with session.ws_connect(f"http://127.0.0.1:{port}/sip") as socket:
                    assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE, "without the subprotocol"
            async with asyncio.timeout(5):
                while endpoint.connections:
                    await asyncio.sleep(0.005)
        finally:
            await runner.cleanup()


def test_an_options_from_outside_says_what_is_taken() -> None:
    one = agent()
    (send,) = one.receive(request(), Flow("192.0.2.7", 5060), 0.0)
    answer = parse(send.data)
    assert isinstance(answer, Response)
    assert answer.status == 200
    assert "INVITE" in (answer.headers.first("Allow") or "")
    assert answer.headers.first("Server") is None
    assert not isinstance(answer, Request)
