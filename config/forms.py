"""The settings as forms: every field with its kind, limits, help, present value and where that comes from."""

import types
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from config.describe import section_of
from config.sensitive import is_secret, shown
from config.settings import Settings

HELP = Path(__file__).with_name("chinese.txt")
DANGEROUS = (
    "server.listen_host", "server.tls", "server.tls_certificate", "server.tls_key", "server.public_url",
    "server.allowed_origins", "server.data_dir", "store.url", "bus", "auth", "media.listen_host", "ingest", "phones",
    "phone_media.listen_host", "retention", "recording.folder", "mqtt.host", "mqtt.tls", "mqtt.gateway_topic",
    "analytics.sources", "analytics.model", "analytics.telemetry", "duty.webhooks", "duty.sms", "duty.escalate",
    "uplinks", "push", "omlox", "opcua", "files.inbox",
)  # fmt: skip
"""Who changes these opens a door, sends data somewhere, or lets records be forgotten: the password is asked again."""

Plain = dict[str, Any]


def is_dangerous(path: str) -> bool:
    """Whether a change of this needs the password again: it is dangerous, in something that is, or holds something
    that is. Secrets are, wherever they are."""
    around = any(f"{path}.".startswith(f"{one}.") or one.startswith(f"{path}.") for one in DANGEROUS)
    return around or is_secret(path)


@lru_cache(maxsize=1)
def chinese() -> dict[str, str]:
    """Help by path without numbers of items."""
    lines = (line for line in HELP.read_text("utf-8").splitlines() if line and not line.startswith("#"))
    return dict(line.split(": ", 1) for line in lines)


def general(path: str) -> str:
    """A path without numbers of items."""
    return ".".join(part for part in path.split(".") if not part.isdecimal())


def sections(
    now: Settings, running: Settings, file: Mapping[str, Any], variables: Mapping[tuple[str, ...], str]
) -> list[Plain]:
    """All of them, in the order of the settings.

    Args:
        now: what a server would start with. running: what this one runs with.
        file: the file as plain data. variables: which settings the environment sets, and by which variable.
    """
    context = _Context(to_jsonable_python(now), to_jsonable_python(running), file, variables)
    return list(_nodes(Settings, "", context))


class _Context:
    def __init__(self, now: Any, running: Any, file: Any, variables: Mapping[tuple[str, ...], str]) -> None:
        self.now, self.running, self.file, self.variables = now, running, file, variables


def at(tree: Any, path: str) -> Any:
    """What is at a path; None where there is nothing."""
    for part in path.split("."):
        if isinstance(tree, Mapping):
            tree = tree.get(part)
        elif isinstance(tree, list) and part.isdecimal() and int(part) < len(tree):
            tree = tree[int(part)]
        else:
            return None
    return tree


def _nodes(model: type[BaseModel], path: str, context: _Context) -> Iterator[Plain]:
    for key, field in model.model_fields.items():
        here = f"{path}.{key}" if path else key
        section, many = section_of(field.annotation)
        if section is None:
            yield _field(here, key, field, context)
            continue
        about = " ".join((section.__doc__ or "").split())
        node: Plain = {"path": here, "key": key, "help": _help(here, about), "source": _source(here, context)}
        node["dangerous"] = is_dangerous(here)
        if many:
            items = at(context.now, here) or []
            yield node | {
                "kind": "sections",
                "items": [list(_nodes(section, f"{here}.{number}", context)) for number in range(len(items))],
                "template": list(_nodes(section, f"{here}.{len(items)}", context)),
                "changed": at(context.now, here) != at(context.running, here),
            }
        else:
            yield node | {"kind": "section", "fields": list(_nodes(section, here, context))}


def _field(path: str, key: str, field: FieldInfo, context: _Context) -> Plain:
    value, running = at(context.now, path), at(context.running, path)
    default = field.get_default(call_default_factory=True) if not field.is_required() else None
    secret = is_secret(path)
    return {
        "path": path,
        "key": key,
        **_kind(field.annotation),
        **_limits(field),
        "help": _help(path, field.description or ""),
        "required": field.default is PydanticUndefined and field.default_factory is None,
        "default": shown(path, to_jsonable_python(default)),
        "value": shown(path, value),
        "set": value not in (None, ""),
        "secret": secret,
        "hides": not secret and shown(path, value) != value,
        "dangerous": is_dangerous(path),
        "source": _source(path, context),
        "changed": value != running,
    }


def _help(path: str, english: str) -> Plain:
    return {"zh": chinese().get(general(path), english), "en": english}


def _source(path: str, context: _Context) -> Plain:
    keys = tuple(path.split("."))
    for known, name in context.variables.items():
        if keys[: len(known)] == known:
            return {"from": "environment", "name": name}
    return {"from": "file" if at(context.file, path) is not None else "default", "name": ""}


NUMBERS: dict[Any, str] = {bool: "switch", int: "integer", float: "number", str: "text", Path: "text"}


def _kind(annotation: Any) -> Plain:
    """`{kind, ...}`: switch, integer, number, text, choice, list (of texts or choices), json (anything else)."""
    inside = [one for one in get_args(annotation) if one is not type(None)]
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return _kind(inside[0]) | {"optional": True} if len(inside) == 1 else {"kind": "json"}
    if origin is Literal:
        return {"kind": "choice", "choices": list(get_args(annotation))}
    if origin is tuple and len(inside) == 2 and inside[1] is ...:
        of = _kind(inside[0])
        if of["kind"] == "text":
            return {"kind": "list"}
        return {"kind": "list", "choices": of["choices"]} if of["kind"] == "choice" else {"kind": "json"}
    return {"kind": NUMBERS.get(annotation, "json")}


def _limits(field: FieldInfo) -> Plain:
    found: Plain = {}
    for name in ("ge", "gt", "le", "lt", "max_length", "pattern"):
        for constraint in field.metadata:
            if (value := getattr(constraint, name, None)) is not None:
                found[name] = value
    return found
