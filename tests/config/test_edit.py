"""A settings file is changed where it was meant, whole or not at all."""

from pathlib import Path

import pytest

from config.edit import Change, EditRefused, Stale, edited, fingerprint, replace, tried
from config.load import SettingsError, load

FILE = """# Our mine; ask Wang before you change ports
server:
  listen_port: 9000   # the old proxy knows it
  data_dir: "data"
media:
  # a note that stands alone
  udp_port: 9000
cameras:
  - {site: mine, name: shaft, url: "rtsp://a:b@10.0.0.1/1"}
  - site: mine
    name: gate
    url: rtsp://10.0.0.2/1  # new since May
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lamproom.yaml"
    path.write_text(FILE, "utf-8")
    path.chmod(0o640)
    return path


def lines_changed(before: str, after: str) -> tuple[set[str], set[str]]:
    old, new = before.splitlines(), after.splitlines()
    return set(old) - set(new), set(new) - set(old)


def test_a_value_is_changed_and_nothing_else(file: Path) -> None:
    text = edited(file, [Change("server.listen_port", "set", 9443)], {})
    gone, come = lines_changed(FILE, text)
    assert gone == {"  listen_port: 9000   # the old proxy knows it"}
    assert come == {"  listen_port: 9443   # the old proxy knows it"}


def test_a_new_section_and_a_new_item_are_added(file: Path) -> None:
    camera = {"site": "mine", "name": "new", "url": "rtsp://10.0.0.3/1"}
    text = edited(file, [Change("auth.login_days", "set", 3), Change("cameras.2", "set", camera)], {})
    gone, come = lines_changed(FILE, text)
    assert gone == set()
    assert "  login_days: 3" in come
    file.write_text(text)
    assert [one.name for one in load(file, {}).cameras] == ["shaft", "gate", "new"]


def test_items_and_values_are_removed(file: Path) -> None:
    text = edited(file, [Change("cameras.0", "remove"), Change("media.udp_port", "remove")], {})
    file.write_text(text)
    settings = load(file, {})
    assert ([one.name for one in settings.cameras], settings.media.udp_port) == (["gate"], 8443)
    assert "# new since May" in text


def test_a_list_that_is_there_by_default_is_written_out_before_one_of_it_changes(file: Path) -> None:
    text = edited(file, [Change("consultation.templates.1.title_en", "set", "No power")], {})
    file.write_text(text)
    templates = load(file, {}).consultation.templates
    assert templates[1].title_en == "No power"
    assert templates[0] == load(None, {}).consultation.templates[0]


@pytest.mark.parametrize(
    "change",
    [
        Change("cameras.3", "set", {}),
        Change("cameras.2", "remove"),
        Change("cameras.7.url", "set", "x"),
        Change("cameras.url", "set", "x"),
        Change("server.0", "set", 1),
        Change("server.listen_port.deeper", "set", 1),
        Change("nowhere.0.name", "set", 1),
    ],
    ids=lambda change: change.path,
)
def test_a_place_that_is_not_there_is_refused(file: Path, change: Change) -> None:
    with pytest.raises(EditRefused):
        edited(file, [change], {})


def test_what_the_environment_sets_is_not_changed_behind_its_back(file: Path) -> None:
    environment = {"LAMPROOM__MEDIA__UDP_PORT": "7000", "LAMPROOM__CAMERAS": "[]"}
    for path in ("media.udp_port", "cameras.0.url", "cameras"):
        with pytest.raises(EditRefused, match="environment variable"):
            edited(file, [Change(path, "set", 1)], environment)


def test_removing_what_nobody_set_changes_nothing(file: Path) -> None:
    text = edited(file, [Change("auth.login_days", "remove"), Change("media.gso", "remove")], {})
    assert lines_changed(FILE, text) == (set(), set())


def test_the_file_is_replaced_with_its_mode_and_the_old_one_stays(file: Path) -> None:
    known = fingerprint(file)
    text = edited(file, [Change("media.udp_port", "set", 9100)], {})
    assert replace(file, text, known, {}).media.udp_port == 9100
    assert file.stat().st_mode & 0o777 == 0o640
    assert (file.parent / "lamproom.yaml.bak").read_text() == FILE
    assert sorted(one.name for one in file.parent.iterdir()) == ["lamproom.yaml", "lamproom.yaml.bak"]
    with pytest.raises(Stale):
        replace(file, text, known, {})


def test_settings_that_would_not_do_leave_the_file_as_it_is(file: Path) -> None:
    text = edited(file, [Change("media.udp_port", "set", 70000)], {})
    known = fingerprint(file)
    with pytest.raises(SettingsError) as first:
        tried(file, text, {})
    with pytest.raises(SettingsError) as second:
        replace(file, text, known, {})
    for refused in (first, second):
        (mistake,) = refused.value.mistakes
        assert mistake.key == "media.udp_port"
        assert mistake.where.startswith(f"{file}:")
    assert file.read_text() == FILE
    assert [one.name for one in file.parent.iterdir()] == ["lamproom.yaml"]


def test_a_link_to_the_file_stays_a_link(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    replace(link, edited(link, [Change("media.udp_port", "set", 9100)], {}), fingerprint(link), {})
    assert link.is_symlink()
    assert load(link, {}).media.udp_port == 9100


def test_an_empty_file_and_one_of_json_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "one.yaml"
    for text in ("", "# nothing yet\n", '{"media": {"udp_port": 1}, "sites": []}'):
        path.write_text(text)
        path.write_text(edited(path, [Change("media.udp_port", "set", 7000)], {}))
        assert load(path, {}).media.udp_port == 7000
