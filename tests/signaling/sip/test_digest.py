"""Digest: the vectors of the RFCs, replays, and realms."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signaling.sip.digest import (
    Algorithm,
    DigestClient,
    DigestServer,
    Verdict,
    ha1,
    parse_digest,
    response_to,
)
from signaling.sip.errors import MessageError

SECRET = "Circle of Life"


def server(legacy: bool = True, algorithms: tuple[Algorithm, ...] = ("SHA-256", "MD5")) -> DigestServer:
    return DigestServer("mine.example", b"k" * 32, lambda size: b"r" * size, algorithms, legacy)


def secrets(username: str, algorithm: Algorithm) -> str | None:
    return ha1(algorithm, "lamp", "mine.example", "secret") if username == "lamp" else None


def test_2617_3_5_md5() -> None:
    secret = ha1("MD5", "Mufasa", "testrealm@host.com", "Circle Of Life")
    nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
    got = response_to("MD5", secret, nonce, "GET", "/dir/index.html", "00000001:0a4f113b:auth")
    assert got == "6629fae49393a05397450978507c4ef1"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_7616_3_9_1(algorithm: Algorithm, expected: str) -> None:
    secret = ha1(algorithm, "Mufasa", "http-auth@example.org", SECRET)
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
    assert response_to(algorithm, secret, nonce, "GET", "/dir/index.html", f"00000001:{cnonce}:auth") == expected


@pytest.mark.parametrize("algorithms", [("SHA-256", "MD5"), ("MD5",)])
def test_client_and_server_agree_and_nothing_is_good_twice(algorithms: tuple[Algorithm, ...]) -> None:
    here = server(algorithms=algorithms)
    client = DigestClient("mine.example", "lamp", "secret")
    challenges = here.challenge(0.0, "192.0.2.7")
    first = client.answer(challenges, "REGISTER", "sip:mine.example", "c1")
    second = client.answer(challenges, "REGISTER", "sip:mine.example", "c2")
    assert first is not None
    assert second is not None
    assert f"algorithm={algorithms[0]}" in first
    verdicts = [
        here.judge([one], "REGISTER", "192.0.2.7", secrets, 1.0).verdict for one in (first, first, second, first)
    ]
    assert verdicts == [Verdict.OK, Verdict.WRONG, Verdict.OK, Verdict.WRONG]


def test_what_is_refused() -> None:
    here = server()
    client = DigestClient("mine.example", "lamp", "secret")
    value = client.answer(here.challenge(0.0, "192.0.2.7"), "REGISTER", "sip:mine.example", "c1") or ""
    nonce = (parse_digest(value) or {})["nonce"]

    def verdict(text: str, method: str = "REGISTER", peer: str = "192.0.2.7", now: float = 1.0) -> Verdict:
        return here.judge([text], method, peer, secrets, now).verdict

    assert verdict(value, peer="192.0.2.8") is Verdict.WRONG
    assert verdict(value, method="INVITE") is Verdict.WRONG
    assert verdict(value.replace(nonce, "0" * len(nonce))) is Verdict.WRONG
    assert verdict(value.replace(nonce, "no hex")) is Verdict.WRONG
    assert verdict(value.replace("lamp", "other")) is Verdict.WRONG
    assert verdict(value.replace("nc=00000001", "nc=00000002")) is Verdict.WRONG
    assert verdict(value.replace("SHA-256", "SHA-512")) is Verdict.WRONG
    assert verdict(value.replace("mine.example", "evil.example")) is Verdict.MISSING
    assert verdict("Bearer x") is Verdict.MISSING
    assert verdict(value, now=61.0) is Verdict.STALE
    assert "stale=true" in here.challenge(61.0, "192.0.2.7", stale=True)[0]
    assert verdict(value) is Verdict.OK


def test_without_qop_a_nonce_is_good_once_or_never() -> None:
    for legacy, expected in ((True, [Verdict.OK, Verdict.WRONG]), (False, [Verdict.WRONG, Verdict.WRONG])):
        here = server(legacy)
        old = [one.replace(', qop="auth"', "") for one in here.challenge(0.0, "p")]
        value = DigestClient("mine.example", "lamp", "secret").answer(old, "REGISTER", "sip:x", "c") or ""
        assert "nc=" not in value
        assert [here.judge([value], "REGISTER", "p", secrets, 1.0).verdict for _ in range(2)] == expected


def test_a_client_answers_its_own_realm_only_and_the_strongest_way() -> None:
    client = DigestClient("mine.example", "lamp", "secret", allow_md5=False)
    assert client.answer(['Digest realm="evil.example", nonce="x", algorithm=SHA-256'], "INVITE", "sip:x", "c") is None
    assert client.answer(['Digest realm="mine.example", nonce="x"'], "INVITE", "sip:x", "c") is None
    assert (
        client.answer(['Digest realm="mine.example", nonce="x", qop="auth-int", algorithm=SHA-256'], "A", "x", "c")
        is None
    )
    both = [
        'Digest realm="mine.example", nonce="x", algorithm=MD5',
        'Digest realm="mine.example", nonce="y", algorithm=SHA-256',
    ]
    for order in (both, both[::-1]):
        assert 'nonce="y"' in (client.answer(order, "INVITE", "sip:x", "c") or "")


def test_remembered_nonces_are_bounded_and_a_forgotten_one_is_stale() -> None:
    here = DigestServer("mine.example", b"k" * 32, lambda size: b"r" * size, ("MD5",), max_nonces=5)
    client = DigestClient("mine.example", "lamp", "secret")
    values = []
    for number in range(8):
        now = float(number)
        values.append(client.answer(here.challenge(now, "p"), "REGISTER", "sip:x", "c") or "")
        assert here.judge([values[-1]], "REGISTER", "p", secrets, now).verdict is Verdict.OK
    assert len(here._used) == 5
    verdicts = [here.judge([value], "REGISTER", "p", secrets, 8.0).verdict for value in values]
    assert verdicts == [Verdict.STALE] * 3 + [Verdict.WRONG] * 5


def test_the_nonce_does_not_tell_the_key() -> None:
    value = server().challenge(0.0, "p")[0]
    assert hashlib.sha256(b"k" * 32).hexdigest() not in value
    assert (b"k" * 8).hex() not in value


@settings(deadline=None)
@given(st.text('Digest realm="mine.xpl,=\\nocuri\u706f', max_size=60))
def test_any_credentials_raise_only_what_is_documented(text: str) -> None:
    try:
        server().judge([f'Digest realm="mine.example", {text}'], "REGISTER", "p", secrets, 0.0)
    except MessageError:
        pass
