"""The report on paper: A4, Chinese or English, with the hash of its data on every page."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from server.muster.paper import font
from server.report.tables import text_of
from server.report.words import Language, event_word, word

CHINA = timezone(timedelta(hours=8))
MAX_EVENTS = 400
WIDTH_MM = 182.0
LINE_MM = 5.0


def data_hash(report: Mapping[str, Any]) -> str:
    """SHA-256 of the report's data, so that paper and file can be compared."""
    words = json.dumps(report, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(words.encode()).hexdigest()


def clock(at: float | None, *, day: bool = False) -> str:
    """China's time of day; `-` where it is not known."""
    if at is None:
        return "-"
    moment = datetime.fromtimestamp(at, UTC).astimezone(CHINA)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")


def span(seconds: float | None) -> str:
    """`1:02:03`, `2:03` or `3.4 s`."""
    if seconds is None:
        return "-"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def as_pdf(report: Mapping[str, Any], names: Mapping[str, str], language: Language, audit_head: str) -> bytes:
    """Blocks: call it in a thread. `names`: sites by id; `audit_head`: number and hash of the newest audit row.

    Raises:
        NoFont: no font of this machine has Chinese.
    """
    from fpdf import FPDF

    logging.getLogger("fontTools.subset").setLevel(logging.ERROR)  # it tells of tables that it leaves out

    path, face = font()
    digest = data_hash(report)

    def w(key: str) -> str:
        return word(key, language)

    class Sheet(FPDF):
        def footer(self) -> None:
            self.set_y(-13)
            self.set_font("cjk", size=6.5)
            zone = "北京时间 UTC+8" if language == "zh" else "China, UTC+8"
            self.cell(0, 3.4, w("footer").format(zone=zone), align="C", new_x="LMARGIN", new_y="NEXT")
            self.cell(0, 3.4, f"SHA-256 {digest}   audit {audit_head[:24]}   {self.page_no()}/{{nb}}", align="C")

    pdf = Sheet(format="A4")
    pdf.add_font("cjk", fname=str(path), collection_font_number=face)
    pdf.set_margin(14)
    pdf.set_auto_page_break(auto=True, margin=18)
    pdf.set_title(f"{w('title')} {report['session']}")
    pdf.add_page()
    _top(pdf, report, names, language)

    def table(title: str, head: Sequence[str], widths: Sequence[int], rows: Sequence[Sequence[str]]) -> None:
        _table(pdf, [w(title), *map(w, head)], widths, rows)

    def site(one: str) -> str:
        return names.get(one, one)

    table("milestones", ("step", "time", "after", "source"), (26, 24, 18, 40), [
        [w(one["step"]), clock(one["at"]), span(one["after_s"]), _came(one, names, language)]
        for one in report["milestones"]
    ])  # fmt: skip
    if report["clocks"]:
        table("clocks", ("within", "due", "reached", "kept"), (20, 30, 30, 20), [
            [span(one["within_s"]), clock(one["due_at"]), clock(one["authority_reached_at"]),
             w("not_yet" if one["kept"] is None else "yes" if one["kept"] else "no")]
            for one in report["clocks"]
        ])  # fmt: skip
    table("levels", ("site", "level", "state", "answer_s", "by"), (34, 14, 18, 18, 24), [
        [site(one["site"]), w(one["level"]), w(one["state"]), span(one["answer_s"]), one["answered_by"]]
        for one in report["levels"]
    ])  # fmt: skip
    table("orders", ("to", "text", "given", "confirmed", "done"), (20, 52, 15, 25, 25), [
        [site(one["to_site"]), one["text"], clock(one["given_at"]),
         f"{clock(one['confirmed_at'])} {one['confirmed_by']}{' ' + w('late') if one['late'] else ''}",
         f"{clock(one['done_at'])} {one['done_by']}"]
        for one in report["orders"]
    ])  # fmt: skip
    table("missing", ("what", "from", "until", "detail"), (38, 16, 16, 50), [
        [w(one["what"]), clock(one["from"]), clock(one["to"]), _source(one["detail"], names, language)]
        for one in report["missing"]
    ])  # fmt: skip
    table("people", ("name", "site", "role", "joined", "left", "in_s"), (26, 28, 16, 16, 16, 14), [
        [one["name"], site(one["site"]), w(one["role"]), clock(one["joined_at"]), clock(one["left_at"]),
         span(one["in_s"])]
        for one in report["people"]
    ])  # fmt: skip
    table("recordings", ("name", "kind", "state", "joined", "seconds", "size"), (30, 14, 18, 18, 16, 16), [
        [one["person"], w(one["kind"]), w(one["state"]), clock(one["started_at"]), span(one["seconds"]),
         f"{one['bytes'] / 1e6:.1f} MB"]
        for one in report["recordings"]
    ])  # fmt: skip
    events = report["timeline"]
    table("events", ("time", "event", "by", "text"), (14, 30, 24, 54), [
        [clock(one["at"]), _event(one, language), f"{one['who']} {site(one['site'])}".strip(),
         text_of(one["text"], language) or one["about"]]
        for one in events[:MAX_EVENTS]
    ])  # fmt: skip
    left_out = max(0, len(events) - MAX_EVENTS) + report["timeline_left_out"]
    if left_out:
        pdf.cell(0, LINE_MM, w("left_out").format(n=left_out), new_x="LMARGIN", new_y="NEXT")
    return bytes(pdf.output())


def _came(one: Mapping[str, Any], names: Mapping[str, str], language: Language) -> str:
    """Where a milestone is known from; of levels that did not come, which."""
    source = _source(one["source"], names, language)
    missing = one["step"] == "all_levels" and one["at"] is None and one["source"] != "nobody_was_called"
    return f"{word('not_come', language)}: {source}" if missing else source


def _source(text: str, names: Mapping[str, str], language: Language) -> str:
    """A word of ours, or names of sites, or as it is."""
    parts = [names.get(part, word(part, language)) for part in text.split(", ")]
    head, colon, state = parts[0].partition(": ")
    if colon and len(parts) == 1:
        return f"{names.get(head, head)}: {word(state, language)}"
    return ", ".join(parts)


def _event(one: Mapping[str, Any], language: Language) -> str:
    return f"{event_word(one['kind'], language)} {event_word(one['change'], language)}"


def _table(pdf: Any, words: Sequence[str], widths: Sequence[int], rows: Sequence[Sequence[str]]) -> None:
    """A heading (the first word) and a table with its head; a heading is never alone at the foot of a page."""
    from fpdf.fonts import FontFace

    pdf.ln(3)
    if pdf.get_y() > pdf.h - 45:
        pdf.add_page()
    pdf.set_font("cjk", size=11.5)
    pdf.cell(0, 7, words[0], new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("cjk", size=8.5)
    if not rows:
        pdf.cell(0, LINE_MM, "-", new_x="LMARGIN", new_y="NEXT")
        return
    with pdf.table(
        col_widths=tuple(widths), width=WIDTH_MM, line_height=LINE_MM, text_align="LEFT",
        headings_style=FontFace(fill_color=(225, 230, 235)), borders_layout="HORIZONTAL_LINES",
    ) as drawn:  # fmt: skip
        for row in (words[1:], *rows):
            line = drawn.row()
            for cell in row:
                line.cell(cell or " ")


def _top(pdf: Any, report: Mapping[str, Any], names: Mapping[str, str], language: Language) -> None:
    def w(key: str) -> str:
        return word(key, language)

    pdf.set_font("cjk", size=18)
    pdf.multi_cell(0, 9, f"{w('title')}: {report['title']}", new_x="LMARGIN", new_y="NEXT")
    pdf.set_font("cjk", size=9.5)
    marks = [w("drill")] if report["drill"] else []
    marks += [w("simulated")] if report["simulated"] else []
    marks += [w("open")] if report["open"] else []
    chair = report["chair"]
    lines = [
        "   ".join(marks),
        f"{w('about')}: {names.get(report['site'], report['site'])}   {w('session')}: {report['session']}",
        f"{w('incident')}: {clock(report['began_at'], day=True)}   {w('duration')}: {span(report['duration_s'])}   "
        f"{w('chair')}: {chair['name'] if chair else '-'}",
        f"{w('alert')}: {text_of(report['alert']['title'], language) if report['alert'] else w('no_alert')}",
        f"{w('made_at')}: {clock(report['made_at'], day=True)}",
        f"{w('summary')}: {report['summary'] or w('no_summary')}",
    ]
    for line in lines:
        if line:
            pdf.multi_cell(0, LINE_MM + 0.6, line, new_x="LMARGIN", new_y="NEXT")
