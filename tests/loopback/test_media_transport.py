"""A whole worker and peers made by hand: how peers come, move and go."""

import contextlib
import time

import pylibsrtp
import pytest

from media import exchange, rtcp
from media.messages import (
    Accept,
    Close,
    Command,
    Mute,
    PeerState,
    Play,
    Publish,
    Refused,
    Subscribe,
    Tap,
)
from tests.fakes.mediaserver import running_worker
from tests.fakes.rawpeer import RawPeer, connected_publisher, connected_subscriber, vp8

WRONG = ":".join(["AB"] * 32)


def send_frames(camera: RawPeer, first: int, count: int, *, ssrc: int = 77) -> None:
    for number in range(first, first + count):
        camera.send_media(number, vp8(number == first), ssrc=ssrc, timestamp=number * 3000)


async def test_a_wrong_fingerprint_closes_with_that_reason() -> None:
    async with running_worker() as (link, _):
        liar = RawPeer(link, "liar", fingerprint=WRONG)
        await liar.publish(liar.offer())
        start = time.monotonic()
        await liar.connect()
        closed = await link.peer("liar", "closed", timeout_s=1)
        assert closed.reason == "fingerprint_mismatch"
        assert time.monotonic() - start < 1
        await liar.listen(0.1)
        assert liar.closed_by_server


async def test_a_wrong_fingerprint_told_after_the_handshake_closes_too() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        liar = RawPeer(link, "liar", fingerprint=WRONG)
        offer = await liar.get_offer("camera/0")
        await liar.connect()
        send_frames(camera, 0, 3)
        await liar.accept(offer)
        assert (await link.peer("liar", "closed", timeout_s=1)).reason == "fingerprint_mismatch"
        send_frames(camera, 3, 3)
        await liar.listen(0.1)
        assert liar.received == []


async def test_packets_follow_a_subscriber_to_a_new_port() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        send_frames(camera, 0, 3)
        await viewer.until(3)
        viewer.move()
        await viewer.check()
        camera.send_media(3, vp8(False), ssrc=77)
        await viewer.until(4)
        assert viewer.received[3].sequence == viewer.received[2].sequence + 1


async def test_a_check_that_does_not_nominate_leaves_packets_where_they_go() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        home = viewer.socket
        viewer.socket = viewer._new_socket()
        await viewer.check(nominate=False)
        viewer.socket.close()
        viewer.socket = home
        send_frames(camera, 0, 2)
        await viewer.until(2)


async def test_a_publisher_restarts_ice_and_moves() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        send_frames(camera, 0, 2)
        before = camera.theirs
        camera.restart_ice()
        camera.move()
        await camera.publish(camera.offer(ssrc=77))
        assert camera.theirs != before
        await camera.check()
        camera.send_media(2, vp8(False), ssrc=77)
        await viewer.until(3)
        assert (await link.call(Close(peer="nobody"))).type == "reply"


async def test_a_subscriber_restarts_ice_and_moves() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        before = viewer.theirs
        viewer.restart_ice()
        viewer.move()
        await viewer.subscribe("camera/0", ice_restart=True)
        assert viewer.theirs != before
        await viewer.check()
        send_frames(camera, 0, 2)
        await viewer.until(2)


async def test_closing_a_publisher_says_goodbye_and_ends_its_tracks() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        await link.call(Close(peer="camera", reason="moderator"))
        state = await link.peer("camera", "closed")
        assert (state.reason, state.detail) == ("closed", "moderator")
        await link.track("camera/0", "ended")
        await camera.listen(0.1)
        assert camera.closed_by_server
        reply = await link.call(Subscribe(peer="viewer", tracks=("camera/0",)))
        assert reply.refused_tracks == {"camera/0": "unknown_track"}


