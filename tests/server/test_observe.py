"""The log: nobody's name or words in it, nobody's lines but ours, and not too many."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp.http_exceptions import BadHttpMethod

from analytics.finding import Finding
from analytics.plugin import Batch, Position
from server.observe import PERSONAL, BadRequestFilter, HostileLog, Metrics, OncePerSecond, configure_log
from server.store.pictures import store_picture
from tests.fakes.serving import PASSWORD, serve


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """The log as JSON lines, at the level that says most."""
    root, web = logging.getLogger(), logging.getLogger("aiohttp.server")
    before = (root.handlers[:], root.level, web.filters[:])
    stream = io.StringIO()
    configure_log("debug", "json", stream)
    yield stream
    root.handlers[:], web.filters[:] = before[0], before[2]
    root.setLevel(before[1])
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("field", sorted(PERSONAL))
def test_personal_field_is_withheld_at_any_depth(written: io.StringIO, field: str) -> None:
    structlog.get_logger().info("x", **{field: "Wang Wei"}, inner={field: "Wang Wei", "deeper": {field: "Wang Wei"}})
    assert "Wang Wei" not in written.getvalue()
    assert lines(written)[0]["event"] == "x"


def test_nobody_writes_a_line_of_their_own(written: io.StringIO) -> None:
    structlog.get_logger().info("x", room='site:a\n{"event": "forged"}\r\x1b[2J\u2028', site="矿")
    (line,) = lines(written)
    assert line["room"].startswith("site:a\\n")
    assert "\x1b" not in line["room"]
    assert line["site"] == "矿"


def test_room_and_client_stand_in_each_line(written: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(room="site:mine-a", client="c1"):
        structlog.get_logger().info("x")
    structlog.get_logger().info("y")
    first, second = lines(written)
    assert (first["room"], first["client"]) == ("site:mine-a", "c1")
    assert "room" not in second


def test_lines_of_libraries_go_the_same_way(written: io.StringIO) -> None:
    logging.getLogger("some.library").warning("a %s\nb", "word")
    (line,) = lines(written)
    assert line["event"] == "a word\\nb"
    assert line["level"] == "warning"


def test_level_is_kept(written: io.StringIO) -> None:
    configure_log("warning", "json", written)
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines(written)] == ["loud"]


def test_console_is_for_people() -> None:
    stream = io.StringIO()
    configure_log("info", "console", stream)
    structlog.get_logger().info("started", port=8443)
    structlog.reset_defaults()
    assert "started" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_one_line_a_second_per_source_and_class() -> None:
    limiter = OncePerSecond()
    assert [limiter.admit("a", "x", now) for now in (0.0, 0.1, 0.9, 1.0, 1.5, 2.5)] == [0, None, None, 2, None, 1]
    assert limiter.admit("b", "x", 2.5) == 0
    assert limiter.admit("a", "y", 2.5) == 0


def test_limiter_forgets_rather_than_grows() -> None:
    limiter = OncePerSecond(max_keys=10)
    for number in range(1000):
        assert limiter.admit(f"source-{number}", "x", 0.0) == 0
    assert len(limiter._last) == 10


def test_flood_of_bad_input_is_counted_and_hardly_written(written: io.StringIO) -> None:
    now = [0.0]
    metrics = Metrics(process=False)
    hostile = HostileLog(metrics, clock=lambda: now[0])
    for number in range(5000):
        now[0] = number / 1000
        hostile.refused("192.0.2.1", "bad_stun", "The datagram is no STUN.")
    assert len(lines(written)) == 5
    assert sum(line["held_back"] for line in lines(written)) == 5000 - 5 - 999
    assert b'lamproom_refused_total{kind="bad_stun"} 5000.0' in metrics.text()


def test_requests_that_are_no_http_are_theirs_and_few(written: io.StringIO) -> None:
    now = [0.0]
    log = logging.getLogger("aiohttp.server")
    log.filters[:] = [BadRequestFilter(clock=lambda: now[0])]
    for number in range(100):
        now[0] = number / 50
        try:
            raise BadHttpMethod("attacker's line")
        except BadHttpMethod:
            log.exception("Error handling request from %s", "192.0.2.1")
    try:
        raise KeyError("ours")
    except KeyError:
        log.exception("Error handling request")
    found = lines(written)
    assert [line["level"] for line in found] == ["warning", "warning", "error"]
    assert "attacker" not in written.getvalue()
    assert "KeyError" in found[-1]["exception"]


async def test_log_of_a_working_day_names_nobody(written: io.StringIO, tmp_path: Path) -> None:
    """Log in, wrong password, tokens, links, alerts, positions, refusals: then look for every personal word."""
    words = [
        "Ouyang Zhenhua",
        "ouyang-login",
        "Chief Person",
        "我在井下",
        "电工老李",
        "-312.75",
        "cage stuck",
        PASSWORD,
    ]
    async with serve(tmp_path) as served:
        who = served.context.identity
        user = await who.add_user(words[1], PASSWORD, name=words[0], role="dispatcher", site="mine-a")
        await who.add_user("chief", PASSWORD, name=words[2], role="admin", site="county")
        finding = Finding("mine-a", "mine-a/absence/main", "absence", "main", "raised", "alarm", 1.8e9, "空岗", "Empty")
        alert = await served.context.alerts.apply(finding, at=1.8e9)
        assert alert is not None
        path, sha256 = store_picture(tmp_path, alert.id, "before", b"jpeg")
        await served.context.alerts.attach(alert.id, "before", path, sha256, 1, 1, 1.8e9)

        async def stored() -> None:
            return None

        place = Position("mine-a", "card-7", "person", 1.0, 2.0, -312.75, "face", 1.8e9, 1.8e9, label=words[4])
        await served.context.telemetry.store(Batch([], [place], stored))
        async with served.browser(words[1]) as session:
            async with session.post("/api/token", json={"room": "site:mine-a"}) as response:
                words.append((await response.json())["token"])
            async with session.post(f"/api/alerts/{alert.id}/ack", json={"comment": words[3]}) as response:
                assert response.status == 200
            for path in (
                "/api/me",
                "/api/positions?site=mine-a",
                "/api/users",
                f"/api/alerts/{alert.id}/evidence/before",
            ):
                async with session.get(path):
                    pass
            cookies = session.cookie_jar.filter_cookies(session._base_url)  # type: ignore[arg-type]
            words.append(cookies["lamproom_login"].value)
            for body in ({"login": words[0], "password": "cage stuck"}, {"login": "cage stuck", "password": 5}):
                async with session.post("/api/login", json=body):
                    pass
        async with served.browser("chief") as session:
            async with session.post("/api/links", json={"user": user.user}) as response:
                words.append((await response.json())["code"])
            async with session.post(
                f"/api/alerts/{alert.id}/close", json={"outcome": "confirmed", "comment": words[6]}
            ):
                pass
            async with session.post(f"/api/users/{user.user}/revoke"):
                pass
            async with session.post("/api/links/redeem", json={"code": words[-1]}):
                pass
    text = written.getvalue()
    assert "access_revoked" in text
    assert "/api/alerts/{id}/ack" in text
    assert [word for word in words if word in text or json.dumps(word)[1:-1] in text] == []
