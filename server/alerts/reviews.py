"""Who has looked at which alert. Each person has marks of his own: they say nothing about what was done."""

from collections.abc import Sequence

from sqlalchemy import and_, case, delete, func, select

from server.store.database import Database
from server.store.sites import at_or_below
from server.store.tables import alert_reviews, alerts
from server.store.upsert import insert_into


async def sites_of(database: Database, ids: Sequence[str]) -> dict[str, str]:
    """The sites of those of these alerts that there are."""
    async with database.reading() as connection:
        rows = await connection.execute(select(alerts.c.alert, alerts.c.site).where(alerts.c.alert.in_(ids)))
        return {row.alert: row.site for row in rows}


async def mark(database: Database, user: str, ids: Sequence[str], reviewed: bool, at: float) -> None:
    """These alerts, which there are, were looked at by this person; or not yet."""
    async with database.transaction() as connection:
        if not reviewed:
            await connection.execute(
                delete(alert_reviews).where(alert_reviews.c.user == user, alert_reviews.c.alert.in_(ids))
            )
            return
        rows = [{"user": user, "alert": one, "at": at} for one in dict.fromkeys(ids)]
        await connection.execute(insert_into(connection, alert_reviews).values(rows).on_conflict_do_nothing())


async def of_user(database: Database, user: str, ids: Sequence[str]) -> tuple[str, ...]:
    """Which of these alerts the person has looked at."""
    query = select(alert_reviews.c.alert).where(alert_reviews.c.user == user, alert_reviews.c.alert.in_(ids))
    async with database.reading() as connection:
        return tuple((await connection.execute(query.order_by(alert_reviews.c.alert))).scalars())


async def counts(database: Database, path: str, user: str, since: float) -> dict[str, dict[str, int]]:
    """By severity: all alerts at or below a path since then, those the person has not looked at, the open ones."""
    mine = and_(alert_reviews.c.alert == alerts.c.alert, alert_reviews.c.user == user)
    query = (
        select(
            alerts.c.severity,
            func.count().label("all"),
            func.sum(case((alert_reviews.c.alert.is_(None), 1), else_=0)).label("new"),
            func.sum(case((alerts.c.state == "open", 1), else_=0)).label("open"),
        )
        .select_from(alerts.outerjoin(alert_reviews, mine))
        .where(at_or_below(alerts.c.site, path), alerts.c.opened_at >= since)
        .group_by(alerts.c.severity)
    )
    async with database.reading() as connection:
        rows = (await connection.execute(query)).mappings().all()
    return {row["severity"]: {"all": row["all"], "new": int(row["new"]), "open": int(row["open"])} for row in rows}