@pytest.mark.parametrize("by", ["media", "reports"])
async def test_a_peer_that_sends_under_ever_new_ssrcs_is_closed(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_SSRCS", 20)
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        send_frames(camera, 1, 40)
        for number in range(60):
            if by == "media":
                camera.send_media(1, vp8(True), ssrc=1000 + number % 15)
            else:
                camera.send_rtcp(rtcp.ReceiverReport(1000 + number % 15))
        await camera.check()
        assert not [each for each in link.events if isinstance(each, PeerState) and each.state == "closed"]
        for number in range(21):
            if by == "media":
                camera.send_media(1, vp8(True), ssrc=2000 + number)
            else:
                camera.send_rtcp(rtcp.ReceiverReport(2000 + number))
        state = await link.peer("camera", "closed")
        assert (state.reason, "SSRCs" in state.detail) == ("closed", True)


async def test_a_peer_that_says_goodbye_is_closed() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        camera.say_goodbye()
        assert (await link.peer("camera", "closed")).reason == "closed_by_peer"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (Publish(peer="p", sdp="rubbish"), "sdp_invalid"),
        (Accept(peer="p", generation=1, sdp=""), "unknown_peer"),
        (Play(peer="p", sdp="rubbish", tracks=()), "sdp_invalid"),
        (Mute(track="p/0", muted=True), "unknown_track"),
        (Tap(track="p/0", address="nowhere"), "unknown_track"),
    ],
)
async def test_what_cannot_be_done_is_refused_and_leaves_nothing(command: Command, error: str) -> None:
    async with running_worker() as (link, _):
        refused = await link.ask(command)
        assert isinstance(refused, Refused)
        assert refused.error == error
        assert refused.detail.endswith(".")
        assert not [each for each in link.events if isinstance(each, PeerState)]


async def test_an_answer_to_an_older_offer_is_stale() -> None:
    async with running_worker() as (link, _):
        await connected_publisher(link)
        await connected_publisher(link, "second", ssrc=78)
        viewer = RawPeer(link, "viewer")
        first_offer = await viewer.get_offer("camera/0")
        await viewer.get_offer("camera/0", "second/0")
        refused = await viewer.accept(first_offer)
        assert isinstance(refused, Refused)
        assert refused.error == "stale"


async def test_peers_beyond_the_limit_are_refused_until_one_goes() -> None:
    async with running_worker(max_peers=2) as (link, _):
        for name in ("a", "b"):
            await link.call(Subscribe(peer=name, tracks=()))
        refused = await link.ask(Subscribe(peer="c", tracks=()))
        assert isinstance(refused, Refused)
        assert refused.error == "capacity"
        await link.call(Close(peer="a"))
        await link.call(Subscribe(peer="c", tracks=()))


async def test_strangers_do_not_disturb_a_running_session() -> None:
    async with running_worker(stranger_packets_per_s=50) as (link, worker):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        stranger = RawPeer(link, "stranger")
        stranger.server = camera.server
        sequence = 0
        for first in range(256):
            for length in (0, 1, 12, 20, 1500):
                stranger.send(bytes((first,) * min(length, 1)) + bytes(max(0, length - 1)))
            camera.send_media(sequence, vp8(sequence == 0), ssrc=77)
            sequence += 1
            await viewer.until(sequence)
        counters = worker.counters()
        assert counters["dropped_empty"] >= 256
        assert counters["dropped_stranger"] >= 252 * 4
        assert counters["dropped_stun"] + counters["dropped_stun_rate"] == 16
        assert not [each for each in link.events if isinstance(each, PeerState) and each.state == "closed"]
        assert [each.sequence for each in viewer.received] == list(
            range(viewer.received[0].sequence, viewer.received[0].sequence + 256)
        )


async def test_stun_of_a_stranger_is_taken_only_so_often() -> None:
    async with running_worker(stranger_packets_per_s=20) as (link, worker):
        camera = await connected_publisher(link)
        stranger = RawPeer(link, "stranger")
        stranger.theirs, stranger.server = ("nobody", "guess"), camera.server
        for _ in range(200):
            stranger.send(stranger.check_bytes())
        await camera.check()
        counters = worker.counters()
        assert counters["dropped_stun"] <= 21
        assert counters["dropped_stun_rate"] >= 179


def rubbish() -> list[bytes]:
    """Packets that an authentic but broken sender may protect and send."""
    head = bytes.fromhex("80600001000000000000004d")
    extended = bytes([head[0] | 0x10]) + head[1:]
    return [
        extended,
        extended + b"\xbe\xde\xff\xff",
        extended + b"\xbe\xde\x00\x01\xff\xff\xff\xff",
        extended + b"\xbe\xde\x00\x01\x1f\x00\x00\x00" + b"payload",
        extended + b"\x10\x00\x00\x01\x05\xff\x00\x00" + b"payload",
        bytes([head[0] | 0x0F]) + head[1:],
        bytes([head[0] | 0x20]) + head[1:] + b"\xff",
        head[:1] + bytes([127]) + head[2:] + b"another payload type",
        head[:8] + b"\0\0\0\x99" + b"another ssrc",
        head,
    ]


