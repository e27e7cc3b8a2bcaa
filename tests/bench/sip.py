"""What one SIP message costs on this machine: parsing, writing, transactions, registrations, and hostile messages.

    python tests/bench/sip.py [--messages 5000] [--json]

All in one thread, without sockets. `--json` prints {run, figures, goals}.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from signaling.sip.digest import Algorithm, DigestClient, DigestServer, ha1
from signaling.sip.errors import MessageError
from signaling.sip.message import Request, parse
from signaling.sip.registrar import Registrar
from signaling.sip.transactionlayer import Flow, Received, TransactionLayer
from tests.fakes.sipmessages import request
from tests.signaling.sip.test_message import hostile

GOALS = {
    "hostile_32k_worst_ms": {"at_most": 20, "why": "no datagram may hold up the others"},
    "register_us": {"at_most": 5000, "why": "6,800 devices in five minutes below a fifth of one core"},
}
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
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
    run = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "messages": options.messages,
        "invite_bytes": len(invite),
        "slowest_hostile": name,
        "clock": "process time",
    }
    if options.json:
        print(json.dumps({"run": run, "figures": figures, "goals": GOALS}, indent=2))
        return
    for key, value in figures.items():
        goal = GOALS.get(key)
        print(f"{key:28} {value:10.1f}" + (f"   goal {goal}" if goal else ""))


if __name__ == "__main__":
    main()
