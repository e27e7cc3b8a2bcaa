"""What forwarding costs: one publisher, many subscribers, real processes, and the same load on Debian's Janus.

    python -m tests.bench.forward [--json] [--seconds 3] [--rounds 3] [--subscribers 10,100] [--shapes burst10,even]
                                  [--servers native,python,janus,tuned]

`native` and `python` are our two forwarders, `janus` is Janus as packaged and `tuned` the same with `event_loops=1`.
Measured per run: the server's CPU time per packet sent (`/proc/<pid>/task/*/schedstat`), loss, and the delay from the
publisher's send to the subscriber's receive. Servers take turns at each load, receivers poll and never sleep, all use
AES-128-GCM, and ratios within one call are what counts: the machine's other work moves absolute figures.

As root, all runs in a network namespace of its own with a veth address, which Janus needs and which ends with the
process. Otherwise, or without Janus, ours alone is measured on the loopback address, and the output says so.
"""

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench import janus
from tests.bench.floor import floor_us
from tests.bench.forwardgoals import goals, is_ours
from tests.bench.servers import Server, running_lamproom
from tests.fakes.encoded import encode
from tests.fakes.loadpeer import Identity, LoadPeer, LoadPublisher, connect

ADDRESS = "198.18.0.1"
"""Of the range for benchmarks (RFC 2544), in a namespace that nobody else sees."""
_ENTER = f"""ip link set lo up &&
ip link add bench0 type veth peer name bench1 && ip addr add {ADDRESS}/24 dev bench0 &&
ip link set bench0 up && ip link set bench1 up && exec "$@" """
WARM_UP_S = 0.6
SERVICE_S = 0.1
"""How often peers look what is due."""
QUIET_S = 0.25
"""A run is over when nothing has come for so long."""
DRAIN_S = 3.0
"""At most, waiting for that."""
SSRC = 0x1234ABCD

COMPARABLE_LOSS = 0.01
"""A run of another server in which more was lost is repeated once; of ours nothing is repeated."""
DISTURBED_WAIT, DISTURBED_LATE_S = 0.1, 0.02
SERVERS = ("native", "python", "janus", "tuned")


@dataclass(frozen=True, slots=True)
class Shape:
    """A load: pictures that repeat, each the payload sizes of its packets."""

    name: str
    pictures: tuple[tuple[int, ...], ...]
    interval_s: float


def shape(name: str) -> Shape:
    """By name: `burst10` (250 packets/s in bursts of 10), `even` (the same one by one), `slow10` (100 packets/s in
    bursts of 10, for audiences of which one receiving process must empty a thousand sockets), `frames` (a real stream).
    """
    if name == "burst10":
        return Shape(name, ((1088,) * 10,), 0.04)
    if name == "slow10":
        return Shape(name, ((1088,) * 10,), 0.1)
    if name == "even":
        return Shape(name, ((1088,),), 0.004)
    if name == "frames":
        pictures: dict[int, list[int]] = {}
        for packet in encode("VP8", 90, width=640, height=360, noise=90, keyframe_every=90, bit_rate=1_200_000):
            pictures.setdefault(packet.timestamp, []).append(max(len(packet.payload), 16))
        return Shape(name, tuple(tuple(sizes) for sizes in pictures.values()), 1 / 30)
    raise ValueError(f"There is no load of the name {name}.")


@dataclass(frozen=True, slots=True)
class Run:
    """One server under one load."""

    server: str
    shape: str
    subscribers: int
    seconds: float
    packets_in: int
    packets_out: int
    """Received by all subscribers."""
    loss: float
    """0 to 1, of what they should have received."""
    cpu_s: float
    cpu_load: float
    """Of one core."""
    cpu_us_per_packet: float
    delay_ms_p50: float
    delay_ms_p95: float
    delay_ms_p99: float
    rss_mib: float
    server_waited: float
    """Share of the run in which the server's threads were ready and had no core, summed over threads: by other work on
    the machine, or by each other."""
    generator_waited: float
    """The same of this program, which is one thread and always ready."""
    generator_late_ms: float
    """How late the publisher sent its latest picture."""
    disturbed: bool
    """The machine was busy with other things: delays say nothing, and packets that pile up meanwhile come in larger
    batches than the load has, which makes them look cheap."""


