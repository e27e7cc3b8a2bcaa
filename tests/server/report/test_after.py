"""The report says what was written down, with its source, and lists what it does not know."""

from dataclasses import asdict, replace
from typing import Any

from server.report.after import Facts, build
from server.report.paper import as_pdf, clock, data_hash, span
from server.report.tables import report_csv, safe
from server.report.words import EVENTS, WORDS, event_word
from server.sessions.machine import (
    Acted,
    Actor,
    Answered,
    Declined,
    Ended,
    Entry,
    Invited,
    Joined,
    Left,
    OrderAnswered,
    OrderGiven,
    OrderState,
    Session,
    Started,
    State,
    Summed,
)

AT = 1_700_000_000.0
MINE = Actor("u1", "李调度", "hongqi", "mine", "dispatcher")
COUNTY = Actor("u2", "王县局", "county", "county", "supervisor")
ALERT: dict[str, Any] = {
    "id": "a1", "rule": "main_fan_stop", "severity": "critical", "state": "acknowledged", "subject": "fan",
    "title": {"zh": "主扇停风", "en": "Main fan stopped"}, "opened_at": AT - 30, "at": AT - 28,
    "acknowledged": {"by": "u1", "name": "李调度", "site": "hongqi", "at": AT - 10, "comment": ""},
    "cleared_at": None, "outcome": None,
}  # fmt: skip


def told(alert: dict[str, Any], at: float, **more: object) -> dict[str, Any]:
    return {"seq": 1, "at": at, "kind": "alert", "body": {**alert, **more}}


def held() -> Facts:
    """A consultation with everything in it: answered in 4 s, declined, one order kept and one not."""
    state = State("s1", "hongqi", "主扇停风", MINE.name, MINE.site, AT, alert="a1")
    session = Session(state, 20.0, 0.0)
    steps: list[tuple[Any, float]] = [
        (Started(MINE), 0), (Invited("county", "county", MINE), 0), (Invited("city", "city", MINE), 0),
        (Joined("c1", MINE), 1), (Answered(COUNTY), 4), (Joined("c2", COUNTY), 5),
        (Declined(Actor("u3", "赵市局", "city", "city", "supervisor")), 6),
        (OrderGiven(COUNTY, "o1", "hongqi", "撤人"), 10), (OrderAnswered(MINE, "o1", OrderState.CONFIRMED), 18),
        (OrderAnswered(MINE, "o1", OrderState.DONE), 300), (OrderGiven(COUNTY, "o2", "hongqi", "=启动风机"), 20),
        (Acted("preempt", COUNTY, True), 30), (Left("c2"), 400), (Summed(MINE, "人员已撤出"), 500), (Ended(MINE), 600),
    ]  # fmt: skip
    entries: list[dict[str, Any]] = []
    for event, after in sorted(steps, key=lambda one: one[1]):
        made: list[Entry] = session.handle(event, float(after), AT + after)
        entries += [
            {"seq": len(entries) + n, "at": AT + after, "kind": e.kind, "body": e.body} for n, e in enumerate(made)
        ]
    return Facts(
        session=state.as_dict(), entries=entries, at=AT + 1000, alert=ALERT, clocks_s=(3600.0, 7200.0),
        incidents=[told(ALERT, AT - 28, change="raised")],
    )  # fmt: skip


def step(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in report["milestones"] if one["step"] == name)


def missing(report: dict[str, Any]) -> set[str]:
    return {one["what"] for one in report["missing"]}


def test_milestones_are_counted_from_the_beginning_of_the_incident_and_name_their_source() -> None:
    report = build(held())
    assert report["began_at"] == AT - 30
    found = {one["step"]: (one["after_s"], one["source"]) for one in report["milestones"]}
    assert found["detected"] == (0.0, "alert.opened_at")
    assert found["told"] == (2.0, "timeline")
    assert found["acknowledged"] == (20.0, "李调度")
    assert found["called"] == (30.0, "李调度")
    assert found["first_joined"] == (35.0, "王县局")
    assert found["ended"] == (630.0, "李调度")
    assert report["summary"] == "人员已撤出"


def test_what_did_not_come_has_no_time_and_says_why() -> None:
    report = build(held())
    assert step(report, "all_levels") == {"step": "all_levels", "at": None, "after_s": None, "source": "city"}
    assert step(report, "orders_read_back")["source"] == "not_all_read_back"
    assert step(report, "last_out")["source"] == "no_muster"
    assert missing(report) == {
        "level_missing",
        "order_not_read_back",
        "order_not_done",
        "no_recording",
        "last_out_unknown",
    }


