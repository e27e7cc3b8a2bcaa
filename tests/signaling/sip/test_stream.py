"""Messages out of a byte stream."""

import pytest

from signaling.sip.errors import MessageError
from signaling.sip.message import MAX_BYTES, parse
from signaling.sip.stream import StreamFramer
from tests.fakes.sipmessages import request

ONE = request("MESSAGE", body=b"first")
TWO = request("OPTIONS")


@pytest.mark.parametrize("step", [1, 2, 7, 100, 10_000])
def test_messages_come_out_whole_however_they_are_cut(step: int) -> None:
    framer = StreamFramer()
    data = ONE + b"\r\n\r\n" + TWO + ONE
    found = [message for at in range(0, len(data), step) for message in framer.feed(data[at : at + step])]
    assert found == [ONE, TWO, ONE]
    assert framer.pings == 1
    assert framer.waiting == 0
    assert parse(found[0]).body == b"first"


def test_a_pong_is_swallowed_and_is_no_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n") == []
    assert framer.feed(ONE) == [ONE]
    assert framer.pings == 0


@pytest.mark.parametrize(
    "data",
    [
        request().replace(b"Content-Length: 0\r\n", b""),
        request("OPTIONS", "sip:a@b", "Content-Length: 1", "l: 1", body=b"x"),
        request("OPTIONS", "sip:a@b", "Content-Length: -1"),
        request("OPTIONS", "sip:a@b", f"Content-Length: {MAX_BYTES}"),
        b"x" * (MAX_BYTES + 1),
        b"OPTIONS sip:a@b SIP/2.0\r\nnonsense\r\n\r\n",
    ],
)
def test_what_cannot_be_framed_ends_the_connection(data: bytes) -> None:
    with pytest.raises(MessageError):
        StreamFramer().feed(data)
