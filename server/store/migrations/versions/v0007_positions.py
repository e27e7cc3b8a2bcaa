"""Presence of positions, and readings by the minute.

Revision: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for table in ("positions", "latest_positions"):
        op.add_column(table, sa.Column("presence", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "reading_minutes",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("quantity", sa.Text(), nullable=False),
        sa.Column("minute", NUMBER, autoincrement=False, nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("low", "mean", "high", "last")),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("site", "device", "quantity", "minute", name="pk_reading_minutes"),
        sqlite_with_rowid=False,
    )
