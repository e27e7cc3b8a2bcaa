"""A whole worker, and a publisher that has no transport: its packets come through the door."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

from media import rtp
from media.door import DoorSender
from media.messages import Close, DoorPass, GetStatistics, PlainTrack, Publish, PublishPlain, Refused, Subscribe
from tests.fakes.mediaserver import running_worker
from tests.fakes.rawpeer import AUDIO, RawPeer, connected_publisher, connected_subscriber

TRACK = PlainTrack(mid="0", kind="audio", codec="opus", clock_rate=48000, channels=2, payload_type=111, ssrc=99)
H264 = PlainTrack(
    mid="1", kind="video", codec="H264", clock_rate=90000, payload_type=96, ssrc=98,
    parameters=(("level-asymmetry-allowed", "1"), ("packetization-mode", "1"), ("profile-level-id", "42e01f")),
)  # fmt: skip


@contextlib.contextmanager
def sender(door: DoorPass) -> Iterator[DoorSender]:
    opened = DoorSender(door.address)
    yield opened
    opened.close()


def sound(number: int, ssrc: int = 99) -> bytes:
    return rtp.pack(b"sound", payload_type=111, sequence=number, timestamp=960 * number, ssrc=ssrc)


async def test_what_is_handed_in_arrives_at_a_subscriber(tmp_path: Path) -> None:
    async with running_worker(door=str(tmp_path / "door")) as (link, worker):
        reply = await link.call(PublishPlain(peer="phone", tracks=(TRACK,)))
        assert [(each.track, each.kind, each.codec) for each in reply.tracks] == [("phone/0", "audio", "opus")]
        assert reply.door is not None
        listener = await connected_subscriber(link, "phone/0")
        token = bytes.fromhex(reply.door.token)
        with sender(reply.door) as handing:
            for number in range(20):
                assert handing.send(token, sound(number))
            handing.send(token, sound(20, ssrc=1))
            handing.send(bytes(16), sound(20))
            await listener.until(20)
            await link.track("phone/0", "live")
        assert {each.payload for each in listener.received} == {b"sound"}
        assert {each.payload_type for each in listener.received} == {AUDIO}
        counters = worker.counters()
        assert (counters["door_packets"], counters["dropped_door_ssrc"], counters["dropped_door_token"]) == (20, 1, 1)


async def test_a_closed_peer_is_gone_with_its_token(tmp_path: Path) -> None:
    async with running_worker(door=str(tmp_path / "door")) as (link, worker):
        reply = await link.call(PublishPlain(peer="phone", tracks=(TRACK,)))
        assert reply.door is not None
        await link.call(Close(peer="phone", reason="hung up"))
        await link.peer("phone", "closed")
        await link.track("phone/0", "ended")
        with sender(reply.door) as handing:
            handing.send(bytes.fromhex(reply.door.token), sound(1))
        statistics = (await link.call(GetStatistics())).statistics
        assert statistics["peers"] == {}
        again = await link.call(PublishPlain(peer="phone", tracks=(TRACK,)))
        assert again.door is not None
        assert again.door.token != reply.door.token
        async with asyncio.timeout(5):
            while worker.counters()["dropped_door_token"] < 1:
                await asyncio.sleep(0.01)


async def test_the_list_of_tracks_is_the_whole_list(tmp_path: Path) -> None:
    async with running_worker(door=str(tmp_path / "door")) as (link, _):
        first = await link.call(PublishPlain(peer="camera", tracks=(TRACK, H264)))
        assert [each.track for each in first.tracks] == ["camera/0", "camera/1"]
        second = await link.call(PublishPlain(peer="camera", tracks=(H264,)))
        assert [each.track for each in second.tracks] == ["camera/1"]
        assert second.door == first.door
        await link.track("camera/0", "ended")


async def test_pictures_are_offered_with_the_parameters_given(tmp_path: Path) -> None:
    async with running_worker(door=str(tmp_path / "door")) as (link, _):
        await link.call(PublishPlain(peer="camera", tracks=(H264,)))
        offer = (await link.call(Subscribe(peer="viewer", tracks=("camera/1",)))).sdp
        assert "H264/90000" in offer
        assert "profile-level-id=42e01f" in offer


async def test_peers_of_both_kinds_are_kept_apart(tmp_path: Path) -> None:
    async with running_worker(door=str(tmp_path / "door"), max_peers=2) as (link, _):
        await link.call(PublishPlain(peer="phone", tracks=(TRACK,)))
        other = RawPeer(link, "phone")
        refused = await link.ask(Publish(peer="phone", sdp=other.offer(audio=True)))
        assert isinstance(refused, Refused)
        assert refused.error == "invalid"
        await connected_publisher(link)
        refused = await link.ask(PublishPlain(peer="camera", tracks=(TRACK,)))
        assert isinstance(refused, Refused)
        refused = await link.ask(PublishPlain(peer="third", tracks=(TRACK,)))
        assert isinstance(refused, Refused)
        assert refused.error == "capacity"


async def test_without_a_door_nobody_is_let_in() -> None:
    async with running_worker() as (link, _):
        refused = await link.ask(PublishPlain(peer="phone", tracks=(TRACK,)))
        assert isinstance(refused, Refused)
        assert refused.error == "invalid"


async def test_two_tracks_cannot_be_one(tmp_path: Path) -> None:
    async with running_worker(door=str(tmp_path / "door")) as (link, _):
        refused = await link.ask(PublishPlain(peer="phone", tracks=(TRACK, TRACK)))
        assert isinstance(refused, Refused)
