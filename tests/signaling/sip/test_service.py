"""The server without sockets: rates, refusals, keep-alive of nothing."""

import random

from signaling.sip.digest import DigestServer
from signaling.sip.message import Response, parse
from signaling.sip.registrar import Registrar
from signaling.sip.service import Buckets, SipService
from signaling.sip.transactionlayer import Flow, Send
from tests.fakes.siphostile import mutated
from tests.fakes.sipmessages import request
from tests.fakes.siptorture import SEEDS

HERE = Flow("192.0.2.7", 40000)


def service() -> SipService:
    digest = DigestServer("mine.example", b"k" * 32, lambda size: b"r" * size)
    return SipService(Registrar("mine.example", digest, lambda user, algorithm: None, lambda: "tag"), lambda: "tag")


def status(sends: list[Send]) -> int:
    (one,) = sends
    message = parse(one.data)
    assert isinstance(message, Response)
    return message.status


def ask(number: int, method: str = "OPTIONS") -> bytes:
    return request(method, Via=f"SIP/2.0/UDP 192.0.2.7;rport;branch=z9hG4bK{number}", Call_ID=str(number))


def test_what_is_answered_how() -> None:
    here = service()
    answers = {
        method: status(here.receive(ask(n, method), HERE, 0.0))
        for n, method in enumerate(["OPTIONS", "REGISTER", "INVITE", "ODD"])
    }
    assert answers == {"OPTIONS": 200, "REGISTER": 404, "INVITE": 405, "ODD": 501}
    assert status(here.receive(request(Max_Forwards="300"), HERE, 0.0)) == 400
    assert here.receive(b"noise", HERE, 0.0) == []
    assert here.counters["malformed"] == 2


def test_a_list_that_cannot_be_read_is_answered_400() -> None:
    odd = request("OPTIONS", "sip:dispatch@county.example", 'Require: "unclosed')
    assert status(service().receive(odd, HERE, 0.0)) == 400


def test_more_than_20_a_second_get_a_stateless_503() -> None:
    here = service()
    answers = [status(here.receive(ask(number), HERE, 0.0)) for number in range(30)]
    assert answers == [200] * 20 + [503] * 10
    assert len(here._layer) == 20
    assert status(here.receive(ask(50), Flow("192.0.2.8", 1), 0.0)) == 200
    assert status(here.receive(ask(51), HERE, 0.1)) == 200
    assert here.receive(ask(52, "ACK"), Flow("192.0.2.9", 1), 0.2) == []


def test_answers_go_to_the_source_and_to_the_port_that_was_asked_for() -> None:
    here = service()
    assert here.receive(ask(1), HERE, 0.0)[0].flow == HERE
    plain = request(Via="SIP/2.0/UDP 10.9.9.9:5070;maddr=198.51.100.1;branch=z9hG4bKx", Call_ID="x")
    assert here.receive(plain, HERE, 0.0)[0].flow == Flow("192.0.2.7", 5070)


def test_nothing_is_left_after_timer_j() -> None:
    here = service()
    here.receive(ask(1), HERE, 0.0)
    assert here.next_timeout() == 32.0
    here.timeout(32.0)
    assert here.next_timeout() is None


def test_registrations_are_swept_as_long_as_there_are_any() -> None:
    here = service()
    here.receive(ask(1, "REGISTER"), HERE, 0.0)
    assert here.next_timeout() == 10.0
    here.timeout(10.0)
    assert here.next_timeout() == 32.0


def test_mutated_messages_raise_nothing_and_leave_nothing() -> None:
    here = service()
    rng = random.Random(4475)
    now = 0.0
    for _ in range(3000):
        now += 0.1
        for one in here.receive(mutated(rng.choice(SEEDS), rng), HERE, now):
            assert one.flow.host == HERE.host
        here.timeout(now)
    here.receive(request("REGISTER", From="<sip:" + "a" * 32_000 + "@b>;tag=1"), HERE, now + 1)
    here.timeout(now + 100)
    assert len(here._layer) == 0
    assert here.next_timeout() is None


def test_buckets_are_bounded() -> None:
    buckets = Buckets(1.0, limit=3)
    for number in range(10):
        assert buckets.take(str(number), 0.0)
    assert len(buckets._levels) == 3
    assert not buckets.take("9", 0.0)
