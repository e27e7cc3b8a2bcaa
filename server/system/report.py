"""Everything that is known of how this server does, as one object for the page, the API and the support bundle."""

import asyncio
import os
import platform
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from sqlalchemy import func, select, text

from config import VERSION
from config.sensitive import without_credentials
from config.settings import Settings
from server import tls
from server.auditcheck import AuditCheck
from server.bus import Bus
from server.bus.redis import RedisBus
from server.conductor import Conductor
from server.diagnosis import Words
from server.ingest import Card, Ingest
from server.media import MediaClient
from server.mediapool import MediaPool
from server.phonemedia import PhoneMedia
from server.recording import Recordings
from server.sources import Sources
from server.store.chain import CHECKPOINT
from server.store.database import Database
from server.store.sites import SiteTree
from server.store.tables import audit as audit_rows
from server.supervise import Health
from server.system.machine import clock_facts, folder_of, process_facts
from server.system.watch import SystemWatch
from server.telemetry import TelemetryIngest
from server.uplink.quality import DataQuality
from server.uplink.service import Uplinks
from server.vision import VisionWorker

DAY_S = 86400.0
SOON_DAYS = 30
CLOSE_TO_FULL_S = 3 * DAY_S


@dataclass(frozen=True, slots=True)
class SystemParts:
    """The parts that are asked."""

    settings: Settings
    watch: SystemWatch
    health: Health
    database: Database
    tree: SiteTree
    bus: Bus
    conductor: Conductor
    media: MediaClient | MediaPool
    vision: VisionWorker
    recordings: Recordings
    ingest: Ingest
    phones: PhoneMedia | None
    """None where they are not enabled."""
    telemetry: TelemetryIngest
    sources: Sources
    uplinks: Uplinks
    quality: DataQuality
    audit_check: AuditCheck


async def facts(parts: SystemParts) -> dict[str, Any]:
    """As `GET /api/system` answers."""
    disks, certificates, processes = await asyncio.gather(
        asyncio.to_thread(_disks, parts), asyncio.to_thread(_certificates, parts.settings),
        asyncio.to_thread(_processes, parts, _workers(parts)),
    )  # fmt: skip
    clock = clock_facts()
    return {
        "at": time.time(),
        "version": VERSION,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.release()}, {os.cpu_count()} CPU",
        "started_at": parts.watch.started_at,
        "simulated": parts.settings.server.simulated,
        "processes": processes,
        "failing": [{"unit": unit, "why": why[:300]} for unit, why in sorted(parts.health.failing.items())],
        "queues": _queues(parts),
        "disks": disks,
        "store": await _store(parts),
        "links": await _links(parts),
        **_cameras(parts.ingest),
        "mines": _mines(parts),
        "certificates": certificates,
        "clock": {"synchronised": clock.synchronised, "error_s": clock.error_s},
        "checkpoint_at": await _checkpoint(parts.database),
        "chain": _chain(parts.audit_check),
    }


# --- processes ------------------------------------------------------------------------------------------------------


def _workers(parts: SystemParts) -> list[tuple[str, int | None, int]]:
    """Name, process id (None: wanted and not there) and restarts of each process that should run."""
    restarts = parts.health.restarts
    found: list[tuple[str, int | None, int]] = [("server", os.getpid(), 0)]
    if isinstance(parts.media, MediaPool):
        for number, worker in enumerate(parts.media.workers, 1):
            found.append((f"media{number}", worker.pid, restarts.get(f"media{number}", 0)))
    else:
        found.append(("media", parts.media.pid, restarts.get("media", 0)))
    found.append(("recorder", parts.recordings.pid, restarts.get("recorder", 0)))
    if parts.settings.analytics.posts:
        found.append(("vision", parts.vision.pid, restarts.get("vision", 0) + parts.vision.restarts))
    if parts.ingest.states:
        found.append(("ingest", parts.ingest.pid, restarts.get("ingest", 0)))
    if parts.phones is not None:
        found.append(("phone_media", parts.phones.pid, restarts.get("phone_media", 0)))
    return found


def _processes(parts: SystemParts, workers: list[tuple[str, int | None, int]]) -> list[dict[str, Any]]:
    found = []
    for name, pid, restarts in workers:
        known = process_facts(pid) if pid is not None else None
        found.append({
            "name": name, "pid": pid if known else None, "restarts": restarts,
            "up_s": known.up_s if known else None, "memory_bytes": known.memory_bytes if known else None,
            "cpu_s": known.cpu_s if known else None, "files": known.files if known else None,
        })  # fmt: skip
    return found


# --- queues ---------------------------------------------------------------------------------------------------------


def _queues(parts: SystemParts) -> list[dict[str, Any]]:
    """`value` is how much waits now; `dropped` what was lost since the start. None where the word does not fit."""
    clients = list(parts.conductor.clients.values())
    longest = max((len(one.connection.outbox) for one in clients if one.connection is not None), default=0)
    kinds = Counter(client.kind for client in clients)
    found: list[dict[str, Any]] = [
        {"queue": "clients", "value": sum(kinds.values()), "dropped": None},
        {"queue": "sockets", "value": longest, "dropped": None},
        {"queue": "notes", "value": None, "dropped": parts.conductor.dropped_notes},
        {"queue": "telemetry", "value": None, "dropped": parts.telemetry.counts.rejected},
        {"queue": "late", "value": parts.telemetry.counts.late, "dropped": None},
        {"queue": "loop_lag_ms", "value": round(parts.watch.worst_lag_s * 1000), "dropped": None},
    ]
    if (beat := parts.media.beat) is not None:
        lost = sum(value for name, value in beat.counters.items() if name.startswith("dropped"))
        found += [
            {"queue": "media_lag_ms", "value": round(beat.loop_lag_s * 1000), "dropped": None},
            {"queue": "media_packets", "value": None, "dropped": round(lost)},
        ]
    if parts.recordings.beat is not None:
        value, lost = parts.recordings.beat.recordings, parts.recordings.beat.dropped
        found.append({"queue": "recordings", "value": value, "dropped": lost})
    if parts.phones is not None and parts.phones.beat is not None:
        found.append({"queue": "calls", "value": parts.phones.beat.legs, "dropped": parts.phones.beat.skipped_ticks})
    if isinstance(parts.bus, RedisBus):
        found.append({"queue": "bus", "value": None, "dropped": parts.bus.dropped})
    return found


