"""Who may import whom. The table is the architecture; change it on purpose."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "media": {"config"},
    "analytics": {"config", "media"},
    "signaling": {"config", "media"},
    "web": {"config"},
    "server": {"config", "media", "analytics", "signaling", "web"},
}

SANS_IO = [
    "analytics/decoders.py",
    "analytics/fences.py",
    "analytics/mine.py",
    "analytics/providers.py",
    "analytics/rules",
    "analytics/simulation",
    "analytics/telemetry/acceptance.py",
    "analytics/telemetry/links.py",
    "analytics/telemetry/modbusprofile.py",
    "analytics/telemetry/omlox.py",
    "analytics/telemetry/sparkplug.py",
    "analytics/telemetry/quality.py",
    "analytics/ways.py",
    "media/allocator.py",
    "media/bandwidth.py",
    "media/codecmatch.py",
    "media/depacketize.py",
    "media/forwarder/reports.py",
    "media/forwarder/shaping.py",
    "media/ingest/address.py",
    "media/ingest/messages.py",
    "media/ingest/onvif.py",
    "media/ingest/patience.py",
    "media/ingest/timeline.py",
    "media/keyframes.py",
    "media/layers.py",
    "media/negotiation.py",
    "media/pacing.py",
    "media/packetcache.py",
    "media/probing.py",
    "media/packetize.py",
    "media/phone/audio.py",
    "media/phone/clock.py",
    "media/phone/codecs.py",
    "media/phone/conceal.py",
    "media/phone/description.py",
    "media/phone/dtmf.py",
    "media/phone/g711.py",
    "media/phone/jitter.py",
    "media/phone/messages.py",
    "media/phone/mixer.py",
    "media/phone/mediasection.py",
    "media/phone/pictures.py",
    "media/phone/player.py",
    "media/phone/playout.py",
    "media/phone/portpool.py",
    "media/phone/publishing.py",
    "media/phone/receiver.py",
    "media/phone/roomtrack.py",
    "media/phone/sdes.py",
    "media/phone/sender.py",
    "media/phone/sourcelock.py",
    "media/phone/tones.py",
    "media/phone/videodescription.py",
    "media/record/formats.py",
    "media/record/matroska.py",
    "media/record/messages.py",
    "media/reorder.py",
    "media/router.py",
    "server/system/forecast.py",
    "media/rtcp.py",
    "media/rtp.py",
    "media/scalability.py",
    "media/sdp.py",
    "media/sdpmedia.py",
    "media/sdptransport.py",
    "media/subscribing.py",
    "media/speaker.py",
    "media/tap.py",
    "media/transport/icelite.py",
    "media/transportcc.py",
    "media/trendline.py",
    "media/transport/stun.py",
    "server/alerts/machine.py",
    "server/diagnosis.py",
    "server/muster/machine.py",
    "server/muster/progress.py",
    "server/registry/checks.py",
    "server/registry/feed.py",
    "server/registry/forms.py",
    "server/registry/masking.py",
    "server/duty/chains.py",
    "server/duty/challenge.py",
    "server/duty/contacts.py",
    "server/duty/drill.py",
    "server/duty/escalation.py",
    "server/duty/handover.py",
    "server/duty/rota.py",
    "server/duty/spotcheck.py",
    "server/duty/storm.py",
    "server/duty/webhook.py",
    "server/hazards/machine.py",
    "server/report/after.py",
    "server/report/words.py",
    "server/sessions/floor.py",
    "server/phones/gate.py",
    "server/phones/goals.py",
    "server/phones/pace.py",
    "server/phones/pins.py",
    "server/phones/rules.py",
    "server/phones/trace.py",
    "server/sessions/machine.py",
    "server/uplink/records.py",
    "signaling/room/messages.py",
    "signaling/room/problems.py",
    "signaling/sip/address.py",
    "signaling/sip/admission.py",
    "signaling/sip/call.py",
    "signaling/sip/callbodies.py",
    "signaling/sip/callcore.py",
    "signaling/sip/called.py",
    "signaling/sip/callevents.py",
    "signaling/sip/calling.py",
    "signaling/sip/dialog.py",
    "signaling/sip/digest.py",
    "signaling/sip/errors.py",
    "signaling/sip/gate.py",
    "signaling/sip/grammar.py",
    "signaling/sip/headers.py",
    "signaling/sip/keepalive.py",
    "signaling/sip/message.py",
    "signaling/sip/offeranswer.py",
    "signaling/sip/registrar.py",
    "signaling/sip/registration.py",
    "signaling/sip/reliable.py",
    "signaling/sip/service.py",
    "signaling/sip/sessiontimer.py",
    "signaling/sip/stream.py",
    "signaling/sip/transaction.py",
    "signaling/sip/transactionlayer.py",
    "signaling/sip/uri.py",
    "signaling/sip/useragent.py",
    "signaling/sip/via.py",
    "signaling/whip",
]
"""Protocol and rule code: bytes, events and `now` in, bytes, events and the next deadline out."""

IO_MODULES = {"asyncio", "socket", "ssl", "threading", "aiohttp", "time", "datetime"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_imports_only_downwards(package: str) -> None:
    ours = set(MAY_IMPORT)
    for path in sorted((ROOT / package).rglob("*.py")):
        wrong = (imported(path) & ours) - MAY_IMPORT[package] - {package}
        assert not wrong, f"{path.relative_to(ROOT)} may not import {sorted(wrong)}"


def sans_io_files() -> list[Path]:
    found: list[Path] = []
    for name in SANS_IO:
        path = ROOT / name
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path] if path.exists() else []
    return found


@pytest.mark.parametrize("path", sans_io_files(), ids=str)
def test_protocol_core_does_no_io(path: Path) -> None:
    assert not imported(path) & IO_MODULES


def test_every_package_is_in_the_table() -> None:
    packages = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages == set(MAY_IMPORT)
