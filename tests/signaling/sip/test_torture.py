"""The 49 messages of RFC 4475 and the 12 of RFC 5118, in words of our own, each with its documented outcome."""

import re
from itertools import count
from pathlib import Path

import pytest

from signaling.sip.admission import Admission
from signaling.sip.digest import DigestServer
from signaling.sip.errors import MessageError
from signaling.sip.message import Message, Request, Response, parse
from signaling.sip.registrar import Registrar
from signaling.sip.transactionlayer import Flow, Received, Send, TransactionLayer, forwarded
from signaling.sip.uri import SipUri, parse_uri, same_uri
from tests.fakes.sipmessages import request
from tests.fakes.siptorture import DROPPED, NOT_FOR_US, REFUSED, RFC_4475, RFC_5118, TORTURE, Torture

SERVER = Admission(frozenset({"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER"}))
FLOW = Flow("192.0.2.7", 5060)
NAMES_4475 = (
    "wsinv intmeth esc01 escnull esc02 lwsdisp longreq dblreq semiuri transports mpart01 unreason noreason "
    "badinv01 clerr ncl scalar02 scalarlg quotbal ltgtruri lwsruri lwsstart trws escruri baddate regbadct badaspec "
    "baddn badvers mismatch01 mismatch02 bigcode badbranch insuf unkscm novelsc unksm2 bext01 invut regaut01 multi01 "
    "mcl01 bcast zeromf cparam01 cparam02 regescrt sdp01 inv2543"
)
NAMES_5118 = (
    "ipv6-good ipv6-bad port-ambiguous port-unambiguous via-received-param-with-delim via-received-param-no-delim "
    "ipv6-in-sdp mult-ip-in-header mult-ip-in-sdp ipv4-mapped-ipv6 ipv6-bug-abnf-3-colons ipv6-correct-abnf-2-colons"
)
SECTIONS_4475 = [
    *(f"3.1.1.{n}" for n in range(1, 14)), *(f"3.1.2.{n}" for n in range(1, 20)), "3.2.1",
    *(f"3.3.{n}" for n in range(1, 16)), "3.4.1",
]  # fmt: skip
MALFORMED = ("parser", "dropped")


def test_every_message_of_both_rfcs_is_here_under_its_name_and_number() -> None:
    assert list(RFC_4475) == NAMES_4475.split()
    assert list(RFC_5118) == NAMES_5118.split()
    assert (len(RFC_4475), len(RFC_5118)) == (49, 12)
    assert [one.section for one in RFC_4475.values()] == SECTIONS_4475
    assert {one.section for one in RFC_5118.values()} == {f"4.{n}" for n in range(1, 11)}


def registrar(domain: str) -> Registrar:
    return Registrar(
        domain, DigestServer(domain, b"k" * 32, lambda n: b"r" * n), lambda user, algorithm: None, lambda: "t"
    )


def read(message: Message, path: str) -> object:
    value: object = message
    for name in path.split("."):
        value = value[int(name)] if isinstance(value, list) and name.isdigit() else getattr(value, name)
    return value


@pytest.mark.parametrize("name", TORTURE)
def test_each_message_has_the_outcome_that_its_rfc_documents(name: str) -> None:
    one = TORTURE[name]
    if one.layer in MALFORMED:
        refused(one)
        return
    message = parse(one.data)
    assert {path: read(message, path) for path in one.values} == one.values
    if isinstance(message, Response):
        assert one.layer == "stray"
        layer = TransactionLayer(lambda: "t")
        assert layer.receive(message, FLOW, 0.0) == []
        assert layer.stray == 1
        return
    refusal = SERVER.refuse(message)
    if one.layer == "admission":
        assert refusal is not None
        assert refusal.status == one.status
        return
    assert refusal is None
    assert (one.layer == "registrar") == (message.method == "REGISTER")
    if one.layer == "registrar":
        assert isinstance(message.uri, SipUri)
        to = message.to.uri
        domain = to.host if isinstance(to, SipUri) else message.uri.host
        assert registrar(domain).register(message, FLOW, 0.0).status == one.status


def refused(one: Torture) -> None:
    with pytest.raises(MessageError) as caught:
        parse(one.data)
    if one.layer == "dropped":
        assert caught.value.request is None
        return
    assert caught.value.status == one.status
    assert caught.value.request is not None
    answer = caught.value.request.reply(one.status, tag="s1")
    assert answer.serialize().startswith(b"SIP/2.0 %d " % one.status)
    assert answer.via.host


@pytest.mark.parametrize("name", [name for name, one in TORTURE.items() if one.layer not in MALFORMED])
def test_what_is_well_formed_is_a_fixpoint(name: str) -> None:
    message = parse(TORTURE[name].data)
    again = parse(message.serialize())
    assert again.headers.without("Content-Length") == message.headers.without("Content-Length")
    assert again.body == message.body
    assert parse(again.serialize()) == again
    assert again.serialize() == parse(again.serialize()).serialize()


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_requests_are_answered(name: str) -> None:
    data, status = REFUSED[name]
    refused(Torture("", data, "parser", status))


@pytest.mark.parametrize("name", DROPPED)
def test_what_cannot_be_answered_is_dropped(name: str) -> None:
    refused(Torture("", DROPPED[name], "dropped"))


