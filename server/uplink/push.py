"""A client of the AI-video push API: JSON arrays by POST with a bearer token.

Taken is only what comes back with a status of 2xx *and* `code` 200: a platform may say 401 in a body of status 200.
On 401 and 403 the token is fetched anew and the same is sent once more. Redirections are not followed: a 307 would
carry records, token and password to whatever host it names.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp

from config.settings import UplinkSettings

Result = Literal["taken", "again", "refused"]
TIMEOUT_S, PICTURES_TIMEOUT_S = 15.0, 30.0
MAX_ANSWER = 64 * 1024
UNAUTHORISED = (401, 403)
BUSY = (408, 425, 429)


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request."""

    result: Result
    words: str = ""


class PushClient:
    """Of one uplink; keep one session for many."""

    def __init__(self, settings: UplinkSettings, session: aiohttp.ClientSession) -> None:
        self._settings, self._session = settings, session
        self._token = settings.token or ""

    async def send(self, endpoint: str, number: str, records: Sequence[dict[str, Any]]) -> Answer:
        """`number`: the same for the same records, however often they are sent. Never raises for what the net does."""
        for fresh in (False, True):
            if fresh or (not self._token and self._settings.token_url):
                refused = await self._refresh()
                if refused is not None:
                    return refused
            answer, code = await self._post(endpoint, number, records)
            if code not in UNAUTHORISED or not self._settings.token_url:
                return answer
        return answer

    async def _post(self, endpoint: str, number: str, records: Sequence[dict[str, Any]]) -> tuple[Answer, int]:
        url = f"{(self._settings.url or '').rstrip('/')}/{endpoint}"
        headers = {"Authorization": f"Bearer {self._token}", "Idempotency-Key": number}
        limit = PICTURES_TIMEOUT_S if any("imagesBase64" in one for one in records) else TIMEOUT_S
        limit = min(limit, self._settings.timeout_s) if self._settings.timeout_s else limit
        try:
            async with self._session.post(
                url,
                json=list(records),
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=limit),
                allow_redirects=False,
            ) as response:
                body = await _body(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer("again", f"{type(error).__name__}"), 0
        return judged(response.status, body)

    async def _refresh(self) -> Answer | None:
        """Fetch a token; None when there is one."""
        assert self._settings.token_url is not None
        try:
            async with self._session.post(
                self._settings.token_url, json=dict(self._settings.token_request),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), allow_redirects=False,
            ) as response:  # fmt: skip
                body = await _body(response)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return Answer("again", f"token: {type(error).__name__}")
        found: object = body
        for step in self._settings.token_field.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        if not 200 <= response.status < 300 or not isinstance(found, str) or not found:
            return Answer("again", f"token: status {response.status}, no {self._settings.token_field}")
        self._token = found
        return None


async def _body(response: aiohttp.ClientResponse) -> dict[str, Any]:
    raw = await response.content.read(MAX_ANSWER)
    try:
        body = json.loads(raw)
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def judged(status: int, body: dict[str, Any]) -> tuple[Answer, int]:
    """What an answer means, and the code that counts: the body's where the status says nothing."""
    code = status if status >= 400 else body.get("code")
    words = f"status {status}, code {body.get('code')!r} {str(body.get('msg', ''))[:200]}"
    if 300 <= status < 400:
        return Answer("again", words), status
    if status < 300 and code == 200:
        return Answer("taken", words), 200
    number = code if isinstance(code, int) else 0
    if number in UNAUTHORISED or number in BUSY or number >= 500 or not 400 <= number < 500:
        return Answer("again", words), number
    return Answer("refused", words), number
