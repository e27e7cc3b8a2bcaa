"""What rooms of the sizes that people have cost a media worker: real processes, loopback, media that is not decoded.

    python -m tests.bench.rooms [--json] [--seconds 4] [--scenes joins,briefing,consultation,rooms,scale]
                                [--forwarder native]

| Scene | What |
|---|---|
| `joins` | 500 peers come at once, through signalling, ICE and DTLS, and stay without media |
| `briefing` | one publisher, 500 viewers |
| `consultation` | 40 participants, each sends and gets 32 others: an SDP of ours has no more m-lines |
| `rooms` | 100 rooms at once, each of one publisher and four viewers |
| `scale` | one publisher that sends ten packets four times a second, 50 viewers and then 1,000 |

This program is all the peers at once and one thread: it polls and never sleeps, as fast as it can. The server's CPU is
read from `/proc`. A machine with other work moves delays and lags first, so the share of time in which the server was
ready and had no core is printed with them.
"""

import argparse
import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from media.sdp import MAX_MEDIA
from tests.bench.forward import DISTURBED_WAIT, percentile, rss_mib, scheduled_s
from tests.bench.forwardgoals import FLAT_WITHIN, JOIN_GOAL_MS, RSS_GOAL_KIB, Goal, at_most
from tests.bench.servers import Lamproom, running_lamproom
from tests.fakes.loadpeer import Identity, LoadPeer, LoadPublisher

ADDRESS = "127.0.0.1"
PACKET_BYTES = 1088
SERVICE_S, WARM_UP_S, QUIET_S, CONNECT_S = 0.1, 0.6, 0.25, 60.0
JOINS_PER_S_GOAL, DELAY_GOAL_MS, LAG_GOAL_MS, HALF_LOAD = 500.0, 2.0, 2.0, 0.5
SCENES = ("joins", "briefing", "consultation", "rooms", "scale")


@dataclass(frozen=True, slots=True)
class Joined:
    """Viewers that came at once."""

    viewers: int
    failed: int
    seconds: float
    cpu_ms_each: float
    rss_kib_each: float


@dataclass(frozen=True, slots=True)
class Ran:
    """A load under which a scene stood."""

    scene: str
    publishers: int
    viewers: int
    packets_in: int
    packets_out: int
    loss: float
    cpu_load: float
    cpu_us_per_packet: float
    delay_ms_p50: float
    delay_ms_p99: float
    lag_ms: float
    """The latest tick of the server's loop."""
    server_waited: float
    generator_waited: float
    disturbed: bool
    """The machine was busy with other things: delays and lags say nothing of the server, nor does loss, as sockets that
    nobody empties run over."""


