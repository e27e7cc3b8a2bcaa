"""Messages: the parts of the grammar, limits, and hostile bytes."""

import random
import sys
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.sip.address import Address, parse_address
from signaling.sip.errors import LocalSipError, MessageError
from signaling.sip.grammar import parse_parameters, quote, split, unquote
from signaling.sip.headers import Headers
from signaling.sip.message import MAX_BYTES, MAX_HEAD, MAX_HEADERS, Request, parse
from signaling.sip.transactionlayer import Flow
from signaling.sip.uri import SipUri, parse_uri, same_uri
from signaling.sip.via import parse_via
from tests.fakes.siphostile import hostile, judge, mutated
from tests.fakes.sipmessages import request
from tests.fakes.siptorture import SEEDS
from tests.fakes.sipwire import Wire

TOKENS = st.text("abcxyz019-.!%*_+`'~", min_size=1, max_size=12)


@pytest.mark.parametrize(
    "text",
    [
        "sip:alice@atlanta.example",
        "sip:alice:secret@atlanta.example;transport=tcp",
        "sips:1212@gateway.example:5061;user=phone?subject=x&to=y",
        "sip:34020000001320000001@3402000000",
        "sip:192.0.2.1",
        "sip:[2001:db8::1]:5060;lr",
        "tel:+358-555-1234567;postd=pp22",
    ],
)
def test_a_uri_comes_out_as_it_went_in(text: str) -> None:
    assert str(parse_uri(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "sip", "sip:", "sip:@host", "sip:a@", "sip:a@b:", "sip:a@b:70000", "sip:a@b;", "sip:a@b;x;x", "sip:a@b?"),
        *(
            "sip:a b@c",
            "sip:a%4@b",
            "sip:a@b@c",
            "sip:a@[::1",
            "sip:a@[::1]x",
            "sip:a@1.2.3.400",
            "sip:a@-b",
            "sip:a@b..c",
        ),
        *(" sip:a@b", "1sip:a@b", "tel:", "tel:1 2", "sip:a@b;\u5927", "sip:a@b:\u0663"),
    ],
)
def test_a_malformed_uri_is_refused(text: str) -> None:
    with pytest.raises(MessageError):
        parse_uri(text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("sip:%61lice@atlanta.example;transport=TCP", "sip:alice@AtlanTa.example;Transport=tcp", True),
        ("sip:carol@chicago.example", "sip:carol@chicago.example;newparam=5", True),
        ("sip:carol@chicago.example;security=on", "sip:carol@chicago.example;newparam=5", True),
        ("sip:a@b?to=x&from=y", "sip:a@b?from=y&to=x", True),
        ("SIP:ALICE@b", "sip:alice@b", False),
        ("sip:bob@biloxi.example", "sip:bob@biloxi.example:5060", False),
        ("sip:bob@biloxi.example", "sip:bob@biloxi.example;transport=udp", False),
        ("sip:a@b;security=on", "sip:a@b;security=off", False),
        ("sip:a@b", "sip:a@b?subject=x", False),
        ("sip:a@b", "sips:a@b", False),
    ],
)
def test_19_1_4_which_uris_are_the_same(one: str, other: str, same: bool) -> None:
    assert same_uri(parse_uri(one), parse_uri(other)) is same
    assert same_uri(parse_uri(other), parse_uri(one)) is same


def test_an_address_of_record_has_only_user_and_host() -> None:
    uri = parse_uri("sip:%61lice:pw@Mine.Example:5070;transport=tcp?x=y")
    assert isinstance(uri, SipUri)
    assert str(uri.address_of_record()) == "sip:alice@mine.example"


@given(st.text('ab "\\<>,;\u706f', max_size=20))
def test_any_display_name_survives(name: str) -> None:
    name = name.strip()
    address = Address(SipUri("h"), name, (("tag", "x"),))
    assert parse_address(str(address)) == address
    assert unquote(quote(name)) == name


def test_a_line_break_cannot_be_smuggled_into_what_we_send() -> None:
    with pytest.raises(LocalSipError):
        str(Address(SipUri("h"), "a\r\nVia: x"))
    with pytest.raises(LocalSipError):
        Headers([("Subject", "a\r\nVia: x")]).serialize()
    with pytest.raises(LocalSipError):
        Headers([("Sub ject", "a")]).serialize()
    with pytest.raises(LocalSipError):
        Request(Headers(), b"", "OPTIONS\r\n", SipUri("h")).serialize()


@settings(deadline=None)
@given(st.lists(st.tuples(TOKENS, st.none() | TOKENS), max_size=6, unique_by=lambda pair: pair[0]))
def test_parameters_come_out_as_they_went_in(pairs: list[tuple[str, str | None]]) -> None:
    text = "".join(f" ; {name}" + ("" if value is None else f" = {value}") for name, value in pairs)
    assert parse_parameters(text) == tuple(pairs)


