"""Room tokens: what is issued is read, and nothing else is."""

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from server.identity.errors import TokenError
from server.identity.tokens import HEADER, LEEWAY_S, MAX_DEVICE_LIFE_S, MAX_LIFE_S, Grants, Holder, Tokens

KEY = b"0123456789abcdefghijklmnopqrstuvwxyzABCD"
OTHER_KEY = KEY[::-1]
AT = 1_800_000_000.25
TOKENS = Tokens(KEY)
HOLDER = Holder("u1", "Wang Wei", "dispatcher", "mine-a", "mine", login="l1")
GRANTS = Grants(publish=True, subscribe=True, sources=("camera", "microphone"))


def good() -> str:
    return TOKENS.issue(HOLDER, "site:mine-a", GRANTS, AT, 600).token


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a good token, changed; `...` takes one out."""
    base = jwt.decode(good(), options={"verify_signature": False}) | changes
    return {key: value for key, value in base.items() if value is not ...}


def signed(payload: dict[str, Any], headers: dict[str, Any] | None = None, key: bytes = KEY) -> str:
    """A token whose signature is right, whatever stands in it."""
    return forged(headers or HEADER, payload, key)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(header: object, payload: object, key: bytes = KEY) -> str:
    head = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}"
    signature = jwt.get_algorithm_by_name("HS256").sign(head.encode(), key)
    return f"{head}.{b64(signature)}"


def refused(token: str, at: float = AT) -> str:
    with pytest.raises(TokenError) as caught:
        TOKENS.read(token, at)
    return str(caught.value.error)


def test_what_is_issued_is_read_back() -> None:
    grant = TOKENS.read(good(), AT)
    assert (grant.user, grant.room, grant.site, grant.role, grant.login) == (
        "u1", "site:mine-a", "mine-a", "dispatcher", "l1",
    )  # fmt: skip
    assert grant.publish
    assert grant.subscribe
    assert not grant.moderate
    assert grant.sources == ("camera", "microphone")
    assert (grant.issued_at, grant.expires_at) == (AT, AT + 600)
    assert grant.person().name == "Wang Wei"


def test_helper_signs_as_the_library_does() -> None:
    assert TOKENS.read(signed(claims()), AT).user == "u1"


@pytest.mark.parametrize("claim", ["exp", "iat", "aud", "iss", "sub", "jti", "room", "site", "role", "grants", "level"])
def test_token_without_a_claim_is_refused(claim: str) -> None:
    assert refused(signed(claims(**{claim: ...}))) == "token_invalid"


GRANT_CLAIM = claims()["grants"]


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "lamproom-admin"},
        {"aud": ["lamproom-room"]},
        {"aud": ["lamproom-room", "other"]},
        {"iss": "elsewhere"},
        {"iss": ["lamproom"]},
        {"sub": 1},
        {"sub": ""},
        {"jti": None},
        {"exp": str(AT + 600)},
        {"exp": True},
        {"exp": float("inf")},
        {"iat": float("nan")},
        {"exp": AT + 10 * 365 * 86400},
        {"exp": AT - 1},
        {"iat": AT + LEEWAY_S + 1},
        {"iat": AT - 7200},
        {"nbf": AT + 60},
        {"nbf": AT - 60},
        {"role": "root"},
        {"extra": "claim"},
        {"admin": True},
        {"grants": GRANT_CLAIM | {"hidden": True}},
        {"grants": GRANT_CLAIM | {"sources": ["telepathy"]}},
        {"grants": GRANT_CLAIM | {"publish": "yes"}},
        {"grants": GRANT_CLAIM | {"roomAdmin": True}},
        {"grants": []},
        {"room": "x" * 200},
    ],
    ids=str,
)
def test_token_with_a_wrong_claim_is_refused(changes: dict[str, Any]) -> None:
    assert refused(signed(claims(**changes))) == "token_invalid"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "JWT"},
        {"alg": "None", "typ": "JWT"},
        {"alg": "HS384", "typ": "JWT"},
        {"alg": "RS256", "typ": "JWT"},
        {"alg": "ES256", "typ": "JWT"},
        {"alg": "hs256", "typ": "JWT"},
        {"alg": "HS256"},
        {"alg": "HS256", "typ": "at+jwt"},
        {"alg": "HS256", "typ": "JWT", "kid": "../../../../dev/null"},
        {"alg": "HS256", "typ": "JWT", "kid": "x' UNION SELECT 'a"},
        {"alg": "HS256", "typ": "JWT", "jku": "https://attacker.example/keys"},
        {"alg": "HS256", "typ": "JWT", "x5u": "https://attacker.example/cert"},
        {"alg": "HS256", "typ": "JWT", "jwk": {"kty": "oct", "k": "AAAA"}},
        {"alg": "HS256", "typ": "JWT", "crit": ["exp"]},
        {"alg": "HS256", "typ": "JWT", "b64": False},
        {"alg": "HS256", "typ": "JWT", "zip": "DEF"},
        ["HS256"],
        "HS256",
        None,
    ],
    ids=str,
)
def test_token_with_another_header_is_refused(header: object) -> None:
    assert refused(forged(header, claims())) == "token_invalid"


def test_unsigned_token_is_refused() -> None:
    assert refused(jwt.encode(claims(), None, "none")) == "token_invalid"  # type: ignore[arg-type]
    head, body, _ = good().split(".")
    assert refused(f"{head}.{body}.") == "token_invalid"


def test_token_of_another_key_is_refused() -> None:
    assert refused(signed(claims(), key=OTHER_KEY)) == "token_invalid"


def test_header_with_a_member_twice_is_refused() -> None:
    head = b64(b'{"alg":"none","alg":"HS256","typ":"JWT"}')
    body = b64(json.dumps(claims()).encode())
    signature = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{body}".encode(), KEY)
    assert refused(f"{head}.{body}.{b64(signature)}") == "token_invalid"


def other_spellings(part: str) -> list[str]:
    """Spellings that a lenient decoder reads as the same bytes."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = {2: 16, 3: 4}.get(len(part) % 4)
    twins = [part + "=" * (-len(part) % 4 or 4), part + "\n", " " + part, part[:4] + "\r\n" + part[4:], part + "."]
    if spare:
        last = alphabet.index(part[-1])
        twins += [part[:-1] + alphabet[last - last % spare + other] for other in range(spare) if other != last % spare]
    return twins


