"""Files that are the whole body of a request."""

from aiohttp import web

from server.api.http import raw_body

UPLOAD_TIMEOUT_S = 60.0


async def upload(request: web.Request, most: int) -> bytes:
    """The whole body.

    Raises:
        ApiProblem: too long, or too slow.
    """
    return await raw_body(request, most, UPLOAD_TIMEOUT_S)
