"""RFC 4571 frames."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.transport.framing import MAX_FRAME_BYTES, Deframer, FramingError, frame


@given(st.lists(st.binary(min_size=1, max_size=1500), max_size=20), st.data())
def test_packets_come_out_whole_however_they_are_cut(packets: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(map(frame, packets))
    deframer, found, at = Deframer(), [], 0
    while at < len(stream):
        step = data.draw(st.integers(1, 3000))
        found += deframer.feed(stream[at : at + step])
        at += step
    assert found == packets


def test_empty_frames_mean_nothing() -> None:
    assert Deframer().feed(b"\x00\x00" + frame(b"x") + b"\x00\x00") == [b"x"]


def test_a_long_frame_is_refused_before_it_has_come() -> None:
    with pytest.raises(FramingError):
        Deframer().feed((MAX_FRAME_BYTES + 1).to_bytes(2, "big"))
    deframer = Deframer()
    assert deframer.feed((MAX_FRAME_BYTES).to_bytes(2, "big")) == []
