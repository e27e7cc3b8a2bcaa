"""Reads settings: a YAML file, overlaid by the environment (`LAMPROOM__SECTION__KEY`).

Every error is told as `file:line:column: key: what is wrong`, all of them at once, and an unknown key with the
nearest known one. Relative paths in the file are taken from the file's folder.
"""

import difflib
import json
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from config.settings import Settings

ENVIRONMENT_PREFIX = "LAMPROOM__"
MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong."""

    where: str
    """`file:line:column`, or the environment variable."""
    key: str
    """`media.udp_port`, or empty for the file as a whole."""
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.key}: {self.what}" if self.key else f"{self.where}: {self.what}"


class SettingsError(Exception):
    """The settings cannot be used; `mistakes` says all that is wrong."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


def load(path: Path | None, environment: Mapping[str, str]) -> Settings:
    """Settings from a file (or none) and the environment.

    Raises:
        SettingsError: unreadable file, bad YAML, or values that do not fit.
    """
    tree: Any = read_tree(path) if path is not None else {}
    plain = _plain(tree)
    variables = _overlay(plain, environment)
    try:
        settings = Settings.model_validate(plain)
    except ValidationError as error:
        mistakes = [_mistake(one, path, tree, variables) for one in error.errors()]
        raise SettingsError(mistakes) from error
    return _from_folder(settings, path)


def read_tree(path: Path) -> Any:
    """The file as it stands, with its comments. Raises `SettingsError`."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingsError([Mistake(str(path), "", f"longer than {MAX_FILE_BYTES} bytes")])
        yaml = YAML(typ="rt")
        yaml.preserve_quotes = True
        tree = yaml.load(path.read_text("utf-8"))
    except OSError as error:
        raise SettingsError([Mistake(str(path), "", error.strerror or str(error))]) from error
    except UnicodeDecodeError as error:
        raise SettingsError([Mistake(str(path), "", "not UTF-8")]) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark is not None else str(path)
        raise SettingsError([Mistake(where, "", str(error.problem or "not YAML"))]) from error
    except YAMLError as error:
        raise SettingsError([Mistake(str(path), "", "not YAML")]) from error
    if tree is None:
        return {}
    if not isinstance(tree, Mapping):
        raise SettingsError([Mistake(f"{path}:1:1", "", "the file must hold sections (`server:`, `media:`, ...)")])
    return tree


def plain_tree(path: Path) -> dict[str, Any]:
    """The file as plain data. Raises `SettingsError`."""
    tree: dict[str, Any] = _plain(read_tree(path))
    return tree


def _plain(node: Any) -> Any:
    """Without ruamel's own types, so that pydantic sees dicts, lists and scalars."""
    if isinstance(node, Mapping):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def _overlay(tree: dict[str, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put environment variables over the tree; answers which variable set what."""
    variables: dict[tuple[str, ...], str] = {}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        keys = tuple(part.lower() for part in name.removeprefix(ENVIRONMENT_PREFIX).split("__"))
        node = tree
        for key in keys[:-1]:
            below = node.setdefault(key, {})
            if not isinstance(below, dict):
                below = node[key] = {}
            node = below
        node[keys[-1]] = _value(environment[name])
        variables[keys] = name
    return variables


def overridden(environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Which settings the environment has the last word on, and the variable."""
    return _overlay({}, environment)


def _value(text: str) -> Any:
    """Lists and objects as JSON; anything else stays text, which pydantic turns into what the setting is."""
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _mistake(error: Any, path: Path | None, tree: Any, variables: Mapping[tuple[str, ...], str]) -> Mistake:
    location: tuple[str | int, ...] = error["loc"]
    what = str(error["msg"])
    if error["type"] == "extra_forbidden":
        what = f"there is no such setting{_did_you_mean(location)}"
    key = ".".join(str(part) for part in location)
    for keys, name in variables.items():
        if tuple(str(part) for part in location[: len(keys)]) == keys:
            return Mistake(name, key, what)
    line, column = _position(tree, location)
    return Mistake(f"{path}:{line}:{column}" if path else "settings", key, what)


def _did_you_mean(location: tuple[str | int, ...]) -> str:
    known = _known_keys(location[:-1])
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f" (did you mean '{near[0]}'?)" if near else f" (known: {', '.join(known)})" if known else ""


def _known_keys(location: tuple[str | int, ...]) -> list[str]:
    """The keys of the section at a place in the settings."""
    model: Any = Settings
    for part in location:
        model = _section_in(model) if isinstance(part, int) else _field_of(model, part)
        if model is None:
            return []
    section = _section_in(model)
    return sorted(section.model_fields) if section is not None else []


def _field_of(model: Any, name: str) -> Any:
    section = _section_in(model)
    field = section.model_fields.get(name) if section is not None else None
    return field.annotation if field is not None else None


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """The section inside `Section`, `Section | None` or `tuple[Section, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (tuple, list, Union, types.UnionType):
        for inside in get_args(annotation):
            if (found := _section_in(inside)) is not None:
                return found
    return None


def _position(tree: Any, location: tuple[str | int, ...]) -> tuple[int, int]:
    """Line and column (from 1) of the deepest part of `location` that stands in the file."""
    line, column, node = 0, 0, tree
    for part in location:
        marks = getattr(node, "lc", None)
        if marks is None or marks.data is None or part not in marks.data:
            break
        line, column = marks.data[part][:2]
        node = node[part]
    return line + 1, column + 1


def _from_folder(settings: Settings, path: Path | None) -> Settings:
    """Relative paths count from the folder of the file."""
    if path is None:
        return settings
    folder = path.resolve().parent
    server = settings.server
    moved = {
        name: folder / value
        for name in ("data_dir", "tls_certificate", "tls_key")
        if (value := getattr(server, name)) is not None and not value.is_absolute()
    }
    changes: dict[str, Any] = {"server": server.model_copy(update=moved)}
    if settings.analytics.model is not None and not settings.analytics.model.is_absolute():
        changes["analytics"] = settings.analytics.model_copy(update={"model": folder / settings.analytics.model})
    return settings.model_copy(update=changes)
