"""Facts as CSV and YAML, and back, with the line of every mistake. Pure.

CSV is one kind with one fact a line; the first line names the fields. Lists of words are parted by `;`, points are
`x y; x y z`, anything deeper is JSON, and an empty cell is the field's default. YAML is a mapping of kinds to lists of
facts. Times are written in China Standard Time (`2026-11-01 08:00:00`) and read so, or with an offset, or as UTC
seconds. Excel's own spelling of CSV is read as well: a byte order mark, GB 18030, `;` or a tabulator between cells.
"""

import csv
import io
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from typing import Any, Union, get_args, get_origin, get_type_hints

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from analytics.telemetry.payload import CHINA
from server.registry.errors import MAX_MISTAKES, Mistake
from server.registry.forms import KINDS, Fact, parse, plain

MAX_NODES = 1_000_000
MAX_DEPTH = 20
TIMES = {("states", "start"), ("states", "end")}
TRUE, FALSE = {"1", "true", "yes", "是"}, {"0", "false", "no", "否"}
FORMULA = ("=", "+", "-", "@", "\t")
"""A text that begins so is written behind an apostrophe, or a spreadsheet would calculate it."""


@dataclass(frozen=True, slots=True)
class Given:
    """Facts of a file, by kind; of all kinds that the file names, even with nothing below."""

    facts: Mapping[str, Sequence[Fact]]
    lines: Mapping[tuple[str, str], int]
    """(kind, id) → line."""
    mistakes: Sequence[Mistake]


def decode(raw: bytes) -> str | None:
    """Text of an uploaded file: UTF-8, or what Chinese spreadsheets write; None: neither."""
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        return None if "\0" in text else text
    return None


# --- CSV ------------------------------------------------------------------------------------------------------------


def columns(kind: str) -> dict[str, Any]:
    """Name of a column → type of what stands in it. A group of fields is spread out: `fence.outline`."""
    found: dict[str, Any] = {}
    for name, hint in _hints(KINDS[kind].type).items():
        if is_dataclass(hint) and isinstance(hint, type):
            found |= {f"{name}.{inner}": its for inner, its in _hints(hint).items()}
        else:
            found[name] = hint
    return found


