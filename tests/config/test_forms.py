"""Every setting as a field of a form."""

from pathlib import Path
from typing import Any

from config.forms import chinese, general, is_dangerous, sections
from config.load import load, overridden, plain_tree
from config.sensitive import HIDDEN


def forms(path: Path | None, environment: dict[str, str] | None = None, running: Path | None = None) -> dict[str, Any]:
    now = load(path, environment or {})
    file = plain_tree(path) if path is not None else {}
    found: dict[str, Any] = {}

    def take(nodes: list[dict[str, Any]]) -> None:
        for node in nodes:
            found[node["path"]] = node
            take(node.get("fields", []))
            for item in node.get("items", []):
                take(item)
            take([] if "template" not in node else [one for one in node["template"] if one["path"] not in found])

    take(sections(now, load(running, {}), file, overridden(environment or {})))
    return found


def write(folder: Path, text: str) -> Path:
    path = folder / "one.yaml"
    path.write_text(text)
    return path


def test_each_value_says_where_it_comes_from(tmp_path: Path) -> None:
    path = write(tmp_path, "media:\n  udp_port: 7000\n")
    found = forms(path, {"LAMPROOM__SERVER__LISTEN_PORT": "7001"})
    assert found["media.udp_port"]["source"]["from"] == "file"
    assert found["media.gso"]["source"]["from"] == "default"
    assert found["server.listen_port"]["source"] == {"from": "environment", "name": "LAMPROOM__SERVER__LISTEN_PORT"}
    assert (found["media.udp_port"]["value"], found["media.udp_port"]["changed"]) == (7000, True)
    assert not found["media.gso"]["changed"]


def test_kinds_and_limits_are_those_of_the_settings() -> None:
    found = forms(None)
    kinds = {path: found[path]["kind"] for path in (
        "server.listen_port", "server.simulated", "server.tls", "server.public_url", "media.keyframe_interval_s",
        "media.advertise", "analytics.posts", "duty.chains.0.severities", "duty.chains.0.quiet",
    )}  # fmt: skip
    assert kinds == {
        "server.listen_port": "integer", "server.simulated": "switch", "server.tls": "choice",
        "server.public_url": "text", "media.keyframe_interval_s": "number", "media.advertise": "list",
        "analytics.posts": "sections", "duty.chains.0.severities": "list", "duty.chains.0.quiet": "json",
    }  # fmt: skip
    assert (found["server.listen_port"]["ge"], found["server.listen_port"]["le"]) == (0, 65535)
    assert found["server.public_url"]["optional"]


def test_secrets_are_not_in_the_forms(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "mqtt: {host: h, password: hush}\ncameras:\n  - {site: a, name: b, url: 'rtsp://u:hush@h/1'}\n"
        "push:\n  - {name: p, site: a, key: hushhushhushhushhushhushhushhushhush}\n",
    )
    found = forms(path)
    assert "hush" not in str(found)
    assert (found["mqtt.password"]["value"], found["mqtt.password"]["set"]) == (HIDDEN, True)
    assert found["cameras.0.url"]["hides"]
    assert not found["duty.sms.headers"]["set"] or found["duty.sms.headers"]["value"] == HIDDEN


def test_what_opens_a_door_is_dangerous() -> None:
    for path in ("server.listen_host", "auth.login_days", "ingest.allow_networks", "duty.webhooks.0.url",
                 "mqtt.password", "phones.rules.0.action", "retention.audit_days", "server", "mqtt"):  # fmt: skip
        assert is_dangerous(path), path
    for path in ("server.listen_port", "rules.fan_stop_s", "analytics.posts.0.zone", "cameras.0.name"):
        assert not is_dangerous(path), path


def test_chinese_help_is_of_settings_that_are_there_and_of_nearly_all_that_have_help() -> None:
    found = {general(path): node for path, node in forms(None).items()}
    assert set(chinese()) - set(found) == set()
    english_only = [path for path, node in found.items() if node["help"]["en"] and path not in chinese()]
    assert len(english_only) < len(found) / 10
