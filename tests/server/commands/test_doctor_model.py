"""`doctor` says which model looks, what carries it out, and why one is not taken."""

from pathlib import Path

from config.settings import AnalyticsSettings, Settings
from server.commands import doctor
from tests.fakes import onnxfile


def examined(**analytics: object) -> doctor.Result:
    post = {"post": "desk", "site": "mine", "camera": "desk"}
    return doctor._model(Settings(analytics=AnalyticsSettings.model_validate({"posts": [post]} | analytics)))


def test_the_shipped_model_and_the_processor_are_named() -> None:
    found = examined()
    assert found.state == "warn"
    assert found.result.startswith("lamproom-person: trained on rendered scenes only")
    assert "carried out by cpu (installed: " in found.result


def test_a_users_model_is_tried_apart_and_a_wish_that_is_not_installed_is_told(tmp_path: Path) -> None:
    found = examined(model=onnxfile.write(tmp_path, trained_on="site"), provider="cuda")
    assert (found.state, found.what) == ("warn", "vision model")
    assert found.result.startswith("red-squares: site; cuda is asked for and not usable; carried out by cpu")


def test_who_looks_through_a_main_stream_although_there_is_a_smaller_one_is_named() -> None:
    cameras = [
        {"site": "mine", "name": "desk", "url": "rtsp://10.0.0.1/1", "sub_url": "rtsp://10.0.0.1/2"},
        {"site": "mine", "name": "belt", "url": "rtsp://10.0.0.2/1"},
    ]
    posts = [
        {"post": "desk", "site": "mine", "camera": "desk"},
        {"post": "second", "site": "mine", "camera": "desk-sub"},
    ]
    spots = [{"spot": "belt", "site": "mine", "camera": "belt", "kind": "belt"}]
    settings = Settings.model_validate({"cameras": cameras, "analytics": {"posts": posts, "spots": spots}})
    assert [(one.state, one.result) for one in doctor._main_streams(settings)] == [
        ("warn", "desk looks through mine/desk: desk-sub costs a tenth to decode")
    ]


def test_a_refused_model_is_told_with_its_reason(tmp_path: Path) -> None:
    path = onnxfile.write(tmp_path)
    path.write_bytes(path.read_bytes() + b"x")
    found = examined(model=path)
    assert found.state == "fail"
    assert found.result.startswith("hash_mismatch")