def test_a_complete_one_has_every_time() -> None:
    facts = held()
    session = dict(facts.session)
    session["invitations"] = {"county": facts.session["invitations"]["county"]}
    session["orders"] = {"o1": facts.session["orders"]["o1"]}
    recording = {
        "recording": "r", "person": "p", "name": "desk", "kind": "video", "codec": "VP8", "state": "finished",
        "reason": "", "held": True, "started_at": AT, "ended_at": AT + 600,
        "segments": [{"sha256": "x", "bytes": 10, "duration_s": 600.0}],
    }  # fmt: skip
    out = {"muster": "m", "started_at": AT, "ended_at": None, "total": 2, "out": 2, "last_out_at": AT + 550}
    report = build(replace(facts, session=session, recordings=[recording], musters=[out]))
    assert missing(report) == set()
    assert step(report, "all_levels")["at"] == AT + 4
    assert step(report, "orders_read_back")["at"] == AT + 18
    assert step(report, "last_out") == {"step": "last_out", "at": AT + 550, "after_s": 580.0, "source": "muster"}
    inside = build(replace(facts, musters=[{**out, "out": 1}]))
    assert step(inside, "last_out")["source"] == "not_all_out"


def test_orders_carry_their_times_and_red_ones_are_late() -> None:
    first, second = build(held())["orders"]
    assert (first["read_back_s"], first["done_s"], first["late"]) == (8.0, 290.0, False)
    assert (second["read_back_s"], second["late"]) == (None, True)


def test_legal_clocks_say_kept_broken_or_not_due() -> None:
    facts = held()
    assert [one["kept"] for one in build(facts)["clocks"]] == [True, True]
    alone = {**facts.session, "invitations": {}, "participants": {}}
    assert [one["kept"] for one in build(replace(facts, session=alone))["clocks"]] == [None, None]
    late = build(replace(facts, session=alone, at=AT + 5000))
    assert [one["kept"] for one in late["clocks"]] == [False, None]


def test_holes_in_the_data_are_listed_with_their_intervals() -> None:
    def link(at: float, what: str, state: str) -> dict[str, Any]:
        return {"seq": 0, "at": at, "kind": "link", "body": {"what": what, "state": state}}

    facts = held()
    more = [
        link(AT + 50, "mqtt", "down"), link(AT + 80, "mqtt", "up"), link(AT + 90, "recording", "down"),
        told(ALERT, AT + 100, change="no_data"), told(ALERT, AT + 130, change="data_back"),
    ]  # fmt: skip
    report = build(replace(facts, entries=[*facts.entries, *more], entries_removed=7, alert=None))
    holes = {(one["what"], one["detail"]): (one["from"], one["to"]) for one in report["missing"]}
    assert holes["link_down", "mqtt"] == (AT + 50, AT + 80)
    assert holes["link_down", "recording"] == (AT + 90, AT + 600)
    assert holes["no_data", "fan"] == (AT + 100, AT + 130)
    assert holes["entries_removed", "7"] == (None, None)
    assert ("no_alert", "") in holes
    assert step(report, "detected")["at"] is None


def test_people_are_one_line_each_with_their_time_in() -> None:
    facts = held()
    people = {one["name"]: one for one in build(facts)["people"]}
    assert (people["王县局"]["in_s"], people["李调度"]["in_s"]) == (395.0, 599.0)


def test_a_long_timeline_is_cut_and_says_so() -> None:
    facts = held()
    many = [{"seq": n, "at": AT + n, "kind": "chat", "body": {"from": asdict(MINE), "text": "x"}} for n in range(2500)]
    report = build(replace(facts, entries=many))
    assert (len(report["timeline"]), report["timeline_left_out"]) == (2000, 500)


def test_csv_is_read_by_spreadsheets_and_calculates_nothing() -> None:
    text = report_csv(build(held()), "zh")
    assert text.startswith("\ufeff")
    assert "'=启动风机" in text
    assert safe("@x") == "'@x"
    assert safe(-1.5) == "-1.5"
    assert "2023-11-14T22:13:20.000Z" in text
    assert "Milestones" in report_csv(build(held()), "en")


def test_the_pdf_holds_the_report_in_both_languages() -> None:
    report = build(held())
    names = {"hongqi": "红旗煤矿", "county": "某县局", "city": "某市局"}
    for language in ("zh", "en"):
        pdf = as_pdf(report, names, language, "12:abcdef")
        assert pdf.startswith(b"%PDF-")
        assert pdf.rstrip().endswith(b"%%EOF")
        assert len(pdf) > 8000
    many = {**report, "timeline": report["timeline"] * 60}
    assert as_pdf(many, names, "zh", "1:x").count(b"/Type /Page\n") > 3


def test_the_hash_changes_with_the_data() -> None:
    report = build(held())
    assert data_hash(report) == data_hash(build(held()))
    assert data_hash({**report, "summary": "x"}) != data_hash(report)


def test_words_are_in_both_languages_and_times_are_chinas() -> None:
    assert all(zh.strip() and en.strip() for zh, en in (*WORDS.values(), *EVENTS.values()))
    assert (event_word("floor", "zh"), event_word("given", "en"), event_word("x", "zh")) == ("发言权", "Given", "x")
    assert clock(AT, day=True) == "2023-11-15 06:13:20"
    assert [span(one) for one in (None, 3.44, 83, 3723)] == ["-", "3.4 s", "1:23", "1:02:03"]
