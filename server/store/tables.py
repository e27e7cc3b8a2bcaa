"""Every table. The migrations make the same; a test holds the two equal.

Times are UTC seconds since the Unix epoch, as doubles. JSON is only carried,
never searched, so PostgreSQL keeps it as text (`json`) as SQLite does.
"""

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.types import BigInteger

Json = JSON(none_as_null=True)
Number = BigInteger().with_variant(Integer, "sqlite")
"""64 bits in both; SQLite makes a row number only of INTEGER."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
"""Facts about this database; `epoch` is made once."""

# --- sites and people -----------------------------------------------------------------------------------------------

sites = Table(
    "sites",
    metadata,
    Column("site", Text, primary_key=True),
    Column("parent", Text, ForeignKey("sites.site"), nullable=True, index=True),
    Column("level", Text, nullable=False),
    Column("name_zh", Text, nullable=False),
    Column("name_en", Text, nullable=False),
    Column("path", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False, server_default=""),
    Column("data", Json, nullable=False),
    CheckConstraint("level IN ('nation', 'province', 'city', 'county', 'mine')", name="level"),
)
"""`path` is `/nation/province/.../site/`, made of ids: everything at or below a site starts with its path."""

users = Table(
    "users",
    metadata,
    Column("user", Text, primary_key=True),
    Column("login", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("site", Text, ForeignKey("sites.site"), nullable=False, index=True),
    Column("language", Text, nullable=False, server_default="zh"),
    Column("disabled", Boolean, nullable=False, server_default=text("false")),
    Column("must_change", Boolean, nullable=False, server_default=text("false")),
    Column("valid_after", Double, nullable=False, server_default=text("0")),
    Column("created_at", Double, nullable=False),
)
"""Tokens and log-ins of before `valid_after` are void."""

logins = Table(
    "logins",
    metadata,
    Column("login_id", Text, primary_key=True),
    Column("secret_hash", Text, nullable=False),
    Column("user", Text, ForeignKey("users.user"), nullable=False, index=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("last_seen_at", Double, nullable=False),
    Column("address", Text, nullable=False, server_default=""),
    Column("revoked_at", Double, nullable=True),
)

links = Table(
    "links",
    metadata,
    Column("code_hash", Text, primary_key=True),
    Column("user", Text, ForeignKey("users.user"), nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double, nullable=True),
)
"""One-time log-in links."""

guests = Table(
    "guests",
    metadata,
    Column("guest", Text, primary_key=True),
    Column("session", Text, nullable=False, index=True),
    Column("site", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("speaks", Boolean, nullable=False),
    Column("waits", Boolean, nullable=False),
    Column("code_hash", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("used_at", Double, nullable=True),
    Column("revoked_at", Double, nullable=True),
    Index("ix_guests_code_hash", "code_hash", unique=True),
)
"""People without an account who take part in one consultation: one link each."""

preferences = Table(
    "preferences",
    metadata,
    Column("user", Text, ForeignKey("users.user"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Double, nullable=False),
)
"""What a person has set for the own pages, by the page's part; `version` counts the changes."""

# --- timelines ------------------------------------------------------------------------------------------------------

rooms = Table(
    "rooms",
    metadata,
    Column("room", Text, primary_key=True),
    Column("last_seq", Number, nullable=False),
    Column("sha256", Text, nullable=False, server_default="0" * 64),
    Column("checked_seq", Number, nullable=False, server_default=text("0")),
    Column("checked_by", Number, nullable=False, server_default=text("0")),
)
"""`sha256` is that of the newest entry; row `checked_by` of the audit holds that of entry `checked_seq`."""

