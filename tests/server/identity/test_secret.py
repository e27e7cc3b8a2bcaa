"""The key file: made once, private, refused when it is no secret."""

import os
from pathlib import Path

import pytest

from server.identity.errors import SecretError
from server.identity.secret import load_or_make


def test_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "token.key"
    key = load_or_make(path)
    assert len(key) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0
    assert load_or_make(path) == key
    assert [file.name for file in path.parent.iterdir()] == ["token.key"]


def test_two_installations_have_two_keys(tmp_path: Path) -> None:
    assert load_or_make(tmp_path / "a") != load_or_make(tmp_path / "b")


@pytest.mark.parametrize("content", [b"", b"\n", b"short", b"x" * 31 + b"\n", b"x" * 64, b"changeme" * 8, b"0" * 40])
def test_key_that_is_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecretError):
        load_or_make(path)
    assert path.read_bytes() == content


def test_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token.key"
    load_or_make(path)
    path.chmod(0o640)
    with pytest.raises(SecretError, match="chmod 600"):
        load_or_make(path)


def test_link_in_place_of_the_key_is_refused(tmp_path: Path) -> None:
    real = tmp_path / "real"
    load_or_make(real)
    os.symlink(real, tmp_path / "token.key")
    with pytest.raises(SecretError, match="symbolic"):
        load_or_make(tmp_path / "token.key")


def test_folder_in_place_of_the_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token.key"
    path.mkdir(mode=0o700)
    with pytest.raises(SecretError, match="plain file"):
        load_or_make(path)
