"""Files that are the whole body of a request."""

import asyncio

from aiohttp import web

from server.api.http import ApiProblem

UPLOAD_TIMEOUT_S = 60.0


async def upload(request: web.Request, most: int) -> bytes:
    """The whole body.

    Raises:
        ApiProblem: too long, or too slow.
    """
    if (request.content_length or 0) > most:
        raise ApiProblem("too_large", f"The file may have {most} bytes.")
    raw = bytearray()
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            while chunk := await request.content.read(1 << 16):
                raw += chunk
                if len(raw) > most:
                    raise ApiProblem("too_large", f"The file may have {most} bytes.")
    except TimeoutError:
        raise ApiProblem("timeout", "The file did not arrive in time.") from None
    except web.RequestPayloadError as error:
        raise ApiProblem("bad_request", "The file could not be read.") from error
    return bytes(raw)
