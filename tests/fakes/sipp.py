"""Debian's sipp with scenarios that are put together here, and a lossy wire between it and us."""

import asyncio
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

SDP = """v=0
o=sipp 1 {version} IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 16000 RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a={direction}
"""
HEAD = """{method} {target} SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <{caller}>;tag=[pid]T[call_number]
To: {to}
Call-ID: [call_id]
CSeq: {number} {method}
Contact: <sip:13800001111@[local_ip]:[local_port];transport=[transport]>
Max-Forwards: 70
"""
FRESH = "<sip:[service]@[remote_ip]:[remote_port]>"
CALLER = "sip:13800001111@[local_ip]:[local_port]"
REPLY = """SIP/2.0 {status}
[last_Via:]
[last_From:]
[last_To:]{tag}
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port];transport=[transport]>
"""


def send(
    method: str,
    number: int,
    *extra: str,
    sdp: str = "",
    version: int = 1,
    first: bool = False,
    retrans: bool = True,
    caller: str = CALLER,
    to: str = FRESH,
) -> str:
    """One request. `sdp`: its direction; `first`: outside of the dialog, to `to`."""
    target = "sip:[service]@[remote_ip]:[remote_port]" if first else "[next_url]"
    head = HEAD.format(method=method, target=target, to=to if first else "[$to]", number=number, caller=caller)
    head = head.replace("To: [$to]", "[last_To:]")
    again = ' retrans="500"' if retrans and method != "ACK" else ""
    return _sent(again, [*head.strip().splitlines(), *extra], sdp, version)


def reply(status: str, *extra: str, sdp: str = "", tag: bool = False) -> str:
    """Answer the last request. `tag`: the first answer to it, which adds ours to To."""
    head = REPLY.format(status=status, tag=";tag=[pid]U[call_number]" if tag else "")
    return _sent("", [*head.strip().splitlines(), *extra], sdp, 1)


def _sent(again: str, lines: list[str], sdp: str, version: int) -> str:
    body = SDP.format(direction=sdp, version=version) if sdp else ""
    if body:
        lines = [*lines, "Content-Type: application/sdp"]
    text = "\n".join([*lines, "Content-Length: [len]" if body else "Content-Length: 0"])
    return f"<send{again}><![CDATA[\n{text}\n\n{body}\n]]></send>"


def asked(method: str, *checks: str) -> str:
    """One request to sipp."""
    return _received(f'<recv request="{method}"', checks)


def recv(status: int, *checks: str, optional: bool = False, rrs: bool = False) -> str:
    """One response; `checks` are patterns that it must hold."""
    words = f'<recv response="{status}"' + (' optional="true"' if optional else "") + (' rrs="true"' if rrs else "")
    return _received(words, checks)


def _received(words: str, checks: Sequence[str]) -> str:
    if not checks:
        return words + "/>"
    actions = "".join(
        f'<ereg regexp="{one}" search_in="msg" check_it="true" assign_to="{n}"/>' for n, one in enumerate(checks, 1)
    )
    used = ",".join(str(n) for n in range(1, len(checks) + 1))
    return f'{words}><action>{actions}</action></recv><Reference variables="{used}"/>'


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>'


def scenario(*steps: str) -> str:
    head = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
    return head + '<scenario name="phone">\n' + "\n".join(steps) + "\n</scenario>\n"


async def sipp(
    folder: Path, steps: str, port: int, *words: str, host: str = "127.0.0.3", service: str = "5001",
    transport: str = "u1", calls: int = 1, timeout_s: int = 20,
) -> tuple[int, str]:  # fmt: skip
    """Its exit code (0 = every call went as the scenario says), and what it wrote about errors."""
    if shutil.which("sipp") is None:
        pytest.skip("sipp is not installed (Debian: sip-tester)")
    file = folder / "scenario.xml"
    file.write_text(steps)
    process = await asyncio.create_subprocess_exec(
        "sipp", f"127.0.0.1:{port}", "-sf", str(file), "-s", service, "-i", host, "-t", transport, "-m", str(calls),
        "-nostdin", "-timeout", str(timeout_s), "-timeout_error", "-trace_err", "-error_file", str(folder / "errors"),
        *words, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    code = await process.wait()
    errors = folder / "errors"
    return code, errors.read_text()[-2000:] if errors.exists() else ""


@dataclass
class LossyWire(asyncio.DatagramProtocol):
    """A relay on UDP that loses a share of both directions by a seeded generator. `host` is what the server sees."""

    server: tuple[str, int]
    loss: float
    seed: int
    host: str = "127.0.0.3"

    async def open(self) -> int:
        """The port that the caller sends to."""
        self._dice = random.Random(self.seed)
        self._client: tuple[str, int] | None = None
        self.lost = 0
        loop = asyncio.get_running_loop()
        self._inner, _ = await loop.create_datagram_endpoint(lambda: _Side(self, True), local_addr=(self.host, 0))
        self._outer, _ = await loop.create_datagram_endpoint(lambda: _Side(self, False), local_addr=("127.0.0.1", 0))
        port: int = self._outer.get_extra_info("sockname")[1]
        return port

    def pass_on(self, data: bytes, source: tuple[str, int], from_server: bool) -> None:
        if not from_server:
            self._client = source
        if self._dice.random() < self.loss:
            self.lost += 1
            return
        if from_server and self._client is not None:
            self._outer.sendto(data, self._client)
        elif not from_server:
            self._inner.sendto(_asking_rport(data), self.server)

    def close(self) -> None:
        self._inner.close()
        self._outer.close()


def _asking_rport(data: bytes) -> bytes:
    """So that answers come back to the relay."""
    return data.replace(b";branch=", b";rport;branch=", 1) if b";rport" not in data else data


class _Side(asyncio.DatagramProtocol):
    def __init__(self, wire: LossyWire, from_server: bool) -> None:
        self._wire = wire
        self._from_server = from_server

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._wire.pass_on(data, addr, self._from_server)
