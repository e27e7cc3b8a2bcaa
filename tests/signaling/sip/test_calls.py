"""Whole calls between two user agents in virtual time."""

import random
from dataclasses import replace

import pytest

from signaling.sip.call import State
from signaling.sip.callevents import (
    Account,
    Answered,
    CallEvent,
    Confirmed,
    Digit,
    Ended,
    Incoming,
    Offered,
    OfferFailed,
    OfferWanted,
    PictureWanted,
    Profile,
    Progress,
    Referred,
    Refused,
    Renegotiated,
    Texted,
    TransferProgress,
)
from signaling.sip.digest import Algorithm, DigestServer, Verdict, ha1
from signaling.sip.gate import Admitted, OpenGate, Turned
from signaling.sip.headers import Headers
from signaling.sip.message import Request, Response, parse
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri
from tests.fakes.sipmessages import request
from tests.fakes.sipwire import ANSWER, HOLD, HOLD_ANSWER, OFFER, TARGET, Wire


def answering(wire: Wire, ring: bool = True, answer: bytes = ANSWER) -> None:
    """`b` rings and takes every call, and answers every offer."""

    def on_event(who: str, event: CallEvent) -> None:
        agent = wire.a if who == "a" else wire.b
        if isinstance(event, Incoming):
            if ring:
                wire.do(who, agent.ring(event.call, wire.now))
            wire.do(who, agent.answer(event.call, answer, wire.now))
        elif isinstance(event, Offered):
            reply = HOLD_ANSWER if b"sendonly" in event.offer else ANSWER
            wire.do(who, agent.accept_offer(event.call, reply, wire.now))
        elif isinstance(event, OfferWanted):
            wire.do(who, agent.accept_offer(event.call, OFFER, wire.now))

    wire.on_event = on_event


def up(wire: Wire, **more: object) -> tuple[str, str]:
    """A call that is up: the ids at both ends."""
    answering(wire)
    mine = wire.invite()
    wire.run(2)
    (incoming,) = wire.of("b", Incoming)
    assert wire.of("a", Answered) == [Answered(mine, ANSWER)]
    assert wire.of("b", Confirmed) == [Confirmed(incoming.call, None)]
    return mine, incoming.call


@pytest.mark.parametrize("connection", ["", "t1"])
@pytest.mark.parametrize("reliable", ["no", "yes", "required"])
def test_a_call_is_set_up_and_ended_and_leaves_nothing(connection: str, reliable: str) -> None:
    wire = Wire(connection=connection, profile=Profile(reliable=reliable))  # type: ignore[arg-type]
    mine, theirs = up(wire)
    assert len(wire.sent("a", "PRACK")) == (0 if reliable == "no" else 1)
    wire.do("a", wire.a.hang_up(mine, wire.now))
    wire.run(1)
    assert [(one.call, one.by, one.cause) for one in wire.of("a", Ended)] == [(mine, "us", "hangup")]
    assert [(one.call, one.by, one.cause) for one in wire.of("b", Ended)] == [(theirs, "them", "hangup")]
    wire.run(120)
    for agent in (wire.a, wire.b):
        assert not agent.calls
        assert not agent._dialogs
        assert not agent._graves
        assert not agent._by_key
        assert len(agent.layer) == 0
        assert not agent._core._waiting
        assert agent.next_timeout() is None


@pytest.mark.parametrize("seed", range(12))
def test_calls_come_up_and_end_at_a_quarter_of_loss(seed: int) -> None:
    wire = Wire(loss=0.25, seed=seed)
    answering(wire)
    mine = wire.invite()
    wire.run(40)
    ended = wire.of("a", Ended)
    if not ended:
        assert wire.of("a", Answered)
        wire.do("a", wire.a.hang_up(mine, wire.now))
    wire.run(200)
    assert len(wire.of("a", Ended)) == 1
    assert len(wire.of("b", Ended)) == len(wire.of("b", Incoming)) == 1
    assert not wire.a.calls
    assert not wire.b.calls
    assert len(wire.a.layer) == len(wire.b.layer) == 0


def test_a_late_offer_has_ours_in_the_200_and_theirs_in_the_ack() -> None:
    wire = Wire(profile=Profile(reliable="no"))
    ack = late(wire)
    wire.do("b", wire.b.receive(ack(ANSWER), Flow("192.0.2.1", 5060), wire.now))
    (confirmed,) = wire.of("b", Confirmed)
    assert confirmed.answer == ANSWER
    assert next(iter(wire.b.calls.values())).state is State.UP