async def test_broken_media_of_an_authentic_peer_is_dropped_and_the_session_lives() -> None:
    async with running_worker() as (link, worker):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        for number, packet in enumerate(rubbish()):
            packet = packet[:2] + number.to_bytes(2, "big") + packet[4:]
            with contextlib.suppress(pylibsrtp.Error):  # libsrtp refuses to protect some of them
                camera.send_rtp(packet)
        for body in (b"\x80\xc9\x00\x00", b"\x80\xc8\x00\x01\0\0\0\x4d", b"\x81\xce\x00\x05" + bytes(8)):
            camera.send(camera.srtp.protect_rtcp(body + bytes(8)))  # type: ignore[union-attr]
        for datagram in (b"\x16" * 40, b"\x14\xfe\xfd" + bytes(30), b"\x80" * 40, b"\x80\xc9" + bytes(40)):
            camera.send(datagram)
        for number in range(50, 55):
            camera.send_media(number, vp8(number == 50), ssrc=77)
        await viewer.until(5)
        counters = worker.counters()
        assert counters["dropped_srtp_auth"] >= 1
        assert counters["dropped_srtcp"] >= 1
        assert counters["dropped_unbound"] >= 1
        assert counters["dropped_payload_type"] >= 1
        assert counters["dropped_rtcp"] >= 1


async def test_a_track_stalls_and_lives_again() -> None:
    async with running_worker(stalled_after_s=0.3) as (link, _):
        camera = await connected_publisher(link)
        camera.send_media(0, vp8(True), ssrc=77)
        await link.track("camera/0", "live")
        await link.track("camera/0", "stalled", timeout_s=1)
        link.events.clear()
        camera.send_media(1, vp8(False), ssrc=77)
        await link.track("camera/0", "live")


async def test_nothing_is_left_of_peers_that_went() -> None:
    async with running_worker() as (link, worker):
        for cycle in range(20):
            camera = await connected_publisher(link, f"camera-{cycle}", ssrc=77)
            viewer = await connected_subscriber(link, f"camera-{cycle}/0", name=f"viewer-{cycle}")
            send_frames(camera, 0, 3)
            await viewer.until(3)
            await link.call(Close(peer=viewer.name if cycle % 2 else camera.name))
            await link.call(Close(peer=camera.name if cycle % 2 else viewer.name))
        assert worker._running is not None
        exchange, forwarder = worker._running._exchange, worker._running._forwarder
        for table in ("_peers", "_sources", "_routes", "_by_address"):
            assert len(getattr(forwarder, table)) == 0, table
        for table in ("_publishers", "_subscribers", "_by_number", "_tracks", "_by_source"):
            assert len(getattr(exchange, table)) == 0, table
        assert len(exchange._mux._by_ufrag) == 0


async def test_a_lost_flight_is_sent_again() -> None:
    async with running_worker() as (link, _):
        camera = RawPeer(link, "camera")
        await camera.publish(camera.offer(ssrc=77))
        camera.deaf_to_dtls = 1
        start = time.monotonic()
        await camera.connect()
        assert 0.9 < time.monotonic() - start < 4
        await link.peer("camera", "connected")


async def test_a_second_handshake_datagram_from_elsewhere_does_not_disturb_the_first() -> None:
    async with running_worker() as (link, worker):
        camera, stranger = RawPeer(link, "camera"), RawPeer(link, "stranger")
        await camera.publish(camera.offer(ssrc=77))
        await camera.check()
        stranger.server = camera.server
        alert = bytes.fromhex("15fefd0000000000000000000202 28".replace(" ", ""))
        for _ in range(20):
            stranger.send(b"\x16\xfe\xfd" + bytes(60))
            stranger.send(alert)
        await camera.connect()
        await link.peer("camera", "connected")
        assert worker.counters()["dropped_stranger"] == 40
