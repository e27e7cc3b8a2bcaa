"""A million mutated SIP messages against everything that reads them, and hostile messages of 64 KiB by the clock.

    python -m tests.bench.sipfuzz [--count 1000000] [--seed 4475] [--processes 2] [--json]

Each input is a good message (RFC 4475, RFC 5118, a recorded call) with one to six changes by a seeded generator. They
go in turn to the parser, to the framer of a stream, to the registrar's server, to a user agent in the middle of calls,
and as descriptions to the SDP of phones. An error that nobody documented ends its batch of 1000 and is printed with the
input and the batch: `--batch N --count 1000` repeats it. Hostile messages are parsed, framed and taken by a user agent;
processor time, the median of five.
"""

import argparse
import json
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial

from media.phone import description
from media.phone.description import NotAcceptable
from media.sdp import SdpError
from signaling.sip.callevents import Incoming, Profile
from signaling.sip.digest import DigestServer, ha1
from signaling.sip.errors import MessageError
from signaling.sip.message import parse
from signaling.sip.registrar import Registrar
from signaling.sip.service import SipService
from signaling.sip.stream import StreamFramer
from signaling.sip.transactionlayer import Flow
from tests.fakes.siphostile import filled, hostile, judge, mutated
from tests.fakes.sipmessages import request
from tests.fakes.siptorture import RFC_5118, SDP, SDP6, SDP46, SEEDS
from tests.fakes.sipwire import ANSWER, OFFER, Wire

BATCH = 1000
"""Inputs of one generator."""
HOSTILE_MS = 20.0
FLOW = Flow("192.0.2.1", 5060)
SDES = (
    OFFER.replace(b"RTP/AVP", b"RTP/SAVP")
    + b"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n"
    + b"a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=rtcp:4001 IN IP4 192.0.2.1\r\n"
)
DESCRIPTIONS = (OFFER, ANSWER, SDES, SDP, SDP6, SDP46)


def recorded() -> tuple[bytes, ...]:
    """Both sides of a call that is held, asked for keys and ended, and of one that is cancelled."""
    wire = Wire(profile=Profile(session_s=100, reliable="required"))

    def take(who: str, event: object) -> None:
        if isinstance(event, Incoming):
            wire.do(who, wire.b.ring(event.call, wire.now))
            wire.do(who, wire.b.answer(event.call, ANSWER, wire.now))

    wire.on_event = take
    call = wire.invite()
    wire.run(5.0)
    wire.do("a", wire.a.hang_up(call, wire.now))
    wire.run(5.0)
    wire.on_event = lambda who, event: None
    call = wire.invite()
    wire.run(1.0)
    wire.do("a", wire.a.hang_up(call, wire.now))
    wire.run(40.0)
    return tuple(dict.fromkeys(message.serialize() for _, _, message in wire.log))


def parsed(rng: random.Random) -> Iterator[bytes]:
    while True:
        data = mutated(rng.choice(SEEDS), rng)
        yield data
        judge(data)


def framed(rng: random.Random) -> Iterator[bytes]:
    framer = StreamFramer()
    while True:
        data = mutated(rng.choice(SEEDS), rng)
        yield data
        cut = rng.randrange(len(data))
        try:
            for whole in (*framer.feed(data[:cut]), *framer.feed(data[cut:])):
                judge(whole)
        except MessageError:
            framer = StreamFramer()


def registered(rng: random.Random) -> Iterator[bytes]:
    digest = DigestServer("mine.example", b"k" * 32, rng.randbytes)
    secrets = {"lamproom": "secret"}
    registrar = Registrar(
        "mine.example", digest,
        lambda user, algorithm: ha1(algorithm, user, "mine.example", secrets[user]) if user in secrets else None,
        lambda: "tag",
    )  # fmt: skip
    service = SipService(registrar, lambda: "tag", per_s=1e9)
    address = "<sip:lamproom@mine.example>"
    now = 0.0
    while True:
        challenge = digest.challenge(now, FLOW.host)[0].replace("Digest ", 'Digest username="lamproom", uri="sip:x", ')
        one = request(
            "REGISTER", "sip:mine.example", f'Authorization: {challenge}, nc=00000001, cnonce="c", response="0"',
            "Expires: 600", To=address, From=f"{address};tag=1",
        )  # fmt: skip
        data = mutated(rng.choice((one, *SEEDS)), rng)
        yield data
        now += 0.05
        for send in service.receive(data, FLOW, now):
            assert send.flow.host == FLOW.host
        service.timeout(now)


def _taken(wire: Wire, who: str, event: object) -> None:
    if isinstance(event, Incoming):
        wire.do(who, wire.b.answer(event.call, ANSWER, wire.now))


def called(rng: random.Random) -> Iterator[bytes]:
    seeds = (*recorded(), *(one.data for one in RFC_5118.values()), *SEEDS)
    while True:
        wire = Wire(profile=Profile(session_s=100))
        wire.on_event = partial(_taken, wire)
        for _ in range(2):
            wire.invite()
            wire.run(0.2)
        live = tuple(dict.fromkeys(message.serialize() for _, who, message in wire.log if who == "a"))
        for _ in range(500):
            data = mutated(rng.choice(live if rng.random() < 0.5 else seeds), rng, seeds)
            yield data
            wire.now += 0.02
            for send in wire.b.receive(data, FLOW, wire.now):
                assert send.flow.host == FLOW.host
            wire.b.timeout(wire.now)
            wire.b.heard()


