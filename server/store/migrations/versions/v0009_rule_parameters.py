"""Figures of rules as people set them.

Revision: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "rule_parameters",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("values", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_rule_parameters_site"),
        sa.PrimaryKeyConstraint("id", name="pk_rule_parameters"),
    )
    op.create_index("ix_rule_parameters_site_id", "rule_parameters", ["site", "id"], unique=False)
