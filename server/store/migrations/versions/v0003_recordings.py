"""Recordings and their segments.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    words = ("track", "client", "person", "name", "kind", "codec", "state", "reason")
    op.create_table(
        "recordings",
        sa.Column("recording", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("session", sa.Text(), nullable=True),
        sa.Column("site", sa.Text(), nullable=False),
        *(sa.Column(word, sa.Text(), nullable=False) for word in words),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.CheckConstraint("state IN ('recording', 'finished', 'interrupted')", name="ck_recordings_state"),
        sa.ForeignKeyConstraint(["site"], ["sites.site"], name="fk_recordings_site"),
        sa.PrimaryKeyConstraint("recording", name="pk_recordings"),
    )
    op.create_index("ix_recordings_session", "recordings", ["session"], unique=False)
    op.create_index("ix_recordings_site_recording", "recordings", ["site", "recording"], unique=False)
    op.create_table(
        "recording_segments",
        sa.Column("recording", sa.Text(), nullable=False),
        sa.Column("segment", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("duration_s", sa.Double(), nullable=True),
        sa.Column("bytes", NUMBER, nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state IN ('allowed', 'recording', 'finished', 'interrupted')", name="ck_recording_segments_state"
        ),
        sa.ForeignKeyConstraint(["recording"], ["recordings.recording"], name="fk_recording_segments_recording"),
        sa.PrimaryKeyConstraint("recording", "segment", name="pk_recording_segments"),
    )
