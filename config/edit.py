"""Changes a settings file and leaves the rest of it as it was: comments, order, spelling.

The file is replaced whole or not at all, and only by one that `config.load` takes; the one before stays as `NAME.bak`.
A change names a place (`media.udp_port`, `cameras.0.url`) and what is done there.
"""

import contextlib
import hashlib
import io
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from config.load import Mistake, SettingsError, load, overridden, read_tree
from config.settings import Settings

Place = tuple[str | int, ...]
NOTHING = "nothing"
"""The fingerprint of a file that is not there."""
WIDE = 1 << 20


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do. `set` on the number behind the last of a list adds to it; `remove` gives back the default."""

    path: str
    op: Literal["set", "remove"]
    value: Any = None

    @property
    def place(self) -> Place:
        return place_of(self.path)


class EditRefused(Exception):
    """The change cannot be made there."""

    def __init__(self, path: str, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"{path}: {why}")


class Stale(Exception):
    """The file is another one than the change was made for."""


def place_of(path: str) -> Place:
    """`cameras.0.url` in parts; numbers are numbers of items."""
    return tuple(int(part) if part.isdecimal() else part for part in path.split("."))


def fingerprint(path: Path) -> str:
    """Tells one content from another."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return NOTHING


def edited(path: Path, changes: Sequence[Change], environment: Mapping[str, str]) -> str:
    """The text of the file with the changes in it.

    Raises:
        EditRefused: a place is not there, or the environment has the last word on it.
        SettingsError: the file as it is cannot be read.
    """
    text = path.read_text("utf-8") if path.exists() else ""
    tree = read_tree(path) if text.strip() else CommentedMap()
    if not isinstance(tree, CommentedMap):
        tree = CommentedMap(tree)
    known = load(path if path.exists() else None, environment)
    variables = overridden(environment)
    for change in changes:
        place = change.place
        for keys, name in variables.items():
            if tuple(map(str, place))[: len(keys)] == keys or keys[: len(place)] == tuple(map(str, place)):
                raise EditRefused(change.path, f"the environment variable {name} has the last word")
        _apply(tree, place, change, known)
    return _rendered(tree, text)


def _apply(tree: Any, place: Place, change: Change, known: Settings) -> None:
    node, above = tree, None
    for depth, step in enumerate(place[:-1]):
        above = node
        node = _inside(node, step, place[: depth + 1], place[depth + 1], change, known)
        if node is None:
            return  # removing what is not there
    last = place[-1]
    if isinstance(node, CommentedSeq):
        if not isinstance(last, int) or not 0 <= last <= len(node) - (change.op == "remove"):
            raise EditRefused(change.path, "there is no such item")
        if change.op == "remove":
            del node[last]
        elif last == len(node):
            node.append(change.value)
        else:
            node[last] = change.value
    elif isinstance(node, CommentedMap) and isinstance(last, str):
        if change.op == "remove":
            node.pop(last, None)
        else:
            node[last] = change.value
    else:
        raise EditRefused(change.path, "there is no such place")
    if above is not None and not node:
        _emptied(above, place[-2], node)


def _emptied(above: Any, key: str | int, node: Any) -> None:
    """Comments that stood in something that is empty now cannot be written beside its brackets: they go with it."""
    if isinstance(node, CommentedMap) and isinstance(above, CommentedMap):
        del above[key]
    else:
        above[key] = type(node)()


def _inside(node: Any, step: str | int, place: Place, following: str | int, change: Change, known: Settings) -> Any:
    """What is at a step; made when it is missing: an empty section, or a list as it is by default."""
    if isinstance(node, CommentedSeq):
        if not isinstance(step, int) or not 0 <= step < len(node):
            raise EditRefused(change.path, "there is no such item")
        return node[step]
    if not isinstance(node, CommentedMap) or not isinstance(step, str):
        raise EditRefused(change.path, "there is no such place")
    if node.get(step) is None:
        value = _default(known, place)
        if isinstance(following, int):
            if not isinstance(value, list):
                raise EditRefused(change.path, "there is no such list")
            node[step] = CommentedSeq(_commented(one) for one in value)
        elif change.op == "remove":
            return None
        else:
            node[step] = CommentedMap()
    return node[step]


def _default(known: Settings, place: Place) -> Any:
    value: Any = known.model_dump(mode="json", exclude_unset=False)
    for step in place:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _commented(value: Any) -> Any:
    if isinstance(value, dict):
        return CommentedMap({key: _commented(inside) for key, inside in value.items() if inside is not None})
    return CommentedSeq(map(_commented, value)) if isinstance(value, list) else value


def _rendered(tree: CommentedMap, before: str) -> str:
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = WIDE
    offset = _offset(before)
    yaml.indent(mapping=2, sequence=2 + offset, offset=offset)
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _offset(text: str) -> int:
    """How far lists stand in from their key, as this file has it."""
    found = re.search(r"^( *)[^\s#-][^#\n]*:[ \t]*(?:#[^\n]*)?\n(?: *#[^\n]*\n| *\n)*( *)- ", text, re.MULTILINE)
    return 2 if found is None else max(0, min(4, len(found[2]) - len(found[1])))


def replace(path: Path, text: str, expect: str, environment: Mapping[str, str]) -> Settings:
    """Put the text in the place of the file, if a server would start with it; the settings that it would start with.

    Raises:
        Stale: the file is not the one with the fingerprint `expect`.
        SettingsError: the settings would not do. OSError: it was not written.
    """
    path = path.resolve()
    if fingerprint(path) != expect:
        raise Stale(str(path))
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    try:
        _write(temporary, text, mode)
        settings = checked(temporary, environment, shown=path)
        if path.exists():
            backup = path.with_name(f"{path.name}.bak")
            with contextlib.suppress(FileNotFoundError):
                backup.unlink()
            os.link(path, backup)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return settings


def tried(path: Path, text: str, environment: Mapping[str, str]) -> Settings:
    """The settings that a server would start with. Raises as `replace`, and leaves nothing behind."""
    path = path.resolve()
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        _write(temporary, text, 0o600)
        return checked(temporary, environment, shown=path)
    finally:
        temporary.unlink(missing_ok=True)


def checked(path: Path, environment: Mapping[str, str], shown: Path) -> Settings:
    """As `load`, with mistakes told of the file `shown`."""
    try:
        return load(path, environment)
    except SettingsError as error:
        told = [Mistake(one.where.replace(str(path), str(shown)), one.key, one.what) for one in error.mistakes]
        raise SettingsError(told) from None


def _write(path: Path, text: str, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
