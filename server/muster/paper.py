"""A list on paper and as a table: what somebody carries to the shaft when the screens are dark.

The PDF needs a font that has Chinese; where none is found the caller is told so, and the CSV remains.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.muster.machine import STATES
from server.registry.exchange import FORMULA, written_time

FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts")
FONTS = (
    "NotoSansCJK*Regular*.ttc",
    "NotoSansCJK*.otf",
    "wqy-microhei*.ttc",
    "wqy-zenhei*.ttc",
    "DroidSansFallback*.ttf",
)
STATE_WORDS = {
    "lost": ("失联", "lost"), "underground": ("井下", "underground"), "moving": ("撤离中", "moving"),
    "refuge": ("避难硐室", "refuge"), "out_once": ("出井（待确认）", "out, to be confirmed"), "out": ("已出井", "out"),
}  # fmt: skip
FEED_WORDS = {"live": "实时 live", "stale": "定位中断 positions stopped", "never": "无定位数据 no positions"}
HEAD = (
    "序号 No.",
    "卡号 Card",
    "姓名 Name",
    "工种 Job",
    "状态 State",
    "最后区域 Last zone",
    "最后时间 Seen",
    "距今 Age",
)
WIDTHS = (12, 42, 26, 28, 36, 58, 40, 24)
ROW_MM = 6.0


class NoFont(Exception):
    """No font with Chinese was found on this machine."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Who stands by the list."""

    name: str
    at: float


def line(person: Mapping[str, Any], names: Mapping[str, str], zones: Mapping[str, str], at: float) -> list[str]:
    """One person as text."""
    seen = float(person["seen_at"])
    zh, en = STATE_WORDS[str(person["state"])]
    place = ", ".join(format(float(v), ".0f") for v in person["place"])
    zone = zones.get(str(person["zone"]), str(person["zone"])) or "-"
    return [
        str(person["card"]), names.get(str(person["card"]), ""), str(person["job"]), f"{zh} {en}",
        f"{zone} ({place})", written_time(round(seen)) if seen else "-", age(max(0.0, at - seen)) if seen else "-",
    ]  # fmt: skip


def age(seconds: float) -> str:
    """`42 s`, `7 min`, `3 h 05`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60):02d}"


def ordered(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those first that have to be looked for, then by zone."""
    people: list[Mapping[str, Any]] = list(body["people"])
    return sorted(people, key=lambda one: (STATES.index(one["state"]), str(one["zone"]), str(one["card"])))


def as_csv(body: Mapping[str, Any], names: Mapping[str, str], zones: Mapping[str, str], sha256: str) -> str:
    """The list as a table; the hash stands in the last line."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([*HEAD, "备注 Note"])
    for number, person in enumerate(ordered(body), start=1):
        cells = [str(number), *line(person, names, zones, float(body["at"])), str(person["note"])]
        writer.writerow([f"'{cell}" if cell.startswith(FORMULA) else cell for cell in cells])
    writer.writerow(["sha256", sha256])
    return out.getvalue()


def font() -> tuple[Path, int]:
    """A font file with Chinese, and which of its faces.

    Raises:
        NoFont: there is none.
    """
    for pattern in FONTS:
        for folder in FONT_FOLDERS:
            found = sorted(Path(folder).expanduser().rglob(pattern))
            if found:
                return found[0], 2 if found[0].name.startswith("NotoSansCJK") and found[0].suffix == ".ttc" else 0
    raise NoFont


def as_pdf(
    body: Mapping[str, Any], names: Mapping[str, str], zones: Mapping[str, str], sha256: str, mine: str,
    signed: Signature | None,
) -> bytes:  # fmt: skip
    """The list to print: A4 across, each page with its number and the hash.

    Raises:
        NoFont: there is no font with Chinese.
    """
    from fpdf import FPDF

    path, face = font()

    class Sheet(FPDF):
        def footer(self) -> None:
            self.set_y(-12)
            self.set_font("cjk", size=7)
            self.cell(0, 4, f"SHA-256 {sha256}   {self.page_no()}/{{nb}}", align="C")

    pdf = Sheet(orientation="landscape", format="A4")
    pdf.add_font("cjk", fname=str(path), collection_font_number=face)
    pdf.set_margin(12)
    pdf.add_page()
    pdf.set_font("cjk", size=16)
    pdf.cell(0, 9, f"井下人员清点表 Muster list {body['number']}", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("cjk", size=10)
    for text in _top(body, mine, signed):
        pdf.cell(0, 5.5, text, new_x="LMARGIN", new_y="NEXT")
    pdf.ln(2)
    _table(pdf, [[str(n), *line(one, names, zones, float(body["at"]))] for n, one in enumerate(ordered(body), start=1)])
    return bytes(pdf.output())


def _top(body: Mapping[str, Any], mine: str, signed: Signature | None) -> list[str]:
    marks = [word for word, on in (("演练 DRILL", body["drill"]), ("模拟数据 SIMULATED", body["simulated"])) if on]
    left = "未知 unknown" if body["left"] is None else str(body["left"])
    counts = "   ".join(f"{STATE_WORDS[state][0]} {body['states'][state]}" for state in STATES)
    feed_at = written_time(round(float(body["feed_at"]))) if body["feed_at"] else "-"
    lines = [
        f"{mine}   {written_time(round(float(body['at'])))}   {'   '.join(marks)}",
        f"名单 listed {body['total']}   未出井 not out {left}   {counts}",
        f"另有长期静默的卡（不在名单） silent cards that are not listed {body['left_out']}",
        f"定位数据 positions: {FEED_WORDS[str(body['feed'])]}, {feed_at}",
    ]
    if signed is not None:
        lines.append(f"签认 signed by {signed.name}   {written_time(round(signed.at))}")
    else:
        lines.append("签认 signed by ____________________   时间 at ____________________")
    return lines


def _table(pdf: Any, rows: Sequence[Sequence[str]]) -> None:
    def head() -> None:
        pdf.set_font("cjk", size=9)
        pdf.set_fill_color(225, 225, 225)
        for text, width in zip(HEAD, WIDTHS, strict=True):
            pdf.cell(width, ROW_MM, text, border=1, fill=True)
        pdf.ln(ROW_MM)
        pdf.set_font("cjk", size=8)

    head()
    for row in rows:
        if pdf.get_y() + ROW_MM > pdf.h - 16:
            pdf.add_page()
            head()
        for text, width in zip(row, WIDTHS, strict=True):
            pdf.cell(width, ROW_MM, _fitting(pdf, text, width - 2), border=1)
        pdf.ln(ROW_MM)


def _fitting(pdf: Any, text: str, width: float) -> str:
    """As much of a text as the cell takes."""
    while text and pdf.get_string_width(text) > width:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text
