"""Dialogs: ids, routes, counters, forks."""

import pytest

from signaling.sip.address import parse_address
from signaling.sip.dialog import AckDue, AckTimer, Dialog, Forks, Outcome, State, uac_dialog, uas_dialog
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.message import Request, Response, parse
from tests.fakes.sipmessages import request

US = parse_address("<sip:us@192.0.2.7>")
VIA = "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKnext"


def asked(data: bytes) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


INVITE = asked(
    request("INVITE", "sip:dispatch@county.example", "Record-Route: <sip:p2.example;lr>, <sip:p1.example;lr>")
)


def answer(status: int, tag: str = "far", contact: str = "<sip:them@198.51.100.1>", routes: str = "") -> Response:
    response = INVITE.reply(status, ("Contact", contact), tag=tag)
    return response if not routes else Response(response.headers.added(("Record-Route", routes)), b"", status, "")


def called() -> Dialog:
    return uas_dialog(INVITE, "mine", US)


def test_12_1_1_the_called_side() -> None:
    dialog = called()
    assert dialog.id == ("c1@192.0.2.7", "mine", "f1")
    assert str(dialog.target) == "sip:lamproom@192.0.2.7"
    dialog.confirm()
    bye = dialog.request("BYE", VIA)
    assert [str(route) for route in bye.addresses("Route")] == ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]
    assert (bye.from_.tag, bye.to.tag, bye.cseq) == ("mine", "f1", (1, "BYE"))
    assert parse(bye.serialize()).headers.without("Content-Length") == bye.headers


def test_12_1_2_the_calling_side_reverses_the_route() -> None:
    dialog = uac_dialog(INVITE, answer(180, routes="<sip:p1.example;lr>, <sip:p2.example;lr>"), US)
    assert dialog.state is State.EARLY
    assert [str(route) for route in dialog.routes] == ["<sip:p2.example;lr>", "<sip:p1.example;lr>"]
    assert dialog.request("PRACK", VIA).cseq == (2, "PRACK")
    assert dialog.ack(VIA).cseq == (1, "ACK")


def test_12_2_1_1_a_strict_router_gets_its_own_uri() -> None:
    dialog = uac_dialog(INVITE, answer(200, routes="<sip:p1.example;lr>, <sip:strict.example?x=y>"), US)
    bye = dialog.request("BYE", VIA)
    assert str(bye.uri) == "sip:strict.example"
    assert [str(route) for route in bye.addresses("Route")] == ["<sip:p1.example;lr>", "<sip:them@198.51.100.1>"]


def test_12_2_2_numbers_only_rise_and_the_target_moves() -> None:
    dialog = called()
    moved = asked(request("UPDATE", CSeq="7 UPDATE", Contact="<sip:new@192.0.2.99>"))
    assert dialog.accept(moved) is None
    assert str(dialog.target) == "sip:new@192.0.2.99"
    assert dialog.accept(moved) == 500
    assert dialog.accept(asked(request("INFO", CSeq="6 INFO", Contact="<sip:no@192.0.2.99>"))) == 500
    assert dialog.accept(asked(request("ACK", CSeq="7 ACK"))) is None
    assert dialog.accept(asked(request("ACK", CSeq="9 ACK"))) == 481
    assert dialog.accept(asked(request("BYE", CSeq="8 BYE"))) is None
    assert dialog.accept(asked(request("INFO", CSeq="9 INFO"))) == 481
    with pytest.raises(LocalSipError):
        dialog.request("BYE", VIA)


@pytest.mark.parametrize("status", [200, 408, 481])
def test_bye_glare_and_lost_dialogs_end(status: int) -> None:
    dialog = called()
    dialog.confirm()
    dialog.answered(dialog.request("BYE", VIA).reply(status))
    assert dialog.state is State.ENDED


def test_forks_are_kept_apart_and_the_first_2xx_wins() -> None:
    forks = Forks(INVITE, US)
    assert forks.receive(answer(100)) == (Outcome.NOTHING, None)
    for tag in ("a", "b", "c"):
        assert forks.receive(answer(180, tag))[0] is Outcome.EARLY
    outcome, won = forks.receive(answer(200, "b", "<sip:b@198.51.100.2>"))
    assert (outcome, str(won.target) if won else "") == (Outcome.ANSWERED, "sip:b@198.51.100.2")
    assert forks.receive(answer(200, "b"))[0] is Outcome.REPEATED
    outcome, other = forks.receive(answer(200, "d"))
    assert outcome is Outcome.SURPLUS
    assert other is not None
    assert other.request("BYE", VIA).to.tag == "d"
    forks.over()
    states = {id.remote_tag: dialog.state for id, dialog in forks.dialogs.items()}
    assert states == {"a": State.ENDED, "b": State.CONFIRMED, "c": State.ENDED, "d": State.CONFIRMED}


def test_a_refused_call_leaves_no_early_dialog() -> None:
    forks = Forks(INVITE, US)
    forks.receive(answer(183))
    assert forks.receive(answer(486)) == (Outcome.FAILED, None)
    assert {dialog.state for dialog in forks.dialogs.values()} == {State.ENDED}


def test_a_flood_of_forks_is_bounded() -> None:
    forks = Forks(INVITE, US)
    for number in range(100):
        forks.receive(answer(180, str(number)))
    assert len(forks.dialogs) == 16


def test_no_contact_no_dialog() -> None:
    with pytest.raises(MessageError):
        uas_dialog(asked(request("INVITE", Contact=None)), "mine", US)


def test_13_3_1_4_a_2xx_is_repeated_until_its_ack_or_the_call_ends() -> None:
    timer = AckTimer(0.0)
    log = []
    while (at := timer.next_timeout()) is not None:
        log.append((at, timer.timeout(at)))
    assert [at for at, due in log if due is AckDue.RESEND] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert log[-1] == (32.0, AckDue.BYE)
    timer = AckTimer(0.0)
    timer.acknowledged()
    assert timer.timeout(0.5) is None