@dataclass
class Scene:
    """Publishers and viewers of one worker."""

    server: Lamproom
    identity: Identity = field(default_factory=Identity)
    publishers: list[LoadPublisher] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)
    viewers: list[LoadPeer] = field(default_factory=list)
    watched: int = 0
    """Tracks that flow to viewers, all together."""

    async def publish(self, count: int) -> None:
        for _ in range(count):
            number = len(self.publishers) + 1
            publisher = LoadPublisher(LoadPeer(self.identity, ADDRESS, controlling=True), number << 8)
            self.tracks.append(await self.server.publish_as(f"p{number}", publisher.peer, number << 8))
            self.publishers.append(publisher)
        self._connect([each.peer for each in self.publishers])

    async def watch(self, wanted: Sequence[tuple[str, ...]]) -> Joined:
        """A new viewer for each list of tracks, all at once."""
        cpu, rss, began = scheduled_s(self.server.pid)[0], rss_mib(self.server.pid), time.monotonic()
        coming = []
        for tracks in wanted:
            peer = LoadPeer(self.identity, ADDRESS, controlling=True)
            await self.server.watch(f"v{len(self.viewers)}", peer, tracks)
            coming.append(peer)
            self.viewers.append(peer)
            self.watched += len(tracks)
            peer.step(time.monotonic())
            for each in coming[-32:]:
                each.poll()
        failed = self._connect(coming)
        took = time.monotonic() - began
        cpu, rss = scheduled_s(self.server.pid)[0] - cpu, rss_mib(self.server.pid) - rss
        each_of = max(1, len(coming))
        return Joined(
            len(coming), failed, round(took, 3), round(cpu / each_of * 1e3, 3), round(rss * 1024 / each_of, 1)
        )

    def _connect(self, peers: Sequence[LoadPeer]) -> int:
        """How many did not come."""
        waiting, end, serviced = list(peers), time.monotonic() + CONNECT_S, 0.0
        while waiting and (now := time.monotonic()) < end:
            for peer in waiting:
                peer.poll()
                peer.step(now)
            waiting = [peer for peer in waiting if not peer.connected]
            if now >= serviced + SERVICE_S:
                serviced = now
                self._service(now)
        return len(waiting)

    def _service(self, now: float) -> None:
        for peer in (*self.viewers, *(each.peer for each in self.publishers)):
            if peer.connected:
                peer.poll()
                peer.step(now)

    async def run(self, name: str, packets: int, pictures_per_s: float, seconds: float) -> Ran:
        """Each publisher sends pictures of so many packets; they take turns, so that not all send at once."""
        await self.server.refresh()
        self._send(packets, pictures_per_s, WARM_UP_S)
        for viewer in self.viewers:
            viewer.counters = type(viewer.counters)()
        await self.server.refresh()
        self.server.lags_s.clear()
        before, began = sum(each.packets for each in self.publishers), time.monotonic()
        cpu, waited = scheduled_s(self.server.pid)
        own = scheduled_s(os.getpid())[1]
        self._send(packets, pictures_per_s, seconds)
        cpu_after, waited_after = scheduled_s(self.server.pid)
        took = time.monotonic() - began
        own = (scheduled_s(os.getpid())[1] - own) / took
        await self.server.refresh()
        sent = sum(each.packets for each in self.publishers) - before
        got = sum(viewer.counters.packets for viewer in self.viewers)
        delays = sorted(delay for viewer in self.viewers for delay in viewer.counters.delays_s)
        return Ran(
            scene=name,
            publishers=len(self.publishers),
            viewers=len(self.viewers),
            packets_in=sent,
            packets_out=got,
            loss=round(1 - got * len(self.publishers) / max(1, sent * self.watched), 6),
            cpu_load=round((cpu_after - cpu) / took, 3),
            cpu_us_per_packet=round((cpu_after - cpu) / max(1, got) * 1e6, 2),
            delay_ms_p50=percentile(delays, 0.5),
            delay_ms_p99=percentile(delays, 0.99),
            lag_ms=round(max(self.server.lags_s, default=0.0) * 1e3, 2),
            server_waited=round((waited_after - waited) / took, 3),
            generator_waited=round(own, 3),
            disturbed=max(own, (waited_after - waited) / took) > DISTURBED_WAIT,
        )

    def _send(self, packets: int, pictures_per_s: float, seconds: float) -> None:
        interval = 1 / pictures_per_s
        due = [time.monotonic() + interval * index / len(self.publishers) for index in range(len(self.publishers))]
        end, serviced, heard, seen = time.monotonic() + seconds, 0.0, 0.0, 0
        for each in self.publishers:
            each.restart()
        sizes = (PACKET_BYTES,) * packets
        while True:
            now = time.monotonic()
            if now < end:
                heard = now
                for index, publisher in enumerate(self.publishers):
                    if now >= due[index]:
                        publisher.send_picture(sizes, interval, now)
                        due[index] += interval
            elif now > heard + QUIET_S or now > end + 3:
                return
            for viewer in self.viewers:
                viewer.poll()
            if now >= end and (got := sum(viewer.counters.packets for viewer in self.viewers)) != seen:
                seen, heard = got, now
            if now >= serviced + SERVICE_S:
                serviced = now
                self._service(now)


Result = tuple[list[Joined], list[Ran], list[Goal]]


async def joins(scene: Scene, seconds: float) -> Result:
    await scene.publish(1)
    joined = await scene.watch([tuple(scene.tracks)] * 500)
    rate = joined.viewers / joined.seconds
    found = [
        Goal("joins: of 500 that came at once", round(rate, 1), "1/s", ">= 500", rate >= JOINS_PER_S_GOAL),
        at_most("joins: failed", joined.failed, "peers", 0),
        at_most("joins: CPU each", joined.cpu_ms_each, "ms", JOIN_GOAL_MS),
        at_most("joins: RSS each, idle", joined.rss_kib_each, "KiB", RSS_GOAL_KIB),
    ]
    return [joined], [], found


async def briefing(scene: Scene, seconds: float) -> Result:
    await scene.publish(1)
    joined = await scene.watch([tuple(scene.tracks)] * 500)
    ran = await scene.run("briefing", 5, 10, seconds)
    return [joined], [ran], judged(joined, ran)


