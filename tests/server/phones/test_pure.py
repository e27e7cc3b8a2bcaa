"""Rules, PINs and traces, without anything around them."""

import inspect
import json
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.settings import PhoneRuleSettings, PhonesSettings, TrunkSettings
from server.phones import rules
from server.phones.gate import PhoneGate
from server.phones.pins import Lock, pin_of, session_of
from server.phones.service import TURNED_AWAY, PhoneService
from server.phones.trace import MAX_MESSAGES, MAX_STRANGERS, Trace
from signaling.sip.uri import OtherUri, parse_uri
from tests.server.phones.conftest import RULES, TRUNK


@pytest.mark.parametrize(
    ("text", "number"),
    [("138-1234 5678", "13812345678"), ("+86 (351) 1234", "+863511234"), ("*9#", "*9#"), ("110", "110"),
     ("1" * 33, ""), ("12a", ""), ("", ""), ("１２３", ""), ("12;ext=1", "")],
)  # fmt: skip
def test_numbers_are_read_without_their_layout(text: str, number: str) -> None:
    assert rules.number(text) == number


def test_numbers_of_uris() -> None:
    assert rules.number_of(parse_uri("sip:110;phone-context=x@host")) == "110"
    assert rules.number_of(parse_uri("sip:%2397@host")) == "#97"
    assert rules.number_of(OtherUri("tel", "+86351;phone-context=cn")) == "+86351"
    assert rules.number_of(OtherUri("mailto", "110")) == ""


@pytest.mark.parametrize(
    ("called", "caller", "rule"),
    [("5001", "138", "county-line"), ("5000", "138", "pin-line"), ("5000", "4001", "blocked"), ("50", "1", "no_match")],
)
def test_the_first_rule_that_fits_counts(called: str, caller: str, rule: str) -> None:
    assert rules.dispatch(RULES, "pbx", called, caller).rule == rule


def test_a_trunk_without_rules_takes_nothing() -> None:
    assert rules.dispatch(RULES, "other", "5000", "1").rule == "no_rule"


def test_a_number_is_dialled_as_the_trunk_wants_it() -> None:
    trunk = TRUNK.model_copy(update={"strip": "0351", "prepend": "9"})
    _, number, outcome = rules.dial("0351-1234567", [trunk], {}, {})
    assert (number, outcome.refused) == ("91234567", False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"trunks": (TRUNK, TRUNK)},
        {"rules": (PhoneRuleSettings(name="all", source="nobody", prefix=True),)},
        {"trunks": (TRUNK,), "rules": (PhoneRuleSettings(name="all", source="pbx"),)},
        {"trunks": (TRUNK,), "rules": (PhoneRuleSettings(name="x", source="pbx", number="1", action="site"),)},
        {"trunks": (TrunkSettings(name="pbx", host="127.0.0.3", outbound=True),)},
    ],
)
def test_settings_that_would_open_a_door_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        PhonesSettings.model_validate(wrong)


def test_pins_differ_by_session_and_by_server() -> None:
    key = b"k" * 32
    assert len({pin_of(key, str(number)) for number in range(200)}) > 190
    assert pin_of(key, "a") != pin_of(b"l" * 32, "a")
    assert session_of(key, pin_of(key, "a"), ["a", "b"]) == "a"
    assert session_of(key, pin_of(key, "a"), ["b"]) is None
    assert session_of(key, pin_of(key, "a"), ["a", "a"]) is None, "two with the same open neither"


def test_guessing_locks_the_caller_and_then_the_world() -> None:
    lock = Lock(3, 600.0, world=10)
    for _ in range(3):
        assert not lock.locked("138", 0.0)
        lock.wrong("138", 0.0)
    assert lock.locked("138", 599.0)
    assert not lock.locked("138", 601.0)
    assert not lock.locked("139", 0.0)
    for number in range(7):
        lock.wrong(str(number), 1.0)
    assert lock.locked("139", 2.0)
    assert not lock.locked("139", 602.0)


def invite(call_id: str, *more: str, body: str = "") -> bytes:
    lines = ["INVITE sip:a@b SIP/2.0", f"Call-ID: {call_id}", *more, "", body]
    return "\r\n".join(lines).encode()


def test_a_trace_is_bounded_and_strangers_push_out_nothing() -> None:
    trace = Trace(3)
    for name in "abcd":
        trace.note(True, invite(name), "p", "UDP", 1.0)
    assert [trace.ladder(name) is not None for name in "abcd"] == [False, True, True, True]
    for number in range(1000):
        trace.note(False, invite(f"s{number}"), "p", "UDP", 1.0)
    assert len(trace._strangers) == MAX_STRANGERS
    assert trace.ladder("b") is not None
    trace.keep("s999")
    assert trace.ladder("s999") is not None
    for _ in range(500):
        trace.note(True, b"BYE sip:a@b SIP/2.0\r\nCall-ID: d\r\n\r\n", "p", "UDP", 2.0)
    ladder = trace.ladder("d")
    assert ladder is not None
    assert (len(ladder.steps()), ladder.total) == (MAX_MESSAGES, 501)
    assert ladder.steps()[0].line.startswith("INVITE")


def test_no_secret_stays_in_a_trace() -> None:
    trace = Trace(3)
    secret = ("Proxy-Authorization: Digest response=abc", "Authorization : Digest nonce=abc, response=abc")
    body = "v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abckey\r\n"
    trace.note(True, invite("a", *secret, body=body), "p", "UDP", 1.0)
    info = b"INFO sip:a SIP/2.0\r\nCall-ID: a\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=1"
    trace.note(True, info, "p", "UDP", 1.0)
    trace.note(True, info.replace(b"-relay", b"").replace(b"Signal=5\r\nDuration=1", b"5"), "p", "UDP", 1.0)
    ladder = trace.ladder("a")
    assert ladder is not None
    text = "\n".join(one.text for one in ladder.steps())
    assert "abc" not in text
    assert "5" not in text.replace("AES", "")
    assert text.count("(hidden)") >= 5


def test_every_rule_of_ours_has_words_in_both_languages() -> None:
    """Those that the code names; rules of the settings are named by whoever writes them."""
    named = set(TURNED_AWAY)
    for written in (PhoneGate, PhoneService, rules):
        text = Path(inspect.getfile(written)).read_text("utf-8")
        named |= set(re.findall(r'(?:Turned|Outcome|_stranger)\(\s*(?:target, "refused", )?"([a-z_0-9]+)"', text))
    assert {"scanner", "no_match", "trunk_busy", "daily_cap", "wrong_digest", "wrong_pin"} <= named
    for language in ("zh", "en"):
        words = json.loads(Path(f"web/static/i18n/{language}.json").read_text("utf-8"))
        quiet = {"challenge", "sip_400"}
        missing = {one for one in named - quiet if not {f"phones.rule.{one}", f"call.result.{one}"} & words.keys()}
        assert missing == set(), language
