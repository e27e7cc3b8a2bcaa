"""Hazards, their rectification and its pictures.

Revision: 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision: str | None = "0016"
branch_labels: str | None = None
depends_on: str | None = None


def _text(name: str, *, nullable: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.Text(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "hazards",
        *(_text(name) for name in ("hazard", "site", "state", "severity", "late", "told")),
        sa.Column("next_at", sa.Double(), nullable=True),
        sa.Column("closed_at", sa.Double(), nullable=True),
        _text("words"),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_hazards_site"),
        sa.PrimaryKeyConstraint("hazard", name="pk_hazards"),
    )
    op.create_index("ix_hazards_site_hazard", "hazards", ["site", "hazard"], unique=False)
    op.create_index("ix_hazards_next_at", "hazards", ["next_at"], unique=False)
    op.create_index(
        "ix_hazards_untold", "hazards", ["hazard"], unique=False,
        sqlite_where=sa.text("late <> told"), postgresql_where=sa.text("late <> told"),
    )  # fmt: skip
    op.create_table(
        "hazard_pictures",
        _text("picture"),
        _text("hazard", nullable=True),
        _text("by"),
        sa.Column("at", sa.Double(), nullable=False),
        _text("sha256"),
        sa.Column("bytes", sa.Integer(), nullable=False),
        _text("type"),
        sa.ForeignKeyConstraint(["hazard"], ["hazards.hazard"], name="fk_hazard_pictures_hazard"),
        sa.PrimaryKeyConstraint("picture", name="pk_hazard_pictures"),
    )
    op.create_index("ix_hazard_pictures_hazard", "hazard_pictures", ["hazard"], unique=False)
