"""Timelines become chains, and spans that were removed on purpose are remembered.

Revision: 0004
"""

import hashlib
import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FIRST = "0" * 64
PAGE_ROWS = 1000


def upgrade() -> None:
    op.add_column("rooms", sa.Column("sha256", sa.Text(), nullable=False, server_default=FIRST))
    op.add_column("rooms", sa.Column("checked_seq", NUMBER, nullable=False, server_default=sa.text("0")))
    op.add_column("rooms", sa.Column("checked_by", NUMBER, nullable=False, server_default=sa.text("0")))
    op.add_column("entries", sa.Column("sha256", sa.Text(), nullable=False, server_default=""))
    op.create_table(
        "chain_spans",
        sa.Column("chain", sa.Text(), nullable=False),
        sa.Column("first", NUMBER, autoincrement=False, nullable=False),
        sa.Column("last", NUMBER, nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("named_by", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("chain", "first", name="pk_chain_spans"),
    )
    _chain_what_is_there()


def _chain_what_is_there() -> None:
    """The digest as it was when this step was written."""
    rooms = sa.table("rooms", sa.column("room", sa.Text()), sa.column("sha256", sa.Text()))
    entries = sa.table(
        "entries", sa.column("room", sa.Text()), sa.column("seq", NUMBER), sa.column("at", sa.Double()),
        sa.column("kind", sa.Text()), sa.column("body", sa.JSON()), sa.column("sha256", sa.Text()),
    )  # fmt: skip
    connection = op.get_bind()
    set_one = (
        entries.update()
        .where(entries.c.room == sa.bindparam("r"), entries.c.seq == sa.bindparam("s"))
        .values(sha256=sa.bindparam("h"))
    )
    for (room,) in connection.execute(sa.select(rooms.c.room).order_by(rooms.c.room)).all():
        last, before = 0, FIRST
        while True:
            query = sa.select(entries).where(entries.c.room == room, entries.c.seq > last)
            page = connection.execute(query.order_by(entries.c.seq).limit(PAGE_ROWS)).all()
            hashes = []
            for row in page:
                entry = [row.room, row.seq, float(row.at), row.kind, row.body, before]
                words = json.dumps(entry, sort_keys=True, separators=(",", ":"))
                before, last = hashlib.sha256(words.encode()).hexdigest(), row.seq
                hashes.append({"r": room, "s": row.seq, "h": before})
            if hashes:
                connection.execute(set_one, hashes)
            if len(page) < PAGE_ROWS:
                break
        connection.execute(rooms.update().where(rooms.c.room == room).values(sha256=before))
