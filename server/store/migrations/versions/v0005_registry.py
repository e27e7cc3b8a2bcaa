"""Facts of mines, by versions.

Revision: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
CURRENT = sa.text("valid_to IS NULL")


def upgrade() -> None:
    op.create_table(
        "registry",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", NUMBER, autoincrement=False, nullable=False),
        sa.Column("valid_from", sa.Double(), nullable=False),
        sa.Column("valid_to", sa.Double(), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.Column("manual", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_registry_site"),
        sa.PrimaryKeyConstraint("site", "kind", "id", "version", name="pk_registry"),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ux_registry_current", "registry", ["site", "kind", "id"], unique=True,
        sqlite_where=CURRENT, postgresql_where=CURRENT,
    )  # fmt: skip
    op.create_table(
        "registry_changes",
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("version", NUMBER, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_registry_changes_site"),
        sa.PrimaryKeyConstraint("site", "version", name="pk_registry_changes"),
        sqlite_with_rowid=False,
    )