def _hints(type: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(type)
    return {one.name: hints[one.name] for one in fields(type)}


def write_csv(kind: str, facts: Iterable[Fact]) -> str:
    """All facts of a kind, with the header line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    names = columns(kind)
    writer.writerow(names)
    for fact in facts:
        values = plain(kind, fact)
        writer.writerow([_cell(kind, name, _at(values, name), hint) for name, hint in names.items()])
    return out.getvalue()


def _at(values: Mapping[str, Any], name: str) -> Any:
    outer, _, inner = name.partition(".")
    return values[outer][inner] if inner else values[outer]


def _cell(kind: str, name: str, value: Any, hint: Any) -> str:
    if value is None:
        return ""
    if (kind, name) in TIMES:
        return written_time(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, str):
        return f"'{value}" if value.startswith((*FORMULA, "'")) else value
    if isinstance(value, int | float):
        return format(value, ".15g")
    shape = _shape(hint)
    if shape == "words":
        return ";".join(value)
    if shape == "numbers":
        return " ".join(format(one, ".15g") for one in value)
    if shape == "points":
        return "; ".join(" ".join(format(one, ".15g") for one in point) for point in value)
    return json.dumps(value, ensure_ascii=False) if value else ""


def _shape(hint: Any) -> str:
    """How a list is written: `words`, `numbers`, `points`, or `json` for anything else."""
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(one for one in get_args(hint) if one is not type(None))
    if get_origin(hint) is not tuple:
        return "json"
    inner = get_args(hint)[0]
    if inner is float:
        return "numbers"
    if get_origin(inner) is tuple:
        return "points"
    return "json" if is_dataclass(inner) else "words"


def read_csv(kind: str, text: str) -> Given:
    """The facts of one kind."""
    facts: list[Fact] = []
    mistakes: list[Mistake] = []
    lines: dict[tuple[str, str], int] = {}
    known = columns(kind)
    reader = csv.reader(io.StringIO(text), delimiter=_delimiter(text), strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if header is None:
                header = cells
                mistakes += _header(kind, header, known, reader.line_num)
                if mistakes:
                    break
                continue
            _row(kind, header, cells, known, reader.line_num, facts, lines, mistakes)
            if len(mistakes) >= MAX_MISTAKES:
                break
    except csv.Error:
        mistakes.append(Mistake(kind, "", "", "不是有效的 CSV", "is not valid CSV", max(1, reader.line_num)))
    if header is None and not mistakes:
        mistakes.append(Mistake(kind, "", "", "文件没有表头", "the file has no header line", 1))
    return Given({kind: facts}, lines, mistakes)


def _delimiter(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    return max(",;\t", key=first.count) if first else ","


def _header(kind: str, header: Sequence[str], known: Mapping[str, Any], line: int) -> list[Mistake]:
    found = [
        Mistake(kind, "", name[:60], "没有这个字段", "is no field of this kind", line)
        for name in header if name not in known
    ]  # fmt: skip
    found += [
        Mistake(kind, "", name, "列重复", "stands twice", line)
        for name in sorted(set(header))
        if header.count(name) > 1
    ]
    if KINDS[kind].id not in header:
        found.append(Mistake(kind, "", KINDS[kind].id, "缺少该列", "is a column that is needed", line))
    return found


def _row(
    kind: str, header: Sequence[str], cells: Sequence[str], known: Mapping[str, Any], line: int,
    facts: list[Fact], lines: dict[tuple[str, str], int], mistakes: list[Mistake],
) -> None:  # fmt: skip
    if len(cells) > len(header) or len(cells) < len(header):
        mistakes.append(
            Mistake(
                kind, "", "", f"应有 {len(header)} 列，实有 {len(cells)} 列",
                f"has {len(cells)} cells for {len(header)} columns", line,
            )
        )  # fmt: skip
        return
    values: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=True):
        if cell == "":
            continue
        try:
            value = _value(kind, name, cell, known[name])
        except ValueError:
            mistakes.append(Mistake(kind, "", name, "格式不符合要求", "does not have the form that is asked for", line))
            return
        outer, _, inner = name.partition(".")
        if inner:
            values.setdefault(outer, {})[inner] = value
        else:
            values[outer] = value
    _take(kind, values, line, facts, lines, mistakes)


def _take(
    kind: str, values: Mapping[str, Any], line: int, facts: list[Fact], lines: dict[tuple[str, str], int],
    mistakes: list[Mistake],
) -> None:  # fmt: skip
    fact = parse(kind, values, line)
    if isinstance(fact, list):
        mistakes += fact
        return
    key = (kind, getattr(fact, KINDS[kind].id))
    if key in lines:
        mistakes.append(
            Mistake(*key, KINDS[kind].id, f"与第 {lines[key]} 行重复", f"stands on line {lines[key]} already", line)
        )
        return
    lines[key] = line
    facts.append(fact)


def _value(kind: str, name: str, cell: str, hint: Any) -> Any:
    """Raises: ValueError."""
    if (kind, name) in TIMES:
        return read_time(cell)
    if hint is bool:
        word = cell.lower()
        if word not in TRUE | FALSE:
            raise ValueError("neither true nor false")
        return word in TRUE
    if get_origin(hint) is tuple or (get_origin(hint) in (Union, types.UnionType) and _shape(hint) != "json"):
        shape = _shape(hint)
        if shape == "words":
            return [word for word in (part.strip() for part in cell.split(";")) if word]
        if shape == "numbers":
            return [float(part) for part in cell.split()]
        if shape == "points":
            return [[float(part) for part in point.split()] for point in cell.split(";") if point.strip()]
        return _json(cell)
    if get_origin(hint) is not None and cell[:1] in ("{", "["):
        return _json(cell)
    return cell[1:] if cell.startswith("'") else cell


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_time(text: str) -> float:
    """UTC seconds.

    Raises:
        ValueError: no time.
    """
    try:
        return float(text)
    except ValueError:
        at = datetime.fromisoformat(text.replace("/", "-"))
        return (at if at.tzinfo is not None else at.replace(tzinfo=CHINA)).timestamp()


def written_time(at: float) -> str:
    """In China Standard Time; a fraction of a second is kept."""
    return datetime.fromtimestamp(at, CHINA).replace(tzinfo=None).isoformat(" ")


# --- YAML -----------------------------------------------------------------------------------------------------------


def write_yaml(site: str, facts: Mapping[str, Iterable[Fact]]) -> str:
    """All facts of these kinds; fields at their default are left out."""
    whole: dict[str, Any] = {"site": site}
    for kind, ones in facts.items():
        whole[kind] = [_brief(kind, fact) for fact in ones]
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_unicode = True
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(whole, out)
    return out.getvalue()


def _brief(kind: str, fact: Fact) -> dict[str, Any]:
    values: dict[str, Any] = KINDS[kind].adapter.dump_python(fact, mode="json", exclude_defaults=True)
    if kind == "mine":
        values["mine"] = "mine"
    for name in list(values):
        if (kind, name) in TIMES and values[name] is not None:
            values[name] = written_time(values[name])
    return values


class _Refused(Exception):
    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.en)
        self.mistake = mistake


def read_yaml(text: str, site: str) -> Given:
    """Facts of any kinds. A `site` in the file must be the one that it is read for."""
    facts: dict[str, list[Fact]] = {}
    lines: dict[tuple[str, str], int] = {}
    mistakes: list[Mistake] = []
    try:
        root = YAML(typ="safe", pure=True).compose(text)
        if not isinstance(root, MappingNode):
            raise _Refused(Mistake("", "", "", "须为“类别: 列表”", "must map kinds to lists of facts", 1))
        walk = _Walk()
        for key, node in root.value:
            _yaml_kind(key, node, site, walk, facts, lines, mistakes)
            if len(mistakes) >= MAX_MISTAKES:
                break
    except _Refused as error:
        mistakes.append(error.mistake)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        mistakes.append(Mistake("", "", "", "不是有效的 YAML", "is not valid YAML", line))
    except (YAMLError, RecursionError):
        mistakes.append(Mistake("", "", "", "不是有效的 YAML", "is not valid YAML", 1))
    return Given(facts, lines, mistakes)


def _yaml_kind(
    key: Node, node: Node, site: str, walk: "_Walk", facts: dict[str, list[Fact]],
    lines: dict[tuple[str, str], int], mistakes: list[Mistake],
) -> None:  # fmt: skip
    name, line = str(key.value), key.start_mark.line + 1
    if name == "site":
        if str(node.value) != site:
            mistakes.append(Mistake("", "", "site", "文件属于另一个矿", "the file is of another mine", line))
        return
    if name not in KINDS:
        mistakes.append(Mistake("", "", name[:60], "没有这个类别", "is no kind of facts", line))
        return
    if name in facts:
        mistakes.append(Mistake(name, "", "", "类别重复", "stands twice", line))
        return
    if not isinstance(node, SequenceNode):
        mistakes.append(Mistake(name, "", "", "须为列表", "must be a list", line))
        return
    facts[name] = []
    for item in node.value:
        line = item.start_mark.line + 1
        values = walk.plain(item, 0)
        if not isinstance(values, dict):
            mistakes.append(Mistake(name, "", "", "须为一组字段", "must be a group of fields", line))
            continue
        try:
            for field in values:
                if (name, field) in TIMES and isinstance(values[field], str):
                    values[field] = read_time(values[field])
        except ValueError:
            mistakes.append(Mistake(name, "", field, "不是时间", "is no time", line))
            continue
        _take(name, values, line, facts[name], lines, mistakes)


class _Walk:
    """Plain values of nodes. Counts them, for an alias may stand for many."""

    def __init__(self) -> None:
        self._left = MAX_NODES

    def plain(self, node: Node, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            line = node.start_mark.line + 1
            raise _Refused(Mistake("", "", "", "内容过多或嵌套过深", "holds too much, or is nested too deep", line))
        if isinstance(node, MappingNode):
            return {str(key.value): self.plain(value, depth + 1) for key, value in node.value}
        if isinstance(node, SequenceNode):
            return [self.plain(value, depth + 1) for value in node.value]
        return _scalar(node) if isinstance(node, ScalarNode) else None


def _scalar(node: ScalarNode) -> Any:
    text, tag = str(node.value), str(node.tag).rsplit(":", 1)[-1]
    if tag == "null":
        return None
    if tag == "bool":
        return text.lower() in ("true", "yes", "on")
    try:
        if tag == "int":
            return int(text.replace("_", ""), 0) if not text.lstrip("+-").startswith("0") or text == "0" else text
        if tag == "float":
            return float(text.replace("_", ""))
    except ValueError:
        return text
    return text
