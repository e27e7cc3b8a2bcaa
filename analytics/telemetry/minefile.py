"""The text files that mines exchange (as met in the field, after MT/T 1201.2 and 1201.3): reader and writer. Pure.

    <mine, 12 digits>_<TYPE>_<yyyyMMddHHmmss>.txt, UTF-8
    header~record~record~...~||          fields by `;`, line breaks after `~` allowed

The header is `mine;name;time` for people's files, `mine;name;system code;system name;time` for equipment, and RYXX has
eight parts with the time as the last. Times are China Standard Time. An empty field is None: it is no 0 and no text.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from analytics.telemetry.payload import CHINA

END = "||"
TIME = "%Y-%m-%d %H:%M:%S"
MAX_BAD_LISTED = 500
SYSTEMS: dict[str, tuple[str, str]] = {
    "TF": ("30", "主要通风机"),
    "PS": ("31", "主排水"),
    "LJ": ("32", "立井提升"),
    "XJ": ("33", "斜井提升"),
    "KY": ("34", "空气压缩机"),
    "JC": ("35", "绞车"),
}
"""Abbreviation → system code and name."""

_DEFINITION = (
    "point", "type_code", "type_name", "device", "place", "unit", "range_high", "range_low", "alarm_high", "alarm_low",
    "relation", "defined_at",
)  # fmt: skip
_LIVE = ("point", "type_code", "type_name", "device", "value", "unit", "status", "time")
_EXCEPTION = (
    "point", "type_code", "type_name", "device", "alarm_status", "start", "end", "level", "recovered_at",
    "recovered_value", "peak_at", "peak_value", "time",
)  # fmt: skip

FIELDS: dict[str, tuple[str, ...]] = {
    "RYXX": ("card", "name", "job", "title", "dept", "born", "blank", "is_leader", "is_special"),
    "RYQY": ("area_type", "area", "quota", "area_name"),
    "RYJZ": ("station", "station_name", "x", "y", "z", "place"),
    "RYSS": (
        "card", "name", "flag", "in_time", "out_time", "area", "area_in_time", "station", "station_in_time", "shift",
        "distance_m", "status", "is_leader", "is_special", "track",
    ),
    "JZSS": ("station", "run", "power", "time"),
    "JBSJ": (
        "device", "name", "model", "category", "made", "system", "installed", "place", "maker", "factory_no",
        "safety_mark", "explosion_no", "rated_v", "rated_a", "rated_kw",
    ),
    **{f"{system}JC": _DEFINITION for system in SYSTEMS},
    **{f"{system}SS": _LIVE for system in SYSTEMS},
    **{f"{system}YC": _EXCEPTION for system in SYSTEMS},
}  # fmt: skip
"""Type → fields of a record in order. `JCJC` is the winches' definition."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "RYXX": ("card",),
    "RYQY": ("area",),
    "RYJZ": ("station",),
    "RYSS": ("card", "flag"),
    "JZSS": ("station", "run"),
    "JBSJ": ("device",),
    **{f"{system}{kind}": ("point",) for system in SYSTEMS for kind in ("JC", "YC")},
    **{f"{system}SS": ("point", "type_code", "time") for system in SYSTEMS},
}
_SHAPES: dict[str, re.Pattern[str]] = {
    "card": re.compile(r"\d{17}"),
    "area": re.compile(r"\d{16}"),
    "station": re.compile(r"\d{22}"),
    "flag": re.compile(r"[012]"),
    "is_leader": re.compile(r"[01]"),
    "is_special": re.compile(r"[01]"),
    "run": re.compile(r"[0129]"),
    "point": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}"),
}
_NUMBERS = {"x", "y", "z", "quota", "distance_m", "value", "rated_v", "rated_a", "rated_kw"}
_TIMES = {"in_time", "out_time", "area_in_time", "station_in_time", "time"}
_NAME = re.compile(r"(\d{12})_([A-Z]{4})_(\d{14})\.txt")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_NUMBER = re.compile(r"[+-]?\d{1,12}(\.\d{1,9})?")

Record = dict[str, str | None]


class BadFile(Exception):
    """The file as a whole cannot be taken; `reason` is a stable word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class FileName:
    """What a file's name says."""

    mine: str
    type: str
    at: float
    """UTC seconds."""