@pytest.mark.parametrize("name", NOT_FOR_US)
def test_well_formed_but_not_for_us(name: str) -> None:
    data, status = NOT_FOR_US[name]
    message = parse(data)
    assert isinstance(message, Request)
    refusal = SERVER.refuse(message)
    assert refusal is not None
    assert refusal.status == status


def asked(name: str) -> Request:
    message = parse(TORTURE[name].data)
    assert isinstance(message, Request)
    return message


def test_wsinv_and_the_lists_in_it() -> None:
    message = asked("wsinv")
    hosts = [via.split(";")[0].split()[-1] for via in message.headers.values("Via")]
    assert hosts == ["192.0.2.2", "spindle.example.com", "192.168.255.111"]
    assert message.contacts[0].parameter("q") == "0.33"
    assert message.headers.first("NewField") == "new value continued value"
    assert message.headers.first("Subject") == ""
    (route,) = message.addresses("Route")
    assert isinstance(route.uri, SipUri)
    assert (route.uri.parameter("lr"), route.uri.parameter("unknownwith")) == ("", "value")


def test_esc01_is_unescaped_once_and_only_where_it_is_compared() -> None:
    message = asked("esc01")
    assert same_uri(message.to.uri, parse_uri("sip:user@mine.example"))
    contact = message.contacts[0].uri
    assert isinstance(contact, SipUri)
    assert (contact.parameter("lr"), contact.parameter("name")) == ("", "value%41")
    assert same_uri(contact, parse_uri("sip:caller@host5.mine.example;lr;name=value%2541"))


def test_escnull_has_two_contacts_that_differ() -> None:
    one, other = asked("escnull").contacts
    assert not same_uri(one.uri, other.uri)


def test_longreq_has_34_vias_and_the_binary_of_mpart01_survives() -> None:
    assert len(asked("longreq").headers.values("Via")) == 34
    assert b"\x00\x01\r\xff\xfe\n\x80" in asked("mpart01").serialize()


def test_badinv01_is_answered_over_what_can_be_read_of_its_via() -> None:
    with pytest.raises(MessageError) as caught:
        parse(RFC_4475["badinv01"].data)
    assert caught.value.request is not None
    assert caught.value.request.headers.lines("Via") == ["SIP/2.0/UDP 192.0.2.15"]
    with pytest.raises(MessageError) as caught:
        parse(request(Via='SIP/2.0/UDP h.example:5070;branch=z9hG4bK1;rport;x="open, SIP/2.0/UDP other'))
    assert caught.value.request is not None
    assert str(caught.value.request.via) == "SIP/2.0/UDP h.example:5070;branch=z9hG4bK1;rport"


def test_insuf_is_answered_with_nothing_that_was_not_there() -> None:
    with pytest.raises(MessageError) as caught:
        parse(RFC_4475["insuf"].data)
    assert caught.value.request is not None
    names = [name for name, _ in caught.value.request.reply(400, tag="t").headers]
    assert names == ["Via", "CSeq"]


def test_badbranch_is_matched_by_the_rules_of_rfc_2543() -> None:
    numbers = count()
    layer = TransactionLayer(lambda: f"t{next(numbers)}")
    first = asked("badbranch")
    assert [type(one) for one in layer.receive(first, FLOW, 0.0)] == [Received]
    assert layer.receive(first, FLOW, 0.1) == []
    other = request(Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK", Call_ID="another", CSeq="2 OPTIONS")
    second = parse(other)
    assert [type(one) for one in layer.receive(second, FLOW, 0.2)] == [Received]


def test_bcast_reaches_nobody_even_with_our_branch_on_top() -> None:
    layer = TransactionLayer(lambda: "t")
    ours = parse(request())
    assert isinstance(ours, Request)
    assert [type(one) for one in layer.request(ours, FLOW, 0.0)] == [Send]
    astray = RFC_4475["bcast"].data.replace(b"1 INVITE", b"1 OPTIONS")
    assert layer.receive(parse(astray), FLOW, 0.1) == []
    assert layer.stray == 1
    assert len(layer.receive(ours.reply(200, tag="t"), FLOW, 0.2)) == 1


def test_zeromf_goes_no_further_and_is_answered_where_it_ends() -> None:
    message = asked("zeromf")
    assert forwarded(message) is None
    assert SERVER.refuse(message) is None


def test_bext01_lists_what_is_required_of_us_and_not_of_proxies() -> None:
    refusal = SERVER.refuse(asked("bext01"))
    assert refusal is not None
    assert refusal.fields == (("Unsupported", "nothingsupportsthis, nothingsupportsthiseither"),)


def test_both_spellings_of_4_10_name_one_address() -> None:
    assert asked("ipv6-bug-abnf-3-colons").uri == asked("ipv6-correct-abnf-2-colons").uri


def test_the_page_names_each_of_them() -> None:
    page = (Path(__file__).parents[3] / "docs/sip.md").read_text()
    table = page.partition("## The torture messages")[2].partition("## Assumptions")[0]
    assert [name for name in TORTURE if not re.search(rf"(?<![\w-]){name}(?![\w-])", table)] == []
