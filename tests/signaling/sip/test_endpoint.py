"""Sockets on loopback, and Debian's sipp as a device that registers."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

import pytest

from signaling.sip import keepalive
from signaling.sip.digest import Algorithm, DigestServer, ha1
from signaling.sip.endpoint import serve
from signaling.sip.message import Response, parse
from signaling.sip.registrar import Registrar
from signaling.sip.service import SipService
from signaling.sip.stream import PING, PONG
from signaling.sip.transactionlayer import Flow, Send
from tests.fakes.sipmessages import request

HEAD = """[method] sip:mine.example SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]
From: <sip:[service]@mine.example>;tag=[pid]T[call_number]
To: <sip:[service]@mine.example>
Call-ID: [call_id]
CSeq: [number] REGISTER
Contact: <sip:[service]@[local_ip]:[local_port]>
Max-Forwards: 70
Expires: 600
"""
SCENARIO = """<?xml version="1.0" encoding="ISO-8859-1" ?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="a device registers">
  <send retrans="500"><![CDATA[
{first}Content-Length: 0

]]></send>
  <recv response="401" auth="true"/>
  <send retrans="500"><![CDATA[
{second}[authentication]
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
"""


def service() -> SipService:
    def secrets(username: str, algorithm: Algorithm) -> str | None:
        return ha1(algorithm, username, "mine.example", "12345678") if username == "lamp" else None

    digest = DigestServer("mine.example", os.urandom(32), os.urandom, ("MD5",))  # sipp 3.6 speaks MD5 only
    return SipService(Registrar("mine.example", digest, secrets, lambda: "tag"), lambda: "tag")


async def test_tcp_pings_requests_and_noise() -> None:
    async with serve(service(), "127.0.0.1", 0) as endpoint:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        writer.write(request(Via="SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1"))
        answer = parse(await reader.readuntil(b"\r\n\r\n"))
        assert isinstance(answer, Response)
        assert answer.status == 200
        assert len(endpoint.connections) == 1
        writer.write(b"noise\r\n\r\n")
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        assert endpoint.connections == {}
        writer.close()


async def test_a_connection_of_ours_whose_pongs_stop_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keepalive, "KEEP_ALIVE_SECONDS", 0.05)
    monkeypatch.setattr(keepalive, "PONG_SECONDS", 0.03)
    pings, cut_off = 0, asyncio.Event()

    async def peer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answers the first ping and no other."""
        nonlocal pings
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"first")
            while await reader.readexactly(4) == PING:
                pings += 1
                if pings == 1:
                    writer.write(PONG)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        cut_off.set()

    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    agent = service()
    async with server, serve(agent, "127.0.0.1", 0) as endpoint:
        name = f"tcp:127.0.0.1:{port}"
        endpoint.step(lambda now: [Send(Flow("127.0.0.1", port, name), b"first")])
        async with asyncio.timeout(20):
            await cut_off.wait()
        assert pings >= 2
        assert agent.counters["silent_connection"] == 1
        assert endpoint.connections == {}


@pytest.mark.peer
@pytest.mark.parametrize("transport", ["u1", "t1"])
@pytest.mark.parametrize(("password", "fails"), [("12345678", False), ("wrong", True)])
async def test_sipp_registers(tmp_path: Path, transport: str, password: str, fails: bool) -> None:
    if shutil.which("sipp") is None:
        pytest.skip("sipp is not installed (Debian: sip-tester)")
    first, second = (HEAD.replace("[method]", "REGISTER").replace("[number]", str(number)) for number in (1, 2))
    scenario = tmp_path / "device.xml"
    scenario.write_text(SCENARIO.format(first=first, second=second))
    here = service()
    async with serve(here, "127.0.0.1", 0) as endpoint:
        words = [
            "sipp",
            f"127.0.0.1:{endpoint.port}",
            "-sf",
            str(scenario),
            "-s",
            "lamp",
            "-au",
            "lamp",
            "-ap",
            password,
        ]
        words += ["-i", "127.0.0.1", "-t", transport, "-m", "1", "-nostdin", "-timeout", "60"]
        process = await asyncio.create_subprocess_exec(
            *words, cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        code = await process.wait()
        now = asyncio.get_running_loop().time()
        bindings = here.registrar.bindings("lamp", now)
        assert (code != 0) is fails
        assert here.registrar.wrong == fails
        if transport == "u1":
            assert len(bindings) == (not fails)
