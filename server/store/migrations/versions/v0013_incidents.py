"""Incidents, and which alerts are in them.

Revision: 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision: str | None = "0012"
branch_labels: str | None = None
depends_on: str | None = None

JSON = sa.JSON(none_as_null=True)


def upgrade() -> None:
    words = ("site", "kind", "severity", "state", "title_zh", "title_en")
    op.create_table(
        "incidents",
        sa.Column("incident", sa.Text(), nullable=False),
        *(sa.Column(word, sa.Text(), nullable=False) for word in words),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("sources", JSON, nullable=False),
        sa.Column("zones", JSON, nullable=False),
        sa.Column("kept_apart", JSON, nullable=True),
        sa.Column("merged_into", sa.Text(), nullable=True),
        sa.Column("closed", JSON, nullable=True),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.CheckConstraint("state IN ('open', 'closed', 'merged')", name="ck_incidents_state"),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_incidents_site"),
        sa.PrimaryKeyConstraint("incident", name="pk_incidents"),
    )
    op.create_index("ix_incidents_site_incident", "incidents", ["site", "incident"], unique=False)
    op.create_table(
        "incident_alerts",
        sa.Column("alert", sa.Text(), nullable=False),
        sa.Column("incident", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["alert"], ["alerts.alert"], name="fk_incident_alerts_alert"),
        sa.ForeignKeyConstraint(["incident"], ["incidents.incident"], name="fk_incident_alerts_incident"),
        sa.PrimaryKeyConstraint("alert", name="pk_incident_alerts"),
    )
    op.create_index("ix_incident_alerts_incident", "incident_alerts", ["incident"], unique=False)
