"""A torture message of our own for each of the 49 of RFC 4475 and the 12 of RFC 5118, under the short names that the
RFCs give them, each with the outcome that the RFC documents.

What is odd about a message is as the RFC describes it; everything else (hosts, names, tags, bodies) is ours. Where the
RFC leaves the choice between being lenient and being strict, the outcome is ours and docs/sip.md says which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.fakes.sipmessages import request, response, wire

SDP = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
SDP6 = b"v=0\r\no=- 1 1 IN IP6 2001:db8::7\r\ns=-\r\nc=IN IP6 2001:db8::7\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
SDP46 = (
    b"v=0\r\no=- 1 1 IN IP4 host.mine.example\r\ns=-\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP4 192.0.2.7\r\n"
    b"m=video 4002 RTP/AVP 97\r\nc=IN IP6 2001:db8::7\r\na=rtpmap:97 H264/90000\r\n"
)
SDPMAPPED = SDP6.replace(b"2001:db8::7", b"::ffff:192.0.2.2")
TYPE = "Content-Type: application/sdp"

Layer = Literal["taken", "parser", "admission", "registrar", "dropped", "stray"]


@dataclass(frozen=True)
class Torture:
    section: str
    data: bytes
    layer: Layer = "taken"
    """Who has the last word: the parser, the admission, the registrar, or nobody (taken); `dropped`: malformed and
    not to be answered; `stray`: a well-formed response that belongs to nothing."""
    status: int = 0
    """Of the answer, 0 for none."""
    values: Mapping[str, object] = field(default_factory=dict)
    """What it is read as: paths of attributes, numbers for places in lists."""


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
ODD_METHOD = "!odd-Method0123456789_*+`.%indeed'~"
ODD_USER = "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
ODD_URI = f"sip:{ODD_USER}:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@county.example"
TRANSPORTS = ("UDP", "SCTP", "TLS", "UNKNOWN", "TCP")
MIXED = (
    b"--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nBelt 3 stands.\r\n"
    b"--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n\r\n\x00\x01\r\xff\xfe\n\x80\r\n"
    b"--7a9cbec02ceef655--\r\n"
)
REGISTER = ("REGISTER", "sip:county.example")

RFC_4475: dict[str, Torture] = {
    "wsinv": Torture(
        "3.1.1.1",
        TWISTED,
        values={
            "cseq": (9, "INVITE"),
            "max_forwards": 68,
            "from_.display": 'Lamp \\"',
            "from_.tag": "f1",
            "to.tag": "77z",
            "via.host": "192.0.2.2",
            "contacts.0.display": 'Quoted string ""',
            "body": b"v=0\n",
        },
    ),
    "intmeth": Torture(
        "3.1.1.2",
        request(
            ODD_METHOD,
            ODD_URI,
            "extensionField-!.%*+_`'~: \ufeff\u5927\u505c\u96fb",
            Via="SIP/2.0/UDP host1.mine.example;branch=z9hG4bK-.!%66*_+`'~",
            To=f'"BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:{ODD_USER}@county.example>',
            From="token1~` token2'+_ token3*%!.- <sip:mundane@county.example>"
            ";fromParam''~+*_!.-%=\"\u0440\u0430\u0431\u043e\u0442\u0430\";tag=_token~1'+`*%!-.",
            Call_ID="odd.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
            Contact=None,
        ),
        "admission",
        501,
        values={
            "method": ODD_METHOD,
            "uri.user": ODD_USER,
            "to.display": "BEL:\x07 NUL:\x00 DEL:\x7f",
            "from_.display": "token1~` token2'+_ token3*%!.-",
            "from_.tag": "_token~1'+`*%!-.",
            "via.branch": "z9hG4bK-.!%66*_+`'~",
            "call_id": "odd.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{",
        },
    ),
    "esc01": Torture(
        "3.1.1.3",
        request(
            "INVITE",
            "sip:sips%3Auser%40mine.example@county.example",
            TYPE,
            body=SDP,
            To="<sip:%75se%72@mine.example>",
            From="<sip:I%20have%20spaces@county.example>;tag=938",
            Contact="<sip:cal%6Cer@host5.mine.example;%6C%72;n%61me=v%61lue%25%34%31>",
        ),
        values={
            "uri.user": "sips%3Auser%40mine.example",
            "uri.host": "county.example",
            "from_.uri.host": "county.example",
        },
    ),
    "escnull": Torture(
        "3.1.1.4",
        request(
            *REGISTER,
            To="sip:null-%00-null@county.example",
            From="sip:null-%00-null@county.example;tag=8392",
            Contact="<sip:%00@host5.mine.example>, <sip:%00%00@host5.mine.example>",
        ),
        "registrar",
        401,
        values={
            "to.uri.user": "null-%00-null",
            "contacts.0.uri.user": "%00",
            "contacts.1.uri.user": "%00%00",
        },
    ),
    "esc02": Torture(
        "3.1.1.5",
        request(
            "RE%47IST%45R",
            "sip:registrar.county.example",
            To='"%Z%45" <sip:resource@county.example>',
            From='"%Z%45" <sip:resource@county.example>;tag=f232jadfj23',
            Contact='"%Z%45" <sip:alias1@host1.mine.example>',
        ),
        "admission",
        501,
        values={"method": "RE%47IST%45R", "to.display": "%Z%45", "contacts.0.display": "%Z%45"},
    ),
    "lwsdisp": Torture(
        "3.1.1.6",
        request(From="caller<sip:caller@mine.example>;tag=323"),
        values={"from_.display": "caller", "from_.uri.user": "caller", "from_.tag": "323"},
    ),
    "longreq": Torture(
        "3.1.1.7",
        request(
            "INVITE",
            "sip:" + "user" * 60 + "@county.example",
            TYPE,
            *(f"v: SIP/2.0/TCP sip{n}.county.example;branch=z9hG4bK{'very' * 20}{n}" for n in range(33)),
            "longField-" + "name" * 40 + ": " + "longvalue" * 60,
            body=SDP,
            To='"I have a '
            + "long " * 60
            + 'user name" <sip:user@county.example:6000;unknown'
            + "param" * 20
            + "=long"
            + "value" * 20
            + ";short=very"
            + "value" * 20
            + ">",
            From="<sip:"
            + "averylongname" * 40
            + "@mine.example>;tag=12"
            + "9" * 200
            + ";unknownheaderparam"
            + "name" * 20
            + "=unknown"
            + "value" * 20,
            Call_ID="longreq." + "one" * 20 + "longcallid",
            Contact="<sip:amazing" + "long" * 60 + "caller@host5.mine.example>",
        ),
        values={"uri.user": "user" * 60, "from_.tag": "12" + "9" * 200, "body": SDP},
    ),
    "dblreq": Torture(
        "3.1.1.8",
        request(*REGISTER) + request("INVITE", "sip:second@county.example", TYPE, body=SDP),
        "registrar",
        401,
        values={"method": "REGISTER", "body": b""},
    ),
    "semiuri": Torture(
        "3.1.1.9",
        request(uri="sip:user;par=u%40mine.example@county.example"),
        values={"uri.user": "user;par=u%40mine.example", "uri.host": "county.example", "uri.parameters": ()},
    ),
    "transports": Torture(
        "3.1.1.10",
        request(
            Via=", ".join(f"SIP/2.0/{one} t{n}.mine.example;branch=z9hG4bK{n}x" for n, one in enumerate(TRANSPORTS))
        ),
        values={"via.transport": "UDP", "via.host": "t0.mine.example"},
    ),
    "mpart01": Torture(
        "3.1.1.11",
        request(
            "MESSAGE",
            "sip:dispatch@county.example",
            "Content-Type: multipart/mixed;boundary=7a9cbec02ceef655",
            body=MIXED,
        ),
        "admission",
        405,
        values={"content_type": "multipart/mixed", "body": MIXED},
    ),
    "unreason": Torture(
        "3.1.1.12",
        response("200 = 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e", TYPE, body=SDP),
        "stray",
        values={"status": 200, "reason": "= 2**3 * 5**2 \u043d\u043e \u0441\u0442\u043e", "body": SDP},
    ),
    "noreason": Torture("3.1.1.13", response("100 "), "stray", values={"status": 100, "reason": ""}),
    "badinv01": Torture(
        "3.1.2.1",
        request(
            "INVITE",
            "sip:a@county.example",
            Via="SIP/2.0/UDP 192.0.2.15;;,;,,",
            Contact='"Joe" <sip:joe@mine.example>;;;;',
        ),
        "parser",
        400,
    ),
    "clerr": Torture(
        "3.1.2.2", request("INVITE", "sip:a@county.example", TYPE, "Content-Length: 9999", body=SDP), "parser", 400
    ),
    "ncl": Torture(
        "3.1.2.3", request("INVITE", "sip:a@county.example", TYPE, "Content-Length: -999", body=SDP), "parser", 400
    ),
    "scalar02": Torture(
        "3.1.2.4",
        request(
            *REGISTER,
            "Expires: 1" + "0" * 100,
            CSeq="36893488147419103232 REGISTER",
            Max_Forwards="300",
            Contact="<sip:user@host129.mine.example>;expires=280297596632815",
        ),
        "parser",
        400,
    ),
    "scalarlg": Torture(
        "3.1.2.5",
        response(
            "503 Service Unavailable",
            "Retry-After: 949302838503028349304023988",
            'Warning: 1812 overture "In Progress"',
            CSeq="9292394834772304023312 OPTIONS",
        ),
        "dropped",
    ),
    "quotbal": Torture(
        "3.1.2.6",
        request("INVITE", "sip:a@county.example", To='"Mr. J. User <sip:j.user@county.example>'),
        "parser",
        400,
    ),
    "ltgtruri": Torture("3.1.2.7", request("INVITE", "<sip:user@county.example>"), "parser", 400),
    "lwsruri": Torture("3.1.2.8", request("INVITE", "sip:user@county.example; lr"), "parser", 400),
    "lwsstart": Torture("3.1.2.9", request("INVITE", "  sip:user@county.example  "), "parser", 400),
    "trws": Torture("3.1.2.10", wire("OPTIONS sip:user@county.example SIP/2.0  ", {}), "parser", 400),
    "escruri": Torture(
        "3.1.2.11", request("INVITE", "sip:user@county.example?Route=%3Csip:mine.example%3E"), "parser", 400
    ),
    "baddate": Torture(
        "3.1.2.12",
        request("INVITE", "sip:a@county.example", TYPE, "Date: Fri, 01 Jan 2010 16:00:00 EST", body=SDP),
        values={"method": "INVITE"},
    ),
    "regbadct": Torture(
        "3.1.2.13",
        request(*REGISTER, Contact="sip:user@county.example?Route=%3Csip:sip.county.example%3E"),
        "parser",
        400,
    ),
    "badaspec": Torture("3.1.2.14", request(To='"Watson, Thomas" < sip:t.watson@county.example >'), "parser", 400),
    "baddn": Torture("3.1.2.15", request(From="Bell, Alexander <sip:a.g.bell@mine.example>;tag=43"), "parser", 400),
    "badvers": Torture(
        "3.1.2.16",
        wire("OPTIONS sip:t.watson@county.example SIP/7.0", {"Via": "SIP/7.0/UDP c.mine.example;branch=z9hG4bK1"}),
        "parser",
        505,
    ),
    "mismatch01": Torture("3.1.2.17", request(CSeq="8 INVITE"), "parser", 400),
    "mismatch02": Torture("3.1.2.18", request("NEWMETHOD", CSeq="8 INVITE"), "parser", 501),
    "bigcode": Torture("3.1.2.19", response("4294967301 better not break the receiver"), "dropped"),
    "badbranch": Torture("3.2.1", request(Via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"), values={"via.unique": False}),
    "insuf": Torture(
        "3.3.1",
        request("INVITE", "sip:user@county.example", TYPE, body=SDP, From=None, To=None, Call_ID=None, Contact=None),
        "parser",
        400,
    ),
    "unkscm": Torture(
        "3.3.2",
        request(uri="nobodyKnowsThisScheme:totallyopaquecontent"),
        "admission",
        416,
        {"uri.scheme": "nobodyknowsthisscheme"},
    ),
    "novelsc": Torture(
        "3.3.3", request(uri="soap.beep://192.0.2.103:3002"), "admission", 416, {"uri.scheme": "soap.beep"}
    ),
    "unksm2": Torture(
        "3.3.4",
        request(
            *REGISTER, To="isbn:2983792873", From="<http://www.mine.example>;tag=3234233", Contact="<name:John_Smith>"
        ),
        "registrar",
        400,
        {"to.uri.scheme": "isbn", "from_.uri.scheme": "http", "contacts.0.uri.scheme": "name"},
    ),
    "bext01": Torture(
        "3.3.5",
        request(
            "OPTIONS",
            "sip:a@county.example",
            "Require: nothingSupportsThis, nothingSupportsThisEither",
            "Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis",
        ),
        "admission",
        420,
    ),
    "invut": Torture(
        "3.3.6",
        request("INVITE", "sip:a@county.example", "Content-Type: application/unknownformat", body=b"<audio/>"),
        "admission",
        415,
    ),
    "regaut01": Torture(
        "3.3.7",
        request(*REGISTER, "Authorization: NoOneKnowsThisScheme opaque-data=here", To="sip:lamproom@county.example"),
        "registrar",
        401,
    ),
    "multi01": Torture(
        "3.3.8",
        request(
            "INVITE",
            "sip:a@county.example",
            "CSeq: 59 INVITE",
            "Call-ID: other",
            "Max-Forwards: 5",
            "From: <sip:other@mine.example>;tag=2",
            "To: sip:other@county.example",
            TYPE,
            body=SDP,
        ),
        "parser",
        400,
    ),
    "mcl01": Torture(
        "3.3.9",
        request("OPTIONS", "sip:a@county.example", "Content-Length: 13", "Content-Length: 5", body=b"There's no way"),
        "parser",
        400,
    ),
    "bcast": Torture(
        "3.3.10",
        response(
            Via="SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKplain1, SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23"
        ),
        "stray",
        values={"status": 200},
    ),
    "zeromf": Torture("3.3.11", request(Max_Forwards="0"), values={"max_forwards": 0}),
    "cparam01": Torture(
        "3.3.12",
        request(*REGISTER, Contact="sip:+19725552222@gw1.mine.example;unknownparam"),
        "registrar",
        401,
        {"contacts.0.uri.parameters": (), "contacts.0.parameters": (("unknownparam", None),)},
    ),
    "cparam02": Torture(
        "3.3.13",
        request(*REGISTER, Contact="<sip:+19725552222@gw1.mine.example;unknownparam>"),
        "registrar",
        401,
        {"contacts.0.uri.parameters": (("unknownparam", None),), "contacts.0.parameters": ()},
    ),
    "regescrt": Torture(
        "3.3.14",
        request(*REGISTER, Contact="<sip:user@mine.example?Route=%3Csip:sip.mine.example%3E>"),
        "registrar",
        401,
        {"contacts.0.uri.headers": "Route=%3Csip:sip.mine.example%3E"},
    ),
    "sdp01": Torture(
        "3.3.15",
        request("INVITE", "sip:a@county.example", "Accept: text/nobodyKnowsThis", TYPE, body=SDP),
        "admission",
        406,
    ),
    "inv2543": Torture(
        "3.4.1",
        request(
            "INVITE",
            "sip:UserB@county.example",
            "Record-Route: <sip:UserB@county.example;maddr=ss1.county.example>",
            TYPE,
            Via="SIP/2.0/UDP iftgw.mine.example",
            From="<sip:+13035551111@ift.mine.example;user=phone>",
            Max_Forwards=None,
            Contact=None,
            body=SDP,
        ).replace(b"Content-Length: %d\r\n" % len(SDP), b""),
        values={"from_.tag": None, "via.branch": "", "max_forwards": 70, "body": SDP},
    ),
}

V6_VIA = "SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111"

RFC_5118: dict[str, Torture] = {
    "ipv6-good": Torture(
        "4.1",
        request("REGISTER", "sip:[2001:db8::10]", Via=V6_VIA, Contact='"Caller" <sip:caller@[2001:db8::1]>'),
        "registrar",
        401,
        {
            "uri.host": "[2001:db8::10]",
            "uri.port": None,
            "via.host": "[2001:db8::9:1]",
            "contacts.0.uri.host": "[2001:db8::1]",
        },
    ),
    "ipv6-bad": Torture("4.2", request("REGISTER", "sip:2001:db8::10", Via=V6_VIA), "parser", 400),
    "port-ambiguous": Torture(
        "4.3",
        request("REGISTER", "sip:[2001:db8::10:5070]", Via=V6_VIA),
        "registrar",
        401,
        {"uri.host": "[2001:db8::10:5070]", "uri.port": None},
    ),
    "port-unambiguous": Torture(
        "4.4",
        request("REGISTER", "sip:[2001:db8::10]:5070", Via=V6_VIA),
        "registrar",
        401,
        {"uri.host": "[2001:db8::10]", "uri.port": 5070},
    ),
    "via-received-param-with-delim": Torture(
        "4.5",
        request(
            "BYE",
            "sip:[2001:db8::10]",
            Via="SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];branch=z9hG4bKas3-111",
        ),
        values={"via.branch": "z9hG4bKas3-111"},
    ),
    "via-received-param-no-delim": Torture(
        "4.5",
        request(
            "OPTIONS",
            "sip:[2001:db8::10]",
            Via="SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3",
        ),
        values={"via.branch": "z9hG4bKas3"},
    ),
    "ipv6-in-sdp": Torture(
        "4.6",
        request("INVITE", "sip:user@[2001:db8::10]", TYPE, Via=V6_VIA, To="sip:user@[2001:db8::10]", body=SDP6),
        values={"uri.host": "[2001:db8::10]", "body": SDP6},
    ),
    "mult-ip-in-header": Torture(
        "4.7",
        request(
            "BYE",
            "sip:user@host.county.example",
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781",
            "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200",
            Via="SIP/2.0/UDP [2001:db8::9:1]:6050;branch=z9hG4bKas3-111",
        ),
        values={"via.host": "[2001:db8::9:1]", "via.port": 6050},
    ),
    "mult-ip-in-sdp": Torture(
        "4.8", request("INVITE", "sip:user@[2001:db8::10]", TYPE, Via=V6_VIA, body=SDP46), values={"body": SDP46}
    ),
    "ipv4-mapped-ipv6": Torture(
        "4.9",
        request(
            "INVITE",
            "sip:user@county.example",
            TYPE,
            "Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111",
            Via="SIP/2.0/UDP [::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19",
            body=SDPMAPPED,
            Contact='"T. desk phone" <sip:ted@[::ffff:192.0.2.2]>',
        ),
        values={"via.host": "[::ffff:192.0.2.10]", "via.port": 19823, "contacts.0.uri.host": "[::ffff:192.0.2.2]"},
    ),
    "ipv6-bug-abnf-3-colons": Torture(
        "4.10",
        request(uri="sip:user@[2001:db8:::192.0.2.1]", To="sip:user@[2001:db8:::192.0.2.1]"),
        values={"uri.host": "[2001:db8::192.0.2.1]", "to.uri.host": "[2001:db8::192.0.2.1]"},
    ),
    "ipv6-correct-abnf-2-colons": Torture(
        "4.10",
        request(uri="sip:user@[2001:db8::192.0.2.1]", To="sip:user@[2001:db8::192.0.2.1]"),
        values={"uri.host": "[2001:db8::192.0.2.1]", "to.uri.host": "[2001:db8::192.0.2.1]"},
    ),
}

TORTURE = RFC_4475 | RFC_5118

REFUSED: dict[str, tuple[bytes, int]] = {
    "Max-Forwards too large": (request(Max_Forwards="300"), 400),
    "a Contact that is IPv6 with three colons and no IPv4": (request(Contact="<sip:user@[2001:db8:::1]>"), 400),
    "a header line without a colon": (request("OPTIONS", "sip:a@b.c", "this is no header"), 400),
    "another version, with a Via of this one": (wire("OPTIONS sip:t.watson@county.example SIP/7.0", {}), 505),
    "no To": (request(To=None), 400),
}
"""Malformed requests that no RFC has, and the status of the answer."""

DROPPED: dict[str, bytes] = {
    "a malformed ACK": request("ACK", CSeq="x ACK"),
    "a request whose Via names no address": request(Via="nonsense"),
    "a request without CSeq": request(CSeq=None),
    "no end of the head": b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h\r\n",
    "bare line feeds": request().replace(b"\r\n", b"\n"),
    "not UTF-8": request().replace(b"Lamp", b"\xffamp"),
    "nothing": b"",
    "a response of another version": wire("SIP/7.0 200 OK", {}),
}
"""What cannot be answered."""

NOT_FOR_US: dict[str, tuple[bytes, int]] = {
    "an unknown method": (request("NEWMETHOD"), 501),
    "a method that is not taken here": (request("REFER"), 405),
}
"""Well-formed requests that the admission refuses."""

SEEDS = (
    *(one.data for one in TORTURE.values()), *(data for data, _ in REFUSED.values()),
    *(data for data, _ in NOT_FOR_US.values()), response(),
)  # fmt: skip
"""What mutators begin with."""