@dataclass(frozen=True, slots=True)
class Bad:
    """A record that breaks a rule; its text is not kept, for it may hold a name."""

    number: int
    """From 1 after the header."""
    reason: str


@dataclass(frozen=True, slots=True)
class MineFile:
    """A read file."""

    mine: str
    type: str
    at: float
    """The header's time, UTC seconds."""
    records: Sequence[Record]
    bad: Sequence[Bad] = ()


def seconds(text: str, form: str = TIME) -> float | None:
    """UTC seconds of a time in China Standard Time, None for what is none."""
    try:
        return datetime.strptime(text, form).replace(tzinfo=CHINA).timestamp()
    except ValueError:
        return None


def china(at: float, form: str = TIME) -> str:
    """The other way round."""
    return datetime.fromtimestamp(at, CHINA).strftime(form)


def file_name(mine: str, type: str, at: float) -> str:
    return f"{mine}_{type}_{china(at, '%Y%m%d%H%M%S')}.txt"


def parse_name(name: str) -> FileName | None:
    """None for a name that is not of this form."""
    found = _NAME.fullmatch(name)
    at = seconds(found[3], "%Y%m%d%H%M%S") if found else None
    return FileName(found[1], found[2], at) if found and at is not None else None


def is_whole(text: str) -> bool:
    """It has its end: nobody is writing it any more."""
    return text.rstrip().endswith(END)


def read(type: str, text: str) -> MineFile:
    """A whole file of a known type.

    Raises:
        BadFile: no header, or one without a valid time, or no end, or characters that no text holds.
    """
    if not is_whole(text):
        raise BadFile("no_end")
    if _CONTROL.search(text):
        raise BadFile("control_characters")
    parts = [part.strip("\r\n") for part in text.rstrip().removesuffix(END).removeprefix("\ufeff").split("~")]
    header = parts[0].strip().split(";")
    place = 7 if type == "RYXX" else 2 if type in ("RYQY", "RYJZ", "RYSS", "JZSS") else 4
    at = seconds(header[place].strip()) if len(header) > place else None
    if at is None:
        raise BadFile("bad_header")
    records: list[Record] = []
    bad: list[Bad] = []
    for number, part in enumerate((one for one in parts[1:] if one.strip()), start=1):
        fields = part.split(";")
        record: Record = {
            name: value.strip() or None for name, value in zip(FIELDS[type], fields, strict=False)
        }  # the count is judged next
        reason = "field_count" if len(fields) != len(FIELDS[type]) else _fault(type, record)
        if reason is None:
            records.append(record)
        else:
            bad.append(Bad(number, reason))
    return MineFile(header[0].strip(), type, at, records, bad)


def _fault(type: str, record: Record) -> str | None:
    for name in REQUIRED[type]:
        if record[name] is None:
            return f"missing:{name}"
    for name, value in record.items():
        if value is None:
            continue
        shape = _SHAPES.get(name) if not (type == "JBSJ" and name in ("device",)) else None
        wrong = (
            (shape is not None and not shape.fullmatch(value))
            or (name in _NUMBERS and not _NUMBER.fullmatch(value))
            or (name in _TIMES and seconds(value) is None)
        )
        if wrong:
            return f"bad:{name}"
    return None


def write(type: str, mine: str, mine_name: str, at: float, records: Iterable[Record]) -> str:
    """The text of a file, as `read` reads it.

    Raises:
        ValueError: a value holds one of `;`, `~`, `|` or a line break.
    """
    if type == "RYXX":
        header = [mine, mine_name, "", "", "", "", "", china(at)]
    elif type in ("RYQY", "RYJZ", "RYSS", "JZSS"):
        header = [mine, mine_name, china(at)]
    else:
        code, name = ("JBSJ", "设备基本信息") if type == "JBSJ" else SYSTEMS[type[:2]]
        header = [mine, mine_name, code, name, china(at)]
    lines = [header, *([record.get(name) or "" for name in FIELDS[type]] for record in records)]
    for value in (value for line in lines for value in line):
        if re.search(r"[;~|\r\n]", value):
            raise ValueError("A field may not hold ; ~ | or a line break.")
    return "".join(";".join(line) + "~" for line in lines) + END
