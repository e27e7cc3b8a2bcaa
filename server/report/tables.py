"""The report as a CSV table: one line for each thing that happened, for spreadsheets. Pure."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.report.words import Language, word

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so is calculated by spreadsheets: it gets an apostrophe."""
BOM = "\ufeff"
"""Without it spreadsheets read Chinese as Latin."""


def safe(value: object) -> str:
    """A cell that no spreadsheet calculates."""
    if value is None or isinstance(value, int | float):
        return "" if value is None else str(value)
    text = str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


def iso(at: float | None) -> str:
    """UTC with milliseconds, as ISO 8601."""
    if at is None:
        return ""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_csv(rows: Iterable[Sequence[object]]) -> str:
    """Lines of cells, each safe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    for row in rows:
        writer.writerow([safe(cell) for cell in row])
    return out.getvalue()


def text_of(value: object, language: Language) -> str:
    """A text that may be in both languages."""
    if isinstance(value, Mapping):
        return str(value.get(language) or value.get("zh") or "")
    return str(value or "")


def report_csv(report: Mapping[str, Any], language: Language) -> str:
    """Sections one under the other: milestones, calls, people, orders, missing data, timeline."""

    def w(key: str) -> str:
        return word(key, language)

    rows: list[Sequence[object]] = [
        [w("title"), report["title"], w("session"), report["session"]],
        *([[w("drill")]] if report["drill"] else []),
        [],
        [w("milestones"), w("time"), w("after"), w("source")],
    ]
    rows += [[w(one["step"]), iso(one["at"]), one["after_s"], w(one["source"])] for one in report["milestones"]]
    rows += [[], [w("levels"), w("level"), w("state"), w("answer_s"), w("by")]]
    rows += [
        [one["site"], w(one["level"]), w(one["state"]), one["answer_s"], one["answered_by"]] for one in report["levels"]
    ]
    rows += [[], [w("people"), w("site"), w("role"), w("joined"), w("left"), w("in_s")]]
    rows += [
        [one["name"], one["site"], w(one["role"]), iso(one["joined_at"]), iso(one["left_at"]), one["in_s"]]
        for one in report["people"]
    ]
    rows += [[], [w("orders"), w("to"), w("given"), w("confirmed"), w("by"), w("done"), w("by"), w("late")]]
    rows += [
        [one["text"], one["to_site"], iso(one["given_at"]), iso(one["confirmed_at"]), one["confirmed_by"],
         iso(one["done_at"]), one["done_by"], w("yes") if one["late"] else ""]
        for one in report["orders"]
    ]  # fmt: skip
    rows += [[], [w("missing"), w("from"), w("until"), w("detail")]]
    rows += [[w(one["what"]), iso(one["from"]), iso(one["to"]), w(one["detail"])] for one in report["missing"]]
    rows += [[], [w("events"), w("event"), w("state"), w("by"), w("site"), w("text")]]
    rows += [
        [iso(one["at"]), one["kind"], one["change"], one["who"], one["site"], text_of(one["text"], language)]
        for one in report["timeline"]
    ]
    return BOM + as_csv(rows)