@pytest.mark.parametrize("number", [0, 1, 2])
def test_non_canonical_spelling_of_a_part_is_refused(number: int) -> None:
    parts = good().split(".")
    for twin in other_spellings(parts[number]):
        changed = [*parts[:number], twin, *parts[number + 1 :]]
        assert refused(".".join(changed)) == "token_invalid"


def test_signature_over_another_spelling_is_refused() -> None:
    """Padding inside what is signed: the signature fits, the spelling does not."""
    head, body = b64(json.dumps(HEADER).encode()), base64.urlsafe_b64encode(json.dumps(claims(name="abc")).encode())
    if not body.endswith(b"="):
        body = base64.urlsafe_b64encode(json.dumps(claims(name="abcd")).encode())
    signing = f"{head}.{body.decode()}"
    assert signing.endswith("=")
    signature = jwt.get_algorithm_by_name("HS256").sign(signing.encode(), KEY)
    assert refused(f"{signing}.{b64(signature)}") == "token_invalid"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "a" * 9000, "é.é.é", "\x00", good() + ".x", "Bearer x"]
)
def test_junk_is_refused(token: str) -> None:
    assert refused(token) == "token_invalid"


def test_deeply_nested_token_is_refused() -> None:
    nested = "[" * 5000 + "]" * 5000
    assert refused(f"{b64(nested.encode())[:4000]}.x.y") == "token_invalid"
    assert refused(f"{b64(json.dumps(HEADER).encode())}.{b64(b'[' * 3000)}.{b64(b'x' * 32)}") == "token_invalid"


def test_token_too_long_is_refused_though_signed() -> None:
    assert refused(signed(claims(name="x" * 9000))) == "token_invalid"


@pytest.mark.parametrize(
    ("offset", "outcome"),
    [
        (-LEEWAY_S - 1, "token_invalid"),
        (-LEEWAY_S + 1, ""),
        (0, ""),
        (600 + LEEWAY_S - 1, ""),
        (600 + LEEWAY_S, "token_expired"),
    ],
)
def test_clock_decides_within_the_leeway(offset: float, outcome: str) -> None:
    token = good()
    if outcome:
        assert refused(token, AT + offset) == outcome
    else:
        assert TOKENS.read(token, AT + offset).user == "u1"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_single_changed_character_is_accepted(data: st.DataObject) -> None:
    token = good()
    position = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.sampled_from("ABCxyz019-_.+/="))
    changed = token[:position] + character + token[position + 1 :]
    if changed != token:
        assert refused(changed) == "token_invalid"


@settings(max_examples=500, deadline=None)
@given(token=st.text(max_size=200) | st.lists(st.binary(max_size=60).map(b64), min_size=1, max_size=4).map(".".join))
def test_anything_else_is_refused_with_our_error_only(token: str) -> None:
    assert refused(token) == "token_invalid"


def test_hidden_is_never_issued() -> None:
    with pytest.raises(ValidationError):
        Grants(hidden=True)  # type: ignore[arg-type]


@pytest.mark.parametrize("life", [0.0, -1.0, MAX_LIFE_S + 1])
def test_life_out_of_bounds_is_not_issued(life: float) -> None:
    with pytest.raises(ValueError, match="may not live"):
        TOKENS.issue(HOLDER, "site:mine-a", GRANTS, AT, life)


def test_device_may_live_a_day_and_no_longer() -> None:
    device = Holder("device:mine-a:gate", "gate", "device", "mine-a", "mine")
    token = TOKENS.issue(device, "site:mine-a", Grants(publish=True), AT, MAX_DEVICE_LIFE_S).token
    assert TOKENS.read(token, AT + 23 * 3600).role == "device"
    with pytest.raises(ValueError, match="may not live"):
        TOKENS.issue(device, "site:mine-a", Grants(publish=True), AT, MAX_DEVICE_LIFE_S + 1)


def test_longest_life_is_read_back_at_any_second() -> None:
    for step in range(200):
        at = AT + step * 0.137
        TOKENS.read(TOKENS.issue(HOLDER, "site:mine-a", GRANTS, at, MAX_LIFE_S).token, at)


def test_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        Tokens(b"x" * 31)