def test_lists_are_cut_outside_quotes_and_brackets_only() -> None:
    assert split('"a,b" <sip:x,y@h>, c', ",") == ['"a,b" <sip:x,y@h>', " c"]
    with pytest.raises(MessageError):
        split('"a, b', ",")


def test_via_says_where_an_answer_goes() -> None:
    via = parse_via("SIP/2.0/UDP 10.0.0.9:5070;rport;branch=z9hG4bK1").received_from("192.0.2.1", 40000)
    assert str(via) == "SIP/2.0/UDP 10.0.0.9:5070;rport=40000;branch=z9hG4bK1;received=192.0.2.1"
    assert via.answer_to() == ("192.0.2.1", 40000)
    plain = parse_via("SIP/2.0/UDP h.example;branch=z9hG4bK1").received_from("h.example", 40000)
    assert plain.answer_to() == ("h.example", 5060)
    six = parse_via("SIP/2.0/TLS [2001:db8::1];branch=z9hG4bK1").received_from("2001:db8::1", 1)
    assert six.answer_to() == ("2001:db8::1", 5061)


def test_a_reply_copies_what_it_must() -> None:
    message = parse(
        request("INVITE", "sip:a@b.example", "Timestamp: 54", "Via: SIP/2.0/UDP far.example;branch=z9hG4bK2")
    )
    assert isinstance(message, Request)
    trying = message.reply(100, tag="s1")
    assert trying.headers.first("Timestamp") == "54"
    assert trying.to.tag is None
    busy = message.reply(486, ("Retry-After", "5"), tag="s1")
    assert busy.headers.lines("Via") == message.headers.lines("Via")
    assert (busy.to.tag, busy.call_id, busy.cseq, busy.reason) == ("s1", "c1@192.0.2.7", (1, "INVITE"), "Busy Here")
    again = parse(busy.serialize())
    assert again.headers.without("Content-Length") == busy.headers


def test_names_are_compared_without_case_and_long() -> None:
    headers = Headers([("v", "x"), ("VIA", "y"), ("X-Mine", "z")])
    assert headers.lines("via") == ["x", "y"]
    assert [name for name, _ in headers] == ["Via", "Via", "X-Mine"]
    assert "x-mine" in headers
    assert headers.without("V").lines("Via") == []


def test_limits() -> None:
    assert parse(request("OPTIONS", "sip:a@b", *["X: y"] * (MAX_HEADERS - 8))).body == b""
    with pytest.raises(MessageError, match="128"):
        parse(request("OPTIONS", "sip:a@b", *["X: y"] * (MAX_HEADERS - 7)))
    with pytest.raises(MessageError, match="larger"):
        parse(request(body=b"x" * MAX_BYTES))
    with pytest.raises(MessageError, match="header fields are larger"):
        parse(request("OPTIONS", "sip:a@b", "X: " + "y" * MAX_HEAD))
    with pytest.raises(MessageError, match="Vias"):
        parse(request(Via=", ".join(["SIP/2.0/UDP h;branch=z9hG4bK1"] * 72)))
    with pytest.raises(LocalSipError):
        Request(Headers(), b"x" * MAX_BYTES, "MESSAGE", SipUri("h")).serialize()


def test_mutated_messages_raise_only_what_is_documented() -> None:
    rng = random.Random(3261)
    for _ in range(6000):
        judge(mutated(rng.choice(SEEDS), rng))


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_bytes_raise_only_what_is_documented(data: bytes) -> None:
    judge(data)


@given(
    st.lists(st.tuples(st.sampled_from(["Via", "To", "Contact", "CSeq", "Route"]), st.text(max_size=40)), max_size=4)
)
@settings(max_examples=200, deadline=None)
def test_any_values_raise_only_what_is_documented(fields: list[tuple[str, str]]) -> None:
    text = "\r\n".join(f"{name}: {value}" for name, value in fields).encode("utf-8", "replace")
    judge(request().replace(b"Max-Forwards: 70", text))


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of `signaling.sip` run for this: work that no busy machine can change."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if "signaling/sip" not in frame.f_code.co_filename:
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def taken(data: bytes) -> None:
    """By a user agent, with everything that it does for it."""
    Wire().b.receive(data, Flow("192.0.2.1", 5060), 0.0)


@pytest.mark.parametrize("target", [judge, taken])
@pytest.mark.parametrize("name", hostile(0))
def test_work_grows_no_faster_than_the_message(name: str, target: Callable[[bytes], None]) -> None:
    small, large = (lines_run(partial(target, hostile(size)[name])) for size in (4_000, 16_000))
    assert large <= 4.4 * small + 300
    assert large <= 12 * 16_000
