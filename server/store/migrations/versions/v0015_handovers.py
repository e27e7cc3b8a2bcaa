"""Handovers of shifts.

Revision: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision: str | None = "0014"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "handovers",
        sa.Column("handover", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.Double(), nullable=False),
        sa.Column("completed_at", sa.Double(), nullable=True),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_handovers_site"),
        sa.PrimaryKeyConstraint("handover", name="pk_handovers"),
    )
    op.create_index("ix_handovers_site_opened_at", "handovers", ["site", "opened_at"], unique=False)
