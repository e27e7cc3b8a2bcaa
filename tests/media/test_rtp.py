"""RTP packets in wire form."""

import pytest
from aiortc.rtp import RtpPacket, wrap_rtx
from hypothesis import given
from hypothesis import strategies as st

from media import rtp
from media.errors import RtpError


def packet(payload: bytes = b"payload", **changes: object) -> bytes:
    values = {"payload_type": 96, "sequence": 7, "timestamp": 1000, "ssrc": 0xABCD, "marker": True} | changes
    return rtp.pack(payload, **values)  # type: ignore[arg-type]


def test_pack_is_what_another_library_reads() -> None:
    parsed = RtpPacket.parse(packet())
    assert (parsed.payload_type, parsed.sequence_number, parsed.timestamp, parsed.ssrc) == (96, 7, 1000, 0xABCD)
    assert parsed.payload == b"payload"
    assert parsed.marker == 1


def test_payload_lies_between_extensions_and_padding() -> None:
    data = bytearray(packet(elements=[(1, b"abc"), (3, b"x")]) + bytes(3) + b"\x04")
    data[0] |= 0x20
    start, end = rtp.payload_range(bytes(data))
    assert bytes(data[start:end]) == b"payload"


@pytest.mark.parametrize(
    "elements",
    [[(1, b"a")], [(1, b"abc"), (14, bytes(16))], [(15, b"x")], [(1, b"")], [(200, bytes(17)), (3, b"ab")]],
)
def test_elements_come_back_in_either_form(elements: list[tuple[int, bytes]]) -> None:
    assert list(rtp.extensions(packet(elements=elements))) == elements


def test_renumbering_keeps_what_is_mapped_and_drops_the_rest() -> None:
    data = packet(elements=[(1, b"level"), (4, b"0"), (9, b"zz")])
    changed = rtp.renumber_extensions(data, {1: 5, 9: 2})
    assert list(rtp.extensions(changed)) == [(5, b"level"), (2, b"zz")]
    assert changed[rtp.payload_range(changed)[0] :] == b"payload"
    bare = rtp.renumber_extensions(data, {})
    assert bare == packet()


def test_rtx_is_wrapped_as_another_library_does() -> None:
    ours = rtp.wrap_rtx(packet(), 0x1234, 97, 55)
    theirs = wrap_rtx(RtpPacket.parse(packet()), payload_type=97, sequence_number=55, ssrc=0x1234).serialize()
    assert ours == theirs
    assert rtp.unwrap_rtx(ours, 0xABCD, 96) == packet()


def test_rtx_that_only_pads_has_no_original() -> None:
    data = bytearray(packet(b"\0\0\0\x04"))
    data[0] |= 0x20
    assert rtp.unwrap_rtx(bytes(data), 1, 96) is None


@pytest.mark.parametrize(
    ("value", "reference", "expected"),
    [(5, 65540, 65541), (65535, 65536, 65535), (0, 65535, 65536), (0, 0, 0), (0x8000, 0, -0x8000)],
)
def test_nearest_number(value: int, reference: int, expected: int) -> None:
    assert rtp.nearest(value, reference, 16) == expected


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for read in (
        rtp.payload_range,
        lambda each: list(rtp.extensions(each)),
        lambda each: rtp.unwrap_rtx(each, 1, 96),
        lambda each: rtp.wrap_rtx(each, 1, 96, 5),
        lambda each: len(each) < 12 or rtp.renumber_extensions(each, {1: 2, 2: 1}),
    ):
        try:
            read(data)
        except RtpError:
            pass


@given(
    st.binary(max_size=60).map(lambda body: body[: len(body) // 4 * 4]), st.sampled_from([0xBEDE, 0x1000, 0x1003, 7])
)
def test_any_extension_block_is_renumbered_to_one_that_can_be_read(block: bytes, profile: int) -> None:
    head = bytearray(packet()[:12])
    head[0] |= 0x10
    data = bytes(head) + profile.to_bytes(2, "big") + (len(block) // 4).to_bytes(2, "big") + block + b"payload"
    try:
        before = list(rtp.extensions(data))
    except RtpError:
        return
    mapping = {identifier: identifier % 14 + 1 for identifier, _ in before}
    changed = rtp.renumber_extensions(data, mapping)
    assert list(rtp.extensions(changed)) == [(mapping[identifier], value) for identifier, value in before]
    assert changed.endswith(b"payload")
