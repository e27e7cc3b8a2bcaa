"""Writing down who looks at something, or asks for something, that is no change of the store by itself."""

import time
from collections.abc import Mapping

from aiohttp import web

from server.api.context import Context
from server.api.http import visitor
from server.store import audit

LONGEST_OBJECT = 200


async def write_down(
    context: Context,
    request: web.Request,
    action: str,
    what: str,
    site: str,
    detail: Mapping[str, object] | None = None,
    *,
    result: str = "ok",
) -> None:
    """A row of the audit about the visitor. Done before the thing itself is shown or done.

    Raises:
        StoreError: it could not be written down.
    """
    async with context.database.transaction() as connection:
        await audit.append(
            connection, at=time.time(), actor=visitor(request).user.user, action=action, object=what[:LONGEST_OBJECT],
            site=site, result=result, address=request.remote or "", detail=detail,
        )  # fmt: skip
