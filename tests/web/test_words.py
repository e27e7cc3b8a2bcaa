"""The language tables: equal keys, equal blanks, and every key that the sources use."""

import json
import re

import pytest

from web.pages import STATIC, words

SOURCES = sorted((STATIC / "js").rglob("*.js")) + sorted((STATIC.parent / "templates").glob("*.html"))
LITERAL = re.compile(
    r"""(?<![.\w])(?:t|has|words)\(\s*['"]([a-z0-9_.]+)['"]|\bt\[["']([a-z0-9_.]+)["']\]|label: '([a-z0-9_.]+)'"""
)
BUILT = re.compile(r"""\b(?:t|has|words)\(`([a-z0-9_.]+\.)\$\{""")
BLANK = re.compile(r"\{(\w+)\}")


def test_both_tables_have_the_same_keys_and_blanks() -> None:
    zh, en = words("zh"), words("en")
    assert zh.keys() == en.keys()
    for key in zh:
        assert set(BLANK.findall(zh[key])) == set(BLANK.findall(en[key])), key
        assert zh[key].strip(), key
        assert en[key].strip(), key


def test_every_key_in_the_sources_has_words() -> None:
    known = words("zh").keys()
    used = {
        (path.name, next(filter(None, found))) for path in SOURCES for found in LITERAL.findall(path.read_text("utf-8"))
    }
    assert len(used) > 100
    assert not {(name, key) for name, key in used if key not in known}


def test_every_built_key_has_words_below_its_stem() -> None:
    known = words("zh").keys()
    stems = {stem for path in SOURCES for stem in BUILT.findall(path.read_text("utf-8"))}
    assert "severity." in stems
    assert not {stem for stem in stems if not any(key.startswith(stem) for key in known)}


@pytest.mark.parametrize(
    ("stem", "names"),
    [
        ("severity", "info warning alarm critical"),
        ("outcome", "confirmed false_alarm explained"),
        ("duty", "present leaving absent drowsy asleep unknown"),
        ("picture", "none dark overexposed frozen blocked"),
        ("level", "mine county city province nation"),
        ("role", "admin supervisor dispatcher engineer viewer"),
        ("ring", "ringing answered declined unreachable cancelled"),
        ("quality", "excellent good poor lost"),
        ("alert.change", "raised again acknowledged no_data data_back cleared closed evidence reverted"),
        (
            "escalation.change",
            "ringing skipped failed declined answered settled reverted stopped held pausing exhausted nobody",
        ),
        ("link", "idle connecting online waiting ended"),
        ("order.change", "given confirmed done"),
        ("device.camera", "insecure denied none busy failed gone"),
        ("device.microphone", "insecure denied none busy failed gone"),
    ],
)
def test_every_state_has_a_name(stem: str, names: str) -> None:
    for language in ("zh", "en"):
        assert not {name for name in names.split() if f"{stem}.{name}" not in words(language)}


def test_tables_are_plain_json_objects_of_text() -> None:
    for path in (STATIC / "i18n").glob("*.json"):
        table = json.loads(path.read_text("utf-8"))
        assert all(isinstance(value, str) for value in table.values())


def test_every_rule_has_a_name() -> None:
    text = (STATIC.parents[1] / "docs" / "rules.md").read_text("utf-8")
    cells = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+)", text, re.MULTILINE)
    rules = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
    assert "main_fan_stop" in rules
    assert len(rules) > 15
    for language in ("zh", "en"):
        assert not {name for name in rules if f"rule.{name}" not in words(language)}


RULE_NAMES = (r'judge\(\s*"([a-z_]+)"', r'\brule="([a-z_]+)"', r'Watch\(\s*"([a-z_]+)"', r'^RULE = "([a-z_]+)"')
"""How code names a rule."""


def test_every_rule_that_code_names_is_called_something_in_both_languages() -> None:
    sources = [path for folder in ("analytics", "server") for path in (STATIC.parent.parent / folder).rglob("*.py")]
    code = "\n".join(path.read_text("utf-8") for path in sources)
    rules = {name for pattern in RULE_NAMES for name in re.findall(pattern, code, re.MULTILINE)}
    assert len(rules) > 30
    assert {name for name in rules if f"rule.{name}" not in words("zh")} == set()
