"""What of the settings is shown."""

import pytest

from config.sensitive import HIDDEN, is_secret, shown, without_credentials
from config.settings import CameraSettings, DutySettings, MqttSettings, Settings, SmsSettings, StoreSettings


def test_nothing_secret_is_left_at_any_depth() -> None:
    settings = Settings(
        mqtt=MqttSettings(password="hush-1"),
        duty=DutySettings(sms=SmsSettings(url="https://sms.example/send?key=hush-2", headers={"X-Key": "hush-3"})),
        cameras=(CameraSettings(site="a", name="b", url="rtsp://me:hush-4@10.0.0.1/1"),),
        store=StoreSettings(url="postgresql+psycopg://me:hush-5@db/x"),
    )
    left = shown("", settings.model_dump(mode="json"))
    assert "hush" not in str(left)
    assert left["cameras"][0]["url"] == f"rtsp://me:{HIDDEN}@10.0.0.1/1"
    assert left["mqtt"]["port"] == 1883
    assert left["duty"]["sms"]["headers"] == HIDDEN


@pytest.mark.parametrize(
    "name",
    ["password", "secret", "token", "api_key", "headers", "token_request", "body", "pin", "push.0.key", "options"],
)
def test_names_that_hold_secrets(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    "name",
    [
        "tls_key",
        "consultation.templates.0.key",
        "consultation.templates.key",
        "pin_tries",
        "token_field",
        "access_token_s",
        "udp_port",
        "keys_s",
    ],
)
def test_names_that_hold_none(name: str) -> None:
    assert not is_secret(name)


def test_what_is_not_set_is_shown_as_such() -> None:
    assert shown("password", None) is None
    assert shown("password", "") == ""


@pytest.mark.parametrize(
    ("url", "left"),
    [
        ("rtsp://10.0.0.1/1", "rtsp://10.0.0.1/1"),
        ("rtsp://a:b@c@10.0.0.1/1?x=y", f"rtsp://a:{HIDDEN}@10.0.0.1/1?{HIDDEN}"),
        ("http://[", HIDDEN),
    ],
)
def test_addresses_lose_what_is_secret_in_them(url: str, left: str) -> None:
    assert without_credentials(url) == left
