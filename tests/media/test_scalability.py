"""Layers and picture counters in payload headers."""

from hypothesis import given
from hypothesis import strategies as st

from media.scalability import NONE, DependencyReader, Layers, vp8, vp9


def test_vp8_with_everything() -> None:
    # X, S; I L T K; 15-bit picture id 0x1234; TL0PICIDX 7; TID 2, Y; then an inter frame
    payload = bytes((0x90, 0xF0, 0x92, 0x34, 7, 0xA0, 0x01, 0))
    assert vp8(payload) == Layers(temporal=2, sync=True, picture=2, wide=True, base=4)


def test_vp8_with_a_short_picture_id_and_no_temporal_layer() -> None:
    assert vp8(bytes((0x90, 0x80, 0x12, 0x00, 0))) == Layers(key=True, picture=2)


def test_vp8_without_a_descriptor_extension() -> None:
    assert vp8(bytes((0x10, 0x00, 0))) == Layers(key=True)
    assert vp8(bytes((0x10, 0x01, 0))) == NONE


def test_vp9_not_flexible_has_its_base_index_behind_the_layers() -> None:
    # I P L B E; picture id 15 bit; TID 1, U, SID 2; TL0PICIDX
    payload = bytes((0x80 | 0x40 | 0x20 | 0x08 | 0x04, 0x81, 0x02, 1 << 5 | 0x10 | 2 << 1, 9, 0))
    assert vp9(payload) == Layers(1, 2, True, False, True, 1, True, 4)


def test_vp9_flexible_has_none() -> None:
    payload = bytes((0x80 | 0x20 | 0x10 | 0x08, 0x11, 0x00, 0, 0))
    assert vp9(payload) == Layers(key=True, picture=1)


def descriptor(template: int, *, start: bool = True, end: bool = True, structure: str = "") -> bytes:
    head = f"{start:b}{end:b}{template:06b}{7:016b}"
    bits = head + structure
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


# flags: structure present; template id offset 5; one decode target; layers 0,0 → 0,1 → 0,2 → 1,0 → end
STRUCTURE = "10000" + f"{5:06b}" + f"{0:05b}" + "01" + "01" + "10" + "11" + "0" * 20


def test_templates_hold_until_they_are_described_anew() -> None:
    reader = DependencyReader()
    assert reader.read(descriptor(5)) == NONE
    assert reader.read(descriptor(5, structure=STRUCTURE)) == Layers(0, 0, False, True, True)
    assert reader.read(descriptor(7, end=False)) == Layers(temporal=2)
    assert reader.read(descriptor(8)) == Layers(spatial=1, ends=True)
    assert reader.read(descriptor(9)) == NONE


@given(st.binary(max_size=24))
def test_any_bytes_have_layers_or_none(data: bytes) -> None:
    reader = DependencyReader()
    for layers in (vp8(data), vp9(data), reader.read(data)):
        assert 0 <= layers.temporal <= 63
        assert layers.picture < max(1, len(data))
        assert layers.base < max(1, len(data))
        assert not layers.wide or layers.picture + 1 < len(data)
