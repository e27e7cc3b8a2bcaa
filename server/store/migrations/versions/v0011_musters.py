"""Musters, their people and their lists.

Revision: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

GOING_ON = sa.text("ended_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "musters",
        sa.Column("muster", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("alert", sa.Text(), nullable=True),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=False),
        sa.Column("end_reason", sa.Text(), nullable=False),
        sa.Column("lists", sa.Integer(), nullable=False),
        sa.Column("left_out", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_musters_site"),
        sa.PrimaryKeyConstraint("muster", name="pk_musters"),
    )
    op.create_index(
        "ux_musters_going_on", "musters", ["site"], unique=True, sqlite_where=GOING_ON, postgresql_where=GOING_ON
    )
    op.create_index("ix_musters_site_started_at", "musters", ["site", "started_at"])
    op.create_table(
        "muster_members",
        sa.Column("muster", sa.Text(), nullable=False),
        sa.Column("card", sa.Text(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["muster"], ["musters.muster"], name="fk_muster_members_muster"),
        sa.PrimaryKeyConstraint("muster", "card", name="pk_muster_members"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "muster_lists",
        sa.Column("muster", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("due_at", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("signed_by", sa.Text(), nullable=True),
        sa.Column("signed_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["muster"], ["musters.muster"], name="fk_muster_lists_muster"),
        sa.PrimaryKeyConstraint("muster", "number", name="pk_muster_lists"),
        sqlite_with_rowid=False,
    )
