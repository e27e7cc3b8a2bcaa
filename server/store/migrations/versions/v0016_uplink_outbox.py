"""What is to be sent upwards.

Revision: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision: str | None = "0015"
branch_labels: str | None = None
depends_on: str | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    words = ("uplink", "endpoint", "key")
    op.create_table(
        "uplink_outbox",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("seq", NUMBER, nullable=False),
        *(sa.Column(word, sa.Text(), nullable=False) for word in words),
        sa.Column("body", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("made_at", sa.Double(), nullable=False),
        sa.Column("batch", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'refused')", name="ck_uplink_outbox_state"),
        sa.PrimaryKeyConstraint("id", name="pk_uplink_outbox"),
    )
    op.create_index("ux_uplink_outbox_uplink_key", "uplink_outbox", ["uplink", "key"], unique=True)
    op.create_index("ix_uplink_outbox_uplink_state_seq", "uplink_outbox", ["uplink", "state", "seq"], unique=False)
