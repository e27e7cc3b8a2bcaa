"""Escalations, and their messages to programs and gateways.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "escalations",
        sa.Column("alert", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("state", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["alert"], ["alerts.alert"], name="fk_escalations_alert"),
        sa.PrimaryKeyConstraint("alert", name="pk_escalations"),
    )
    op.create_index(
        "ix_escalations_open", "escalations", ["alert"], unique=False,
        sqlite_where=sa.text("open"), postgresql_where=sa.text("open"),
    )  # fmt: skip
    words = ("state", "channel", "address")
    more = ("alert", "ring", "who")
    op.create_table(
        "duty_outbox",
        sa.Column("message", sa.Text(), nullable=False),
        *(sa.Column(word, sa.Text(), nullable=False) for word in words),
        sa.Column("red", sa.Boolean(), nullable=False),
        *(sa.Column(word, sa.Text(), nullable=False) for word in more),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="ck_duty_outbox_state"),
        sa.PrimaryKeyConstraint("message", name="pk_duty_outbox"),
    )
    waiting = sa.text("state = 'waiting'")
    op.create_index(
        "ix_duty_outbox_waiting", "duty_outbox", ["message"], unique=False,
        sqlite_where=waiting, postgresql_where=waiting,
    )  # fmt: skip
