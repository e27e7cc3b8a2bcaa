"""What one mine's telemetry costs on this machine, in parts and as a whole.

    python tests/bench/telemetry.py [--json] [--seconds 120] [--rate 2300] [--rows 2000000] [--only PARTS]

Parts:

- `fences`: ns a point among 200 fences
- `ryss`: records of a people's file a second
- `ceiling`: positions located, stored and judged a second, in batches
- `muster`: the first list of 1,500 people, until it is on disk
- `tagday`: one tag-day at 5 s among --rows positions
- `live`: a real server and a real mosquitto at --rate messages a second for --seconds: lost messages, and the time from
  a device's clock to a client of the room. Without mosquitto it is left out.
"""

import argparse
import asyncio
import json
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analytics.fences import FenceIndex
from analytics.mine import Fence, MineFacts, Person, Quota, Zone
from analytics.plugin import Batch, Position
from analytics.telemetry.acceptance import Found, Known, Register, judge
from analytics.telemetry.minefile import Record, file_name, write
from config.settings import Settings
from server import plan
from server.alerts.service import AlertService
from server.bus.memory import MemoryBus
from server.muster.service import Musters
from server.positions import LivePositions
from server.registry.forms import Fact
from server.registry.service import Registry
from server.rules import Rules
from server.store.database import Database, sqlite_url
from server.store.sites import SiteTree
from server.telemetry import TelemetryIngest
from signaling.room import messages as m
from tests.fakes.broker import MOSQUITTO, mosquitto
from tests.fakes.instance import Instance
from tests.fakes.roomclient import RoomClient

SITE = "hongqi"
PEOPLE = 1500
FENCES = 200
CELL_M = 60.0
SIDE = 20
BATCH = 2000
DAY_S = 86_400.0
PERIOD_S = 5.0
SOS_EVERY_S = 1.0
PING_S = 2.0
UNDER_WAY = 400
"""Messages that the broker has not acknowledged; it closes on a client that sends more than it takes at once."""

Figures = dict[str, float]
GOALS: tuple[tuple[str, str, float, str], ...] = (
    ("fence_ns_per_point", "ns", 5000.0, "at_most"),
    ("ryss_records_per_s", "1/s", 10_000.0, "at_least"),
    ("positions_per_s", "1/s", 50_000.0, "at_least"),
    ("muster_s", "s", 1.0, "at_most"),
    ("tag_day_ms", "ms", 200.0, "at_most"),
    ("live_lost", "messages", 0.0, "at_most"),
    ("live_p99_ms", "ms", 1000.0, "at_most"),
    ("alert_p99_ms", "ms", 2000.0, "at_most"),
)


