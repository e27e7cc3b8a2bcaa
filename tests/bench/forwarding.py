"""What forwarding costs: CPU time of a media worker per packet sent, with reports, repairs and statistics on.

Run from the root of the tree:

    .venv/bin/python -m tests.bench.forwarding --subscribers 100 --burst 10

One publisher made by hand sends bursts of equal or uneven packets; subscribers complete ICE and DTLS, are then only
counted (they poll, so that no wake-up of theirs is charged to the worker), send a receiver report a second and ask for
`--nack` of the packets again. The worker is a process of its own; its CPU time is read from the kernel's scheduler.
A run whose receivers got less than 99 % is not worth quoting. Absolute figures hang on the machine: compare within one.
"""

import argparse
import asyncio
import itertools
import random
import socket
import sys
import time
from pathlib import Path
from typing import Any

from media import rtcp, rtp
from media.link import Link
from media.messages import ANSWERS, AnyAnswer, Beat, Configure, GetStatistics, Message, Refused, Reply
from tests.fakes.rawpeer import VIDEO, RawPeer, vp8

SSRC = 77


class ProcessLink:
    """What `RawPeer` needs of a link, over a real one."""

    def __init__(self, link: Link[AnyAnswer]) -> None:
        self._link = link
        self._numbers = itertools.count(10)
        self.at_end: list[Any] = []
        self.beat: Beat | None = None

    async def ask(self, command: Any) -> Reply | Refused:
        number = next(self._numbers)
        self._link.send(command.model_copy(update={"request": number}))
        while True:
            message: Message | None = await self._link.receive()
            if isinstance(message, Beat):
                self.beat = message
            if isinstance(message, Reply | Refused) and message.request == number:
                return message
            if message is None:
                raise SystemExit("The worker is gone.")

    async def call(self, command: Any) -> Reply:
        reply = await self.ask(command)
        assert isinstance(reply, Reply), reply
        return reply

    async def counters(self) -> dict[str, float]:
        self.beat = None
        while self.beat is None:
            await self.ask(GetStatistics())
            await asyncio.sleep(0.05)
        return self.beat.counters


def cpu_s(pid: int) -> float:
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[0]) for each in tasks) / 1e9


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


class Load:
    """The clients' side while the clock runs. Knows its sockets only."""

    def __init__(self, camera: RawPeer, viewers: list[RawPeer], arguments: argparse.Namespace) -> None:
        self.camera = camera
        self.viewers = viewers
        self.sockets = [viewer.socket for viewer in viewers]
        self.burst: int = arguments.burst
        self.interval = arguments.burst / arguments.rate
        self.uneven: bool = arguments.uneven
        self.bytes: int = arguments.bytes
        self.nack: float = arguments.nack
        self.sequence = 0
        self.received = 0
        self.delays: list[float] = []
        self._sent_at = 0.0
        self._random = random.Random(3)
        self._report_at = [self._random.random() for _ in viewers]
        self._newest = [0] * len(viewers)

    def send_burst(self) -> None:
        for index in range(self.burst):
            size = self.bytes - (self._random.randrange(400) if self.uneven else 0)
            payload = vp8(self.sequence == 0, size)
            packet = rtp.pack(
                payload,
                payload_type=VIDEO,
                sequence=self.sequence & 0xFFFF,
                timestamp=self.sequence // self.burst * 3600,
                ssrc=SSRC,
                marker=index == self.burst - 1,
            )
            self.camera.send_rtp(packet)
            self.sequence += 1
        self._sent_at = time.perf_counter()

    def drain(self) -> None:
        for index, sock in enumerate(self.sockets):
            try:
                while True:
                    data = sock.recv(2048)
                    if data[0] > 127 and not 192 <= data[1] <= 223:
                        self.received += 1
                        self._newest[index] = int.from_bytes(data[2:4], "big")
                        if self.received % 997 == 0:
                            self.delays.append(time.perf_counter() - self._sent_at)
            except BlockingIOError:
                continue

    def report(self, now: float) -> None:
        for index, viewer in enumerate(self.viewers):
            if now < self._report_at[index] or viewer.srtp is None:
                continue
            self._report_at[index] = now + 1
            media = viewer.media_ssrc
            packets: list[rtcp.Packet] = [rtcp.ReceiverReport(1, (rtcp.ReportBlock(media, 0, 0, 0, 10, 0, 0),))]
            asked = int(self.nack * self.burst / self.interval)
            if asked:
                newest = self._newest[index]
                packets.append(rtcp.Nack(1, media, tuple(newest - 2 * step & 0xFFFF for step in range(asked, 0, -1))))
            viewer.send_rtcp(*packets)

    def run(self, seconds: float) -> None:
        start = due = time.perf_counter()
        while (now := time.perf_counter() - start) < seconds:
            if time.perf_counter() >= due:
                due += self.interval
                self.send_burst()
            self.drain()
            self.report(now)
            time.sleep(0.0005)
        time.sleep(0.2)
        self.drain()


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--subscribers", type=int, default=100)
    parser.add_argument("--burst", type=int, default=10, help="packets sent together")
    parser.add_argument("--rate", type=float, default=250, help="packets a second of the publisher")
    parser.add_argument("--bytes", type=int, default=1070)
    parser.add_argument("--uneven", action="store_true", help="sizes that differ, so that runs break")
    parser.add_argument("--nack", type=float, default=0.01, help="part of the packets that is asked for again")
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--no-gso", action="store_true")
    parser.add_argument("--profile", action="store_true", help="run the worker under cProfile (slow; prints its top)")
    return parser.parse_args()


