"""The accelerator does what the reference does, touches only its own memory, and steps aside where it cannot."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from media import rtcp, rtp
from media.errors import NativeUnavailable, PortError
from media.forwarder import choice
from media.forwarder.choice import lacks, new_forwarder
from media.forwarder.interface import Kind, RouteSpec, SourceSpec
from media.forwarder.interface import Told as Reported
from media.forwarder.native import binding, build, selftest
from media.forwarder.native.accelerated import NativeForwarder
from media.forwarder.native.binding import Library, load
from media.forwarder.native.build import FLAGS, library_path
from media.forwarder.reference import ReferenceForwarder
from media.transport.srtp import PROFILES, SrtpPair, split_keys
from tests.fakes.forwarding import History, Player, Told, udp

pytestmark = pytest.mark.peer

ROOT = Path(__file__).parents[3]
HISTORIES = int(os.environ.get("LAMPROOM_HISTORIES", "40"))
FUZZED = int(os.environ.get("LAMPROOM_FUZZED", "12"))
SMALL_CACHE = 64


@pytest.fixture(scope="module")
def library() -> Library:
    if not library_path().exists():
        build.build(library_path())
    return load()


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with udp() as sock:
        yield sock


def reference(
    sock: socket.socket, gso: bool, clock: Callable[[], float], wall: Callable[[], float]
) -> ReferenceForwarder:
    return ReferenceForwarder(sock, cache_packets=SMALL_CACHE, gso=gso, clock=clock, wall_clock=wall)


def test_random_histories_give_the_same_packets_answers_and_counters(library: Library) -> None:
    def native(
        sock: socket.socket, gso: bool, clock: Callable[[], float], wall: Callable[[], float]
    ) -> NativeForwarder:
        return NativeForwarder(library, sock, cache_packets=SMALL_CACHE, gso=gso, clock=clock, wall_clock=wall)

    seen: dict[str, float] = {}
    for seed in range(HISTORIES):
        steps = History(seed).steps
        gso = seed % 2 == 0
        expected = Player(reference, gso=gso).play(steps, seed)
        assert_same(seed, expected, Player(native, gso=gso).play(steps, seed))
        for name, value in expected.counters.items():
            seen[name] = seen.get(name, 0) + value
    happened = ("packets_out", "packets_resent", "packets_repaired", "fast_starts", "nacks_out", "keyframes")
    dropped = ("stranger", "srtp_auth", "srtp_replay", "rtp", "muted", "late", "duplicate", "payload_type")
    assert all(seen[name] for name in happened)
    assert all(seen[f"dropped_{name}"] for name in dropped)


def assert_same(seed: int, expected: Told, got: Told) -> None:
    """In parts, so that a difference is readable."""
    assert got.counters == expected.counters, f"history {seed}"
    assert got.answers == expected.answers, f"history {seed}"
    assert got.handed == expected.handed, f"history {seed}"
    assert got.tapped == expected.tapped, f"history {seed}"
    assert {key: len(packets) for key, packets in got.out.items()} == {
        key: len(packets) for key, packets in expected.out.items()
    }, f"history {seed}"
    assert got.out == expected.out, f"history {seed}"


def test_fuzzed_datagrams_touch_no_memory_that_is_not_its_own(tmp_path: Path) -> None:
    """Address and undefined-behaviour sanitizers; what lies behind a received packet is fenced off."""
    checked = tmp_path / "checked.so"
    build.build(
        checked, (*FLAGS, "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover")
    )
    compiler = build.compiler()
    assert compiler is not None
    runtimes = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fakes.forwarding", str(checked), str(FUZZED)],
        cwd=ROOT,
        env={
            **os.environ,
            "LD_PRELOAD": " ".join(runtimes),
            "ASAN_OPTIONS": "detect_leaks=0",
            "PYTHONMALLOC": "malloc",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.startswith("fenced"), done.stdout


def test_addresses_of_ipv6_are_those_that_python_gives(library: Library) -> None:
    told = []
    for make in (ReferenceForwarder, partial(NativeForwarder, library)):
        with udp("::1") as server, udp("::1") as camera, udp("::1") as stranger:
            forwarder = make(server, cache_packets=64, gso=True)
            forwarder.open_peer(1)
            exported = bytes((1,)) * PROFILES[0].exported_bytes
            forwarder.set_keys(1, SrtpPair(split_keys(PROFILES[0], exported)))
            end = SrtpPair(split_keys(PROFILES[0], exported, server=False))
            for sender in (stranger, camera):
                sender.sendto(b"\0stun", server.getsockname())
            first, second = forwarder.pump()
            assert (first.address, second.address) == (stranger.getsockname(), camera.getsockname())
            forwarder.admit(second.address, 1)
            forwarder.set_destination(1, second.address)
            forwarder.open_source(2, 1, SourceSpec("opus", False, 48_000, 96, None, {}))
            forwarder.bind(1, 7, 2, rtx=False)
            forwarder.open_route(3, 2, 1, RouteSpec(8, 100, 9, None, {}))
            packet = rtp.pack(b"sound", payload_type=96, sequence=1, timestamp=0, ssrc=7)
            camera.sendto(end.send_session.protect(packet), server.getsockname())
            assert list(forwarder.pump()) == []
            told.append(end.receive_session.unprotect(camera.recv(2048))[12:])
            forwarder.dismiss(second.address, 1)
            camera.sendto(b"\x14dtls", server.getsockname())
            assert list(forwarder.pump()) == []
            assert forwarder.counters.dropped_stranger == 1
            forwarder.close_peer(1)
    assert told == [b"sound", b"sound"]


def test_the_default_is_the_accelerator(library: Library, sock: socket.socket) -> None:
    forwarder = new_forwarder("auto", sock, cache_packets=64, gso=True)
    assert forwarder.name == "C accelerator, libsrtp in place, sendmmsg with UDP GSO"
    assert new_forwarder("python", sock, cache_packets=64, gso=True).name.startswith("Python")


def not_there(*_: object) -> Library:
    raise NativeUnavailable("it is not there")


def test_without_it_the_code_in_python_forwards_and_the_log_says_why(
    monkeypatch: pytest.MonkeyPatch, sock: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "proven", not_there)
    assert isinstance(new_forwarder("auto", sock, cache_packets=64, gso=True), ReferenceForwarder)
    assert "it is not there" in caplog.text
    with pytest.raises(PortError, match="it is not there"):
        new_forwarder("native", sock, cache_packets=64, gso=True)


def test_an_object_that_was_not_built_or_is_of_another_source_is_refused(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NativeUnavailable, match="not built"):
        load(tmp_path / "none.so")
    (tmp_path / "broken.so").write_bytes(b"\x7fELF")
    with pytest.raises(NativeUnavailable, match="cannot be loaded"):
        load(tmp_path / "broken.so")
    path = library_path()
    monkeypatch.setattr(binding, "source_hash", lambda: "another")
    with pytest.raises(NativeUnavailable, match="another source"):
        load(path)


def test_another_libsrtp_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binding, "in_place_functions", lambda: None)
    with pytest.raises(NativeUnavailable, match="libsrtp"):
        load()


def test_one_that_forwards_wrongly_is_refused(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    selftest.prove(library)
    monkeypatch.setattr(selftest, "_PAYLOAD_TYPE", 101)
    monkeypatch.setattr(selftest, "RouteSpec", lambda ssrc, _, *rest: choice_of_route(ssrc, *rest))
    with pytest.raises(NativeUnavailable, match="self-test"):
        selftest.prove(library)


def choice_of_route(ssrc: int, rtx_ssrc: int, rtx: int | None, extensions: dict[str, int]) -> object:
    return RouteSpec(ssrc, 100, rtx_ssrc, rtx, extensions)


def test_it_has_all_that_the_interface_has() -> None:
    assert lacks(NativeForwarder) == []
    assert "pump" in lacks(object)


def test_no_compiler_is_said_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(build, "COMPILERS", ("there-is-none",))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(NativeUnavailable, match="no C compiler"):
        build.build(tmp_path / "none.so")
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(NativeUnavailable, match="failed"):
        build.build(tmp_path / "none.so", (*FLAGS, "-include", "/nowhere.h"))
    assert list(tmp_path.iterdir()) == []


def test_reports_of_a_subscriber_are_taken_but_for_the_first_under_each_ssrc(
    library: Library, sock: socket.socket
) -> None:
    """Python counts SSRCs, and hears of all that is more than a report."""
    now = 50.0
    with udp() as viewer:
        forwarder = NativeForwarder(library, sock, cache_packets=64, gso=True, clock=lambda: now)
        exported = bytes(PROFILES[0].exported_bytes)
        end = SrtpPair(split_keys(PROFILES[0], exported, server=False))
        for peer in (1, 2):
            forwarder.open_peer(peer)
        forwarder.set_keys(2, SrtpPair(split_keys(PROFILES[0], exported)))
        forwarder.admit(viewer.getsockname(), 2)
        forwarder.open_source(3, 1, SourceSpec("VP8", True, 90_000, 96, None, {}))
        forwarder.open_route(4, 3, 2, RouteSpec(77, 100, 78, None, {}))

        def handed(*packets: rtcp.Packet) -> list[Kind]:
            viewer.sendto(end.send_session.protect_rtcp(rtcp.compound(packets)), sock.getsockname())
            return [each.kind for each in forwarder.pump()]

        report = rtcp.ReceiverReport(9, (rtcp.ReportBlock(77, 64, 1, 1, 900, 0, 0),))
        assert handed(report) == [Kind.RTCP]
        assert forwarder.heard(2) == 0
        assert handed(report, rtcp.SourceDescription(((9, "me"),))) == []
        assert forwarder.heard(2) == now
        assert forwarder.told(4) == Reported(loss=0.25, jitter_s=0.01, rtt_s=None)
        assert forwarder.told(4).loss == 0
        assert handed(rtcp.ReceiverReport(10, report.reports)) == [Kind.RTCP]
        assert handed(report) == [Kind.RTCP]
        assert handed(report, rtcp.Pli(9, 77)) == [Kind.RTCP]
        assert handed(report) == []
        forwarder.close_peer(2)
        forwarder.close_peer(1)
