"""The after-action report of one consultation, from what was written down while it went on. Pure.

Every time has its source named, and what is not known is said to be so: an interval without data, a level that never
came, a detection without a clock. Nothing is estimated. All times are UTC seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LATE_ORDER_S = 60.0
MINOR = frozenset({"position", "reading", "member", "track", "recording"})
"""Kinds too many for a report; the case folder has them all."""
MAX_ENTRIES = 2000
AUTHORITIES = ("county", "city", "province", "nation")

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was written down."""

    session: Body
    """As in `GET /api/sessions/{id}`."""
    entries: Sequence[Body]
    """Timeline of its room, as `{seq, at, kind, body}`."""
    at: float
    """Now."""
    alert: Body | None = None
    recordings: Sequence[Body] = ()
    guests: Sequence[Body] = ()
    musters: Sequence[Body] = ()
    """Of the site while it went on: `{muster, started_at, ended_at, total, out, last_out_at}`."""
    clocks_s: Sequence[float] = ()
    entries_removed: int = 0
    """Taken out by retention."""
    incidents: Sequence[Body] = field(default_factory=tuple)
    """Entries `alert` and `link` of the site before the consultation began."""


def build(facts: Facts) -> dict[str, Any]:
    """The report as plain data; `paper` and `tables` write it."""
    session = facts.session
    began = _began(facts)
    ended = session.get("ended_at")
    orders = [_order(one, facts.at) for one in sorted(session["orders"].values(), key=lambda one: one["given_at"])]
    people = _people(session, facts.at)
    shown = [one for one in facts.entries if one["kind"] not in MINOR]
    return {
        "session": session["session"],
        "title": session["title"],
        "site": session["site"],
        "template": session.get("template", ""),
        "simulated": bool(session.get("simulated")),
        "drill": bool(session.get("drill")),
        "summary": session.get("summary", ""),
        "chair": (session.get("floor") or {}).get("chair"),
        "made_at": facts.at,
        "open": ended is None,
        "began_at": began,
        "duration_s": None if ended is None else round(ended - session["started_at"], 3),
        "alert": _alert(facts.alert),
        "milestones": _milestones(facts, began, orders),
        "clocks": [_clock(limit, began, session, facts.at) for limit in facts.clocks_s],
        "levels": _levels(session),
        "people": people,
        "guests": list(facts.guests),
        "orders": orders,
        "floor": [_moment(one) for one in facts.entries if _is_floor(one)],
        "chat": [
            {"at": one["at"], "name": one["body"]["from"]["name"], "site": one["body"]["from"]["site"],
             "text": one["body"]["text"]}
            for one in facts.entries if one["kind"] == "chat"
        ],
        "recordings": [_recording(one) for one in facts.recordings],
        "missing": _missing(facts, orders, ended),
        "timeline": [_moment(one) for one in shown[:MAX_ENTRIES]],
        "timeline_left_out": max(0, len(shown) - MAX_ENTRIES),
        "merged_from": list(session.get("merged_from", ())),
        "merged_into": session.get("merged_into", ""),
    }  # fmt: skip


def _began(facts: Facts) -> float:
    """When the incident began, as far as is known: the alert's own clock, else the call."""
    called: float = facts.session["started_at"]
    return min(called, facts.alert["opened_at"]) if facts.alert is not None else called


def _alert(alert: Body | None) -> dict[str, Any] | None:
    if alert is None:
        return None
    names = ("id", "rule", "severity", "state", "title", "opened_at", "at", "acknowledged", "cleared_at", "outcome")
    return {name: alert.get(name) for name in names}


# --- milestones -----------------------------------------------------------------------------------------------------


def _milestones(facts: Facts, began: float, orders: Sequence[Body]) -> list[dict[str, Any]]:
    """Each with the moment and what it was read from; `at` is None where it is not known or has not come."""
    session, alert = facts.session, facts.alert
    raised = _first(facts, "alert", lambda body: alert is not None and body["id"] == alert["id"])
    ack = (alert or {}).get("acknowledged")
    caller = session["started_by_site"]
    joined = sorted(session["participants"].values(), key=lambda one: one["joined_at"])
    first = next((one for one in joined if one["site"] != caller and one["role"] != "guest"), None)
    answers, missing = _answers(session)
    read_back = [one["confirmed_at"] for one in orders]
    last_out, out_why = _last_out(facts.musters)
    found: list[tuple[str, float | None, str]] = [
        ("detected", alert["opened_at"] if alert else None, "alert.opened_at" if alert else "no_alert"),
        ("told", raised if raised is not None else None, "timeline" if raised is not None else "not_written_down"),
        ("acknowledged", ack["at"] if ack else None, ack["name"] if ack else ("not_done" if alert else "no_alert")),
        ("called", session["started_at"], session["started_by"]),
        ("first_joined", first["joined_at"] if first else None, first["name"] if first else "nobody_came"),
        ("all_levels", max(answers) if answers and not missing else None,
         ", ".join(missing) if missing else ("invitations" if answers else "nobody_was_called")),
        ("orders_read_back", max(read_back) if orders and None not in read_back else None,
         "orders" if orders and None not in read_back else ("not_all_read_back" if orders else "no_orders")),
        ("last_out", last_out, out_why),
        ("ended", session.get("ended_at"), session.get("ended_by") or "still_open"),
    ]  # fmt: skip
    return [
        {"step": step, "at": at, "after_s": None if at is None else round(at - began, 3), "source": source}
        for step, at, source in found
    ]


