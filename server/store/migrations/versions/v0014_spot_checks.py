"""Spot checks and roll calls.

Revision: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision: str | None = "0013"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "spot_checks",
        sa.Column("check", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("called_at", sa.Double(), nullable=False),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_spot_checks_site"),
        sa.PrimaryKeyConstraint("check", name="pk_spot_checks"),
    )
    op.create_index("ix_spot_checks_site_called_at", "spot_checks", ["site", "called_at"], unique=False)
    op.create_index(
        "ix_spot_checks_open", "spot_checks", ["called_at"], unique=False,
        sqlite_where=sa.text("open"), postgresql_where=sa.text("open"),
    )  # fmt: skip