# --- disks, store ---------------------------------------------------------------------------------------------------


def _disks(parts: SystemParts) -> list[dict[str, Any]]:
    found = []
    for name, path in parts.watch.folders.items():
        usage = shutil.disk_usage(folder_of(path))
        full_in = parts.watch.full_in_s(name, usage.free)
        found.append({
            "name": name, "path": str(path), "total_bytes": usage.total, "free_bytes": usage.free, "full_in_s": full_in,
            "state": _disk_state(parts.settings, usage.free, full_in),
        })  # fmt: skip
    return found


def _disk_state(settings: Settings, free: int, full_in_s: float | None) -> str:
    if free < settings.recording.session_free_mb * 1e6:
        return "bad"
    near = full_in_s is not None and full_in_s < CLOSE_TO_FULL_S
    return "warn" if near or free < settings.recording.routine_free_mb * 1e6 else "ok"


async def _store(parts: SystemParts) -> dict[str, Any]:
    database = parts.database
    where = without_credentials(database.location)
    if database.dialect == "postgresql":
        async with database.reading() as connection:
            size = int(await connection.scalar(text("SELECT pg_database_size(current_database())")) or 0)
        return {"kind": "postgresql", "where": where, "size_bytes": size}
    path = Path(database.location.partition(":///")[2])
    return {"kind": "sqlite", "where": str(path), "size_bytes": await asyncio.to_thread(_file_bytes, path)}


def _file_bytes(path: Path) -> int:
    """With what SQLite has not put into the main file yet."""
    both = (path, path.with_name(f"{path.name}-wal"))
    return sum(one.stat().st_size for one in both if one.exists())


# --- links ----------------------------------------------------------------------------------------------------------


async def _links(parts: SystemParts) -> list[dict[str, Any]]:
    found = []
    if isinstance(parts.bus, RedisBus):
        why = "; ".join(f"{what}: {reason}" for what, reason in parts.bus.failing.items())
        found.append(_link("redis", parts.bus.up, None, why))
    for source, _, links in parts.sources.counted():
        for link in links or ():
            name = source if source == "mqtt" else f"{source} {link.name}"
            found.append(_link(name, link.up, link.since, link.reason))
    for uplink in parts.uplinks.all:
        ledger = await uplink.outbox.ledger()
        waits = ledger["waiting_since"]
        behind = waits is not None and time.time() - waits > 2 * uplink.settings.status_interval_s
        why = f"{ledger['waiting']} · {uplink.last_answer}" if behind else uplink.last_answer
        found.append(_link(f"uplink {uplink.settings.name}", not behind, waits if behind else None, why))
    return found


def _link(name: str, up: bool, since: float | None, why: str) -> dict[str, Any]:
    return {"link": name, "up": up, "since": since, "why": why[:300]}


def _cameras(ingest: Ingest) -> dict[str, Any]:
    cards = ingest.cards(ingest.sites)
    down = [one for one in cards if any(step.light == "failed" for step in one.steps)]
    return {"cameras": len(cards), "cameras_down": [_camera(one) for one in down]}


def _camera(card: Card) -> dict[str, Any]:
    summary: Words = card.summary
    return {"site": card.site, "name": card.name, "since": card.since, "summary": summary}


def _mines(parts: SystemParts) -> list[dict[str, Any]]:
    """Mines that owe data, and how good they are."""
    found = []
    for site in parts.tree:
        if parts.tree.level(site) != "mine":
            continue
        mine = parts.quality.of(site)["mine"]
        if isinstance(mine, dict):
            found.append({"site": site, "score": mine["score"], "completeness": mine["completeness"]})
    return found


# --- certificates, chain --------------------------------------------------------------------------------------------


def _certificates(settings: Settings) -> list[dict[str, Any]]:
    secrets = settings.server.data_dir / "secrets" / "server.crt"
    path = settings.server.tls_certificate if settings.server.tls == "files" else secrets
    used = tls.wants_tls(settings.server) or (settings.phones.enabled and settings.phones.tls_port is not None)
    if path is None or not used:
        return []
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        return [{"name": str(path), "until": None, "days": None, "state": "bad", "why": str(error)[:200]}]
    until = found.not_valid_after_utc.timestamp()
    days = int((until - time.time()) // DAY_S)
    state = "bad" if days < 0 else "warn" if days < SOON_DAYS else "ok"
    return [{"name": str(path), "until": until, "days": days, "state": state, "why": ""}]


async def _checkpoint(database: Database) -> float | None:
    async with database.reading() as connection:
        found = await connection.scalar(select(func.max(audit_rows.c.at)).where(audit_rows.c.action == CHECKPOINT))
    return float(found) if found is not None else None


def _chain(check: AuditCheck) -> dict[str, Any] | None:
    newest = check.newest
    return None if newest is None else {"at": newest.at, "holds": bool(newest.report["holds"])}


def packages() -> str:
    """What is installed, a line each."""
    from importlib.metadata import distributions

    found = sorted({f"{one.name} {one.version}" for one in distributions()})
    return "\n".join([f"python {sys.version}", *found]) + "\n"
