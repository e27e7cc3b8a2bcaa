"""Settings errors say where and what, and what may have been meant."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.load import SettingsError, load


def write(folder: Path, text: str) -> Path:
    path = folder / "lamproom.yaml"
    path.write_text(text, "utf-8")
    return path


def mistakes(path: Path | None, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load(path, environment or {})
    return [str(mistake) for mistake in refused.value.mistakes]


def test_nothing_at_all_gives_the_defaults() -> None:
    assert load(None, {}).server.listen_host == "127.0.0.1"


def test_an_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, "# nothing\n"), {}).media.udp_port == 8443


def test_an_unknown_key_is_shown_with_line_column_and_the_nearest_known_one(tmp_path: Path) -> None:
    path = write(tmp_path, "server:\n  listen_port: 1\nmedia:\n  udp_prot: 5000\n")
    assert mistakes(path) == [f"{path}:4:3: media.udp_prot: there is no such setting (did you mean 'udp_port'?)"]


def test_an_unknown_key_in_a_list_is_found_too(tmp_path: Path) -> None:
    path = write(tmp_path, "sites:\n  - site: a\n    level: mine\n    name_zh: x\n    name_en: x\n    levle: mine\n")
    assert mistakes(path) == [f"{path}:6:5: sites.0.levle: there is no such setting (did you mean 'level'?)"]


def test_all_mistakes_come_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "server:\n  listen_port: 99999\nmedia:\n  udp_port: abc\n")
    found = mistakes(path)
    assert [one.split(": ")[1] for one in found] == ["server.listen_port", "media.udp_port"]
    assert found[0].startswith(f"{path}:2:3: ")


def test_bad_yaml_is_shown_where_it_breaks(tmp_path: Path) -> None:
    path = write(tmp_path, "server:\n  listen_port: [1\nmedia: 2\n")
    (found,) = mistakes(path)
    assert found.startswith(f"{path}:3:")


def test_a_missing_file_and_a_file_of_something_else_are_told_in_words(tmp_path: Path) -> None:
    assert "No such file" in mistakes(tmp_path / "none.yaml")[0]
    assert "sections" in mistakes(write(tmp_path, "- 1\n"))[0]
    (tmp_path / "bin.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in mistakes(tmp_path / "bin.yaml")[0]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "media:\n  udp_port: 5000\n")
    settings = load(path, {"LAMPROOM__MEDIA__UDP_PORT": "6000", "LAMPROOM__ANALYTICS__DETECTORS": '["absence"]'})
    assert settings.media.udp_port == 6000
    assert settings.analytics.detectors == ("absence",)


def test_a_mistake_in_the_environment_names_the_variable() -> None:
    (found,) = mistakes(None, {"LAMPROOM__MEDIA__UDP_PORT": "many"})
    assert found.startswith("LAMPROOM__MEDIA__UDP_PORT: media.udp_port: ")


def test_relative_paths_count_from_the_folder_of_the_file(tmp_path: Path) -> None:
    assert load(write(tmp_path, "server:\n  data_dir: kept\n"), {}).server.data_dir == tmp_path.resolve() / "kept"


@given(st.text(max_size=200))
def test_any_text_gives_settings_or_a_settings_error(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = write(tmp_path_factory.getbasetemp(), text)
    with contextlib.suppress(SettingsError):
        load(path, {})
