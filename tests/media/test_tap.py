"""Access units survive the way through a stream socket, in whatever pieces they come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.tap import CODECS, MAX_UNIT_BYTES, AccessUnit, TapError, Unpacker, pack

UNITS = st.builds(
    AccessUnit,
    track=st.text(max_size=40),
    codec=st.sampled_from(CODECS),
    key=st.booleans(),
    after_gap=st.booleans(),
    timestamp=st.integers(-(1 << 63), (1 << 63) - 1),
    arrived_at=st.floats(0, 4e9),
    data=st.binary(max_size=300),
)


@given(st.lists(UNITS, max_size=5), st.integers(1, 200))
def test_units_come_out_as_they_went_in(units: list[AccessUnit], piece: int) -> None:
    stream = b"".join(map(pack, units))
    unpacker = Unpacker()
    out = [unit for at in range(0, len(stream), piece) for unit in unpacker.feed(stream[at : at + piece])]
    assert out == units


@given(st.binary(max_size=200))
def test_other_bytes_are_units_or_a_tap_error(data: bytes) -> None:
    try:
        for unit in Unpacker().feed(data):
            assert unit.codec in CODECS
    except TapError:
        pass


def test_a_length_that_no_sender_writes_is_refused_at_once() -> None:
    with pytest.raises(TapError, match="impossible"):
        list(Unpacker().feed((MAX_UNIT_BYTES + 5000).to_bytes(4, "big")))
