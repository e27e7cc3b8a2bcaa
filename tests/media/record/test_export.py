"""Segments of several tracks, joined on one time axis."""

import io
import os
import uuid
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av

from media.record.export import Part, join
from media.record.files import complete
from media.record.recording import Recording, Segment
from media.tap import AccessUnit
from tests.fakes.recorderprocess import film, sound

START = 1_800_000_000.0


def recorded(folder: Path, source: str, units: Iterable[AccessUnit], segment_s: float = 300.0) -> list[Part]:
    """Write units into segments, without a process."""
    name, parts = str(uuid.uuid4()), list[Part]()

    def done(one: Recording, segment: Segment) -> None:
        complete(one.directory, segment.number, segment.descriptor)
        os.close(segment.descriptor)
        parts.append(Part(name, segment.number, source, segment.started_at))

    recording = Recording(
        name, "t", source, folder, part_s=1.0, segment_s=segment_s,
        on_begun=lambda _, segment: recording.allow(segment.number + 1), on_segment=done,
    )  # fmt: skip
    for unit in units:
        recording.unit(unit, 0.0)
    recording.close()
    os.close(recording.directory)
    return parts


def times(file: bytes) -> dict[tuple[str, str], list[float]]:
    """Of every packet, by name and codec of its track; everything decodes."""
    found: dict[tuple[str, str], list[float]] = {}
    with av.open(io.BytesIO(file), "r") as container:
        for packet in container.demux():
            if packet.size and packet.pts is not None and packet.time_base is not None:
                key = (packet.stream.metadata.get("title", ""), packet.stream.codec.name)
                found.setdefault(key, []).append(float(packet.pts * packet.time_base))
                assert packet.decode() or packet.stream.type == "audio"
    return found


def test_segments_become_one_track_and_tracks_stand_where_they_were(tmp_path: Path) -> None:
    late = [replace(unit, arrived_at=unit.arrived_at + 1.5) for unit in sound(1)]
    county = recorded(tmp_path, "county camera", film("VP8", 3), segment_s=1.0)
    mine = recorded(tmp_path, "mine camera", film("H264", 2))
    parts = county + mine + recorded(tmp_path, "mine microphone", late)
    assert len(county) == 3
    found = times(b"".join(join(tmp_path, parts)))
    assert {key[0]: len(listed) for key, listed in found.items()} == {
        "county camera": 30,
        "mine camera": 20,
        "mine microphone": 50,
    }
    starts = {key[0]: round(listed[0], 2) for key, listed in found.items()}
    assert starts == {"county camera": 0.0, "mine camera": 0.0, "mine microphone": 1.5}
    [camera] = [listed for key, listed in found.items() if key[0] == "county camera"]
    assert {round(after - before, 2) for before, after in pairwise(camera)} == {0.1}


def test_a_part_whose_file_is_gone_is_left_out(tmp_path: Path) -> None:
    parts = recorded(tmp_path, "camera", film("VP8", 1))
    found = times(b"".join(join(tmp_path, [*parts, Part(str(uuid.uuid4()), 0, "gone", START)])))
    assert [key[0] for key in found] == ["camera"]
    assert b"".join(join(tmp_path, [])) == b""