def late(wire: Wire):  # type: ignore[no-untyped-def]
    """An INVITE without a body, answered with an offer; gives what makes the ACK."""
    answering(wire, answer=OFFER)
    invite = request("INVITE", "sip:b@192.0.2.2", Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKlate")
    wire.do("b", wire.b.receive(invite, Flow("192.0.2.1", 5060), wire.now))
    (success,) = wire.sent("b", 200)
    assert success.body == OFFER

    def ack(body: bytes) -> bytes:
        fields = {"To": success.headers.first("To"), "CSeq": "1 ACK"}
        via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKack"
        return request("ACK", "sip:lamproom@192.0.2.2", "Content-Type: application/sdp", body=body, Via=via, **fields)

    return ack


def test_an_ack_without_an_answer_to_a_late_offer_ends_the_call() -> None:
    wire = Wire(profile=Profile(reliable="no"))
    ack = late(wire)
    wire.do("b", wire.b.receive(ack(b""), Flow("192.0.2.1", 5060), wire.now))
    assert [one.cause for one in wire.of("b", Ended)] == ["failed"]
    assert wire.sent("b", "BYE")


def test_a_late_offer_in_a_reliable_183_is_answered_in_the_prack() -> None:
    wire = Wire()
    calls: list[str] = []
    wire.on_event = lambda who, event: calls.append(event.call) if isinstance(event, Incoming) else None
    via = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKlate"
    invite = request("INVITE", "sip:b@192.0.2.2", "Supported: 100rel", Via=via)
    flow = Flow("192.0.2.1", 5060)
    wire.do("b", wire.b.receive(invite, flow, 0.0))
    wire.do("b", wire.b.ring(calls[0], 0.0, 183, OFFER))
    (early,) = wire.sent("b", 183)
    assert early.body == OFFER
    wire.do("b", wire.b.answer(calls[0], OFFER, 0.0))
    assert not wire.sent("b", 200), "the 2xx waits for the PRACK"
    rack = f"RAck: {early.headers.first('RSeq')} 1 INVITE"
    fields = {"To": early.headers.first("To"), "CSeq": "2 PRACK", "Via": "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKp"}
    prack = request("PRACK", "sip:x@192.0.2.2", rack, "Content-Type: application/sdp", body=ANSWER, **fields)
    wire.do("b", wire.b.receive(prack, flow, 0.1))
    assert wire.of("b", Renegotiated) == [Renegotiated(calls[0], ANSWER)]
    prack_answer, success = wire.sent("b", 200)
    assert prack_answer.cseq.method == "PRACK"
    assert success.cseq.method == "INVITE"
    assert not success.body


def test_without_a_prack_the_call_is_given_up_with_504() -> None:
    wire = Wire()
    wire.drop = lambda sender, message: isinstance(message, Request) and message.method == "PRACK"
    wire.on_event = lambda who, event: (
        wire.do("b", wire.b.ring(event.call, wire.now)) if isinstance(event, Incoming) else None
    )
    wire.invite()
    wire.run(40)
    assert len(wire.sent("b", 180)) == 7
    assert [one.status for one in wire.of("b", Ended)] == [504]


def test_early_media_and_further_18x_come_one_after_the_other() -> None:
    wire = Wire()
    wire.on_event = lambda who, event: early(wire, event)

    def early(wire: Wire, event: CallEvent) -> None:
        if isinstance(event, Incoming):
            for status, description in ((180, b""), (183, ANSWER), (180, b"")):
                wire.do("b", wire.b.ring(event.call, wire.now, status, description))
            wire.do("b", wire.b.answer(event.call, ANSWER, wire.now))

    mine = wire.invite()
    wire.run(3)
    assert [one.status for one in wire.of("a", Progress)] == [180]
    assert wire.of("a", Answered) == [Answered(mine, ANSWER)]


# --- hold, glare, refresh ---


def test_hold_and_resume_from_both_sides() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    for who, call in (("a", mine), ("b", theirs)):
        agent = wire.a if who == "a" else wire.b
        wire.do(who, agent.offer(call, HOLD, wire.now))
        wire.run(1)
        wire.do(who, agent.offer(call, OFFER, wire.now))
        wire.run(1)
        assert wire.of(who, Renegotiated) == [Renegotiated(call, HOLD_ANSWER), Renegotiated(call, ANSWER)]
    assert wire.a.calls[mine].exchange.remote is not None
    wire.run(10)
    assert not wire.of("a", Ended)
    assert not wire.of("b", Ended)


def test_a_refused_hold_leaves_what_was_agreed() -> None:
    wire = Wire()
    mine, _ = up(wire)
    agreed = wire.a.calls[mine].exchange.local
    wire.on_event = lambda who, event: (
        wire.do(who, wire.b.refuse_offer(event.call, 488, wire.now)) if isinstance(event, Offered) else None
    )
    wire.do("a", wire.a.offer(mine, HOLD, wire.now))
    wire.run(1)
    assert wire.of("a", OfferFailed) == [OfferFailed(mine, 488)]
    assert wire.a.calls[mine].exchange.local == agreed
    wire.do("a", wire.a.offer(mine, HOLD, wire.now))  # and another may be made


def test_offers_that_cross_are_answered_491_and_both_come_through() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    wire.do("a", wire.a.offer(mine, HOLD, wire.now))
    wire.do("b", wire.b.offer(theirs, HOLD, wire.now))
    wire.run(10)
    assert wire.sent("a", 491)
    assert wire.sent("b", 491)
    assert wire.of("a", Renegotiated) == [Renegotiated(mine, HOLD_ANSWER)]
    assert wire.of("b", Renegotiated) == [Renegotiated(theirs, HOLD_ANSWER)]


def test_a_reinvite_without_a_body_gets_our_offer() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    dialog = wire.a.calls[mine].dialog
    assert dialog is not None
    bare = dialog.request("INVITE", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKbare")
    wire.put("b", wire.b.receive(bare.serialize(), Flow("192.0.2.1", 5060), wire.now))
    assert wire.of("b", OfferWanted) == [OfferWanted(theirs)]
    body = next(one for one in wire.sent("b", 200) if one.cseq.number == bare.cseq.number).body
    assert body == OFFER
    ack = dialog.ack("SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKback", ("Content-Type", "application/sdp"), body=ANSWER)
    wire.put("b", wire.b.receive(ack.serialize(), Flow("192.0.2.1", 5060), wire.now))
    assert wire.of("b", Renegotiated) == [Renegotiated(theirs, ANSWER)]


@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize("refresher", ["uac", "uas"])
def test_a_session_is_refreshed_by_either_side(refresher: str, update: bool) -> None:
    wire = Wire(profile=Profile(session_s=100))
    if refresher == "uas":
        wire.profile = Profile(session_s=0)  # the caller has no timers, the called side refreshes
    mine, theirs = up(wire)
    if refresher == "uas":
        assert not wire.a.calls[mine].profile.session_s
    if not update:
        for agent in (wire.a, wire.b):
            for call in agent.calls.values():
                call.allows = frozenset({"invite"})
    wire.run(1000)
    who = "a" if refresher == "uac" else "b"
    refreshes = wire.sent(who, "UPDATE" if update else "INVITE")
    assert 18 <= len(refreshes) <= 21
    assert not wire.of("a", Ended)
    assert not wire.of("b", Ended)
    assert wire.b.calls[theirs].state is State.UP


def test_a_call_whose_far_end_is_silently_gone_is_ended_by_the_session_timer() -> None:
    wire = Wire(profile=Profile(session_s=100))
    up(wire)
    wire.drop = lambda sender, message: True
    wire.run(200)
    assert [one.cause for one in wire.of("b", Ended)] == ["session_expired"]
    assert wire.of("a", Ended)[0].by == "nobody"


def test_a_session_interval_that_is_too_small_is_answered_422_and_tried_again() -> None:
    wire = Wire(profile=Profile(session_s=90), profile_b=Profile(min_session_s=300, session_s=600))
    mine, _ = up(wire)
    assert len(wire.sent("b", 422)) == 1
    assert wire.sent("b", 422)[0].headers.first("Min-SE") == "300"
    assert [one.headers.first("Session-Expires") for one in wire.sent("a", "INVITE")] == ["90", "300"]
    assert not wire.of("a", Ended)
    assert wire.a.calls[mine].state is State.UP


# --- CANCEL ---


def test_a_call_is_cancelled_while_it_rings() -> None:
    wire = Wire()
    wire.on_event = lambda who, event: (
        wire.do("b", wire.b.ring(event.call, wire.now)) if isinstance(event, Incoming) else None
    )
    mine = wire.invite()
    wire.run(1)
    wire.do("a", wire.a.hang_up(mine, wire.now))
    wire.run(1)
    assert wire.sent("b", 487)
    assert [(one.by, one.cause) for one in wire.of("a", Ended)] == [("us", "cancelled")]
    assert [(one.by, one.cause) for one in wire.of("b", Ended)] == [("them", "cancelled")]


def test_a_cancel_waits_for_the_first_provisional_response() -> None:
    wire = Wire(latency_s=0.2)
    answering(wire, ring=False)
    mine = wire.invite()
    wire.do("a", wire.a.hang_up(mine, wire.now))
    assert not wire.sent("a", "CANCEL")
    wire.run(5)
    assert wire.of("a", Ended)[0].cause == "cancelled"
    assert wire.of("b", Ended)[0].by == "them"


@pytest.mark.parametrize("loss", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(5))
def test_a_200_that_crosses_a_cancel_is_acknowledged_and_ended(loss: float, seed: int) -> None:
    wire = Wire(latency_s=0.1, loss=loss, seed=seed)
    mine = ""

    def on_event(who: str, event: CallEvent) -> None:
        if isinstance(event, Incoming):
            wire.do("b", wire.b.ring(event.call, wire.now))
        elif isinstance(event, Progress):
            wire.do("b", wire.b.answer(next(iter(wire.b.calls)), ANSWER, wire.now))
            wire.do("a", wire.a.hang_up(event.call, wire.now))

    wire.on_event = on_event
    mine = wire.invite(profile=Profile(reliable="no"))
    wire.run(20)
    if not wire.of("a", Progress):  # the only 180 was lost
        wire.do("a", wire.a.hang_up(mine, wire.now))
    wire.run(200)
    assert [one.call for one in wire.of("a", Ended)] == [mine]
    assert len(wire.of("b", Ended)) == len(wire.of("b", Incoming))
    assert not wire.a.calls
    assert not wire.b.calls


def test_a_hang_up_before_the_ack_waits_for_it() -> None:
    wire = Wire(latency_s=0.2, profile=Profile(reliable="no"))

    def on_event(who: str, event: CallEvent) -> None:
        if isinstance(event, Incoming):
            wire.do("b", wire.b.answer(event.call, ANSWER, wire.now))
            wire.do("b", wire.b.hang_up(event.call, wire.now))
            assert not wire.sent("b", "BYE")

    wire.on_event = on_event
    wire.invite()
    wire.run(3)
    assert len(wire.sent("b", "BYE")) == 1
    assert wire.of("a", Ended)[0].by == "them"
    assert wire.of("b", Ended)[0].by == "us"


def test_a_2xx_that_nobody_acknowledges_is_repeated_and_then_ended() -> None:
    wire = Wire(profile=Profile(reliable="no"))
    wire.drop = lambda sender, message: isinstance(message, Request) and message.method == "ACK"
    answering(wire)
    wire.invite()
    wire.run(33)
    assert len([one for one in wire.sent("b", 200) if one.cseq.method == "INVITE"]) >= 10
    assert [one.cause for one in wire.of("b", Ended)] == ["no_ack"]
    assert wire.of("a", Ended)[0].by == "them"


def test_a_call_that_nobody_answers_times_out() -> None:
    wire = Wire()
    wire.drop = lambda sender, message: True
    wire.invite()
    wire.run(40)
    assert [(one.by, one.cause, one.status) for one in wire.of("a", Ended)] == [("nobody", "no_answer", 408)]
    assert len(wire.sent("a", "INVITE")) == 7


@pytest.mark.parametrize("status", [404, 480, 486, 500, 603])
def test_a_refused_call_says_with_what(status: int) -> None:
    wire = Wire()
    wire.on_event = lambda who, event: (
        wire.do("b", wire.b.reject(event.call, status, wire.now)) if isinstance(event, Incoming) else None
    )
    wire.invite()
    wire.run(1)
    assert [(one.by, one.cause, one.status) for one in wire.of("a", Ended)] == [("them", "refused", status)]
    wire.run(100)
    assert not wire.a.calls
    assert not wire.b.calls


def test_calls_that_ring_for_ever_are_given_up_on_both_sides() -> None:
    wire = Wire()
    wire.on_event = lambda who, event: (
        wire.do("b", wire.b.ring(event.call, wire.now)) if isinstance(event, Incoming) else None
    )
    wire.invite()
    wire.run(200)
    assert [(one.by, one.cause, one.status) for one in wire.of("b", Ended)] == [("nobody", "no_answer", 480)]
    wire.b.gate.admit = lambda *asked: Turned("quiet", "", 0)  # type: ignore[method-assign]
    wire.invite()
    wire.put("a", wire.a.receive(progress(wire), Flow("192.0.2.2", 5060), wire.now))
    wire.run(400)
    assert [one.cause for one in wire.of("a", Ended)] == ["refused", "no_answer"]
    wire.run(100)
    assert len(wire.a.layer) == len(wire.b.layer) == 0


def progress(wire: Wire) -> bytes:
    invite = wire.sent("a", "INVITE")[-1]
    assert isinstance(invite, Request)
    return invite.reply(180, ("Contact", "<sip:b@192.0.2.2>"), tag="r").serialize()


# --- forks and merges ---


def forked(wire: Wire, status: int, tag: str, body: bytes = b"") -> None:
    invite = wire.sent("a", "INVITE")[-1]
    assert isinstance(invite, Request)
    fields = (("Contact", f"<sip:{tag}@192.0.2.2>"), ("Content-Type", "application/sdp"))
    answer = invite.reply(status, *fields, tag=tag, body=body)
    wire.put("a", wire.a.receive(answer.serialize(), Flow("192.0.2.2", 5060), wire.now))


def test_the_first_fork_that_answers_wins_and_the_others_are_ended() -> None:
    wire = Wire()
    mine = wire.invite()
    for tag in ("one", "two", "three"):
        forked(wire, 183, tag, ANSWER + tag.encode() + b"\r\n")
    forked(wire, 200, "two", ANSWER)
    forked(wire, 200, "one", ANSWER)
    forked(wire, 200, "two", ANSWER)
    assert wire.of("a", Answered) == [Answered(mine, ANSWER)]
    acks = [one.to.tag for one in wire.sent("a", "ACK")]
    assert acks == ["two", "one", "two"]
    assert [one.to.tag for one in wire.sent("a", "BYE")] == ["one"]
    wire.do("a", wire.a.hang_up(mine, wire.now))
    forked(wire, 200, "three", ANSWER)  # late, after the end
    assert [one.to.tag for one in wire.sent("a", "BYE")] == ["one", "two", "three"]
    wire.run(200)
    assert not wire.a._dialogs
    assert not wire.a._core._waiting


def test_a_call_that_comes_by_two_ways_is_merged_with_482() -> None:
    wire = Wire()
    flow = Flow("192.0.2.1", 5060)
    for branch in ("z9hG4bKway1", "z9hG4bKway2"):
        invite = request("INVITE", "sip:b@192.0.2.2", Via=f"SIP/2.0/UDP 192.0.2.1;branch={branch}")
        wire.do("b", wire.b.receive(invite, flow, 0.0))
    assert len(wire.of("b", Incoming)) == 1
    assert len(wire.sent("b", 482)) == 1


def test_the_contacts_of_a_302_are_told_and_not_called() -> None:
    wire = Wire()
    mine = wire.invite()
    invite = wire.sent("a", "INVITE")[0]
    assert isinstance(invite, Request)
    moved = invite.reply(302, ("Contact", "<sip:1900@premium.example>"), tag="m")
    wire.put("a", wire.a.receive(moved.serialize(), Flow("192.0.2.2", 5060), wire.now))
    (ended,) = wire.of("a", Ended)
    assert (ended.call, ended.cause, str(ended.contacts[0].uri)) == (mine, "moved", "sip:1900@premium.example")
    assert len(wire.sent("a", "INVITE")) == 1


# --- within the call ---


def test_digits_by_info_in_both_spellings() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    for digit in "5*#":
        wire.do("a", wire.a.send_digit(mine, digit, wire.now))
        wire.run(0.5)
    assert [one.digit for one in wire.of("b", Digit)] == ["5", "*", "#"]
    dialog = wire.a.calls[mine].dialog
    assert dialog is not None
    for body, kind in ((b"7", "application/dtmf"), (b"Signal=11\r\nDuration=99", "application/dtmf-relay")):
        via = f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKi{kind[-2:]}"
        info = dialog.request("INFO", via, ("Content-Type", kind), body=body)
        wire.put("b", wire.b.receive(info.serialize(), Flow("192.0.2.1", 5060), wire.now))
    assert wire.of("b", Digit)[-2:] == [Digit(theirs, "7"), Digit(theirs, "#", 99)]
    odd = dialog.request(
        "INFO", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKodd", ("Content-Type", "application/dtmf-relay"), body=b"Signal=x"
    )
    wire.put("b", wire.b.receive(odd.serialize(), Flow("192.0.2.1", 5060), wire.now))
    assert wire.sent("b", 415)


def test_a_picture_is_asked_for_by_info() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    dialog = wire.a.calls[mine].dialog
    assert dialog is not None
    body = (
        b'<?xml version="1.0" encoding="utf-8"?><media_control><vc_primitive><to_encoder><picture_fast_update/>'
        b"</to_encoder></vc_primitive></media_control>"
    )
    for text in (body, b"<media_control><vc_primitive/></media_control>"):
        via = f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKp{len(text)}"
        info = dialog.request("INFO", via, ("Content-Type", "application/media_control+xml"), body=text)
        wire.put("b", wire.b.receive(info.serialize(), Flow("192.0.2.1", 5060), wire.now))
    assert wire.of("b", PictureWanted) == [PictureWanted(theirs)]
    assert wire.sent("b", 415), "of other primitives nothing is known"


def test_a_transfer_is_asked_for_accepted_and_its_progress_told() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    wire.do("a", wire.a.transfer(mine, SipUri("192.0.2.9", "county"), wire.now))
    wire.run(0.5)
    (referred,) = wire.of("b", Referred)
    assert (referred.call, str(referred.target)) == (theirs, "sip:county@192.0.2.9")
    wire.do("b", wire.b.accept_transfer(theirs, wire.now))
    wire.run(0.5)
    for status in (180, 200):
        wire.do("b", wire.b.notify_transfer(theirs, status, wire.now))
        wire.run(0.5)
    assert [one.status for one in wire.of("a", TransferProgress)] == [100, 180, 200]
    late = wire.b.calls[theirs].dialog
    assert late is not None
    stray = late.request("NOTIFY", "SIP/2.0/UDP 192.0.2.2;branch=z9hG4bKn", ("Event", "refer"))
    wire.put("a", wire.a.receive(stray.serialize(), Flow("192.0.2.2", 5060), wire.now))
    assert wire.sent("a", 481), "a NOTIFY that nobody asked for"


def test_a_refused_transfer_is_told() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    wire.do("a", wire.a.transfer(mine, SipUri("192.0.2.9", "premium"), wire.now))
    wire.run(0.5)
    wire.do("b", wire.b.refuse_transfer(theirs, 603, wire.now))
    wire.run(0.5)
    assert wire.of("a", TransferProgress) == [TransferProgress(mine, 603)]


def test_an_attended_transfer_takes_the_place_of_the_other_call() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    dialog = wire.a.calls[mine].dialog
    assert dialog is not None
    id = dialog.id
    replaces = f"{id.call_id};to-tag={id.remote_tag};from-tag={id.local_tag}"
    _, sends = wire.a.invite(TARGET, OFFER, wire.to_b, Profile(), wire.now, fields=(("Replaces", replaces),))
    wire.put("a", sends)
    wire.run(1)
    assert wire.of("b", Incoming)[-1].replaces == theirs
    _, sends = wire.a.invite(
        TARGET, OFFER, wire.to_b, Profile(), wire.now, fields=(("Replaces", "nobody;to-tag=1;from-tag=2"),)
    )
    wire.put("a", sends)
    wire.run(1)
    assert wire.sent("b", 481)
    assert [one.rule for one in wire.of("b", Refused)] == ["replaces"]


def test_texts_and_questions_outside_of_a_call() -> None:
    wire = Wire()
    heard: list[Response | None] = []
    say = wire.a.ask(
        "MESSAGE", TARGET, wire.to_b, 0.0, lambda response, at: heard.append(response),
        fields=(("Content-Type", "text/plain"),), body="瓦斯报警".encode(),
    )  # fmt: skip
    wire.put("a", say)
    wire.put("a", wire.a.ask("OPTIONS", TARGET, wire.to_b, 0.0, lambda response, at: heard.append(response)))
    wire.run(1)
    assert [one.text for one in wire.of("b", Texted)] == ["瓦斯报警"]
    assert [one.status for one in heard if one is not None] == [200, 200]


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "REFER", "NOTIFY", "PRACK"])
def test_what_belongs_to_no_call_is_answered_481(method: str) -> None:
    wire = Wire()
    for to in ("<sip:b@192.0.2.2>;tag=guessed", "<sip:b@192.0.2.2>"):
        via = f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{method}{len(to)}"
        one = request(method, "sip:b@192.0.2.2", "Refer-To: <sip:x@y.example>", "RAck: 1 1 INVITE", Via=via, To=to)
        wire.put("b", wire.b.receive(one, Flow("192.0.2.1", 5060), 0.0))
    assert len(wire.sent("b", 481)) == 2


