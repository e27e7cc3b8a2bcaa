"""STUN against the test vectors of RFC 5769, and against bytes that are none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media.errors import StunError
from media.transport import stun

PASSWORD = "VOkJxbRl1RmTxUk/WvJxBt"
REQUEST = bytes.fromhex(
    "00010058 2112a442 b7e7a701bc34d686fa87dfae"
    "80220010 5354554e207465737420636c69656e74"
    "00240004 6e0001ff"
    "80290008 932ff9b151263b36"
    "00060009 6576746a3a68367659202020"
    "00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004 e57a3bcf"
)
RESPONSE_4 = bytes.fromhex(
    "0101003c 2112a442 b7e7a701bc34d686fa87dfae"
    "8022000b 7465737420766563746f7220"
    "00200008 0001a147e112a643"
    "00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004 c07d4c96"
)
RESPONSE_6 = bytes.fromhex(
    "01010048 2112a442 b7e7a701bc34d686fa87dfae"
    "8022000b 7465737420766563746f7220"
    "00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014 a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004 c8fb0b4c"
)


def test_request_of_rfc_5769_is_read_and_authentic() -> None:
    message = stun.parse(REQUEST)
    assert message.type == stun.BINDING_REQUEST
    assert message.username == "evtj:h6vY"
    assert message.attributes[stun.PRIORITY] == bytes.fromhex("6e0001ff")
    assert message.is_authentic(PASSWORD)
    assert not message.is_authentic(PASSWORD + "x")


@pytest.mark.parametrize(
    ("data", "address"),
    [(RESPONSE_4, ("192.0.2.1", 32853)), (RESPONSE_6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853))],
)
def test_responses_of_rfc_5769_tell_the_address(data: bytes, address: stun.Address) -> None:
    message = stun.parse(data)
    assert message.is_authentic(PASSWORD)
    value = message.attributes[stun.XOR_MAPPED_ADDRESS]
    assert stun.read_xor_address(value, message.transaction) == address
    assert stun.xor_address(address, message.transaction) == value


def test_answer_is_signed_and_names_where_the_check_came_from() -> None:
    answer = stun.parse(stun.binding_success(stun.parse(REQUEST), ("10.1.2.3", 4567), "secret"))
    assert answer.type == stun.BINDING_SUCCESS
    assert answer.transaction == stun.parse(REQUEST).transaction
    assert answer.is_authentic("secret")
    value = answer.attributes[stun.XOR_MAPPED_ADDRESS]
    assert stun.read_xor_address(value, answer.transaction) == ("10.1.2.3", 4567)


def test_attributes_behind_the_integrity_are_not_believed() -> None:
    head = stun.build(stun.BINDING_REQUEST, bytes(12), [(stun.USERNAME, b"a:b")], "secret")[:-8]
    smuggled = head + bytes.fromhex("00250000")
    data = smuggled[:2] + (len(smuggled) - 20).to_bytes(2, "big") + smuggled[4:]
    message = stun.parse(data)
    assert message.is_authentic("secret")
    assert not message.nominates


@pytest.mark.parametrize("position", range(0, len(REQUEST), 7))
def test_a_changed_byte_is_noticed(position: int) -> None:
    changed = bytearray(REQUEST)
    changed[position] ^= 1
    try:
        message = stun.parse(bytes(changed))
    except StunError:
        return
    assert not message.is_authentic(PASSWORD)


@given(st.binary(max_size=200))
def test_any_bytes_give_a_message_or_a_stun_error(data: bytes) -> None:
    try:
        stun.parse(data)
    except StunError:
        pass


@given(st.binary(max_size=120).map(lambda body: body[: len(body) // 4 * 4]))
def test_any_attributes_give_a_message_or_a_stun_error(body: bytes) -> None:
    header = b"\0\1" + len(body).to_bytes(2, "big") + stun.MAGIC_COOKIE.to_bytes(4, "big") + bytes(12)
    try:
        stun.parse(header + body).is_authentic("secret")
    except StunError:
        pass


@given(st.binary(max_size=24))
def test_any_address_bytes_are_read_or_refused(value: bytes) -> None:
    try:
        stun.read_xor_address(value, bytes(12))
    except StunError:
        pass
