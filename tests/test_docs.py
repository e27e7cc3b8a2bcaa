"""Documents that must not drift from the program."""

import re
from pathlib import Path

import pytest

from config import settings
from config.describe import page
from signaling.room import messages
from signaling.room.problems import PROBLEMS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_the_settings_page_names_every_setting_as_it_is() -> None:
    assert (ROOT / "docs/settings.md").read_text("utf-8") == page(), "run: python -m config.describe > docs/settings.md"


def test_every_setting_is_used_by_the_program() -> None:
    sources = [path for folder in ("server", "media", "analytics", "web") for path in (ROOT / folder).rglob("*.py")]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    words = set(re.findall(r"\w+", code))
    sections = [one for one in vars(settings).values() if isinstance(one, type) and issubclass(one, settings.Section)]
    fields = {name for one in sections if one is not settings.Settings for name in one.model_fields}
    assert fields
    assert fields - words == set()


def test_the_room_protocol_page_names_every_message() -> None:
    text = (ROOT / "docs/room-protocol.md").read_text("utf-8")
    kinds = set(re.findall(r'type: Literal\["(\w+)"\]', Path(messages.__file__).read_text("utf-8")))
    assert kinds
    assert {kind for kind in kinds if f"`{kind}`" not in text} == set()


def test_every_problem_is_told_in_both_languages() -> None:
    for error, text in PROBLEMS.items():
        assert re.search(r"[\u4e00-\u9fff]", text.zh), error
        assert re.search(r"[A-Za-z]", text.en), error


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
        if not target.startswith(("http://", "https://")):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_tests_that_a_page_names_are_there(path: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", path.read_text("utf-8")))
    if named:
        files = (ROOT / "tests").rglob("test_*.py")
        there = {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text("utf-8"))}
        assert named - there == set()


def test_nothing_tracked_names_a_package_registry_or_this_machine() -> None:
    words = ["py" + "pi.org", "python" + "hosted", "npm" + "js.", "deb." + "debian", "/wo" + "rk/main"]
    for name in ("requirements.lock", "requirements-test.lock", "requirements-node.lock", "package-lock.json"):
        text = (ROOT / name).read_text("utf-8")
        assert [word for word in words if word in text] == [], name