def test_a_notify_that_nobody_subscribed_to_is_answered_481_within_a_call_too() -> None:
    wire = Wire()
    call, _ = up(wire)
    dialog = wire.a.calls[call].dialog
    assert dialog is not None
    for event in ("refer", "presence"):
        notify = dialog.request("NOTIFY", f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{event}", ("Event", event))
        wire.put("b", wire.b.receive(notify.serialize(), Flow("192.0.2.1", 5060), wire.now))
    assert len(wire.sent("b", 481)) == 2
    assert len(wire.b.calls) == 1


def test_a_request_that_came_through_72_hops_is_answered_483() -> None:
    wire = Wire()
    loop = request(Via=", ".join(f"SIP/2.0/UDP 192.0.2.{n};branch=z9hG4bK{n}" for n in range(1, 73)))
    (refusal,) = wire.b.receive(loop, Flow("192.0.2.1", 5060), 0.0)
    assert refusal.data.startswith(b"SIP/2.0 483 Too Many Hops\r\n")
    last = request(Max_Forwards="0", Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKlast")
    wire.put("b", wire.b.receive(last, Flow("192.0.2.1", 5060), 0.0))
    assert len(wire.sent("b", 200)) == 1, "it ends here: nobody forwards it"


def test_requests_within_a_call_that_come_out_of_order_are_answered_500() -> None:
    wire = Wire()
    mine, _ = up(wire)
    dialog = wire.a.calls[mine].dialog
    assert dialog is not None
    first = dialog.request("INFO", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
    second = dialog.request("INFO", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2")
    for one in (second, first):
        wire.put("b", wire.b.receive(one.serialize(), Flow("192.0.2.1", 5060), wire.now))
    assert wire.sent("b", 500)


def test_nothing_is_sent_to_where_a_contact_points() -> None:
    """A Contact with another's address must not make us send there: the flow of the call counts."""
    wire = Wire()
    answering(wire)
    invite = request(
        "INVITE", "sip:b@192.0.2.2", "Content-Type: application/sdp", body=OFFER,
        Contact="<sip:victim@198.51.100.9>", Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKv",
    )  # fmt: skip
    targets: set[str] = set()
    put = wire.put

    def watching(who: str, sends):  # type: ignore[no-untyped-def]
        targets.update(one.flow.host for one in sends if who == "b")
        put(who, sends)

    wire.put = watching  # type: ignore[method-assign]
    wire.put("b", wire.b.receive(invite, Flow("192.0.2.1", 5060), 0.0))
    wire.run(40)
    assert wire.sent("b", "BYE"), "nobody acknowledged"
    assert targets == {"192.0.2.1"}


def test_calls_beyond_the_limit_are_answered_503() -> None:
    wire = Wire()
    wire.b._max_calls = 2
    for _ in range(3):
        wire.invite()
    wire.run(1)
    assert len(wire.of("b", Incoming)) == 2
    assert wire.sent("b", 503)[0].headers.first("Retry-After") == "10"


def test_a_message_that_breaks_the_rules_mid_call_ends_nothing() -> None:
    wire = Wire()
    mine, _ = up(wire)
    dialog = wire.a.calls[mine].dialog
    assert dialog is not None
    good = dialog.request("UPDATE", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKu", ("Session-Expires", "nonsense"))
    wire.put("b", wire.b.receive(good.serialize(), Flow("192.0.2.1", 5060), wire.now))
    assert wire.sent("b", 400)
    bad = replace(good, headers=Headers([*good.headers, ("Content-Length", "9999")]))
    parse(good.serialize())
    wire.put("b", wire.b.receive(bad.headers.serialize().encode(), Flow("192.0.2.1", 5060), wire.now))
    assert not wire.of("b", Ended)


def test_what_waits_for_our_word_gets_one_when_the_call_ends() -> None:
    wire = Wire()
    mine, theirs = up(wire)
    wire.on_event = lambda who, event: None
    wire.do("a", wire.a.transfer(mine, SipUri("192.0.2.9", "county"), wire.now))
    wire.run(0.5)
    wire.do("b", wire.b.hang_up(theirs, wire.now))
    wire.run(100)
    assert {one.cseq.method for one in wire.sent("b", 487)} == {"REFER"}
    assert len(wire.a.layer) == len(wire.b.layer) == 0


def test_lists_that_cannot_be_read_end_nothing_else() -> None:
    wire = Wire()
    odd = request("INVITE", "sip:b@192.0.2.2", 'Supported: "unclosed', Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKodd")
    wire.put("b", wire.b.receive(odd, Flow("192.0.2.1", 5060), 0.0))
    assert len(wire.sent("b", 400)) == 1
    assert not wire.b.calls
    mine = wire.invite()
    invite = wire.sent("a", "INVITE")[-1]
    assert isinstance(invite, Request)
    fields = (("Contact", "<sip:b@192.0.2.2>"), ("Allow", '"unclosed'), ("Content-Type", "application/sdp"))
    answer = invite.reply(200, *fields, tag="x", body=ANSWER)
    wire.put("a", wire.a.receive(answer.serialize(), Flow("192.0.2.2", 5060), 0.1))
    assert wire.of("a", Answered) == [Answered(mine, ANSWER)]


class Challenging(OpenGate):
    """Wants a digest for every call, the first time with a nonce that is old at once."""

    def __init__(self, status: int, stale: bool) -> None:
        super().__init__()
        self.digest = DigestServer("pbx.example", b"k" * 32, random.Random(1).randbytes)
        self.status, self.stale, self.asked = status, stale, 0

    def admit(self, request: Request, flow: Flow, now: float) -> Admitted | Turned:
        def secrets(user: str, algorithm: Algorithm) -> str | None:
            return ha1(algorithm, user, "pbx.example", "secret") if user == "lamp" else None

        given = "Authorization" if self.status == 401 else "Proxy-Authorization"
        name = "WWW-Authenticate" if self.status == 401 else "Proxy-Authenticate"
        judged = self.digest.judge(request.headers.lines(given), request.method, flow.host, secrets, now)
        if judged.verdict is Verdict.OK:
            return Admitted("trunk:pbx")
        self.asked += 1
        made_at = now - 1000 if self.stale and self.asked == 1 else now
        values = self.digest.challenge(made_at, flow.host, judged.verdict is Verdict.STALE)
        return Turned("challenge", "", self.status, tuple((name, one) for one in values))


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize(("password", "stale", "up"), [("secret", False, 1), ("secret", True, 1), ("wrong", False, 0)])
def test_challenges_to_our_call_are_answered_and_a_wrong_secret_once_only(
    status: int, password: str, stale: bool, up: int
) -> None:
    wire = Wire()
    answering(wire)
    gate = Challenging(status, stale)
    wire.b.gate = gate
    wire.invite(profile=Profile(account=Account("pbx.example", "lamp", password)))
    wire.run(5)
    assert len(wire.of("a", Answered)) == up
    assert gate.asked == (2 if stale or not up else 1)
    assert [one.status for one in wire.of("a", Ended)] == ([] if up else [status])
    numbers = [one.cseq.number for one in wire.sent("a", "INVITE")]
    assert numbers == sorted(set(numbers))
    assert "secret" not in "".join(str(one.headers) for one in wire.sent("a", "INVITE"))


def test_challenges_of_a_strangers_realm_are_not_answered() -> None:
    wire = Wire()
    gate = Challenging(401, False)
    wire.b.gate = gate
    wire.invite(profile=Profile(account=Account("another.example", "lamp", "secret")))
    wire.run(5)
    assert gate.asked == 1
    assert [one.status for one in wire.of("a", Ended)] == [401]