async def connect_all(link: ProcessLink, pid: int, count: int) -> tuple[RawPeer, list[RawPeer], float, float]:
    """Publisher, subscribers, CPU milliseconds and resident KiB for each of these."""
    camera = RawPeer(link, "camera")  # type: ignore[arg-type]
    await camera.publish(camera.offer(ssrc=SSRC))
    await camera.connect()
    memory, used = resident_kib(pid), cpu_s(pid)
    viewers: list[RawPeer] = []
    for number in range(count):
        viewer = RawPeer(link, f"viewer-{number}")  # type: ignore[arg-type]
        await viewer.subscribe("camera/0", rtx=False)
        await viewer.connect()
        viewer.media_ssrc = viewer.offered_ssrcs()[0]
        viewers.append(viewer)
    return camera, viewers, (cpu_s(pid) - used) / count * 1000, (resident_kib(pid) - memory) / count


async def measure(link: ProcessLink, pid: int, arguments: argparse.Namespace) -> str:
    camera, viewers, join_ms, join_kib = await connect_all(link, pid, arguments.subscribers)
    load = Load(camera, viewers, arguments)
    load.run(1)
    load.received, load.delays = 0, []
    before, counters, sequence = cpu_s(pid), await link.counters(), load.sequence
    load.run(arguments.seconds)
    used, after = cpu_s(pid) - before, await link.counters()
    ideal = (load.sequence - sequence) * arguments.subscribers
    sent = after["packets_out"] - counters["packets_out"]
    resent = after["packets_resent"] - counters["packets_resent"]
    load.delays.sort()
    half, most = (load.delays[int(len(load.delays) * part)] * 1000 for part in (0.5, 0.95))
    sizes, gso = "uneven" if arguments.uneven else "even", "no GSO" if arguments.no_gso else "GSO"
    return (
        f"subscribers {arguments.subscribers}, burst {arguments.burst}, {sizes} sizes, {gso}\n"
        f"  {used / sent * 1e6:.2f} us CPU per packet sent ({sent / arguments.seconds:.0f} packets/s, "
        f"{used / arguments.seconds * 100:.1f} % of a core, {resent:.0f} resent)\n"
        f"  received {load.received / (ideal + resent) * 100:.2f} % of the ideal, "
        f"delay of a burst's packets p50 {half:.2f} ms, p95 {most:.2f} ms\n"
        f"  joining {join_ms:.2f} ms CPU each, {join_kib:.0f} KiB resident each\n"
        f"  dropped: { {name: value for name, value in after.items() if name.startswith('dropped') and value} }"
    )


async def main() -> None:
    arguments = parse_arguments()
    ours, theirs = socket.socketpair()
    command = [sys.executable, *(["-m", "cProfile", "-s", "tottime"] if arguments.profile else [])]
    process = await asyncio.create_subprocess_exec(
        *command, "-m", "media.worker", "--fd", str(theirs.fileno()), pass_fds=(theirs.fileno(),)
    )
    theirs.close()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    raw = Link[AnyAnswer](reader, writer, ANSWERS)
    link = ProcessLink(raw)
    await link.call(Configure(settings={"udp_port": 0, "gso": not arguments.no_gso}))
    print(await measure(link, process.pid, arguments))
    raw.close()
    for step in link.at_end:
        step()
    await asyncio.wait_for(process.wait(), 10)


if __name__ == "__main__":
    asyncio.run(main())
