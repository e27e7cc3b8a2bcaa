"""Call lists and rotas.

Revision: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision: str | None = "0009"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "rota",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.CheckConstraint("kind IN ('person', 'plan', 'override')", name="ck_rota_kind"),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_rota_site"),
        sa.PrimaryKeyConstraint("kind", "id", name="pk_rota"),
    )
