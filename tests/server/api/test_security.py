"""Origins, the policy, and what every answer carries."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from config.settings import ServerSettings
from server.api.security import allowed_origins, content_security_policy, csp_nonce, origin_allowed, origin_of


def asked(*origins: str, host: str = "mine.example:8443") -> web.Request:
    headers = [("Host", host), *(("Origin", origin) for origin in origins)]
    return make_mocked_request("POST", "/api/x", headers=headers)


@pytest.mark.parametrize(
    ("origins", "allowed"),
    [
        ((), True),
        (("http://mine.example:8443",), True),
        (("HTTP://Mine.Example:8443",), True),
        (("https://dispatch.example",), True),
        (("https://dispatch.example:443",), True),
        (("https://mine.example:8443",), False),
        (("http://mine.example",), False),
        (("http://mine.example:84430",), False),
        (("http://mine.example.evil.example:8443",), False),
        (("http://evil.example",), False),
        (("null",), False),
        (("",), False),
        (("file://",), False),
        (("http://mine.example:8443@evil.example",), False),
        (("http://user@mine.example:8443",), False),
        (("http://mine.example:99999",), False),
        (("http://[::1",), False),
        (("http://mine.example:8443", "http://evil.example"), False),
        (("http://evil.example", "http://mine.example:8443"), False),
    ],
)
def test_origin_is_ours_or_listed_or_refused(origins: tuple[str, ...], allowed: bool) -> None:
    assert origin_allowed(asked(*origins), ("https://dispatch.example/",)) is allowed


def test_public_url_is_an_origin() -> None:
    settings = ServerSettings(public_url="https://mine.example/lamproom", allowed_origins=("https://county.example",))
    assert {origin_of(url) for url in allowed_origins(settings)} == {"https://mine.example", "https://county.example"}


def test_policy_has_no_hole() -> None:
    policy = content_security_policy("mine.example:8443", None)
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "script-src 'self';" in policy
    assert "frame-ancestors 'none'" in policy
    assert "connect-src 'self' ws://mine.example:8443 wss://mine.example:8443;" in policy


@pytest.mark.parametrize("host", ["", "evil.example; script-src *", "a b", "x\r\nX: y", "[::1", "a" * 300, "*"])
def test_host_that_is_none_never_enters_the_policy(host: str) -> None:
    assert "connect-src 'self';" in content_security_policy(host, None)


def test_nonce_is_one_per_answer() -> None:
    first, second = asked(), asked()
    assert csp_nonce(first) == csp_nonce(first)
    assert csp_nonce(first) != csp_nonce(second)
    assert f"'nonce-{csp_nonce(first)}'" in content_security_policy("h", csp_nonce(first))
