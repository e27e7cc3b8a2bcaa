"""`doctor` says what forwards, what it costs, and why it is not the accelerator."""

import pytest

from config.settings import MediaSettings, Settings
from media.errors import NativeUnavailable
from media.forwarder import choice
from server.commands import doctor


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "FORWARDING_S", 0.05)


def missing() -> None:
    raise NativeUnavailable("it is not there")


def examined(forwarder: str) -> doctor.Result:
    return doctor._forwarder(Settings(media=MediaSettings.model_validate({"forwarder": forwarder})))


def test_without_the_accelerator_it_warns_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "proven", missing)
    result = examined("auto")
    assert result.state == "warn"
    assert result.result.startswith("Python")
    assert "µs" in result.result
    assert "it is not there" in result.result


def test_an_accelerator_that_is_demanded_and_missing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "proven", missing)
    result = examined("native")
    assert result.state == "fail"
    assert "it is not there" in result.result


@pytest.mark.peer
def test_with_the_accelerator_it_says_what_python_would_cost() -> None:
    result = examined("auto")
    assert result.state == "pass"
    assert result.result.startswith("C accelerator")
    assert "in Python it would be" in result.result