@dataclass(frozen=True, slots=True)
class Joins:
    """Subscribers that came one after the other, each through signalling, ICE and DTLS."""

    server: str
    joined: int
    cpu_ms_per_join: float
    rss_kib_per_subscriber: float
    """Growth of resident memory, also by what forwarding to the earlier ones took."""


class Bench:
    """One server with its publisher and a growing number of subscribers."""

    def __init__(self, server: Server, identity: Identity, address: str, *, feedback: bool = False) -> None:
        self.server = server
        self._feedback = feedback
        self.subscribers: list[LoadPeer] = []
        self._identity = identity
        self._address = address
        self._publisher = LoadPublisher(LoadPeer(identity, address, controlling=True), SSRC)

    async def start(self) -> None:
        await self.server.publish(self._publisher.peer, SSRC)
        connect([self._publisher.peer])

    async def grow(self, subscribers: int, idle: Sequence["Bench"]) -> Joins | None:
        """Have so many subscribers; None where there are so many already. The others' peers are kept alive."""
        joining, serviced = subscribers - len(self.subscribers), time.monotonic()
        cpu, rss = scheduled_s(self.server.pid)[0], rss_mib(self.server.pid)
        while len(self.subscribers) < subscribers:
            controlling = not self.server.controls_subscribers
            peer = LoadPeer(self._identity, self._address, controlling=controlling, feedback=self._feedback)
            await self.server.subscribe(peer)
            self.subscribers.append(peer)
            connect([peer])
            self.service(time.monotonic())
            if time.monotonic() >= serviced + 0.25:
                serviced = time.monotonic()
                for bench in idle:
                    bench.service(serviced)
        if joining <= 0:
            return None
        cpu, rss = scheduled_s(self.server.pid)[0] - cpu, rss_mib(self.server.pid) - rss
        return Joins(self.server.name, joining, round(cpu / joining * 1e3, 3), round(rss * 1024 / joining, 1))

    def service(self, now: float) -> None:
        """Keep all peers alive."""
        for peer in (self._publisher.peer, *self.subscribers):
            peer.poll()
            peer.step(now)

    def measure(self, load: Shape, seconds: float, idle: Sequence["Bench"]) -> Run:
        self._publisher.restart()
        self._send(load, WARM_UP_S, idle)
        for peer in self.subscribers:
            peer.counters = type(peer.counters)()
        packets, started = self._publisher.packets, time.monotonic()
        cpu_before, waited_before = scheduled_s(self.server.pid)
        own_before = scheduled_s(os.getpid())[1]
        late = self._send(load, seconds, idle)
        cpu_after, waited_after = scheduled_s(self.server.pid)
        cpu, took = cpu_after - cpu_before, time.monotonic() - started
        waited = (waited_after - waited_before) / took
        own_wait = (scheduled_s(os.getpid())[1] - own_before) / took
        sent = self._publisher.packets - packets
        got = sum(peer.counters.packets for peer in self.subscribers)
        if not got:
            raise ConnectionError(f"Nobody received anything from {self.server.name}: its peers are gone.")
        delays = sorted(delay for peer in self.subscribers for delay in peer.counters.delays_s)
        return Run(
            server=self.server.name,
            shape=load.name,
            subscribers=len(self.subscribers),
            seconds=round(took, 2),
            packets_in=sent,
            packets_out=got,
            loss=round(1 - got / (sent * len(self.subscribers)), 6),
            cpu_s=round(cpu, 4),
            cpu_load=round(cpu / took, 3),
            cpu_us_per_packet=round(cpu / max(got, 1) * 1e6, 2),
            delay_ms_p50=percentile(delays, 0.5),
            delay_ms_p95=percentile(delays, 0.95),
            delay_ms_p99=percentile(delays, 0.99),
            rss_mib=round(rss_mib(self.server.pid), 1),
            server_waited=round(waited, 3),
            generator_waited=round(own_wait, 3),
            generator_late_ms=round(late * 1e3, 2),
            disturbed=own_wait > DISTURBED_WAIT or late > DISTURBED_LATE_S,
        )

    def _send(self, load: Shape, seconds: float, idle: Sequence["Bench"]) -> float:
        """Send and receive for a while without ever sleeping; how late a picture was at most."""
        begin = due = serviced = heard = time.monotonic()
        number, late, seen = 0, 0.0, 0
        pictures = max(1, round(seconds / load.interval_s))
        while True:
            now = time.monotonic()
            if number < pictures:
                if now >= due:
                    late = max(late, now - due)
                    self._publisher.send_picture(load.pictures[number % len(load.pictures)], load.interval_s, now)
                    due += load.interval_s
                    number += 1
                heard = now
            elif now > heard + QUIET_S or now > begin + seconds + DRAIN_S:
                break
            for peer in self.subscribers:
                peer.poll()
            if number == pictures and (got := sum(peer.counters.packets for peer in self.subscribers)) != seen:
                seen, heard = got, now
            if now >= serviced + SERVICE_S:
                serviced = now
                for bench in (self, *idle):
                    bench.service(now)
        return late


