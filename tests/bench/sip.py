"""What SIP costs on this machine: single messages, registrations, hostile messages, and whole calls.

    python tests/bench/sip.py [--messages 5000] [--rate 200] [--seconds 60] [--legs 100] [--json]

Messages are measured in one thread without sockets. Calls are made by Debian's sipp over UDP on loopback against a
process of ours on one core: the user agent and its socket, which rings and answers each with a description (INVITE,
100, 180, 200, ACK, BYE, 200), without store, rules and media. A fiftieth more than `--rate` is offered, so that sipp's
own beginning and end do not count. `--seconds 0` leaves them out. `--legs` is how many G.711 calls are mixed in a tenth
as many rooms, without a clock, in processor time (as `tests.bench.phones`); 0 leaves them out. `--json` prints
{run, figures, goals}.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from signaling.sip.callcore import Place
from signaling.sip.callevents import Incoming
from signaling.sip.digest import Algorithm, DigestClient, DigestServer, ha1
from signaling.sip.endpoint import serve
from signaling.sip.errors import MessageError
from signaling.sip.gate import OpenGate
from signaling.sip.message import Request, parse
from signaling.sip.registrar import Registrar
from signaling.sip.transactionlayer import Flow, Received, TransactionLayer
from signaling.sip.useragent import UserAgent
from tests.bench.phones import ticked
from tests.fakes.siphostile import hostile
from tests.fakes.sipmessages import request
from tests.fakes.sipp import recv, scenario, send

GOALS: dict[str, tuple[float, str]] = {
    "hostile_32k_worst_ms": (20, "ms"),
    "register_us": (5000, "us"),
    "calls_failed": (0, "calls"),
    "calls_core_share": (1.0, "cores"),
    "legs_mixed_cores": (1.0, "cores"),
}
"""At most. No datagram may hold up the others; 6,800 devices in five minutes below a fifth of one core."""
OFFERED = 1.02
FLOW = Flow("192.0.2.7", 5060)
SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\n"


def each_us(work: Callable[[int], object], count: int) -> float:
    """Processor time, so that a busy machine does not count; the median of five runs."""
    runs = []
    for run in range(5):
        before = time.process_time()
        for number in range(run * count, (run + 1) * count):
            work(number)
        runs.append((time.process_time() - before) / count * 1e6)
    return statistics.median(runs)


def asked(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def transactions(count: int) -> float:
    """Parse a request, open its transaction, answer 200, and let Timer J end it."""
    layer = TransactionLayer(lambda: "tag")

    def one(number: int) -> None:
        now = number * 0.01
        via = f"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{number}"
        for effect in layer.receive(asked(request(Via=via, Call_ID=str(number))), FLOW, now):
            if isinstance(effect, Received):
                layer.respond(effect.key, effect.request.reply(200, tag="tag"), now)
        layer.timeout(now)

    return each_us(one, count)


def registrations(count: int) -> float:
    """Parse, check a SHA-256 digest, bind, write the answer. The client's part is made beforehand and not counted."""

    def secrets(username: str, algorithm: Algorithm) -> str | None:
        return ha1(algorithm, username, "mine.example", "secret")

    digest = DigestServer("mine.example", b"k" * 32, os.urandom)
    registrar = Registrar("mine.example", digest, secrets, lambda: "tag")

    def made(number: int) -> bytes:
        user = f"u{number}"
        client = DigestClient("mine.example", user, "secret")
        value = client.answer(digest.challenge(0.0, FLOW.host), "REGISTER", "sip:mine.example", "cnonce")
        one = asked(request("REGISTER", "sip:mine.example", Contact=f"<sip:{user}@192.0.2.7>"))
        address = f"<sip:{user}@mine.example>"
        headers = one.headers.with_("To", address).with_("From", f"{address};tag=f")
        return replace(one, headers=headers.added(("Authorization", value or ""))).serialize()

    ready = [made(number) for number in range(count * 5)]

    def one(number: int) -> None:
        answer = registrar.register(asked(ready[number]), FLOW, 1.0)
        assert answer.status == 200
        answer.serialize()

    return each_us(one, count)


def worst_hostile() -> tuple[float, str]:
    """Milliseconds of processor time for the slowest of the hostile messages of the tests, and which it is."""
    took = []
    for name, data in hostile(32_000).items():
        before = time.process_time()
        for _ in range(5):
            try:
                parse(data)
            except MessageError:
                continue
        took.append(((time.process_time() - before) / 5 * 1000, name))
    return max(took)


SCENARIO = scenario(
    send("INVITE", 1, sdp="sendrecv", first=True),
    recv(100, optional=True),
    recv(180, optional=True),
    recv(200, rrs=True),
    send("ACK", 1),
    send("BYE", 2),
    recv(200),
)
ANSWER = SDP + b"a=rtpmap:8 PCMA/8000\r\n"