def described(rng: random.Random) -> Iterator[bytes]:
    while True:
        data = mutated(rng.choice(DESCRIPTIONS), rng, DESCRIPTIONS)
        yield data
        try:
            description.read(data.decode("utf-8", "replace"))
        except (SdpError, NotAcceptable):
            continue


TARGETS: dict[str, Callable[[random.Random], Iterator[bytes]]] = {
    "parser": parsed, "stream": framed, "registrar": registered, "user agent": called, "description": described,
}  # fmt: skip


def run_batch(seed: int, batch: int, count: int = BATCH) -> str:
    """Feed one batch to its target; the target's name. Raises what nobody documented, with the input in a note."""
    name = list(TARGETS)[batch % len(TARGETS)]
    source = TARGETS[name](random.Random(f"{seed}/{batch}"))
    data = b""
    try:
        for _ in range(count + 1):  # what was yielded is fed when the next is asked for
            data = next(source)
    except BaseException as problem:
        problem.add_note(f"batch {batch} of seed {seed}, {name}, fed with {data!r}")
        raise
    return name


def fuzz(seed: int, count: int, processes: int, first: int = 0) -> tuple[dict[str, float], list[BaseException]]:
    """How many inputs each target took, and what nobody documented."""
    taken = dict.fromkeys(TARGETS, 0.0)
    wrong: list[BaseException] = []
    with ProcessPoolExecutor(processes) as pool:
        started = [
            (min(BATCH, count - done), pool.submit(run_batch, seed, batch, min(BATCH, count - done)))
            for batch, done in enumerate(range(0, count, BATCH), first)
        ]
        for size, future in started:
            if (problem := future.exception()) is not None:
                wrong.append(problem)
            else:
                taken[future.result()] += size
    return taken, wrong


def hostile_ms(size: int = 65_000, runs: int = 5) -> dict[str, float]:
    """The slowest way of reading each, in milliseconds; half of the size is what a head may have."""

    def timed(work: Callable[[], object]) -> float:
        before = time.process_time()
        with suppress(MessageError):
            work()
        return (time.process_time() - before) * 1000

    def median(work: Callable[[], object]) -> float:
        return statistics.median(timed(work) for _ in range(runs))

    kinds = hostile(size // 2) | {f"{key}, beyond the limit": one for key, one in hostile(size).items()}
    found = {}
    for name, data in kinds.items():
        long = filled(data)
        found[name] = max(
            median(lambda data=data: parse(data)), median(lambda long=long: parse(long)),  # type: ignore[misc]
            median(lambda long=long: Wire().b.receive(long, FLOW, 0.0)),  # type: ignore[misc]
            median(lambda data=data: StreamFramer().feed(data)),  # type: ignore[misc]
        )  # fmt: skip
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=4475)
    parser.add_argument("--batch", type=int, default=0, help="the first batch")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    hostile_took = hostile_ms()
    worst = max(hostile_took, key=lambda name: hostile_took[name])
    before = time.monotonic()
    taken, wrong = fuzz(options.seed, options.count, options.processes, options.batch)
    for problem in wrong:
        print(repr(problem), *getattr(problem, "__notes__", ()), sep="\n", file=sys.stderr)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = children.ru_utime + children.ru_stime
    figures = {
        "inputs": sum(taken.values()), "seconds": time.monotonic() - before, "cpu_seconds": cpu_s,
        "input_us": cpu_s / max(1, options.count) * 1e6, "undocumented_errors": float(len(wrong)),
        "hostile_worst_ms": hostile_took[worst],
    }  # fmt: skip
    goals = [
        {"name": "undocumented errors", "value": len(wrong), "unit": "errors", "goal": "none", "ok": not wrong},
        {"name": "slowest hostile message of 64 KiB", "value": hostile_took[worst], "unit": "ms",
         "goal": f"at most {HOSTILE_MS:g}", "ok": hostile_took[worst] <= HOSTILE_MS},
    ]  # fmt: skip
    run = {
        "python": platform.python_version(), "seed": options.seed, "first_batch": options.batch,
        "processes": options.processes, "slowest_hostile": worst, "clock": "process time",
        "load_1min": os.getloadavg()[0], "cores": os.cpu_count(),
    }  # fmt: skip
    if options.json:
        print(
            json.dumps(
                {"run": run, "figures": figures, "inputs": taken, "hostile_ms": hostile_took, "goals": goals}, indent=2
            )
        )
        return
    for name, value in (figures | taken).items():
        print(f"{name:24} {value:12.1f}")
    for name, value in sorted(hostile_took.items(), key=lambda pair: -pair[1])[:10]:
        print(f"{value:8.2f} ms  {name}")


if __name__ == "__main__":
    main()