def percentile(values: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return round(values[min(int(len(values) * share), len(values) - 1)] * 1e3, 3) if values else 0.0


def scheduled_s(pid: int) -> tuple[float, float]:
    """CPU time of all threads of a process, and the time in which they were ready and had to wait for a core."""
    total = waited = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            ran, ready, _ = path.read_text().split()
            total, waited = total + int(ran), waited + int(ready)
    return total / 1e9, waited / 1e9


def rss_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def measure_all(options: argparse.Namespace, address: str, with_janus: bool) -> tuple[list[Run], list[Joins]]:
    counts = sorted({int(count) for count in options.subscribers.split(",")})
    loads = [shape(name) for name in options.shapes.split(",")]
    identity = Identity()
    runs: list[Run] = []
    joins: list[Joins] = []
    async with contextlib.AsyncExitStack() as stack:
        servers: list[Server] = []
        for name in options.servers.split(","):
            if name in ("native", "python"):
                servers.append(await stack.enter_async_context(running_lamproom(address, name)))
            elif with_janus:
                title, loops = ("janus", 0) if name == "janus" else ("janus event_loops=1", 1)
                servers.append(await stack.enter_async_context(janus.running_janus(title, 8188 + loops, loops)))
        benches = [Bench(server, identity, address, feedback=options.feedback) for server in servers]
        for bench in benches:
            await bench.start()
        gc.disable()
        for count in counts:
            for bench in benches:
                joined = await bench.grow(count, [other for other in benches if other is not bench])
                joins += [joined] if joined else []
            for load, _ in itertools.product(loads, range(options.rounds)):
                for bench in benches:
                    for each in servers:
                        await each.refresh()
                    others = [other for other in benches if other is not bench]
                    run = bench.measure(load, options.seconds, others)
                    if run.loss > COMPARABLE_LOSS and not is_ours(run.server):
                        run = bench.measure(load, options.seconds, others)
                    runs.append(run)
    return runs, joins


def table(runs: Sequence[Run]) -> str:
    """For people; ratios are to Janus as packaged."""
    lines = [
        f"{'server':20} {'load':8} {'subs':>5} {'µs/packet':>10} {'ratio':>6} {'core %':>7} {'loss %':>7} "
        f"{'delay ms p50':>13} {'p95':>7} {'p99':>7} {'RSS MiB':>8}"
    ]
    packaged = {(run.shape, run.subscribers): run for run in runs if run.server == "janus"}
    for run in sorted(runs, key=lambda run: (run.shape, run.subscribers)):
        base = packaged.get((run.shape, run.subscribers))
        ratio = f"{run.cpu_us_per_packet / base.cpu_us_per_packet:.2f}" if base else "-"
        lines.append(
            f"{run.server:20} {run.shape:8} {run.subscribers:5} {run.cpu_us_per_packet:10.2f} {ratio:>6} "
            f"{run.cpu_load * 100:7.1f} {run.loss * 100:7.3f} {run.delay_ms_p50:13.2f} {run.delay_ms_p95:7.2f} "
            f"{run.delay_ms_p99:7.2f} {run.rss_mib:8.1f}{'  disturbed' if run.disturbed else ''}"
        )
    return "\n".join(lines)


def report(
    options: argparse.Namespace, runs: Sequence[Run], joins: Sequence[Joins], note: str, least: float | None
) -> None:
    found = goals(runs, joins, least)
    if options.json:
        what: dict[str, Any] = {
            "bench": "forward",
            "note": note,
            "seconds_per_run": options.seconds,
            "cores": os.cpu_count(),
            "kernel": os.uname().release,
            "python": sys.version.split()[0],
            "floor_us": least,
            "load_average": os.getloadavg()[0],
            "profile": "SRTP_AEAD_AES_128_GCM",
        }
        parts: dict[str, Sequence[Any]] = {"runs": runs, "joins": joins, "goals": found}
        result = {"what": what, **{name: [asdict(each) for each in part] for name, part in parts.items()}}
        sys.stdout.write(json.dumps(result, ensure_ascii=False) + "\n")
        return
    least_words = "unknown" if least is None else f"{least:.2f} µs per packet"
    sys.stdout.write(f"{note}\n{table(runs)}\nfloor (protection and GSO sends of bursts of 10 alone): {least_words}\n")
    for join in joins:
        sys.stdout.write(
            f"{join.server:20} {join.joined} joined: {join.cpu_ms_per_join} ms CPU, "
            f"{join.rss_kib_per_subscriber} KiB each\n"
        )
    disturbed = sum(run.disturbed for run in runs)
    if disturbed:
        sys.stdout.write(f"{disturbed} of {len(runs)} runs were disturbed by other work on this machine.\n")
    for goal in found:
        sys.stdout.write(f"{'ok    ' if goal.ok else 'MISSED'} {goal.name}: {goal.value} {goal.unit} ({goal.goal})\n")


def enter_namespace(arguments: Sequence[str], timeout_s: float) -> int:
    """Run this program again in a network namespace of its own; its exit status."""
    command = [sys.executable, "-m", "tests.bench.forward", "--inside", *arguments]
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", _ENTER, "sh", *command], timeout=timeout_s, check=False
    ).returncode


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.forward", description="What forwarding costs.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--seconds", type=float, default=3.0, help="measured per run")
    parser.add_argument("--subscribers", default="10,100", help="numbers of subscribers, with commas")
    parser.add_argument("--shapes", default="burst10,even", help="loads, with commas; also slow10 and frames")
    parser.add_argument("--servers", default=",".join(SERVERS), help="what is measured, with commas")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each; goals take the median of calm ones")
    parser.add_argument("--feedback", action="store_true", help="with transport-wide feedback; wants a quiet machine")
    parser.add_argument("--no-janus", action="store_true", help="measure ours alone, on the loopback address")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = set(options.servers.split(",")) - set(SERVERS)
    if unknown:
        parser.error(f"there is no server of the name {', '.join(sorted(unknown))}")
    counts = [int(count) for count in options.subscribers.split(",")]
    runs = len(counts) * len(options.shapes.split(",")) * options.rounds * len(SERVERS)
    budget_s = 120 + 0.1 * max(counts) + runs * (options.seconds + WARM_UP_S + 2 * QUIET_S + 2)
    missing = why_not_janus() if not options.no_janus else "not asked for"
    if not missing and not options.inside:
        return enter_namespace(arguments, budget_s + 30)
    beside = f"Measured beside Janus {janus.version()} in one network namespace." if not missing else ""
    note = beside or f"Janus is not measured: {missing}."

    address = "127.0.0.1" if missing else ADDRESS

    async def bounded() -> tuple[list[Run], list[Joins]]:
        async with asyncio.timeout(budget_s):
            return await measure_all(options, address, with_janus=not missing)

    runs_and_joins = asyncio.run(bounded())
    report(options, *runs_and_joins, note, floor_us(address))
    return 0


def why_not_janus() -> str:
    if not janus.installed():
        return "it is not installed"
    if os.geteuid() != 0:
        return "a network namespace needs root"
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return "unshare or ip is not installed"
    if subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True).returncode != 0:
        return "this machine allows no network namespace"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
