"""Evidence is whole or not there."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from server.store.errors import StoreError, StoreFull
from server.store.pictures import open_picture, store_picture


def test_a_picture_is_stored_under_its_name_for_its_owner_only(tmp_path: Path) -> None:
    path, sha256 = store_picture(tmp_path, "0190-ab", "raised", b"jpeg")
    assert path == "evidence/0190-ab/raised.jpg"
    assert (tmp_path / path).read_bytes() == b"jpeg"
    assert sha256 == hashlib.sha256(b"jpeg").hexdigest()
    assert (tmp_path / path).stat().st_mode & 0o077 == 0
    assert open_picture(tmp_path, "0190-ab", "raised") == tmp_path / path
    assert [file.name for file in (tmp_path / path).parent.iterdir()] == ["raised.jpg"]


@pytest.mark.parametrize("word", ["..", "../x", "a/b", "", ".hidden", "a\0b", "x" * 64, "名", "a.jpg"])
def test_words_that_could_be_paths_are_refused(tmp_path: Path, word: str) -> None:
    for alert, name in ((word, "raised"), ("alert", word)):
        with pytest.raises(StoreError):
            store_picture(tmp_path, alert, name, b"x")
        with pytest.raises(StoreError):
            open_picture(tmp_path, alert, name)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, StoreFull), (errno.EIO, StoreError)])
def test_a_write_that_fails_leaves_the_old_picture_and_no_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[StoreError]
) -> None:
    path, _ = store_picture(tmp_path, "alert", "raised", b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(code, "on purpose")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(kind) as caught:
        store_picture(tmp_path, "alert", "raised", b"new")
    assert type(caught.value) is kind
    assert (tmp_path / path).read_bytes() == b"old"
    assert [file.name for file in (tmp_path / path).parent.iterdir()] == ["raised.jpg"]
