"""Passwords: argon2id, off the event loop, never more than a few at once.

A wrong name costs the same work as a wrong password: one verification, against a hash that nothing fits.
"""

import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from server.identity.errors import LoginError

MAX_PASSWORD_LENGTH = 256
MAX_AT_ONCE = 2
"""Each hash takes 64 MiB and a core for about 0.1 s."""
MAX_WAITING = 32
"""Further callers are refused with `capacity`."""


class Passwords:
    """Hashes and verifies. `verifications` counts the verifications done, for tests of the timing shape."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._free = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting = 0
        self._nobody = self._hasher.hash(secrets.token_urlsafe(32))
        self.verifications = 0

    async def hash(self, password: str) -> str:
        """The argon2id hash to store."""
        async with _Place(self):
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password fits. `stored` = None (no such user) does the same work and says no.

        Raises:
            LoginError: too many are waiting already.
        """
        async with _Place(self):
            self.verifications += 1
            fits = await asyncio.to_thread(self._verify, stored or self._nobody, password)
        return fits and stored is not None

    def outdated(self, stored: str) -> bool:
        """Whether the hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(stored)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerifyMismatchError, VerificationError, InvalidHashError):
            return False


class _Place:
    """One of the few places to hash at; a bounded number wait for it."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    async def __aenter__(self) -> None:
        if self._passwords._waiting >= MAX_WAITING:
            raise LoginError("capacity", "Too many passwords are being verified.", retry_after_s=2.0)
        self._passwords._waiting += 1
        try:
            await self._passwords._free.acquire()
        finally:
            self._passwords._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._passwords._free.release()