async def consultation(scene: Scene, seconds: float) -> Result:
    await scene.publish(40)
    turned = scene.tracks * 2
    others = [tuple(turned[own + 1 : own + 1 + MAX_MEDIA]) for own in range(len(scene.tracks))]
    joined = await scene.watch(others)
    ran = await scene.run("consultation", 2, 10, seconds)
    return [joined], [ran], judged(joined, ran)


async def rooms(scene: Scene, seconds: float) -> Result:
    await scene.publish(100)
    joined = await scene.watch([(track,) for track in scene.tracks for _ in range(4)])
    ran = await scene.run("rooms", 3, 10, seconds)
    return [joined], [ran], judged(joined, ran)


async def scale(scene: Scene, seconds: float) -> Result:
    await scene.publish(1)
    joined = [await scene.watch([tuple(scene.tracks)] * 50)]
    few = await scene.run("scale", 10, 4, seconds)
    joined.append(await scene.watch([tuple(scene.tracks)] * 950))
    many = await scene.run("scale", 10, 4, seconds)
    ratio = many.cpu_us_per_packet / few.cpu_us_per_packet
    within = abs(ratio - 1) <= FLAT_WITHIN
    flat = Goal("scale: a packet to 1,000 through one to 50", round(ratio, 3), "share", "1 ± 0.2", within)
    return joined, [few, many], [flat, *judged(joined[1], many)]


def judged(joined: Joined, ran: Ran) -> list[Goal]:
    name = f"{ran.scene}, {ran.viewers} viewers{' (disturbed)' if ran.disturbed else ''}"
    found = [at_most(f"{name}: failed joins", joined.failed, "peers", 0)]
    if ran.cpu_load <= HALF_LOAD:
        found += [
            at_most(f"{name}: loss", ran.loss, "share", 0),
            at_most(f"{name}: delay p99", ran.delay_ms_p99, "ms", DELAY_GOAL_MS),
            at_most(f"{name}: latest tick of the loop", ran.lag_ms, "ms", LAG_GOAL_MS),
        ]
    return found


async def measure(scenes: Sequence[str], forwarder: str, seconds: float) -> dict[str, list[Result]]:
    made: dict[str, Callable[[Scene, float], object]] = {}
    made.update(joins=joins, briefing=briefing, consultation=consultation, rooms=rooms, scale=scale)
    found: dict[str, list[Result]] = {}
    for name in scenes:
        async with running_lamproom(ADDRESS, forwarder) as server:
            scene = Scene(server)
            try:
                result = await made[name](scene, seconds)  # type: ignore[misc]
            finally:
                for peer in (*scene.viewers, *(each.peer for each in scene.publishers)):
                    peer.close()
            found.setdefault(name, []).append(result)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rooms", description="What rooms cost.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    parser.add_argument("--seconds", type=float, default=4.0, help="of media in each scene")
    parser.add_argument("--scenes", default=",".join(SCENES), help="with commas")
    parser.add_argument("--forwarder", default="native", choices=("native", "python"))
    options = parser.parse_args()
    scenes = options.scenes.split(",")
    if unknown := set(scenes) - set(SCENES):
        parser.error(f"there is no scene of the name {', '.join(sorted(unknown))}")
    gc.disable()
    load = os.getloadavg()[0]
    with contextlib.suppress(PermissionError):
        os.nice(-5)  # the server inherits it
    results = [
        each for found in asyncio.run(measure(scenes, options.forwarder, options.seconds)).values() for each in found
    ]
    goals = [goal for _, _, found in results for goal in found]
    if options.json:
        what = {"bench": "rooms", "load_average": load, "cores": os.cpu_count(), "python": sys.version.split()[0]}
        parts = {
            "joins": [asdict(each) for joined, _, _ in results for each in joined],
            "runs": [asdict(each) for _, runs, _ in results for each in runs],
            "goals": [asdict(each) for each in goals],
        }
        print(json.dumps({"what": what, **parts}, ensure_ascii=False))
        return
    print(f"load {load:.1f}, {options.forwarder}")
    for joined, runs, _ in results:
        for each in (*joined, *runs):
            print(each)
    for goal in goals:
        print(f"{'ok    ' if goal.ok else 'MISSED'} {goal.name}: {goal.value} {goal.unit} ({goal.goal})")


if __name__ == "__main__":
    main()
