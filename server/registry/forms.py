"""The kinds of facts, and facts from plain values and back. Pure.

A kind is called as in `MineFacts` and in the API: `zones`, `people`, ... Each fact has one field that is its id.
"""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from analytics import mine
from server.registry.errors import Mistake

Fact = (
    mine.Mine | mine.Shift | mine.Level | mine.Drift | mine.Zone | mine.Quota | mine.Person | mine.DeviceRating
    | mine.Machine | mine.Camera | mine.MineState | mine.Plan
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of facts."""

    kind: str
    type: type[Any]
    id: str
    """The field that is its id."""
    most: int
    """So many of one mine."""
    adapter: TypeAdapter[Any]


def _kind(kind: str, type: type[Any], id: str, most: int) -> Kind:
    return Kind(kind, type, id, most, TypeAdapter(type))


KINDS: dict[str, Kind] = {
    one.kind: one
    for one in (
        _kind("mine", mine.Mine, "mine", 1),
        _kind("states", mine.MineState, "period", 1000),
        _kind("shifts", mine.Shift, "shift", 24),
        _kind("levels", mine.Level, "level", 100),
        _kind("drifts", mine.Drift, "drift", 1000),
        _kind("zones", mine.Zone, "zone", 1000),
        _kind("quotas", mine.Quota, "quota", 1000),
        _kind("people", mine.Person, "card", 20_000),
        _kind("devices", mine.DeviceRating, "device", 2000),
        _kind("machines", mine.Machine, "machine", 2000),
        _kind("cameras", mine.Camera, "camera", 2000),
        _kind("plans", mine.Plan, "plan", 20),
    )
}
"""In the order in which they are shown and written."""


def id_of(kind: str, fact: Fact) -> str:
    found: str = getattr(fact, KINDS[kind].id)
    return found


def plain(kind: str, fact: Fact) -> dict[str, Any]:
    """All fields as JSON would hold them."""
    found: dict[str, Any] = KINDS[kind].adapter.dump_python(fact, mode="json")
    return found


def defaults(kind: str) -> dict[str, Any]:
    """Field → its default as JSON would hold it; None where a value must be given."""
    found: dict[str, Any] = {}
    for one in fields(KINDS[kind].type):
        if one.default is not MISSING:
            found[one.name] = to_jsonable_python(one.default)
        else:
            found[one.name] = to_jsonable_python(one.default_factory()) if one.default_factory is not MISSING else None
    return found


def parse(kind: str, values: Mapping[str, Any], line: int | None = None) -> Fact | list[Mistake]:
    """A fact, or all that is wrong with it."""
    form = KINDS[kind]
    id = values.get(form.id)
    named = id[:63] if isinstance(id, str) else ""
    try:
        fact: Fact = form.adapter.validate_python(dict(values))
    except ValidationError as error:
        return [
            Mistake(kind, named, ".".join(map(str, one["loc"]))[:100], *_said(one["type"], one.get("ctx", {})), line)
            for one in error.errors(include_url=False, include_input=False)
        ]
    return fact


_WORDS: dict[str, tuple[str, str]] = {
    "missing": ("缺少必填项", "is missing"),
    "missing_argument": ("缺少必填项", "is missing"),
    "unexpected_keyword_argument": ("没有这个字段", "is no field of this kind"),
    "string_pattern_mismatch": ("格式不符合要求", "does not have the form that is asked for"),
    "string_type": ("须为文字", "must be text"),
    "string_too_long": ("文字过长（最多 {max_length} 字）", "is too long (at most {max_length} characters)"),
    "float_type": ("须为数字", "must be a number"),
    "float_parsing": ("须为数字", "must be a number"),
    "int_type": ("须为整数", "must be a whole number"),
    "int_parsing": ("须为整数", "must be a whole number"),
    "int_from_float": ("须为整数", "must be a whole number"),
    "bool_type": ("须为是或否", "must be true or false"),
    "bool_parsing": ("须为是或否", "must be true or false"),
    "finite_number": ("须为有限的数", "must be a finite number"),
    "greater_than": ("须大于 {gt}", "must be more than {gt}"),
    "greater_than_equal": ("不得小于 {ge}", "must be at least {ge}"),
    "less_than": ("须小于 {lt}", "must be less than {lt}"),
    "less_than_equal": ("不得大于 {le}", "must be at most {le}"),
    "literal_error": ("只能是 {expected}", "must be one of {expected}"),
    "too_short": ("至少需要 {min_length} 项", "needs at least {min_length}"),
    "too_long": ("最多 {max_length} 项", "has more than {max_length}"),
    "tuple_type": ("须为列表", "must be a list"),
    "dataclass_type": ("须为一组字段", "must be a group of fields"),
}
_OTHER = ("格式不符合要求", "is not valid")


def _said(type: str, context: Mapping[str, Any]) -> tuple[str, str]:
    zh, en = _WORDS.get(type, _OTHER)
    try:
        return zh.format_map(context), en.format_map(context)
    except KeyError:
        return _OTHER
