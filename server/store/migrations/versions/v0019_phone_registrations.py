"""Registrations of desk phones, so that they can be rung right after a restart.

Revision: 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision: str | None = "0018"
branch_labels: str | None = None
depends_on: str | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    words = ("contact", "host", "transport", "call_id", "instance", "agent")
    op.create_table(
        "phone_registrations",
        sa.Column("phone", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        *(sa.Column(word, sa.Text(), nullable=False) for word in words),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("cseq", NUMBER, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("phone", "number", name="pk_phone_registrations"),
    )
