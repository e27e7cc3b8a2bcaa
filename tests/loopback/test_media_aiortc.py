"""Two ordinary clients of another make, through a whole worker: pictures and sound arrive and can be decoded."""

import asyncio
import itertools
from pathlib import Path
from typing import Literal

import pytest
from av import AudioFrame, VideoFrame

from media.messages import Mute, Play, Refused, Tap
from media.tap import AccessUnit, Unpacker
from tests.fakes.lossy import LossyPath
from tests.fakes.mediaserver import Client, MemoryLink, MovingPicture, running_worker


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_pictures_and_sound_arrive_and_are_decoded(codec: str) -> None:
    async with running_worker() as (link, worker):
        camera = Client(link, "camera")
        published = await camera.publish(prefer=codec)
        assert [(track.kind, track.codec) for track in published.tracks] == [("video", codec), ("audio", "opus")]
        viewer = Client(link, "viewer")
        offered = await viewer.subscribe("camera/0", "camera/1")
        by_track = {track: mid for mid, track in offered.mids.items()}
        pictures = await viewer.frames(by_track["camera/0"], 30)
        sound = await viewer.frames(by_track["camera/1"], 30)
        assert all(isinstance(frame, VideoFrame) and frame.width == 320 for frame in pictures)
        assert all(isinstance(frame, AudioFrame) for frame in sound)
        assert not {name: value for name, value in worker.counters().items() if name.startswith("dropped") and value}
        await camera.close()
        await link.peer("camera", "closed")
        await viewer.close()


async def test_a_track_is_added_and_taken_away_while_another_runs() -> None:
    async with running_worker() as (link, _):
        first, second, viewer = (Client(link, name) for name in ("first", "second", "viewer"))
        await first.publish(MovingPicture())
        await second.publish(MovingPicture())
        await viewer.subscribe("first/0")
        await viewer.frames("0", 5)
        both = await viewer.subscribe("first/0", "second/0")
        assert both.mids == {"0": "first/0", "1": "second/0"}
        await viewer.frames("1", 5)
        one = await viewer.subscribe("second/0")
        assert one.mids == {"1": "second/0"}
        await viewer.frames("1", 5)
        again = await viewer.subscribe("second/0")
        assert again.sdp == ""
        for client in (first, second, viewer):
            await client.close()


async def test_losses_both_ways_are_repaired() -> None:
    async with running_worker() as (link, worker):
        assert worker.started is not None
        port = worker.started.udp_port
        async with LossyPath(("127.0.0.1", port), up=0.05, down=0.05) as path:
            link.rewrite = lambda sdp: sdp.replace(f" {port} typ host", f" {path.port} typ host")
            camera, viewer = Client(link, "camera"), Client(link, "viewer")
            await camera.publish(MovingPicture(640, 480))
            await viewer.subscribe("camera/0")
            frames = await viewer.frames("0", 150)
            counters = worker.counters()
            assert path.lost["up"] > 10
            assert path.lost["down"] > 10
            assert counters["nacks_out"] >= path.lost["up"] * 0.8
            assert counters["packets_resent"] >= path.lost["down"] * 0.8
            gaps = [after.pts - before.pts for before, after in itertools.pairwise(frames)]
            assert max(gaps) < 3100, "no picture is missing"
            for client in (camera, viewer):
                await client.close()


async def units_of(
    link: MemoryLink, track: str, address: Path, count: int, reader_name: Literal["vision", "record"] = "vision"
) -> list[AccessUnit]:
    units: list[AccessUnit] = []
    full = asyncio.Event()

    async def reader(stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        unpacker = Unpacker()
        while len(units) < count and (data := await stream.read(65536)):
            units.extend(unpacker.feed(data))
        full.set()
        writer.close()

    server = await asyncio.start_unix_server(reader, str(address))
    async with server:
        await link.call(Tap(track=track, address=str(address), reader=reader_name))
        await asyncio.wait_for(full.wait(), 15)
        await link.call(Tap(track=track, address=None, reader=reader_name))
    return units


async def test_a_tap_gets_access_units_from_a_key_frame_on(tmp_path: Path) -> None:
    async with running_worker() as (link, worker):
        camera = Client(link, "camera")
        await camera.publish(MovingPicture())
        await link.track("camera/0", "live")
        await asyncio.sleep(1)
        units = await units_of(link, "camera/0", tmp_path / "tap", 20)
        assert units[0].key
        assert {unit.codec for unit in units} == {"VP8"}
        assert {unit.track for unit in units} == {"camera/0"}
        assert worker.counters()["keyframe_requests"] >= 1
        await camera.close()


async def test_two_readers_tap_one_track_and_neither_ends_the_other(tmp_path: Path) -> None:
    async with running_worker() as (link, _):
        camera = Client(link, "camera")
        await camera.publish(MovingPicture())
        await link.track("camera/0", "live")
        few, many = await asyncio.gather(
            units_of(link, "camera/0", tmp_path / "vision", 5),
            units_of(link, "camera/0", tmp_path / "record", 60, "record"),
        )
        assert (few[0].key, many[0].key) == (True, True)
        assert not any(unit.after_gap for unit in many)
        await camera.close()


async def test_a_muted_track_is_silent_until_it_is_not() -> None:
    async with running_worker() as (link, worker):
        camera, viewer = Client(link, "camera"), Client(link, "viewer")
        await camera.publish(MovingPicture())
        await viewer.subscribe("camera/0")
        await viewer.frames("0", 5)
        await link.call(Mute(track="camera/0", muted=True))
        await asyncio.sleep(0.2)
        before = worker.counters()["packets_out"]
        await asyncio.sleep(0.5)
        assert worker.counters()["packets_out"] == before
        await link.call(Mute(track="camera/0", muted=False))
        await viewer.frames("0", 20)
        for client in (camera, viewer):
            await client.close()


async def test_a_player_offers_and_gets_what_it_can_decode() -> None:
    async with running_worker() as (link, _):
        camera, deaf, player = Client(link, "camera"), Client(link, "deaf"), Client(link, "player")
        await camera.publish()
        refused = await link.ask(Play(peer="deaf", sdp=await deaf.offer_to_receive("audio"), tracks=()))
        assert isinstance(refused, Refused)
        assert refused.error == "no_common_codec"
        reply = await player.play("video", tracks=("camera/0", "camera/1"))
        assert reply.refused_tracks == {"camera/1": "no_media_line"}
        await player.frames("0", 10)
        for client in (camera, deaf, player):
            await client.close()