def zones() -> list[Zone]:
    """A field of polygons that fill most of the mine."""
    draw = random.Random(5)
    made: list[Zone] = []
    for number in range(FENCES):
        x, y = (number % SIDE + 0.5) * CELL_M, (number // SIDE + 0.5) * CELL_M
        count = draw.randint(4, 12)
        corners = [
            (x + math.cos(2 * math.pi * n / count) * CELL_M * draw.uniform(0.42, 0.6),
             y + math.sin(2 * math.pi * n / count) * CELL_M * draw.uniform(0.42, 0.6))
            for n in range(count)
        ]  # fmt: skip
        made.append(Zone(f"z{number}", Fence(tuple(corners)), kind="work", gathering_ok=True))
    return made


def known_mine() -> dict[str, list[Fact]]:
    """200 zones, 50 quotas, 1,500 people."""
    return {
        "zones": [*zones()],
        "quotas": [Quota(f"q{n}", 400, f"z{n}") for n in range(50)],
        "people": [Person(f"P{n:04d}", "采煤工", shift="a") for n in range(PEOPLE)],
    }


class Walk:
    """Everybody walks about."""

    def __init__(self, people: int = PEOPLE) -> None:
        self._draw = random.Random(7)
        self._width, self._height = SIDE * CELL_M, FENCES // SIDE * CELL_M
        self.places = [[self._draw.uniform(0, self._width), self._draw.uniform(0, self._height)] for _ in range(people)]

    def step(self, n: int) -> tuple[float, float]:
        place = self.places[n]
        place[0] = min(self._width, max(0.0, place[0] + self._draw.uniform(-0.4, 0.4)))
        place[1] = min(self._height, max(0.0, place[1] + self._draw.uniform(-0.4, 0.4)))
        return place[0], place[1]

    def batch(self, at: float, seq: int) -> list[Position]:
        return [
            Position(SITE, f"P{n:04d}", "person", *self.step(n), -400.0, "", at, at, seq)
            for n in range(len(self.places))
        ]  # fmt: skip


async def nothing() -> None:
    pass


# --- parts ---


async def fences(_given: argparse.Namespace) -> Figures:
    index = FenceIndex(MineFacts(SITE, 1, zones={one.zone: one for one in zones()}))
    draw = random.Random(1)
    points = [(draw.uniform(0, SIDE * CELL_M), draw.uniform(0, FENCES // SIDE * CELL_M)) for _ in range(200_000)]
    hits = 0
    started = time.perf_counter()
    for x, y in points:
        hits += index.zone_at(x, y, -400.0) != ""
    passed = time.perf_counter() - started
    return {"fence_ns_per_point": passed / len(points) * 1e9, "fence_hit_share": hits / len(points)}


async def ryss(_given: argparse.Namespace) -> Figures:
    mine, at = "140100000001", 1_790_000_000.0
    records: list[Record] = [
        {
            "card": f"{mine}{n:05d}", "name": "张三", "flag": "1", "in_time": "2026-09-21 20:00:00",
            "area": f"{mine}0001", "area_in_time": "2026-09-21 20:40:00", "station": f"{mine}0001000001",
            "station_in_time": "2026-09-21 21:00:00", "shift": "三八制", "distance_m": "-12.40", "status": "正常",
            "is_leader": "0", "is_special": "1", "track": f"{mine}0001000001&2026-09-21 21:00:00",
        }
        for n in range(PEOPLE)
    ]  # fmt: skip
    text = write("RYSS", mine, "矿", at, records)
    found = Found(file_name(mine, "RYSS", at), mine, text, "0", 0.0)
    took = []
    for _ in range(5):
        started = time.perf_counter()
        judged = judge(found, Known(), sites={mine: SITE}, register={mine: Register()}, devices={}, now=at)
        took.append(time.perf_counter() - started)
        assert judged.status == "DONE", judged
    return {"ryss_records_per_s": PEOPLE / statistics.median(took), "ryss_bytes": float(len(text.encode()))}


class Mine:
    """A registry, positions and rules over one SQLite file, without a server around them."""

    def __init__(self, database: Database, tree: SiteTree, registry: Registry) -> None:
        bus = MemoryBus()
        self.database, self.tree, self.registry = database, tree, registry
        self.live = LivePositions(registry.facts)
        self.ingest = TelemetryIngest(database, tree, bus, live=self.live)
        alerts = AlertService(database, tree, bus)
        self.rules = Rules(Settings(), tree, alerts, facts=registry.facts)

    @classmethod
    async def made(cls, database: Database) -> "Mine":
        tree = await SiteTree.load(database)
        await tree.add(SITE, None, "mine", "矿", "Mine")
        registry = await Registry.load(database, tree, MemoryBus())
        await registry.change(SITE, known_mine(), by="")
        return cls(database, tree, registry)


async def ceiling(_given: argparse.Namespace) -> Figures:
    """Batches of 2,000, one second of the mine each, as fast as they go: without rules, then with them."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        async with Database.open(sqlite_url(Path(folder))) as database:
            mine = await Mine.made(database)
            walk, at = Walk(BATCH), time.time() - 1000.0
            batches = [Batch((), walk.batch(at + n, n), nothing) for n in range(60)]
            await mine.ingest.store(batches[0])
            for name, some, ruled in (("stored_per_s", batches[1:30], False), ("positions_per_s", batches[30:], True)):
                task = None
                if ruled:
                    mine.ingest.on_positions = mine.rules.located
                    task = asyncio.ensure_future(mine.rules.run())
                started = time.perf_counter()
                for one in some:
                    await mine.ingest.store(one)
                while ruled and mine.rules._waiting:
                    await asyncio.sleep(0.005)
                figures[name] = len(some) * BATCH / (time.perf_counter() - started)
                if task is not None:
                    figures["rules_dropped"] = float(mine.rules.dropped)
                    task.cancel()
                    await asyncio.wait([task])
    return figures


async def muster(_given: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory() as folder:
        async with Database.open(sqlite_url(Path(folder))) as database:
            mine = await Mine.made(database)
            await mine.ingest.store(Batch((), Walk().batch(time.time(), 1), nothing))
            musters = Musters(database, mine.tree, MemoryBus(), mine.live, mine.registry.facts)
            took = []
            for _ in range(5):
                started = time.perf_counter()
                one = await musters.start(SITE, "u")
                took.append(time.perf_counter() - started)
                assert len(one.members) == PEOPLE
                ticks = time.perf_counter()
                await musters.tick(one)
                tick = time.perf_counter() - ticks
                await musters.end(one.muster, "u", reason="bench")
    return {"muster_s": max(took), "muster_median_s": statistics.median(took), "muster_tick_s": tick}


async def tagday(given: argparse.Namespace) -> Figures:
    """Every tag has its days at 5 s; the whole of one tag's middle day is asked for."""
    each = int(DAY_S / PERIOD_S)
    tags = max(3, given.rows // each)
    start = 1_790_000_000.0
    with tempfile.TemporaryDirectory() as folder:
        async with Database.open(sqlite_url(Path(folder))) as database:
            tree = await SiteTree.load(database)
            await tree.add(SITE, None, "mine", "矿", "Mine")
            filled = time.perf_counter()
            for tag in range(tags):
                rows = [
                    (SITE, f"P{tag:05d}", start + n * PERIOD_S, n, "person", n % 500 * 1.0, 5.0, -400.0,
                     f"z{n // 700}", "", start, False, "")
                    for n in range(each)
                ]  # fmt: skip
                async with database.transaction() as connection:
                    marks = ", ".join("?" * 13)
                    await connection.exec_driver_sql(
                        "INSERT INTO positions (site, tag, source_at, seq, kind, x_m, y_m, z_m, zone, label, "
                        f"received_at, simulated, presence) VALUES ({marks})",
                        rows,
                    )
            filled = time.perf_counter() - filled
            took = []
            for turn in range(7):
                asked_for = f"P{(turn * 7919 + tags // 2) % tags:05d}"
                asked = time.perf_counter()
                found, whole = await plan.tracks(database, SITE, [asked_for], start, start + DAY_S, 10.0)
                took.append(time.perf_counter() - asked)
                assert whole
                assert len(found["features"]) == 1
            size = await asyncio.to_thread(_size, Path(folder))
    return {
        "tag_day_ms": statistics.median(took) * 1000, "tag_day_worst_ms": max(took) * 1000,
        "tag_day_rows": float(each), "rows": float(tags * each), "bytes_per_row": size / (tags * each),
        "fill_rows_per_s": tags * each / filled,
    }  # fmt: skip


def _size(folder: Path) -> int:
    return sum(one.stat().st_size for one in folder.iterdir())


async def live(given: argparse.Namespace) -> Figures:
    """One message a position, over MQTT at QoS 1, to a server of its own process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        quick = ("max_inflight_messages 1000", "autosave_on_changes false", "autosave_interval 300")
        async with mosquitto(folder, *quick) as broker:
            async with Instance(folder, mqtt={"host": broker.host, "port": broker.port}) as server:
                return await _under_load(server, broker.port, given.rate, given.seconds)


async def _under_load(server: Instance, port: int, rate: int, seconds: float) -> Figures:
    http = await server.session("admin")
    rows = known_mine()
    for kind, facts in rows.items():
        from server.registry.exchange import write_csv

        path = f"/api/registry/import?site={SITE}&format=csv&kind={kind}"
        async with http.post(path, data=write_csv(kind, facts).encode()) as answer:
            body = await answer.json()
            assert body["done"], body["mistakes"][:3]
    client = await RoomClient(await server.session("dispatcher")).connect(f"site:{SITE}")
    await client.hear(m.Joined)
    watch = _Watch(client)
    watching = asyncio.ensure_future(watch.run())
    sent = await _publish(port, rate, seconds)
    for _ in range(240):  # what waits in the broker and in the server
        counted = await _count(server)
        if counted >= sent["positions"]:
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(3.0)
    watching.cancel()
    await asyncio.wait([watching])
    cpu, closed = _cpu_s(server.pid), float(client.close_code or 0)
    await client.http.close()
    await http.close()
    seen, heard = sorted(watch.position_s), sorted(watch.alert_s)
    return {
        "live_sent": float(sent["positions"]), "live_lost": float(sent["positions"] - counted),
        "live_rate": sent["positions"] / sent["seconds"], "live_seconds": sent["seconds"],
        "live_seen": float(len(seen)), "live_client_closed": closed,
        "live_p50_ms": _at(seen, 0.5) * 1000, "live_p99_ms": _at(seen, 0.99) * 1000,
        "alerts_expected": float(sent["calls"]), "alerts_seen": float(len(heard)),
        "alert_p50_ms": _at(heard, 0.5) * 1000, "alert_p99_ms": _at(heard, 0.99) * 1000,
        "server_cpu_share": cpu / sent["seconds"],
    }  # fmt: skip


def _at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else math.inf


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Watch:
    """When a client of the room hears of positions and of calls for help."""

    def __init__(self, client: RoomClient) -> None:
        self._client = client
        self.position_s: list[float] = []
        self.alert_s: list[float] = []

    async def run(self) -> None:
        heard = self._client.heard
        done, pinged = len(heard), 0.0
        while True:
            await asyncio.sleep(0.005)
            now = time.time()
            if now - pinged > PING_S and self._client.close_code is None:
                await self._client.send(m.Ping())
                pinged = now
            for one in heard[done:]:
                if isinstance(one, m.Live) and one.kind in ("position", "positions"):
                    items: Any = one.body["items"] if one.kind == "positions" else [one.body]
                    self.position_s += [now - item["source_at"] for item in items]
                elif isinstance(one, m.Event) and one.kind == "alert" and one.body.get("rule") == "sos":
                    if one.body.get("change") == "raised":
                        self.alert_s.append(now - float(str(one.body["opened_at"])))
            done = len(heard)


class _Publisher:
    """MQTT 3.1.1 at QoS 1 and nothing more: the load must cost less than what it loads."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._number = 0
        self.acknowledged = 0

    @classmethod
    async def connect(cls, port: int) -> "_Publisher":
        one = cls(*await asyncio.open_connection("127.0.0.1", port))
        name = b"bench-publisher"
        variable = b"\x00\x04MQTT\x04\x02\x00\x00" + len(name).to_bytes(2, "big") + name
        one._writer.write(b"\x10" + _length(len(variable)) + variable)
        assert await one._reader.readexactly(4) == b"\x20\x02\x00\x00"
        return one

    def publish(self, topic: str, body: object) -> None:
        raw, about = json.dumps(body).encode(), topic.encode()
        self._number = self._number % 65_535 + 1
        variable = len(about).to_bytes(2, "big") + about + self._number.to_bytes(2, "big") + raw
        self._writer.write(b"\x32" + _length(len(variable)) + variable)

    async def drain(self) -> None:
        await self._writer.drain()

    async def acknowledgements(self) -> None:
        while True:
            head = await self._reader.readexactly(4)
            assert head[0] == 0x40, head
            self.acknowledged += 1

    def close(self) -> None:
        self._writer.close()


def _length(number: int) -> bytes:
    low, high = number % 128, number // 128
    return bytes([low | 0x80, high]) if high else bytes([low])


async def _publish(port: int, rate: int, seconds: float) -> dict[str, float]:
    walk, sent, calls = Walk(), 0, 0
    one = await _Publisher.connect(port)
    answers = asyncio.ensure_future(one.acknowledgements())
    started = time.time()
    next_call = started + 2.0
    while (passed := time.time() - started) < seconds:
        while sent < passed * rate:
            n = sent % PEOPLE
            x, y = walk.step(n)
            body = {"ts": time.time(), "seq": sent, "kind": "person", "x": x, "y": y, "z": -400.0}
            one.publish(f"lamproom/v1/{SITE}/tag/P{n:04d}/event", body)
            sent += 1
            if sent % 20 == 0:
                await one.drain()
            while sent + calls - one.acknowledged > UNDER_WAY and time.time() - started < seconds:
                await asyncio.sleep(0.001)
        if time.time() >= next_call:
            body = {"ts": time.time(), "seq": calls, "values": {"sos": 1.0}}
            one.publish(f"lamproom/v1/{SITE}/power/P{calls:04d}/event", body)
            calls, next_call = calls + 1, next_call + SOS_EVERY_S
        await one.drain()
        await asyncio.sleep(0.002)
    took = time.time() - started
    async with asyncio.timeout(60):
        while one.acknowledged < sent + calls:
            await asyncio.sleep(0.01)
    answers.cancel()
    await asyncio.wait([answers])
    one.close()
    return {"positions": float(sent), "calls": float(calls), "seconds": took}


async def _count(server: Instance) -> float:
    from sqlalchemy import func, select

    from server.store.tables import positions

    async with Database.open(sqlite_url(server.settings.server.data_dir), as_it_is=True) as database:
        async with database.reading() as connection:
            return float(await connection.scalar(select(func.count()).select_from(positions)) or 0)


PARTS: dict[str, Callable[[argparse.Namespace], Awaitable[Figures]]] = {
    "fences": fences, "ryss": ryss, "ceiling": ceiling, "muster": muster, "tagday": tagday, "live": live,
}  # fmt: skip


async def measure(given: argparse.Namespace) -> Figures:
    figures: Figures = {}
    for name in given.only.split(",") if given.only else PARTS:
        if name == "live" and not os.access(MOSQUITTO, os.X_OK):
            print("live: no mosquitto on this machine", file=sys.stderr)
            continue
        figures |= await PARTS[name](given)
        print(f"{name}: done", file=sys.stderr)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rate", type=int, default=2300, help="messages a second of `live`")
    parser.add_argument("--rows", type=int, default=2_000_000, help="positions of `tagday`, up to 100000000")
    parser.add_argument("--only", default="", help="parts by commas")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    figures = {name: round(value, 3) for name, value in asyncio.run(measure(given)).items()}
    goals = [
        {"name": name, "value": figures[name], "unit": unit, "goal": goal,
         "ok": figures[name] <= goal if how == "at_most" else figures[name] >= goal}
        for name, unit, goal, how in GOALS if name in figures
    ]  # fmt: skip
    run = {
        "bench": "telemetry", "python": platform.python_version(), "machine": platform.machine(),
        "cpus": os.cpu_count(), "load_before": round(load, 2), "load_after": round(os.getloadavg()[0], 2),
        "batch": BATCH, "people": PEOPLE, "fences": FENCES,
    }  # fmt: skip
    if given.json:
        print(json.dumps({"run": run, "figures": figures, "goals": goals}, ensure_ascii=False, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:24} {value:16,.3f}")
    for goal in goals:
        verdict = "met   " if goal["ok"] else "MISSED"
        print(f"{verdict} {goal['name']} {goal['value']:,} ({goal['unit']}, goal {goal['goal']:,})")


if __name__ == "__main__":
    main()