async def answer_calls(ready: Callable[[int], None]) -> None:
    """The process that is measured: takes every call until it is ended."""
    place: dict[str, int] = {}
    agent = UserAgent(
        Place("127.0.0.1", place), OpenGate(), lambda: os.urandom(8).hex(), random.random, None, 20_000, 100_000
    )

    def step() -> None:
        for event in agent.heard():
            if isinstance(event, Incoming):
                endpoint.step(partial(agent.ring, event.call))
                endpoint.step(partial(agent.answer, event.call, ANSWER))

    async with serve(agent, "127.0.0.1", 0, on_step=step) as endpoint:
        place["UDP"] = endpoint.port
        ready(endpoint.port)
        await asyncio.Event().wait()


def pinned(core: int) -> None:
    if core in os.sched_getaffinity(0):
        os.sched_setaffinity(0, {core})


def cpu_s(pid: int) -> float:
    """Processor time that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def calls(rate: int, seconds: int) -> dict[str, float]:
    """Calls of sipp against a process of ours on core 0; sipp has the other cores."""
    words = [sys.executable, __file__, "--answer"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "calls.xml"
            file.write_text(SCENARIO)
            before, began = cpu_s(server.pid), time.monotonic()
            offered = round(rate * OFFERED)
            sipp = [
                "sipp", f"127.0.0.1:{port}", "-sf", str(file), "-s", "1", "-i", "127.0.0.1", "-t", "u1", "-r",
                str(offered),
                "-m", str(offered * seconds), "-l", "5000", "-nostdin", "-timeout", str(seconds * 3 + 60),
                "-trace_stat", "-stf", str(Path(folder) / "stat"), "-fd", "1",
            ]  # fmt: skip
            others = sorted(os.sched_getaffinity(0) - {0}) or [0]
            subprocess.run(
                ["taskset", "-c", ",".join(map(str, others)), *sipp], cwd=folder, check=False,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            took, used = time.monotonic() - began, cpu_s(server.pid) - before
            lines = (Path(folder) / "stat").read_text().splitlines()
            names, last = lines[0].split(";"), lines[-1].split(";")
            total = dict(zip(names, last, strict=False))
        good, failed = float(total["SuccessfulCall(C)"]), float(total["FailedCall(C)"])
        return {
            "calls": good + failed, "calls_cpu_seconds": used, "calls_failed": offered * seconds - good,
            "calls_per_s": good / took, "retransmissions": float(total["Retransmissions(C)"]),
            "call_us": used / max(1.0, good) * 1e6, "calls_core_share": used / took,
        }  # fmt: skip
    finally:
        server.terminate()
        server.wait()


def goals(figures: dict[str, float], rate: int) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"name": name, "value": figures[name], "unit": unit, "goal": f"at most {most}", "ok": figures[name] <= most}
        for name, (most, unit) in GOALS.items()
        if name in figures
    ]
    if "calls_per_s" in figures:
        value = figures["calls_per_s"]
        found.append(
            {"name": "calls_per_s", "value": value, "unit": "1/s", "goal": f"at least {rate}", "ok": value >= rate}
        )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--rate", type=int, default=200, help="calls a second")
    parser.add_argument("--seconds", type=int, default=60, help="0 = no calls")
    parser.add_argument("--legs", type=int, default=100, help="calls that are mixed; 0 = none")
    parser.add_argument("--answer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.answer:
        pinned(0)
        asyncio.run(answer_calls(lambda port: print(port, flush=True)))
        return
    invite = request("INVITE", "sip:a@b.example", "Content-Type: application/sdp", body=SDP)
    message = parse(invite)
    slowest, name = worst_hostile()
    figures = {
        "parse_us": each_us(lambda _: parse(invite), options.messages),
        "serialize_us": each_us(lambda _: message.serialize(), options.messages),
        "parse_and_transaction_us": transactions(options.messages),
        "register_us": registrations(max(1, min(options.messages, 1300))),
        "hostile_32k_worst_ms": slowest,
    }
    if options.seconds and shutil.which("sipp") is not None:
        figures |= calls(options.rate, options.seconds)
    if options.legs:
        figures["legs_mixed_cores"] = asyncio.run(ticked(options.legs, max(1, options.legs // 10)))
    run = {
        "legs": options.legs,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "messages": options.messages,
        "invite_bytes": len(invite),
        "slowest_hostile": name,
        "clock": "process time",
        "rate": options.rate,
        "seconds": options.seconds,
        "load_1min": os.getloadavg()[0],
    }
    judged = goals(figures, options.rate)
    if options.json:
        print(json.dumps({"run": run, "figures": figures, "goals": judged}, indent=2))
        return
    for key, value in figures.items():
        print(f"{key:28} {value:12.1f}")
    for goal in judged:
        print(
            f"{'ok' if goal['ok'] else 'MISSED':8} {goal['name']}: {goal['value']:.1f} {goal['unit']}, {goal['goal']}"
        )


if __name__ == "__main__":
    main()