entries = Table(
    "entries",
    metadata,
    Column("room", Text, primary_key=True),
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("sha256", Text, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)
"""Each is chained to the one before it in its room."""

sessions = Table(
    "sessions",
    metadata,
    Column("session", Text, primary_key=True),
    Column("state", Json, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("site", Text, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double, nullable=True),
    Column("released_at", Double, nullable=True),
    Column("alerts", Json, nullable=False),
    Index("ix_sessions_site_started_at", "site", "started_at"),
    Index("ix_sessions_open", "started_at", sqlite_where=text("open"), postgresql_where=text("open")),
)
"""Consultations. For retention: `released_at`, from when on nothing of it is held (its end, or the release after it;
NULL while it is open or held); and `alerts`, the ids of those that it names."""

idempotency = Table(
    "idempotency",
    metadata,
    Column("key", Text, primary_key=True),
    Column("user", Text, primary_key=True),
    Column("response", Json, nullable=False),
    Column("at", Double, nullable=False, index=True),
)

# --- alerts ---------------------------------------------------------------------------------------------------------

OPEN = text("state IN ('open', 'acknowledged')")

alerts = Table(
    "alerts",
    metadata,
    Column("alert", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("key", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("title_zh", Text, nullable=False),
    Column("title_en", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("acknowledged", Json, nullable=True),
    Column("cleared_at", Double, nullable=True),
    Column("duration_s", Double, nullable=True),
    Column("occurrences", Integer, nullable=False),
    Column("no_data", Boolean, nullable=False),
    Column("explain", Json, nullable=False),
    Column("outcome", Text, nullable=True),
    Column("closed", Json, nullable=True),
    Column("simulated", Boolean, nullable=False),
    CheckConstraint("state IN ('open', 'acknowledged', 'cleared', 'closed')", name="state"),
    Index("ux_alerts_open_key", "key", unique=True, sqlite_where=OPEN, postgresql_where=OPEN),
    Index("ix_alerts_site_alert", "site", "alert"),
    Index("ix_alerts_state_alert", "state", "alert"),
)
"""At most one open or acknowledged alert per key: the index says so, not the code."""

alert_evidence = Table(
    "alert_evidence",
    metadata,
    Column("alert", Text, ForeignKey("alerts.alert"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("path", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("at", Double, nullable=False),
)
"""Pictures of an alert; `path` is below the data folder."""

alert_reviews = Table(
    "alert_reviews",
    metadata,
    Column("user", Text, ForeignKey("users.user"), primary_key=True),
    Column("alert", Text, ForeignKey("alerts.alert"), primary_key=True),
    Column("at", Double, nullable=False),
)
"""Who has looked at which alert: each person for himself, beside what anybody did about it."""

# --- duty -----------------------------------------------------------------------------------------------------------

escalations = Table(
    "escalations",
    metadata,
    Column("alert", Text, ForeignKey("alerts.alert"), primary_key=True),
    Column("site", Text, nullable=False),
    Column("open", Boolean, nullable=False),
    Column("state", Json, nullable=False),
    Column("at", Double, nullable=False),
    Index("ix_escalations_open", "alert", sqlite_where=text("open"), postgresql_where=text("open")),
)
"""One per alert that was ever rung. `state` is `server.duty.escalation.State`; `open` until the alert is over."""

rota = Table(
    "rota",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("body", Json, nullable=False),
    CheckConstraint("kind IN ('person', 'plan', 'override')", name="kind"),
)
"""Call lists: people, plans and overrides as in `server.duty.rota`."""

spot_checks = Table(
    "spot_checks",
    metadata,
    Column("check", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("open", Boolean, nullable=False),
    Column("called_at", Double, nullable=False),
    Column("body", Json, nullable=False),
    Index("ix_spot_checks_site_called_at", "site", "called_at"),
    Index("ix_spot_checks_open", "called_at", sqlite_where=text("open"), postgresql_where=text("open")),
)
"""Spot checks and roll calls; `body` is `server.duty.spotcheck.Check`."""

hazards = Table(
    "hazards",
    metadata,
    Column("hazard", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("state", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("late", Text, nullable=False),
    Column("told", Text, nullable=False),
    Column("next_at", Double, nullable=True),
    Column("closed_at", Double, nullable=True),
    Column("words", Text, nullable=False),
    Column("body", Json, nullable=False),
    Index("ix_hazards_site_hazard", "site", "hazard"),
    Index("ix_hazards_next_at", "next_at"),
    Index("ix_hazards_untold", "hazard", sqlite_where=text("late <> told"), postgresql_where=text("late <> told")),
)
"""Hazards and their rectification; `body` is `server.hazards.machine.Hazard`.
`told`: the `late` whose alert is on disk."""

hazard_pictures = Table(
    "hazard_pictures",
    metadata,
    Column("picture", Text, primary_key=True),
    Column("hazard", Text, ForeignKey("hazards.hazard"), nullable=True),
    Column("by", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Index("ix_hazard_pictures_hazard", "hazard"),
)
"""Pictures of hazards; without a hazard: sent, and not used by anything yet."""

handovers = Table(
    "handovers",
    metadata,
    Column("handover", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("completed_at", Double, nullable=True),
    Column("body", Json, nullable=False),
    Index("ix_handovers_site_opened_at", "site", "opened_at"),
)
"""Handovers of shifts; `body` is `server.duty.handover.Handover`."""

duty_outbox = Table(
    "duty_outbox",
    metadata,
    Column("message", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("red", Boolean, nullable=False),
    Column("alert", Text, nullable=False),
    Column("ring", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="state"),
    Index("ix_duty_outbox_waiting", "message", sqlite_where=text("state = 'waiting'"),
          postgresql_where=text("state = 'waiting'")),
)  # fmt: skip
"""Messages to programs and gateways, written with the step that sends them; tried until they are taken."""

# --- recordings -----------------------------------------------------------------------------------------------------

recordings = Table(
    "recordings",
    metadata,
    Column("recording", Text, primary_key=True),
    Column("class", Text, nullable=False),
    Column("session", Text, nullable=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("track", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("person", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("codec", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("held", Boolean, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("started_at", Double, nullable=False),
    Column("ended_at", Double, nullable=True),
    CheckConstraint("state IN ('recording', 'finished', 'interrupted')", name="state"),
    Index("ix_recordings_session", "session"),
    Index("ix_recordings_site_recording", "site", "recording"),
)
"""One unbroken run of one track. The row is there before the first byte of a file is."""

recording_segments = Table(
    "recording_segments",
    metadata,
    Column("recording", Text, ForeignKey("recordings.recording"), primary_key=True),
    Column("segment", Integer, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("started_at", Double, nullable=True),
    Column("duration_s", Double, nullable=True),
    Column("bytes", Number, nullable=True),
    Column("sha256", Text, nullable=True),
    CheckConstraint("state IN ('allowed', 'recording', 'finished', 'interrupted')", name="state"),
)
"""Files, named by recording and number. `allowed`: not begun yet."""

# --- telemetry ------------------------------------------------------------------------------------------------------

readings = Table(
    "readings",
    metadata,
    Column("site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("quantity", Text, primary_key=True),
    Column("source_at", Double, primary_key=True),
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("value", Double, nullable=False),
    Column("unit", Text, nullable=False),
    Column("quality", Text, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("simulated", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

latest_readings = Table(
    "latest_readings",
    metadata,
    Column("site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("quantity", Text, primary_key=True),
    Column("source_at", Double, nullable=False),
    Column("seq", Number, nullable=False),
    Column("value", Double, nullable=False),
    Column("unit", Text, nullable=False),
    Column("quality", Text, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("simulated", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

reading_minutes = Table(
    "reading_minutes",
    metadata,
    Column("site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("quantity", Text, primary_key=True),
    Column("minute", Number, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
    Column("low", Double, nullable=False),
    Column("mean", Double, nullable=False),
    Column("high", Double, nullable=False),
    Column("last", Double, nullable=False),
    Column("unit", Text, nullable=False),
    Column("simulated", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
"""What a curve did in each minute (`minute` x 60 = its beginning, by the source's clock). Samples of bad quality are
not in it."""

positions = Table(
    "positions",
    metadata,
    Column("site", Text, primary_key=True),
    Column("tag", Text, primary_key=True),
    Column("source_at", Double, primary_key=True),
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("x_m", Double, nullable=False),
    Column("y_m", Double, nullable=False),
    Column("z_m", Double, nullable=False),
    Column("zone", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("presence", Text, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)

latest_positions = Table(
    "latest_positions",
    metadata,
    Column("site", Text, primary_key=True),
    Column("tag", Text, primary_key=True),
    Column("source_at", Double, nullable=False),
    Column("seq", Number, nullable=False),
    Column("kind", Text, nullable=False),
    Column("x_m", Double, nullable=False),
    Column("y_m", Double, nullable=False),
    Column("z_m", Double, nullable=False),
    Column("zone", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("received_at", Double, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("presence", Text, nullable=False, server_default=""),
    sqlite_with_rowid=False,
)

mine_files = Table(
    "mine_files",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("mine", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("header_at", Double, nullable=True),
    Column("received_at", Double, nullable=False),
    Column("records", Integer, nullable=False),
    Column("bad", Json, nullable=False),
    Column("warnings", Json, nullable=False),
    CheckConstraint("status IN ('DONE', 'PARTIAL', 'FAILED', 'STALE', 'DUPLICATE', 'UNKNOWN')", name="status"),
    Index("ix_mine_files_name_sha256", "name", "sha256"),
    Index("ix_mine_files_mine_type_header_at", "mine", "type", "header_at"),
)
"""Every file that a mine sent and what became of it. `bad` lists record numbers and reasons, never the records."""

late_windows = Table(
    "late_windows",
    metadata,
    Column("site", Text, primary_key=True),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
)
"""Spans of source time in which samples came too late to ring, and which are still to be judged after the fact."""

# --- musters --------------------------------------------------------------------------------------------------------

GOING_ON = text("ended_at IS NULL")

musters = Table(
    "musters",
    metadata,
    Column("muster", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("started_at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("session", Text, nullable=True),
    Column("alert", Text, nullable=True),
    Column("drill", Boolean, nullable=False),
    Column("simulated", Boolean, nullable=False),
    Column("ended_at", Double, nullable=True),
    Column("ended_by", Text, nullable=False),
    Column("end_reason", Text, nullable=False),
    Column("lists", Integer, nullable=False),
    Column("left_out", Integer, nullable=False),
    Index("ux_musters_going_on", "site", unique=True, sqlite_where=GOING_ON, postgresql_where=GOING_ON),
    Index("ix_musters_site_started_at", "site", "started_at"),
)
"""At most one goes on at a site."""

muster_members = Table(
    "muster_members",
    metadata,
    Column("muster", Text, ForeignKey("musters.muster"), primary_key=True),
    Column("card", Text, primary_key=True),
    Column("data", Json, nullable=False),
    sqlite_with_rowid=False,
)

muster_lists = Table(
    "muster_lists",
    metadata,
    Column("muster", Text, ForeignKey("musters.muster"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("due_at", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("body", Json, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("signed_by", Text, nullable=True),
    Column("signed_at", Double, nullable=True),
    sqlite_with_rowid=False,
)

# --- registry of mines ----------------------------------------------------------------------------------------------

CURRENT = text("valid_to IS NULL")

registry = Table(
    "registry",
    metadata,
    Column("site", Text, ForeignKey("sites.site"), primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("version", Number, primary_key=True, autoincrement=False),
    Column("valid_from", Double, nullable=False),
    Column("valid_to", Double, nullable=True),
    Column("data", Json, nullable=False),
    Column("manual", Json, nullable=False),
    Index("ux_registry_current", "site", "kind", "id", unique=True, sqlite_where=CURRENT, postgresql_where=CURRENT),
    sqlite_with_rowid=False,
)
"""Facts of mines; a changed one is a new row, and the old one ends. `manual`: fields that a person set, which no file
overwrites."""

registry_changes = Table(
    "registry_changes",
    metadata,
    Column("site", Text, ForeignKey("sites.site"), primary_key=True),
    Column("version", Number, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("counts", Json, nullable=False),
    sqlite_with_rowid=False,
)
"""One row for each transaction that changed a mine's facts."""

incidents = Table(
    "incidents",
    metadata,
    Column("incident", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("title_zh", Text, nullable=False),
    Column("title_en", Text, nullable=False),
    Column("opened_at", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("sources", Json, nullable=False),
    Column("zones", Json, nullable=False),
    Column("kept_apart", Json, nullable=True),
    Column("merged_into", Text, nullable=True),
    Column("closed", Json, nullable=True),
    Column("simulated", Boolean, nullable=False),
    CheckConstraint("state IN ('open', 'closed', 'merged')", name="state"),
    Index("ix_incidents_site_incident", "site", "incident"),
)
"""Alerts that belong together. `kept_apart`: alerts that a person took out."""

incident_alerts = Table(
    "incident_alerts",
    metadata,
    Column("alert", Text, ForeignKey("alerts.alert"), primary_key=True),
    Column("incident", Text, ForeignKey("incidents.incident"), nullable=False, index=True),
    Column("at", Double, nullable=False),
)
"""An alert is in one incident at most."""

uplink_outbox = Table(
    "uplink_outbox",
    metadata,
    Column("id", Text, primary_key=True),
    Column("seq", Number, nullable=False),
    Column("uplink", Text, nullable=False),
    Column("endpoint", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("body", Json, nullable=False),
    Column("made_at", Double, nullable=False),
    Column("batch", Text, nullable=True),
    Column("tries", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("sent_at", Double, nullable=True),
    CheckConstraint("state IN ('waiting', 'sent', 'refused')", name="state"),
    Index("ux_uplink_outbox_uplink_key", "uplink", "key", unique=True),
    Index("ix_uplink_outbox_uplink_state_seq", "uplink", "state", "seq"),
)
"""What is to be sent upwards, by `seq`. `batch`: sent together, and together again when it has to be repeated."""

rule_parameters = Table(
    "rule_parameters",
    metadata,
    Column("id", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("device", Text, nullable=False),
    Column("values", Json, nullable=False),
    Column("at", Double, nullable=False),
    Column("by", Text, nullable=False),
    Index("ix_rule_parameters_site_id", "site", "id"),
)
"""Figures of rules as people set them; only ever added to. The newest of a site and device counts."""

# --- phones ---------------------------------------------------------------------------------------------------------

phones = Table(
    "phones",
    metadata,
    Column("phone", Text, primary_key=True),
    Column("site", Text, ForeignKey("sites.site"), nullable=False),
    Column("name", Text, nullable=False),
    Column("realm", Text, nullable=False),
    Column("ha1_sha256", Text, nullable=False),
    Column("ha1_md5", Text, nullable=False),
    Column("networks", Json, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("changed_at", Double, nullable=False),
)
"""Desk phones that register here. `ha1_*` prove a password of the realm; the password is not kept."""

phone_registrations = Table(
    "phone_registrations",
    metadata,
    Column("phone", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("contact", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("transport", Text, nullable=False),
    Column("call_id", Text, nullable=False),
    Column("instance", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("port", Integer, nullable=False),
    Column("cseq", Number, nullable=False),
    Column("at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
)
"""Where registered phones were, and until when: for a restart of the server."""

phone_calls = Table(
    "phone_calls",
    metadata,
    Column("call", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("direction", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("called", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("session", Text, nullable=False),
    Column("alert", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("answered_at", Double, nullable=True),
    Column("ended_at", Double, nullable=True),
    Column("result", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("status", Integer, nullable=False),
    CheckConstraint("direction IN ('in', 'out')", name="direction"),
    Index("ix_phone_calls_site_at", "site", "at"),
    Index("ix_phone_calls_at", "at"),
)
"""Calls that were let in or made. Refused ones are in the log and, the newest, on the page: a scanner fills no disk."""

# --- audit ----------------------------------------------------------------------------------------------------------

audit = Table(
    "audit",
    metadata,
    Column("seq", Number, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("result", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("prev_sha256", Text, nullable=False),
    Column("sha256", Text, nullable=False),
    Index("ix_audit_site_seq", "site", "seq"),
)
"""Only ever added to. `detail` is JSON kept as text, because its exact characters are hashed."""

chain_spans = Table(
    "chain_spans",
    metadata,
    Column("chain", Text, primary_key=True),
    Column("first", Number, primary_key=True, autoincrement=False),
    Column("last", Number, nullable=False),
    Column("before", Text, nullable=False),
    Column("after", Text, nullable=False),
    Column("named_by", Number, nullable=False),
)
"""Rows that retention took out of a chain (`audit`, or a room): `before` and `after` are the hashes that close the
hole. Each is named by a row of the audit, `named_by`."""
