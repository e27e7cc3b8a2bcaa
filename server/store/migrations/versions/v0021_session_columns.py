"""What retention asks of consultations, as columns.

Revision: 0021
"""

import sqlalchemy as sa
from alembic import op

from server.store.sessions import alerts_of, released

revision = "0021"
down_revision: str | None = "0020"
branch_labels: str | None = None
depends_on: str | None = None

PAGE_ROWS = 200


def upgrade() -> None:
    op.add_column("sessions", sa.Column("released_at", sa.Double(), nullable=True))
    op.add_column("sessions", sa.Column("alerts", sa.JSON(none_as_null=True), nullable=False, server_default="[]"))
    table = sa.table(
        "sessions", sa.column("session", sa.Text()), sa.column("state", sa.JSON()),
        sa.column("released_at", sa.Double()), sa.column("alerts", sa.JSON()),
    )  # fmt: skip
    connection, after = op.get_bind(), ""
    while True:
        query = sa.select(table.c.session, table.c.state).where(table.c.session > after).order_by(table.c.session)
        page = connection.execute(query.limit(PAGE_ROWS)).all()
        for row in page:
            values = {"released_at": released(row.state), "alerts": alerts_of(row.state)}
            connection.execute(table.update().where(table.c.session == row.session).values(values))
        if len(page) < PAGE_ROWS:
            return
        after = page[-1].session
