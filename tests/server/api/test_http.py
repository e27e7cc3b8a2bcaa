"""The frame: what it refuses before a handler runs, and how it says so."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from config.settings import ServerSettings
from server.api.context import Context
from server.api.http import Input, Output, Query, Routes, query
from server.api.problems import STATUS, TEXTS, ApiProblem
from server.api.strictjson import MAX_BODY_BYTES
from server.store.errors import StoreConflict, StoreFull, StoreUnavailable
from tests.fakes.serving import Served, enter, serve

further = Routes()


class Echo(Input):
    number: int
    text: str = ""
    inner: dict[str, object] | None = None


class Echoed(Output):
    number: int


class Wish(Query):
    count: int = 1


@further.route("POST", "/api/test/echo", access=None, summary="Echo", body=Echo, ok=Echoed)
async def echo(_context: Context, _request: web.Request, body: Echo) -> Echoed:
    return Echoed(number=body.number)


@further.route("GET", "/api/test/count", access=None, summary="Count", query=Wish, ok=Echoed)
async def count(_context: Context, request: web.Request, _body: None) -> dict[str, object]:
    return {"number": query(request, Wish).count}


@further.route("GET", "/api/test/fail/{how}", access=None, summary="Fail", ok=None)
async def fail(_context: Context, request: web.Request, _body: None) -> None:
    how = request.match_info["how"]
    failures: dict[str, Exception] = {
        "conflict": StoreConflict("users.login"),
        "full": StoreFull("disk is full at /secret/path"),
        "away": StoreUnavailable("postgresql://secret@host"),
        "http": web.HTTPForbidden(text="secret"),
        "problem": ApiProblem("stale", "Somebody was faster."),
    }
    raise failures[how]


@further.route("POST", "/api/test/change", access="signed_in", summary="Change", ok=None)
async def change(_context: Context, _request: web.Request, _body: None) -> None:
    return None


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    settings = ServerSettings(allowed_origins=("https://county.example",))
    async with serve(tmp_path, further=further, server=settings) as one:
        await one.add_user("wang", "dispatcher", "mine-a")
        yield one


async def post(served: Served, raw: bytes, kind: str = "application/json") -> tuple[int, dict[str, Any]]:
    async with (
        ClientSession(served.url) as session,
        session.post("/api/test/echo", data=raw, headers={"Content-Type": kind}) as response,
    ):
        return response.status, json.loads(await response.read())


async def test_good_body_is_answered(served: Served) -> None:
    assert await post(served, b'{"number": 5}') == (200, {"number": 5})
    assert await post(served, b'{"number": 5}', "application/json; charset=utf-8") == (200, {"number": 5})


@pytest.mark.parametrize(
    ("raw", "status", "error"),
    [
        (b"", 400, "bad_request"),
        (b"{", 400, "bad_request"),
        (b'{"number": NaN}', 400, "bad_request"),
        (b'{"number": Infinity}', 400, "bad_request"),
        (b'{"number": 1, "number": 2}', 400, "bad_request"),
        (b'{"number": 1, "text": "\\ud800"}', 400, "bad_request"),
        (b'{"number": 1, "text": "\\u0000"}', 400, "bad_request"),
        (b'{"number": 1, "inner": ' + b'{"a":' * 50 + b"1" + b"}" * 50 + b"}", 400, "bad_request"),
        (b"[]", 422, "invalid"),
        (b"null", 422, "invalid"),
        (b"5", 422, "invalid"),
        (b"{}", 422, "invalid"),
        (b'{"number": "5"}', 422, "invalid"),
        (b'{"number": true}', 422, "invalid"),
        (b'{"number": 1.5}', 422, "invalid"),
        (b'{"number": 1, "role": "admin"}', 422, "invalid"),
        (b'{"number": 1, "text": "' + b"x" * MAX_BODY_BYTES + b'"}', 413, "too_large"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_bad_body_is_refused_in_words(served: Served, raw: bytes, status: int, error: str) -> None:
    got, body = await post(served, raw)
    assert (got, body["error"], body["status"]) == (status, error, status)
    assert body["type"] == "about:blank"
    assert body["text"]["zh"]
    assert body["text"]["en"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x/y"])
async def test_body_that_a_form_could_send_is_refused(served: Served, kind: str) -> None:
    status, body = await post(served, b'{"number": 5}', kind)
    assert (status, body["error"]) == (415, "not_json")


async def test_refusal_does_not_repeat_what_was_sent(served: Served) -> None:
    _, body = await post(served, b'{"number": "my secret password"}')
    assert "secret" not in json.dumps(body)
    assert body["fields"][0]["where"] == "number"


async def test_body_without_a_length_is_bounded_too(served: Served) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 4096
            await asyncio.sleep(0)

    async with (
        ClientSession(served.url) as session,
        session.post("/api/test/echo", data=endless(), headers={"Content-Type": "application/json"}) as response,
    ):
        assert response.status == 413


async def test_body_that_does_not_arrive_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.api.http.BODY_TIMEOUT_S", 0.05)
    host, port = served.url.removeprefix("http://").rstrip("/").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /api/test/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{"
    )
    async with asyncio.timeout(5):
        assert b" 408 " in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("given", "status"),
    [("", 200), ("count=3", 200), ("count=x", 422), ("count=1.5", 422), ("other=1", 422), ("count=1&count=2", 400),
     ("count=%00", 400), ("count=%ff", 422), ("count=", 422)],
)  # fmt: skip
async def test_query_is_typed(served: Served, given: str, status: int) -> None:
    async with ClientSession(served.url) as session, session.get(f"/api/test/count?{given}") as response:
        assert response.status == status


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ("conflict", 409, "conflict"),
        ("full", 503, "store_unavailable"),
        ("away", 503, "store_unavailable"),
        ("http", 403, "not_allowed"),
        ("problem", 409, "stale"),
    ],
)
async def test_failures_of_ours_become_problems_without_their_inside(
    served: Served, how: str, status: int, error: str
) -> None:
    async with ClientSession(served.url) as session, session.get(f"/api/test/fail/{how}") as response:
        body = await response.json(content_type="application/problem+json")
        assert (response.status, body["error"]) == (status, error)
        assert "secret" not in json.dumps(body)
        assert "users.login" not in json.dumps(body)


async def test_unknown_path_and_method_are_problems(served: Served) -> None:
    async with ClientSession(served.url) as session:
        async with session.get("/api/nothing/here") as response:
            assert response.status == 404
            assert (await response.json(content_type="application/problem+json"))["error"] == "not_found"
        async with session.put("/api/login") as response:
            assert response.status == 405
            assert "POST" in response.headers["Allow"]
            assert (await response.json(content_type="application/problem+json"))["error"] == "method_not_allowed"


@pytest.mark.parametrize("path", ["/api/me", "/api/openapi.json", "/-/healthy", "/api/nothing", "/nothing"])
async def test_every_answer_protects_its_user(served: Served, path: str) -> None:
    async with ClientSession(served.url) as session, session.get(path) as response:
        headers = response.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert "camera=(self)" in headers["Permissions-Policy"]
        assert headers["Referrer-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
        if path.startswith("/api/"):
            assert headers["Cache-Control"] == "no-store"


# --- requests that come from elsewhere ---


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Lamproom": "1"}, 204),
        ({}, 403),
        ({"X-Lamproom": "0"}, 403),
        ({"X-Lamproom": "1", "Origin": "https://county.example"}, 204),
        ({"X-Lamproom": "1", "Origin": "https://evil.example"}, 403),
        ({"X-Lamproom": "1", "Origin": "null"}, 403),
    ],
    ids=str,
)
async def test_request_by_cookie_must_come_from_our_pages(served: Served, headers: dict[str, str], status: int) -> None:
    async with served.browser("wang") as session:
        session.headers.popall("X-Lamproom")
        async with session.post("/api/test/change", headers=headers) as response:
            assert response.status == status
            if status == 403:
                assert (await response.json(content_type=None))["error"] == "foreign_origin"


async def test_program_that_bears_its_log_in_needs_no_header(served: Served) -> None:
    async with served.browser("wang") as session:
        cookies = session.cookie_jar.filter_cookies(session._base_url)  # type: ignore[arg-type]
        secret = cookies["lamproom_login"].value
    async with ClientSession(served.url, headers={"Authorization": f"Bearer {secret}"}) as program:
        async with program.post("/api/test/change") as response:
            assert response.status == 204
        async with program.post("/api/test/change", headers={"Origin": "https://evil.example"}) as response:
            assert response.status == 403


async def test_bad_bearer_is_not_helped_by_a_good_cookie(served: Served) -> None:
    async with (
        served.browser("wang") as session,
        session.get("/api/me", headers={"Authorization": "Bearer nonsense"}) as response,
    ):
        assert response.status == 401
        assert "Bearer" in response.headers["WWW-Authenticate"]


async def test_log_in_from_another_site_is_refused(served: Served) -> None:
    async with (
        ClientSession(served.url) as session,
        session.post(
            "/api/login", json={"login": "wang", "password": "x"}, headers={"Origin": "https://evil.example"}
        ) as response,
    ):
        assert response.status == 403


# --- the cookie ---


async def test_cookie_is_out_of_reach(served: Served) -> None:
    async with served.browser() as session:
        async with session.post(
            "/api/login", json={"login": "wang", "password": "correct horse battery"}
        ) as response:  # fmt: skip
            cookie = response.headers["Set-Cookie"]
    parts = {part.strip().partition("=")[0].lower() for part in cookie.split(";")}
    assert {"httponly", "samesite", "path", "max-age"} <= parts
    assert "SameSite=Strict" in cookie
    assert "secure" not in parts


async def test_cookie_is_secure_behind_tls(tmp_path: Path) -> None:
    async with serve(tmp_path, server=ServerSettings(public_url="https://mine.example")) as one:
        await one.add_user("wang", "dispatcher", "mine-a")
        async with (
            one.browser() as session,
            session.post("/api/login", json={"login": "wang", "password": "correct horse battery"}) as response,
        ):
            assert "Secure" in response.headers["Set-Cookie"]


async def test_log_in_makes_a_fresh_secret_whatever_the_browser_brought(served: Served) -> None:
    async with ClientSession(served.url, headers={"Cookie": "lamproom_login=attacker.chose-this"}) as session:
        await enter(session, "wang")
        cookies = session.cookie_jar.filter_cookies(session._base_url)  # type: ignore[arg-type]
        assert "attacker" not in str(cookies)


# --- declarations ---


def test_route_without_access_cannot_be_declared() -> None:
    with pytest.raises(TypeError):
        Routes().route("GET", "/x", summary="x", ok=None)  # type: ignore[call-arg]


@pytest.mark.parametrize("access", ["", "root", "public", "user"])
def test_route_with_unknown_access_cannot_be_declared(access: Any) -> None:
    with pytest.raises(ValueError, match="access"):
        Routes().route("GET", "/x", access=access, summary="x", ok=None)(fail)


def test_route_cannot_be_declared_twice() -> None:
    routes = Routes()
    routes.route("GET", "/x", access=None, summary="x", ok=None)(fail)
    with pytest.raises(ValueError, match="twice"):
        routes.route("GET", "/x", access=None, summary="x", ok=None)(fail)


def test_every_refusal_has_a_status_and_both_languages() -> None:
    for error in STATUS:
        assert TEXTS[error].zh
        assert TEXTS[error].en
        assert ApiProblem(error).response().status == STATUS[error]
