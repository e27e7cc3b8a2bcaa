"""Offer and answer, session timers, reliable provisional responses."""

import pytest

from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.message import CSeq, Request, Response, parse
from signaling.sip.offeranswer import Direction, OfferAnswer, State, answer_direction, hold, on_hold
from signaling.sip.reliable import RAck, ReliableReceiver, ReliableSender
from signaling.sip.sessiontimer import Due, SessionTimer, answer_session, read_session_expires, retry_interval
from tests.fakes.sipmessages import request


def asked(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


@pytest.mark.parametrize(
    ("offered", "wanted", "answered"),
    [
        ("sendrecv", "sendrecv", "sendrecv"),
        ("sendonly", "sendrecv", "recvonly"),
        ("recvonly", "sendrecv", "sendonly"),
        ("inactive", "sendrecv", "inactive"),
        ("sendrecv", "sendonly", "sendonly"),
        ("sendonly", "sendonly", "inactive"),
        ("recvonly", "sendonly", "sendonly"),
        ("sendrecv", "recvonly", "recvonly"),
        ("sendonly", "recvonly", "recvonly"),
        ("recvonly", "recvonly", "inactive"),
        ("sendrecv", "inactive", "inactive"),
    ],
)
def test_3264_6_1_an_answer_never_claims_more_than_the_offer(
    offered: Direction, wanted: Direction, answered: Direction
) -> None:
    assert answer_direction(offered, wanted) == answered


def test_hold() -> None:
    assert (hold("sendrecv"), hold("recvonly"), hold("sendonly")) == ("sendonly", "inactive", "sendonly")
    assert on_hold("sendonly")
    assert on_hold("sendrecv", "0.0.0.0")
    assert not on_hold("recvonly", "192.0.2.1")


def test_a_late_offer_is_answered_in_the_ack() -> None:
    exchange = OfferAnswer()
    exchange.offer(b"ours")
    exchange.answered(b"theirs")
    assert (exchange.state, exchange.local, exchange.remote) == (State.IDLE, b"ours", b"theirs")
    exchange.answered(b"again")
    assert exchange.remote == b"theirs"


def test_glare_is_491_and_a_second_offer_of_theirs_500() -> None:
    exchange = OfferAnswer()
    exchange.offer(b"ours")
    with pytest.raises(MessageError) as glare:
        exchange.offered(b"theirs")
    exchange.reject()
    exchange.offered(b"theirs")
    with pytest.raises(MessageError) as second:
        exchange.offered(b"more")
    assert (glare.value.status, second.value.status) == (491, 500)
    with pytest.raises(LocalSipError):
        exchange.offer(b"ours")
    exchange.answer(b"mine")
    assert (exchange.local, exchange.remote) == (b"mine", b"theirs")


def test_a_rejected_offer_leaves_what_was_agreed() -> None:
    exchange = OfferAnswer()
    exchange.offered(b"one")
    exchange.answer(b"two")
    exchange.offered(b"three")
    exchange.reject()
    assert (exchange.local, exchange.remote) == (b"two", b"one")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((), "1800;refresher=uas"),
        (("Supported: timer",), "1800;refresher=uac"),
        (("Supported: timer", "Session-Expires: 600;refresher=uas"), "600;refresher=uas"),
        (("Supported: timer", "x: 4000"), "1800;refresher=uac"),
        (("Supported: timer", "x: 4000", "Min-SE: 3000"), "3000;refresher=uac"),
        (("Session-Expires: 10",), "90;refresher=uas"),
    ],
)
def test_4028_9_what_the_called_side_answers(lines: tuple[str, ...], expected: str) -> None:
    assert str(answer_session(asked(request("INVITE", "sip:a@b", *lines)))) == expected


def test_4028_an_interval_too_small_is_422() -> None:
    invite = asked(request("INVITE", "sip:a@b", "Supported: timer", "Session-Expires: 60"))
    with pytest.raises(MessageError) as caught:
        answer_session(invite)
    assert caught.value.status == 422
    assert retry_interval(invite.reply(422, ("Min-SE", "120")), 60) == 120
    with pytest.raises(MessageError):
        read_session_expires(asked(request("INVITE", "sip:a@b", "x: 90;refresher=me")))


def test_4028_10_refresh_at_half_and_bye_before_the_end() -> None:
    ours = SessionTimer(1800, True, 0.0)
    assert ours.next_timeout() == 900
    assert ours.timeout(899.0) is None
    assert ours.timeout(900.0) is Due.REFRESH
    assert ours.next_timeout() == 1768
    ours.refreshed(90, False, 1000.0)
    assert ours.next_timeout() == 1060
    assert ours.timeout(1060.0) is Due.BYE
    assert ours.next_timeout() is None


def test_3262_a_reliable_response_is_repeated_until_its_prack() -> None:
    invite = asked(request("INVITE"))
    sender, receiver = ReliableSender(invite.cseq, 100), ReliableReceiver()
    first = sender.send(invite.reply(183, tag="t"), 0.0)
    with pytest.raises(LocalSipError):
        sender.send(invite.reply(180), 0.0)
    times = []
    for _ in range(3):
        at = sender.next_timeout()
        assert at is not None
        assert sender.timeout(at) == first
        times.append(at)
    assert times == [0.5, 1.5, 3.5]
    assert receiver.receive(first) == RAck(100, CSeq(1, "INVITE"))
    assert receiver.receive(first) is None
    assert sender.prack(asked(request("PRACK", "sip:a@b", "RAck: 99 1 INVITE"))) == 481
    assert sender.prack(asked(request("PRACK", "sip:a@b", "RAck: 100 1 INVITE"))) == 200
    assert sender.next_timeout() is None
    sender.send(invite.reply(180), 9.0)
    with pytest.raises(MessageError):
        sender.prack(asked(request("PRACK", "sip:a@b", "RAck: x")))


def test_3262_gaps_wait_and_unreliable_responses_need_no_prack() -> None:
    invite = asked(request("INVITE"))
    receiver = ReliableReceiver()

    def ringing(number: int, require: str = "100rel") -> Response:
        return invite.reply(180, ("Require", require), ("RSeq", str(number)), tag="t")

    assert receiver.receive(ringing(5)) is not None
    assert receiver.receive(ringing(7)) is None
    assert receiver.receive(ringing(6)) is not None
    assert receiver.receive(ringing(7, "other")) is None
    assert receiver.receive(invite.reply(180)) is None


def test_3262_without_a_prack_the_call_fails() -> None:
    invite = asked(request("INVITE"))
    sender = ReliableSender(invite.cseq, 1)
    sender.send(invite.reply(183, tag="t"), 0.0)
    sent = 0
    while (at := sender.next_timeout()) is not None:
        sent += sender.timeout(at) is not None
    assert (sent, at, sender.failed) == (6, None, True)
