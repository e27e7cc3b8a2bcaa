"""The `phone` verb, and what `ports` and `doctor` say of phones."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from config.settings import PhoneMediaSettings, PhonesSettings, Settings, TrunkSettings
from server.commands.doctor import examine
from server.commands.main import app
from server.commands.phones import ports

FILE = """
server: {{data_dir: {folder}}}
sites: [{{site: mine, level: mine, name_zh: 矿, name_en: Mine}}]
phones: {{enabled: true, port: 5066, domain: mine.example}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "settings.yaml"
    file.write_text(FILE.format(folder=tmp_path / "data"))
    return file


def say(config: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["phone", *words, "-c", str(config)])


def test_a_phone_is_added_listed_renewed_and_removed(config: Path) -> None:
    added = say(config, "add", "desk", "--site", "mine", "--name", "调度台", "--network", "10.1.2.3/16")
    assert added.exit_code == 0, added.output
    secret = next(line.split()[1] for line in added.stdout.splitlines() if line.startswith("password"))
    assert len(secret) == 24
    assert "domain mine.example" in added.stdout
    listed = say(config, "list").stdout
    assert listed.split() == ["desk", "mine", "调度台", "allowed", "10.1.0.0/16"]
    renewed = say(config, "secret", "desk").stdout
    assert secret not in renewed + listed
    assert say(config, "add", "desk", "--site", "mine", "--name", "x").exit_code == 1
    assert say(config, "add", "two", "--site", "nowhere", "--name", "x").exit_code == 1
    assert say(config, "remove", "desk").exit_code == 0
    assert say(config, "remove", "desk").exit_code == 1
    assert say(config, "list").stdout == ""


def test_ports_and_doctor_know_of_phones() -> None:
    trunk = TrunkSettings(name="pbx", host="192.0.2.5", transport="tls", port=5061)
    phones = PhonesSettings(enabled=True, port=0, tls_port=0, listen_host="0.0.0.0", trunks=(trunk,), max_calls=500)
    settings = Settings(phones=phones, phone_media=PhoneMediaSettings(rtp_port_min=42000, rtp_port_max=42099))
    assert [(row[0], row[1]) for row in ports(settings)] == [
        ("0", "UDP, TCP"), ("0", "TCP"), ("42000-42099", "UDP"), ("5061", "TCP out"),
    ]  # fmt: skip
    found = {(one.what, one.state): one.result for one in examine(settings)}
    assert ("phones", "warn") not in found, "each phone is told the address on the way to it"
    assert "50 calls fit" in found["RTP ports", "warn"]
    assert "no rule takes its calls" in found["trunk", "warn"]
    assert ("SIP port with TLS", "pass") in found
    assert not [one for one in examine(Settings()) if "SIP" in one.what]
    assert ports(Settings()) == []
