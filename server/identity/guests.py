"""Guests: people without an account who take part in one consultation, by a link (or its QR code) that works once.

A link holds a code; using it up gives the browser a secret in a cookie of its own (`lamproom_guest`), which fetches
room tokens for that consultation and nothing else. A guest has the role `guest`, which holds no verb but `watch`, and
has no log-in: the API is closed. The link ends at its time, when it is revoked, and with the consultation.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from server.identity.attempts import Attempts
from server.identity.errors import LoginError, TokenError
from server.identity.rooms import GUEST_SOURCES, SESSION_PREFIX
from server.identity.tokens import MAX_LIFE_S, Grant, Grants, Holder, RoomToken, Tokens
from server.store import audit
from server.store import guests as rows
from server.store.database import Database
from server.store.guests import Guest

PREFIX = "guest:"
LEVEL = "guest"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Guests:
    """Links for guests, and the tokens that they get."""

    def __init__(
        self,
        database: Database,
        tokens: Tokens,
        *,
        is_open: Callable[[str], bool],
        token_s: float = 600.0,
        attempts_per_minute: int = 5,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`is_open`: whether a consultation is."""
        self._database = database
        self._tokens = tokens
        self.is_open = is_open
        self._token_s = min(token_s, MAX_LIFE_S)
        self._attempts = Attempts(attempts_per_minute)
        self._clock = clock

    async def make(
        self, session: str, site: str, *, name: str, speaks: bool, waits: bool, life_s: float, by: str
    ) -> tuple[Guest, str] | None:
        """A link's code, shown once and kept as a hash. None: this consultation has too many."""
        code, at = secrets.token_urlsafe(24), self._clock()
        guest = Guest(
            f"{PREFIX}{secrets.token_hex(6)}", session, site, name, speaks, waits, "", by, at, at + life_s, None, None
        )  # fmt: skip
        async with self._database.transaction() as connection:
            if len(await rows.of_session(connection, session)) >= rows.MAX_PER_SESSION:
                return None
            await rows.add(connection, guest, _hash(code))
            await audit.append(
                connection, at=at, actor=by, action="guest.make", object=guest.guest, site=site,
                detail={"session": session, "speaks": speaks, "waits": waits},
            )  # fmt: skip
        return guest, code

    async def peek(self, code: str) -> Guest | None:
        """What the code is for, without using it up."""
        async with self._database.reading() as connection:
            found = await rows.peek(connection, _hash(code), self._clock())
        return found if found is not None and self.is_open(found.session) else None

    async def redeem(self, code: str, name: str, address: str) -> tuple[Guest, str]:
        """Use the code up. Returns the guest and the secret for the cookie.

        Raises:
            LoginError: `link_invalid`, `too_many_attempts`.
        """
        keys = (f"guest:{address}",)
        wait = self._attempts.take(keys, time.monotonic())
        if wait is not None:
            raise LoginError("too_many_attempts", "Too many attempts in the last minute.", retry_after_s=wait)
        secret, at = secrets.token_urlsafe(32), self._clock()
        async with self._database.transaction() as connection:
            before = await rows.peek(connection, _hash(code), at)
            guest = None
            if before is not None and self.is_open(before.session):
                guest = await rows.use(connection, _hash(code), name or before.name, _hash(secret), at)
            if guest is not None:
                await audit.append(
                    connection, at=at, actor=guest.guest, action="guest.redeem", object=guest.session, site=guest.site,
                    address=address, detail={"name": guest.name},
                )  # fmt: skip
        if guest is None:
            raise LoginError("link_invalid", "The link is not good.")
        self._attempts.give_back(keys)
        return guest, f"{guest.guest}.{secret}"

    async def of_cookie(self, cookie: str) -> Guest | None:
        """Who has this cookie, while the link lives and the consultation is open."""
        guest_id, _, secret = cookie.partition(".")
        if not (0 < len(guest_id) <= 64 and 0 < len(secret) <= 128 and cookie.isascii()):
            return None
        async with self._database.reading() as connection:
            guest = await rows.get(connection, guest_id)
        if guest is None or not guest.lives(self._clock()) or not self.is_open(guest.session):
            return None
        return guest if hmac.compare_digest(guest.secret_hash, _hash(secret)) else None

    def token(self, guest: Guest) -> RoomToken:
        """For the room of the consultation."""
        at = self._clock()
        holder = Holder(guest.guest, guest.name, "guest", guest.site, LEVEL)
        life_s = max(1.0, min(self._token_s, guest.expires_at - at))
        return self._tokens.issue(holder, f"{SESSION_PREFIX}{guest.session}", self.grants(guest), at, life_s)

    @staticmethod
    def grants(guest: Guest) -> Grants:
        sources = GUEST_SOURCES if guest.speaks else ()
        return Grants(publish=guest.speaks, subscribe=True, sources=sources, unasked=not guest.waits)

    async def verify(self, grant: Grant) -> None:
        """Hold a guest's token against the row.

        Raises:
            TokenError: `revoked`, `token_invalid`.
        """
        async with self._database.reading() as connection:
            guest = await rows.get(connection, grant.user)
        if guest is None or grant.moderate or (grant.room, grant.unasked) != _of(guest):
            raise TokenError("token_invalid", "A guest takes part in one consultation and does no more.")
        if not guest.lives(self._clock()) or not self.is_open(guest.session):
            raise TokenError("revoked", "The guest's link has ended.")

    async def of_session(self, session: str) -> list[Guest]:
        async with self._database.reading() as connection:
            return await rows.of_session(connection, session)

    async def revoke(self, guest: Guest, *, by: str) -> None:
        """The link, and whoever came by it, is out."""
        at = self._clock()
        async with self._database.transaction() as connection:
            if await rows.revoke(connection, guest.guest, at):
                await audit.append(
                    connection, at=at, actor=by, action="guest.revoke", object=guest.guest, site=guest.site,
                    detail={"session": guest.session},
                )  # fmt: skip


def _of(guest: Guest) -> tuple[str, bool]:
    """What a token of this guest says of the room, and of whether somebody lets him in."""
    return f"{SESSION_PREFIX}{guest.session}", not guest.waits
