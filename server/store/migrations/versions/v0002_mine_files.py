"""Files that mines send.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "mine_files",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("mine", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("header_at", sa.Double(), nullable=True),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("bad", sa.JSON(), nullable=False),
        sa.Column("warnings", sa.JSON(), nullable=False),
        sa.CheckConstraint(
            "status IN ('DONE', 'PARTIAL', 'FAILED', 'STALE', 'DUPLICATE', 'UNKNOWN')", name="ck_mine_files_status"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_mine_files"),
    )
    op.create_index("ix_mine_files_name_sha256", "mine_files", ["name", "sha256"])
    op.create_index("ix_mine_files_mine_type_header_at", "mine_files", ["mine", "type", "header_at"])
