"""What each person has set for the own pages, and which alerts they have looked at.

Revision: 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision: str | None = "0017"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    op.create_table(
        "preferences",
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.user"], name="fk_preferences_user"),
        sa.PrimaryKeyConstraint("user", "name", name="pk_preferences"),
    )
    op.create_table(
        "alert_reviews",
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("alert", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["alert"], ["alerts.alert"], name="fk_alert_reviews_alert"),
        sa.ForeignKeyConstraint(["user"], ["users.user"], name="fk_alert_reviews_user"),
        sa.PrimaryKeyConstraint("user", "alert", name="pk_alert_reviews"),
    )