def _first(facts: Facts, kind: str, such: Any) -> float | None:
    for one in (*facts.incidents, *facts.entries):
        if one["kind"] == kind and such(one["body"]):
            return float(one["at"])
    return None


def _answers(session: Body) -> tuple[list[float], list[str]]:
    """When each called site came (the moment it answered last), and the sites that did not."""
    came, missing = [], []
    for site, one in session["invitations"].items():
        if one["state"] == "answered" and one["answer_s"] is not None:
            came.append(one["invited_at"] + one["answer_s"])
        elif one["state"] == "answered":
            came.append(one["changed_at"])
        else:
            missing.append(site)
    return came, sorted(missing)


def _last_out(musters: Sequence[Body]) -> tuple[float | None, str]:
    if not musters:
        return None, "no_muster"
    if any(one["out"] < one["total"] for one in musters):
        return None, "not_all_out"
    at = [one["last_out_at"] for one in musters if one["last_out_at"]]
    return (max(at), "muster") if at else (None, "muster_without_times")


def _clock(limit_s: float, began: float, session: Body, now: float) -> dict[str, Any]:
    """Whether authorities had joined within a legal clock. The first clock is the county's, later ones all levels'."""
    invited = [one for one in session["invitations"].values() if one["level"] in AUTHORITIES]
    came = sorted(
        one["invited_at"] + one["answer_s"]
        for one in invited
        if one["state"] == "answered" and one["answer_s"] is not None
    )
    own = session["participants"].values()
    first = min((one["joined_at"] for one in own if one["level"] in AUTHORITIES), default=None)
    reached = min([*came, *([first] if first is not None else [])], default=None)
    return {
        "within_s": limit_s,
        "due_at": began + limit_s,
        "authority_reached_at": reached,
        "kept": reached <= began + limit_s if reached is not None else (False if now > began + limit_s else None),
    }


# --- people, orders, recordings -------------------------------------------------------------------------------------


def _levels(session: Body) -> list[dict[str, Any]]:
    return [
        {
            "site": one["site"], "level": one["level"], "state": one["state"], "invited_at": one["invited_at"],
            "invited_by": one["invited_by"], "answered_by": one["answered_by"], "answer_s": one["answer_s"],
            "role": one.get("role", ""),
        }
        for one in session["invitations"].values()
    ]  # fmt: skip


def _people(session: Body, now: float) -> list[dict[str, Any]]:
    """One line for each user, with all times in; somebody still in is counted until now."""
    users: dict[str, dict[str, Any]] = {}
    for one in sorted(session["participants"].values(), key=lambda one: one["joined_at"]):
        known = users.setdefault(one["user"], {
            "user": one["user"], "name": one["name"], "site": one["site"], "level": one["level"], "role": one["role"],
            "joined_at": one["joined_at"], "left_at": one["left_at"], "in_s": 0.0, "times": 0,
        })  # fmt: skip
        end = one["left_at"] if one["left_at"] is not None else session.get("ended_at") or now
        known["in_s"] = round(known["in_s"] + max(0.0, end - one["joined_at"]), 3)
        known["times"] += 1
        known["left_at"] = one["left_at"]
    return list(users.values())


def _order(one: Body, now: float) -> dict[str, Any]:
    confirmed = one["confirmed_at"]
    wait = (confirmed if confirmed is not None else now) - one["given_at"]
    return {
        **one,
        "read_back_s": None if confirmed is None else round(confirmed - one["given_at"], 3),
        "done_s": None if one["done_at"] is None else round(one["done_at"] - one["given_at"], 3),
        "late": wait > LATE_ORDER_S,
    }


