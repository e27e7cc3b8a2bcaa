"""The recorder as a process: what is in its files, and what is left of them when it is killed or the disk is full."""

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from media.record.files import complete_orphans, open_folder
from media.record.messages import Beat, Begun, Ended, Finished, Ready
from tests.fakes.recorderprocess import content, film, play, recorder_process, sound

PACKETS = 30


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264", "AV1"])
async def test_a_track_becomes_a_file_that_plays_from_its_first_to_its_last_picture(tmp_path: Path, codec: str) -> None:
    async with recorder_process(tmp_path) as recorder:
        await recorder.until(Ready)
        recording = recorder.record("p1/0")
        await play(recorder.tap_address, film(codec, PACKETS / 10), speed=20)
        await recorder.until(Begun)
        await asyncio.sleep(0.3)
        recorder.stop(recording)
        done = await recorder.until(Finished)
        ended = await recorder.until(Ended)
    [path] = recorder.files(recording)
    assert (done.bytes, done.sha256) == (path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest())
    assert done.duration_s == pytest.approx(PACKETS / 10, abs=0.01)
    assert ended.reason == "stopped"
    found = content(path)
    assert (found.packets, found.pictures, found.width) == (PACKETS, PACKETS, 320)
    assert found.first_s == 0.0
    assert found.last_s == pytest.approx(2.9, abs=0.01)


async def test_sound_is_recorded_beside_the_picture_into_a_file_of_its_own(tmp_path: Path) -> None:
    async with recorder_process(tmp_path) as recorder:
        await recorder.until(Ready)
        video, audio = recorder.record("p1/0"), recorder.record("p1/1")
        await asyncio.gather(
            play(recorder.tap_address, film("VP8", 2), speed=10), play(recorder.tap_address, sound(2), speed=10)
        )
        await asyncio.sleep(0.3)
        for recording in (video, audio):
            recorder.stop(recording)
            await recorder.until(Ended)
    assert content(recorder.files(video)[0]).packets == 20
    heard = content(recorder.files(audio)[0])
    assert (heard.codec, heard.packets) == ("opus", 100)


async def test_segments_follow_each_other_without_a_seam_and_only_as_allowed(tmp_path: Path) -> None:
    async with recorder_process(tmp_path, segment_s=1.0) as recorder:
        await recorder.until(Ready)
        recording = recorder.record("p1/0", segments=3)
        await play(recorder.tap_address, film("VP8", 6), speed=10)
        await asyncio.sleep(0.3)
        recorder.stop(recording)
        await recorder.until(Ended)
    found = [content(path) for path in recorder.files(recording)]
    assert [one.packets for one in found] == [10, 10, 40]  # a fourth segment was not allowed
    begun = [one for one in recorder.messages if isinstance(one, Begun)]
    assert [round(one.started_at - begun[0].started_at, 3) for one in begun] == [0.0, 1.0, 2.0]


async def test_a_killed_recorder_loses_no_more_than_a_second(tmp_path: Path) -> None:
    units = film("VP8", 4.5)
    async with recorder_process(tmp_path) as recorder:
        await recorder.until(Ready)
        recording = recorder.record("p1/0")
        playing = asyncio.create_task(play(recorder.tap_address, units, speed=20))
        await recorder.until(Beat, lambda beat: beat.units == len(units))
        os.kill(recorder.process.pid, signal.SIGKILL)
        with contextlib.suppress(ConnectionError):
            await playing
    sent_s = units[-1].arrived_at - units[0].arrived_at
    [path] = recorder.files(recording)
    assert path.name == "00000.mkv.part"
    before = content(path)  # it plays as it is
    assert before.pictures == before.packets
    assert sent_s - before.last_s <= 1.0
    done = complete_orphans(open_folder(recorder.folder, recording))[0]
    [path] = recorder.files(recording)
    assert done is not None
    assert path.name == "00000.mkv"
    assert content(path) == before
    assert done.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


async def test_a_recorder_whose_server_is_gone_completes_its_files_and_ends(tmp_path: Path) -> None:
    async with recorder_process(tmp_path) as recorder:
        await recorder.until(Ready)
        recording = recorder.record("p1/0")
        await play(recorder.tap_address, film("H264", 2), speed=10)
        await recorder.until(Begun)
        await asyncio.sleep(0.3)
        recorder.link.close()
        async with asyncio.timeout(10):
            assert await recorder.process.wait() == 0
    [path] = recorder.files(recording)
    assert path.name == "00000.mkv"
    assert content(path).packets == 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    where = tmp_path / "disk"
    where.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", where], capture_output=True)
    if mounted.returncode:
        pytest.skip("no right to mount here")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


async def test_a_full_disk_ends_the_recording_with_a_file_that_plays(tmp_path: Path, small_disk: Path) -> None:
    async with recorder_process(tmp_path, recordings=small_disk / "recordings") as recorder:
        await recorder.until(Ready)
        recording = recorder.record("p1/0")
        with contextlib.suppress(ConnectionError):
            await play(recorder.tap_address, film("VP8", 12), speed=20)
        ended = await recorder.until(Ended)
        assert ended.reason == "disk_full"
        done = [one for one in recorder.messages if isinstance(one, Finished)]
        [path] = recorder.files(recording)
        found = content(path)
        assert found.pictures == found.packets > 0
        assert [one.sha256 for one in done] == [hashlib.sha256(path.read_bytes()).hexdigest()]


def test_what_is_no_recording_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "00000.mkv.part").write_bytes(b"something else" * 10_000)
    (tmp_path / "notes.txt").write_text("mine")
    directory = os.open(tmp_path, os.O_RDONLY)
    assert complete_orphans(directory) == {}
    os.close(directory)
    assert {path.name for path in tmp_path.iterdir()} == {"00000.mkv.part", "notes.txt"}
