"""Matching, merged requests, CANCEL, limits; and calls that survive a lossy net, in virtual time."""

import random
from itertools import count

import pytest

from signaling.sip.errors import LocalSipError
from signaling.sip.message import Request, Response, parse
from signaling.sip.transactionlayer import (
    Answered,
    Canceled,
    Effect,
    Flow,
    Received,
    Send,
    TimedOut,
    TransactionLayer,
    cancel_for,
    client_key,
    forwarded,
)
from tests.fakes.sipmessages import request

FLOW = Flow("192.0.2.7", 5060)


def layer(limit: int = 10_000) -> TransactionLayer:
    numbers = count(1)
    return TransactionLayer(lambda: f"t{next(numbers)}", limit)


def asked(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def sent(effects: list[Effect]) -> list[Request | Response]:
    return [parse(one.data) for one in effects if isinstance(one, Send)]


def statuses(effects: list[Effect]) -> list[int]:
    return [one.status for one in sent(effects) if isinstance(one, Response)]


def received(effects: list[Effect]) -> Received:
    (one,) = [one for one in effects if isinstance(one, Received)]
    return one


def test_a_repeated_request_is_answered_by_the_layer() -> None:
    server = layer()
    new = received(server.receive(asked(request()), FLOW, 0.0))
    assert server.receive(asked(request()), FLOW, 0.5) == []
    first = server.respond(new.key, new.request.reply(200, tag="x"), 1.0)
    assert server.receive(asked(request()), FLOW, 1.5) == first
    assert server.respond(new.key, new.request.reply(500, tag="x"), 2.0) == []
    assert server.timeout(33.0) == []
    assert len(server) == 0
    assert server.next_timeout() is None


def test_repeats_add_no_deadlines() -> None:
    server = layer()
    new = received(server.receive(asked(request()), FLOW, 0.0))
    server.respond(new.key, new.request.reply(200, tag="x"), 1.0)
    for _ in range(1000):
        server.receive(asked(request()), FLOW, 1.0)
    assert len(server._deadlines) == 1


def test_the_other_sent_by_or_method_is_another_transaction() -> None:
    server = layer()
    keys = {
        received(server.receive(asked(data), FLOW, 0.0)).key
        for data in (
            request(),
            request(Via="SIP/2.0/UDP 192.0.2.8;branch=z9hG4bKplain1", Call_ID="other"),
            request("MESSAGE"),
        )
    }
    assert len(keys) == 3


def test_8_2_2_2_a_merged_request_is_a_loop() -> None:
    server = layer()
    received(server.receive(asked(request()), FLOW, 0.0))
    other = request(Via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKother")
    assert statuses(server.receive(asked(other), FLOW, 0.1)) == [482]
    within = request(Via="SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKinside", To="<sip:a@b.example>;tag=known")
    assert received(server.receive(asked(within), FLOW, 0.1))


def test_an_ack_to_a_failure_stays_in_the_layer_and_an_ack_to_a_2xx_does_not() -> None:
    server = layer()
    for status, reaches in ((486, False), (200, True)):
        via = f"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{status}"
        new = received(server.receive(asked(request("INVITE", Via=via, Call_ID=str(status))), FLOW, 0.0))
        server.respond(new.key, new.request.reply(status, tag="x"), 0.1)
        effects = server.receive(asked(request("ACK", Via=via, Call_ID=str(status))), FLOW, 0.2)
        assert any(isinstance(one, Received) for one in effects) is reaches


def test_rfc_2543_requests_match_without_a_branch() -> None:
    server = layer()
    old = "SIP/2.0/UDP old.example"
    new = received(server.receive(asked(request("INVITE", Via=old)), FLOW, 0.0))
    assert server.receive(asked(request("INVITE", Via=old)), FLOW, 0.1) == []
    server.respond(new.key, new.request.reply(486, tag="x"), 0.2)
    assert server.receive(asked(request("ACK", To="<sip:dispatch@county.example>;tag=x", Via=old)), FLOW, 0.3) == []
    assert server.timeout(5.3) == []
    assert len(server) == 0


def test_9_2_cancel_reaches_its_invite_once_it_can() -> None:
    server = layer()
    assert statuses(server.receive(asked(request("CANCEL")), FLOW, 0.0)) == [481]
    new = received(server.receive(asked(request("INVITE")), FLOW, 0.0))
    effects = server.receive(asked(request("CANCEL")), FLOW, 1.0)
    assert statuses(effects) == [200]
    assert Canceled(new.key) in effects
    server.respond(new.key, new.request.reply(487, tag="x"), 1.0)
    late = server.receive(asked(request("CANCEL")), FLOW, 1.1)
    assert statuses(late) == [200]
    assert not any(isinstance(one, Canceled) for one in late)


def test_a_full_table_answers_503_and_keeps_nothing() -> None:
    server = layer(2)
    for number in range(4):
        data = request(Via=f"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{number}", Call_ID=str(number))
        effects = server.receive(asked(data), FLOW, 0.0)
        assert statuses(effects) == ([] if number < 2 else [503])
    assert (len(server), server.refused) == (2, 2)
    with pytest.raises(LocalSipError):
        server.request(asked(request()), FLOW, 0.0)


def test_a_failure_to_our_invite_is_acked_with_its_own_branch_and_tag() -> None:
    client = layer()
    invite = asked(request("INVITE", "sip:a@b.example", "Route: <sip:proxy.example;lr>"))
    client.request(invite, FLOW, 0.0)
    busy = invite.reply(486, tag="far")
    effects = client.receive(busy, FLOW, 1.0)
    (ack,) = sent(effects)
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, ack.via, ack.to.tag) == ("ACK", invite.uri, invite.via, "far")
    assert ack.headers.lines("Route") == ["<sip:proxy.example;lr>"]
    assert effects[-1] == Answered(client_key("z9hG4bKplain1", "INVITE"), busy)
    assert client.receive(busy, FLOW, 2.0) == effects[:1]


def test_a_cancel_of_ours_has_the_branch_of_its_invite() -> None:
    invite = asked(request("INVITE"))
    cancel = cancel_for(invite)
    assert (cancel.via, cancel.cseq, cancel.uri) == (invite.via, (1, "CANCEL"), invite.uri)


def test_answers_that_are_not_for_us_are_counted() -> None:
    client = layer()
    ours = asked(request())
    client.request(ours, FLOW, 0.0)
    assert (
        client.receive(asked(request(Via="SIP/2.0/UDP 192.0.2.255;branch=z9hG4bKplain1")).reply(200), FLOW, 0.1) == []
    )
    assert client.receive(asked(request(Via="SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKno")).reply(200), FLOW, 0.1) == []
    assert client.stray == 2
    with pytest.raises(LocalSipError):
        client.request(ours, FLOW, 0.2)


def test_max_forwards_is_taken_down_to_none() -> None:
    last = forwarded(asked(request(Max_Forwards="1")))
    assert last is not None
    assert last.max_forwards == 0
    assert forwarded(last) is None


def test_silence_times_out() -> None:
    client = layer()
    client.request(asked(request()), FLOW, 0.0)
    found: list[Effect] = []
    while (at := client.next_timeout()) is not None:
        found += client.timeout(at)
    assert found[-1] == TimedOut(client_key("z9hG4bKplain1", "OPTIONS"))
    assert len(client) == 0


@pytest.mark.parametrize("loss", [0.1, 0.3])
@pytest.mark.parametrize("method", ["OPTIONS", "INVITE"])
def test_c18_lost_and_repeated_messages_leave_nothing_behind(method: str, loss: float) -> None:
    """60 requests, each refused with 486 or answered 200 by the far side, over a net that loses and repeats."""
    rng = random.Random(18)
    client, server = layer(), layer()
    answered = 0
    for number in range(60):
        ask = asked(request(method, Via=f"SIP/2.0/UDP 192.0.2.7;branch=z9hG4bK{number}", Call_ID=str(number)))
        start = number * 1000.0
        status = 486 if method == "INVITE" else 200
        wire = [(start, True, one) for one in client.request(ask, FLOW, start)]
        got: set[int] = set()
        while True:
            deadlines = [at for at in (client.next_timeout(), server.next_timeout()) if at is not None]
            if not wire and not deadlines:
                break
            now = min([at for at, _, _ in wire] + deadlines)
            due = [one for one in wire if one[0] <= now]
            wire = [one for one in wire if one[0] > now]
            out: list[tuple[bool, Effect]] = [(True, one) for one in client.timeout(now)]
            out += [(False, one) for one in server.timeout(now)]
            for _, to_server, effect in due:
                assert isinstance(effect, Send)
                side = server if to_server else client
                for one in side.receive(parse(effect.data), FLOW, now):
                    if isinstance(one, Received) and one.key:
                        replies = server.respond(one.key, one.request.reply(status, tag="far"), now)
                        out += [(False, reply) for reply in replies]
                    out.append((not to_server, one))
            for from_client, effect in out:
                if isinstance(effect, Answered):
                    got.add(effect.response.status)
                elif isinstance(effect, Send):
                    copies = 0 if rng.random() < loss else 1 + (rng.random() < 0.1)
                    wire += [(now + 0.02, from_client, effect)] * copies
        answered += got == {status}
    assert (len(client), len(server)) == (0, 0)
    assert answered >= 59
