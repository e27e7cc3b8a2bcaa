"""The settings as a page: `python -m config.describe > docs/settings.md`. A test holds the page equal to this."""

import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.settings import Section, Settings

HEAD = """# Settings

A YAML file (`-c FILE`), overlaid by environment variables: `media.udp_port` is `LAMPROOM__MEDIA__UDP_PORT`, lists as
JSON. Unknown keys are errors. `./lamproom check -c FILE` says all that is wrong, with line and column.
Examples: `config/examples/`. Values marked *required* have no default.
"""

TABLE_HEAD = "| Key | Type | Default | Meaning |\n|---|---|---|---|\n"


def page() -> str:
    """The whole page."""
    return HEAD + "".join(_sections(Settings, ""))


def _sections(model: type[BaseModel], path: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        section, many = section_of(field.annotation)
        if section is None:
            continue
        title = f"{path}{name}" + ("[]" if many else "")
        yield f"\n## {title}\n\n{(section.__doc__ or '').strip()}\n\n{TABLE_HEAD}"
        for key, one in section.model_fields.items():
            if section_of(one.annotation)[0] is None:
                yield f"| `{key}` | {_type(one.annotation)} | {_default(one)} | {_meaning(one)} |\n"
        yield from _sections(section, f"{title}.")


def section_of(annotation: Any) -> tuple[type[Section] | None, bool]:
    """The section that a field is, and whether it is a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    if get_origin(annotation) is tuple:
        inside = get_args(annotation)[0]
        if isinstance(inside, type) and issubclass(inside, Section):
            return inside, True
    return None, False


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    inside = [one for one in get_args(annotation) if one not in (type(None), ...)]
    if origin is Annotated:
        return _type(inside[0])
    if origin is tuple:
        return f"list of {_type(inside[0])}"
    if origin is dict:
        return f"{_type(inside[0])} to {_type(inside[1])}"
    if origin is Literal:
        return " or ".join(f"`{one}`" for one in inside)
    if origin is not None:
        return " or ".join(_type(one) for one in inside)
    words = {str: "text", int: "number", float: "number", bool: "true/false"}
    return words.get(annotation, str(annotation.__name__).lower())


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if field.default_factory else field.default
    if value is PydanticUndefined:
        return "*required*"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"`{[list(one) if isinstance(one, tuple) else one for one in value]}`"
    return f"`{value}`"


def _meaning(field: FieldInfo) -> str:
    limits = []
    for constraint in field.metadata:
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
            if (value := getattr(constraint, name, None)) is not None:
                limits.append(f"{sign} {value}")
    return "; ".join(part for part in (field.description or "", ", ".join(limits)) if part).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(page())
