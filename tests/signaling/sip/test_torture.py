"""One message of our own for each class of RFC 4475 and RFC 5118, with the outcome that the RFC documents.

The layer that refuses is part of the outcome: `parse` (malformed) or `admission` (well formed, but not for us).
Where the RFC leaves a choice between being lenient and being strict, strict is tested: 400.
"""

import pytest

from signaling.sip.admission import Admission, understood_to
from signaling.sip.errors import MessageError
from signaling.sip.message import Request, parse
from signaling.sip.uri import OtherUri, SipUri
from tests.fakes.sipmessages import request, response, wire

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
SDP6 = b"v=0\r\no=- 1 1 IN IP6 2001:db8::7\r\ns=-\r\nc=IN IP6 2001:db8::7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
TYPE = "Content-Type: application/sdp"
SERVER = Admission(frozenset({"INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "REGISTER"}))

TWISTED = (
    b"INVITE sip:dispatch@county.example;unknown SIP/2.0\r\n"
    b"TO :\r\n sip:dispatch@county.example ;   tag    = 77z\r\n"
    b'from   : "Lamp \\\\\\""       <sip:lamproom@mine.example>\r\n  ;\r\n  tag = f1\r\n'
    b"MaX-fOrWaRdS: 0068\r\nCall-ID: twisted.1@192.0.2.1\r\nCSeq: 0009\r\n  INVITE\r\n"
    b"Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\ns :\r\n"
    b"NewField:   new value\r\n continued value\r\n"
    b"Strange: ;;,,;;,;\r\nContent-Type: application/sdp\r\n"
    b"Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n"
    b"v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n"
    b" SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n"
    b'm:"Quoted string \\"\\"" <sip:lamproom@mine.example> ; newparam =\r\n newvalue ;\r\n secondparam ; q = 0.33\r\n'
    b"l: 4\r\n\r\nv=0\n"
)

VALID: dict[str, bytes] = {
    "3.1.1.1 folding, white space, compact names": TWISTED,
    "3.1.1.2 every character a token may have": request(
        "!odd-Method0123456789_*+`.%indeed'~",
        "sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
        "extensionField-!.%*+_`'~: \ufeff\u5927\u505c\u96fb",
        To='"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy?,/;;*@example.com>',
        Call_ID="odd.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
        Contact=None,
    ),
    "3.1.1.3 escapes in URIs": request("INVITE", "sip:sips%3Auser%40example.com@example.net", body=SDP),
    "3.1.1.4 escaped nulls": request("REGISTER", Contact="<sip:%00@h5.example>, <sip:%00%00@h5.example>"),
    "3.1.1.5 a percent sign that is no escape": request("RE%47IST%45R", "sip:registrar.example.com"),
    "3.1.1.6 no space before the bracket": request(From="caller<sip:caller@example.com>;tag=323"),
    "3.1.1.7 long values": request(
        "INVITE",
        "sip:" + "user" * 60 + "@example.net",
        *(f"v: SIP/2.0/TCP sip{n}.example.com" for n in range(33)),
        "longField: " + "longvalue" * 60,
        From="<sip:" + "averylongname" * 40 + "@example.com>;tag=12" + "9" * 200,
    ),
    "3.1.1.8 bytes behind the body": request(body=b"") + b"INVITE sip:second@example.com SIP/2.0\r\n\r\n",
    "3.1.1.9 semicolons in the user part": request(uri="sip:user;par=u%40example.net@example.com"),
    "3.1.1.10 transports nobody knows": request(
        Via="SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKkdjuw, SIP/2.0/SCTP t2.example.com;branch=z9hG4bK2"
    ),
    "3.1.1.11 a multipart body with binary in it": request(
        "MESSAGE",
        "sip:a@b.example",
        "Content-Type: multipart/mixed; boundary=7a9cbec02ceef655",
        body=b"--7a\r\n\x00\xff",
    ),
    "3.1.1.12 an unusual reason": response("200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e"),
    "3.1.1.13 an empty reason": response("100 "),
    "3.1.2.12 a Date not in GMT is not read": request(
        "INVITE", "sip:a@b.example", "Date: Fri, 01 Jan 2010 16:00:00 EST"
    ),
    "3.2.1 a branch that is only the cookie": request(Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"),
    "3.3.6 a body of unknown type": request(
        "INVITE", "sip:a@b.example", "Content-Type: application/unknown", body=b"x"
    ),
    "3.3.7 an unknown way to authorize": request("REGISTER", "sip:b.example", "Authorization: Unheard opaque=data"),
    "3.3.11 Max-Forwards 0": request(Max_Forwards="0"),
    "3.3.12 a contact with parameters": request("REGISTER", Contact="sip:+19725552222@gw1.example.net;unknownparam"),
    "3.3.13 parameters inside the contact": request(
        "REGISTER", Contact="<sip:+19725552222@gw1.example.net;unknownparam>"
    ),
    "3.3.14 an escaped Route in a contact": request(
        "REGISTER", Contact="<sip:user@example.com?Route=%3Csip:sip.example.com%3E>"
    ),
    "3.4.1 a request of RFC 2543": request(
        "INVITE",
        "sip:UserB@example.com",
        "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>",
        TYPE,
        Via="SIP/2.0/UDP iftgw.example.com",
        From="<sip:+13035551111@ift.example.net;user=phone>",
        Max_Forwards=None,
        body=SDP,
    ),
    "5118 4.1 an IPv6 reference": request(
        "REGISTER",
        "sip:[2001:db8::10]",
        Via="SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3",
        Contact="<sip:[2001:db8::1]>",
    ),
    "5118 4.3 what looks like a port belongs to the address": request(uri="sip:[2001:db8::10:5070]"),
    "5118 4.4 a port outside the brackets": request(uri="sip:[2001:db8::10]:5070"),
    "5118 4.5 received with brackets": request(
        Via="SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bK1"
    ),
    "5118 4.5 received without brackets": request(
        Via="SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bK1"
    ),
    "5118 4.6 IPv6 in the body": request("INVITE", "sip:user@[2001:db8::10]", TYPE, body=SDP6),
    "5118 4.7 both families in fields": request(
        "BYE",
        "sip:user@host.example.net",
        Via="SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bK1, SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK2",
    ),
    "5118 4.8 both families in the body": request(
        "INVITE", "sip:a@b.example", TYPE, body=SDP6 + b"c=IN IP4 192.0.2.7\r\n"
    ),
    "5118 4.9 an IPv4 address in IPv6": request(
        "INVITE", "sip:u@h.example", Contact="<sip:u@[::ffff:192.0.2.10]:19823>"
    ),
}

REFUSED: dict[str, tuple[bytes, int]] = {
    "3.1.2.1 separators that nobody asked for": (request(Contact='"Joe" <sip:joe@example.org>;;;;'), 400),
    "3.1.2.2 Content-Length larger than the message": (
        request("INVITE", "sip:a@b.c", "Content-Length: 9999", body=SDP),
        400,
    ),
    "3.1.2.3 a negative Content-Length": (request("INVITE", "sip:a@b.c", "Content-Length: -999", body=SDP), 400),
    "3.1.2.4 numbers too large": (request("REGISTER", CSeq="36893488147419103232 REGISTER"), 400),
    "3.1.2.4 Max-Forwards too large": (request(Max_Forwards="300"), 400),
    "3.1.2.6 a quote that is not closed": (request(To='"Mr. J. User <sip:j.user@example.com>'), 400),
    "3.1.2.7 brackets around the request URI": (request(uri="<sip:user@example.com>"), 400),
    "3.1.2.8 white space in the request URI": (request(uri="sip:user@example.com; lr"), 400),
    "3.1.2.9 several spaces in the request line": (request(uri=" sip:user@example.com "), 400),
    "3.1.2.10 white space behind the request line": (
        wire("OPTIONS sip:remote-target@example.com SIP/2.0  ", {}),
        400,
    ),
    "3.1.2.11 header fields in the request URI": (request(uri="sip:user@example.com?Route=%3Csip:example.com%3E"), 400),
    "3.1.2.13 a contact with a question mark outside brackets": (
        request("REGISTER", Contact="sip:user@example.com?Route=%3Csip:sip.example.com%3E"),
        400,
    ),
    "3.1.2.14 spaces inside the brackets": (request(To='"Watson, Thomas" < sip:t.watson@example.org >'), 400),
    "3.1.2.15 a comma in a display name without quotes": (
        request(From="Bell, Alexander <sip:a.g.bell@example.com>;tag=43"),
        400,
    ),
    "3.1.2.16 another version": (wire("OPTIONS sip:t.watson@example.org SIP/7.0", {}), 505),
    "3.1.2.17 methods that differ": (request(CSeq="8 INVITE"), 400),
    "3.1.2.18 an unknown method and another in CSeq": (request("NEWMETHOD", CSeq="8 INVITE"), 400),
    "3.3.8 single fields given twice": (request("INVITE", "sip:a@b.c", "CSeq: 59 INVITE", "Call-ID: other"), 400),
    "3.3.9 two Content-Lengths": (request("OPTIONS", "sip:a@b.c", "Content-Length: 5", "L: 0", body=b"12345"), 400),
    "5118 4.2 IPv6 without brackets": (request(uri="sip:2001:db8::10"), 400),
    "5118 4.10 three colons": (request(uri="sip:user@[2001:db8:::192.0.2.1]"), 400),
    "a Contact that is IPv6 with three colons": (request(Contact="<sip:user@[2001:db8:::192.0.2.1]>"), 400),
    "a header line without a colon": (request("OPTIONS", "sip:a@b.c", "this is no header"), 400),
}

DROPPED: dict[str, bytes] = {
    "3.1.2.5 a response with numbers too large": response("503 Busy", CSeq="9292394834772304023312 OPTIONS"),
    "3.1.2.19 a status code too large": response("4294967301 better not break the receiver"),
    "3.3.1 the fields that an answer needs are missing": request(From=None, To=None, Call_ID=None),
    "a malformed ACK": request("ACK", CSeq="x ACK"),
    "a request whose Via names no address": request(Via="nonsense"),
    "no end of the head": b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n",
    "bare line feeds": request().replace(b"\r\n", b"\n"),
    "not UTF-8": request().replace(b"Lamp", b"\xffamp"),
    "nothing": b"",
    "a response of another version": wire("SIP/7.0 200 OK", {}),
}

NOT_FOR_US: dict[str, tuple[bytes, int]] = {
    "3.3.2 an unknown scheme": (request("OPTIONS", "nobodyKnowsThisScheme:totallyopaquecontent"), 416),
    "3.3.3 a known scheme that is not SIP": (request("OPTIONS", "soap.beep://192.0.2.103:3002"), 416),
    "3.3.5 unknown extensions": (
        request("OPTIONS", "sip:a@b.c", "Require: nothingSupportsThis, nothingSupportsThisEither"),
        420,
    ),
    "3.3.6 an unknown body type": (request("INVITE", "sip:a@b.c", "Content-Type: application/unknown", body=b"x"), 415),
    "3.3.15 an answer type that we do not speak": (
        request("INVITE", "sip:a@b.c", "Accept: text/nobodyKnowsThis", TYPE, body=SDP),
        406,
    ),
    "an unknown method": (request("NEWMETHOD"), 501),
    "a method that is not taken here": (request("REFER"), 405),
}


@pytest.mark.parametrize("name", VALID)
def test_odd_but_valid_is_accepted_and_a_fixpoint(name: str) -> None:
    message = parse(VALID[name])
    again = parse(message.serialize())
    assert again.headers.without("Content-Length") == message.headers.without("Content-Length")
    assert again.body == message.body
    assert parse(again.serialize()) == again
    assert again.serialize() == parse(again.serialize()).serialize()


@pytest.mark.parametrize("name", REFUSED)
def test_malformed_requests_are_answered_as_the_rfc_says(name: str) -> None:
    data, status = REFUSED[name]
    with pytest.raises(MessageError) as caught:
        parse(data)
    assert caught.value.status == status
    assert caught.value.request is not None
    assert caught.value.request.reply(status, tag="s1").serialize().startswith(b"SIP/2.0 %d " % status)


@pytest.mark.parametrize("name", DROPPED)
def test_what_cannot_be_answered_is_dropped(name: str) -> None:
    with pytest.raises(MessageError) as caught:
        parse(DROPPED[name])
    assert caught.value.request is None


@pytest.mark.parametrize("name", NOT_FOR_US)
def test_well_formed_but_not_for_us(name: str) -> None:
    data, status = NOT_FOR_US[name]
    message = parse(data)
    assert isinstance(message, Request)
    refusal = SERVER.refuse(message)
    assert refusal is not None
    assert refusal.status == status


def test_the_twisted_message_means_what_it_means() -> None:
    message = parse(TWISTED)
    assert isinstance(message, Request)
    assert message.from_.display == 'Lamp \\"'
    assert (message.from_.tag, message.to.tag) == ("f1", "77z")
    assert message.cseq == (9, "INVITE")
    assert message.max_forwards == 68
    assert [via.split(";")[0].split()[-1] for via in message.headers.values("Via")] == [
        "192.0.2.2",
        "spindle.example.com",
        "192.168.255.111",
    ]
    assert message.contacts[0].display == 'Quoted string ""'
    assert message.contacts[0].parameter("q") == "0.33"
    assert message.headers.first("NewField") == "new value continued value"
    assert message.headers.first("Subject") == ""
    assert message.body == b"v=0\n"


def test_3_3_4_unknown_schemes_in_to_and_from_parse_but_name_nobody() -> None:
    message = parse(request("REGISTER", "sip:h.example", To="isbn:2983792873", From="<http://www.example.com>;tag=3"))
    assert isinstance(message, Request)
    assert isinstance(message.to.uri, OtherUri)
    assert not understood_to(message)


def test_3_3_10_a_response_for_another_host_keeps_its_via() -> None:
    assert parse(response(Via="SIP/2.0/UDP 192.0.2.255;branch=z9hG4bKx")).via.sent_by == ("192.0.2.255", 5060)


def test_3_3_12_a_parameter_outside_brackets_is_the_header_field_s() -> None:
    outside, inside = (
        parse(VALID[f"3.3.{n}"]) for n in ("12 a contact with parameters", "13 parameters inside the contact")
    )
    assert outside.contacts[0].parameter("unknownparam") == ""
    uri = inside.contacts[0].uri
    assert isinstance(uri, SipUri)
    assert uri.parameter("unknownparam") == ""


def test_3_2_1_a_bare_cookie_names_no_transaction() -> None:
    assert not parse(VALID["3.2.1 a branch that is only the cookie"]).via.unique


def test_5118_4_3_the_address_has_no_port() -> None:
    message = parse(VALID["5118 4.3 what looks like a port belongs to the address"])
    assert isinstance(message, Request)
    assert message.uri == SipUri("[2001:db8::10:5070]")


def test_every_class_of_the_rfcs_is_here() -> None:
    text = " ".join([*VALID, *REFUSED, *DROPPED, *NOT_FOR_US])
    classes = [f"3.1.1.{n} " for n in range(1, 14)] + [f"3.1.2.{n} " for n in range(1, 20)] + ["3.2.1 ", "3.4.1 "]
    classes += [f"3.3.{n} " for n in range(1, 16) if n not in (4, 10)]  # those two have functions of their own
    classes += [f"5118 4.{n} " for n in range(1, 11)]
    assert [one for one in classes if one not in text] == []