def _recording(one: Body) -> dict[str, Any]:
    segments = [part for part in one["segments"] if part["sha256"] is not None]
    return {
        "recording": one["recording"], "person": one["person"], "name": one["name"], "kind": one["kind"],
        "codec": one["codec"], "state": one["state"], "reason": one["reason"], "held": one["held"],
        "started_at": one["started_at"], "ended_at": one["ended_at"], "segments": len(segments),
        "bytes": sum(part["bytes"] or 0 for part in segments),
        "seconds": round(sum(part["duration_s"] or 0.0 for part in segments), 3),
    }  # fmt: skip


def _is_floor(one: Body) -> bool:
    return one["kind"] == "session" and one["body"].get("change") in (
        "preempted", "chair", "mode", "muted", "muted_all", "removed", "locked",
    )  # fmt: skip


def _moment(one: Body) -> dict[str, Any]:
    """An entry as a line: who, what, about whom."""
    body = one["body"]
    about = body.get("about") or body.get("participant") or body.get("invitation") or {}
    who = body.get("by") or (body.get("from") or {}).get("name") or about.get("name") or about.get("answered_by") or ""
    site = about.get("site") or body.get("to_site") or body.get("site") or (body.get("from") or {}).get("site") or ""
    title = body.get("title")
    text = body.get("text") or body.get("summary") or (title if one["kind"] == "alert" else "") or ""
    return {
        "seq": one.get("seq"), "at": one["at"], "kind": one["kind"],
        "change": str(body.get("change") or body.get("state") or ""), "who": str(who), "site": str(site), "text": text,
        "about": str(about.get("name") or ""),
    }  # fmt: skip


# --- what is not known ----------------------------------------------------------------------------------------------


def _missing(facts: Facts, orders: Sequence[Body], ended: float | None) -> list[dict[str, Any]]:
    """Everything that the report cannot say, or says with holes: `{what, from, to, detail}`."""
    until = ended if ended is not None else facts.at
    found = [*_broken_links(facts, until), *_no_data(facts, until)]
    if facts.alert is None:
        found.append(_hole("no_alert", None, None, ""))
    elif facts.alert.get("acknowledged") is None:
        found.append(_hole("not_acknowledged", facts.alert["opened_at"], until, ""))
    for site, one in sorted(facts.session["invitations"].items()):
        if one["state"] != "answered":
            found.append(_hole("level_missing", one["invited_at"], until, f"{site}: {one['state']}"))
    found += [_hole("order_not_read_back", one["given_at"], until, one["text"]) for one in orders if one["late"]]
    found += [_hole("order_not_done", one["given_at"], until, one["text"]) for one in orders if one["done_at"] is None]
    for one in facts.recordings:
        if one["state"] == "interrupted":
            found.append(_hole("recording_interrupted", one["ended_at"], None, f"{one['person']}: {one['reason']}"))
    if not facts.recordings:
        found.append(_hole("no_recording", facts.session["started_at"], until, ""))
    last_out, why = _last_out(facts.musters)
    if last_out is None:
        found.append(_hole("last_out_unknown", None, None, why))
    if facts.entries_removed:
        found.append(_hole("entries_removed", None, None, str(facts.entries_removed)))
    return found


def _hole(what: str, since: float | None, until: float | None, detail: str) -> dict[str, Any]:
    return {"what": what, "from": since, "to": until, "detail": detail}


def _broken_links(facts: Facts, until: float) -> Iterable[dict[str, Any]]:
    """From `link` entries: gone until it came back, or until the end."""
    gone: dict[str, float] = {}
    for one in (*facts.incidents, *facts.entries):
        if one["kind"] != "link":
            continue
        what, state = str(one["body"].get("what")), one["body"].get("state")
        if state in ("up", "back") and what in gone:
            yield _hole("link_down", gone.pop(what), one["at"], what)
        elif state in ("down", "gone"):
            gone.setdefault(what, one["at"])
        elif what == "gap":
            device, missing = one["body"].get("device"), one["body"].get("missing")
            yield _hole("samples_missing", one["at"], None, f"{device}: {missing}")
    for what, since in gone.items():
        yield _hole("link_down", since, until, what)


def _no_data(facts: Facts, until: float) -> Iterable[dict[str, Any]]:
    """Alerts whose source fell silent."""
    silent: dict[str, tuple[float, str]] = {}
    for one in (*facts.incidents, *facts.entries):
        if one["kind"] != "alert":
            continue
        alert, change = str(one["body"]["id"]), one["body"].get("change")
        if change == "no_data":
            silent.setdefault(alert, (one["at"], str(one["body"].get("subject", ""))))
        elif change == "data_back" and alert in silent:
            since, subject = silent.pop(alert)
            yield _hole("no_data", since, one["at"], subject)
    for since, subject in silent.values():
        yield _hole("no_data", since, until, subject)
