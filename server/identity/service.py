"""Who is who: log-ins, one-time links, room tokens, accounts, and the word that access has ended.

A log-in is `{id}.{secret}` in a cookie; the store holds the id and the SHA-256 of the secret. A room token is a JWT
(`tokens.py`) that names the log-in it was fetched with. A token is good while its signature and times are, its account
is enabled, it is younger than the account's `valid_after`, and its log-in has not ended: all asked anew at each
`verify`, so that another process on the same store (the command line) ends access too. Within this process
`on_revoked` tells it at once.
"""

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from config.settings import AuthSettings
from server.identity.attempts import Attempts
from server.identity.errors import AccountError, LoginError, RoomRefused, TokenError
from server.identity.guests import Guests
from server.identity.passwords import Passwords
from server.identity.roles import WITHOUT_LOGIN, Role, Verb, may
from server.identity.rooms import SESSION_PREFIX, SITE_PREFIX, session_room, site_room
from server.identity.secret import load_or_make
from server.identity.tokens import MAX_DEVICE_LIFE_S, Grant, Grants, Holder, RoomToken, Tokens
from server.store import audit
from server.store import identity as rows
from server.store.database import Database
from server.store.errors import StoreConflict
from server.store.identity import User
from server.store.ids import new_id
from server.store.sites import SiteTree

__all__ = ["Identity", "Revocation", "User", "Visitor"]

LOGIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
DEVICE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
TOUCH_EVERY_S = 300.0
"""`last_seen_at` of a log-in is not written more often."""
MAX_KEPT_LOGIN_S = 365 * 86400.0
"""After this a log-in that lives on by itself ends."""
LINK_LIFE_S = 24 * 3600.0
MAX_LINK_LIFE_S = 7 * 86400.0
FIRST_ADMIN_LOGIN = "admin"
SPEAKABLE = "abcdefghjkmnpqrstuvwxyz23456789"
"""Without what is taken for something else: i l o 0 1."""
KEEP_ENDED_S = 30 * 86400.0

Purpose = Literal["login"]
SitesOfSession = Callable[[str], Collection[str] | None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks, and by which log-in."""

    user: User
    login: str
    """Id of the log-in; no secret."""


@dataclass(frozen=True, slots=True)
class Revocation:
    """Access that has ended. Exactly one of the three is set, `user` for accounts and devices alike."""

    user: str | None = None
    login: str | None = None
    jti: str | None = None

    def covers(self, grant: Grant) -> bool:
        """Whether a socket that came in by this grant is to be closed."""
        if self.user is not None:
            return grant.user == self.user
        if self.login is not None:
            return grant.login == self.login
        return grant.jti == self.jti


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def device_subject(site: str, name: str) -> str:
    """`sub` of the tokens of a device."""
    return f"device:{site}:{name}"


class Identity:
    """The one owner of accounts, log-ins and tokens in this process."""

    def __init__(
        self,
        database: Database,
        tree: SiteTree,
        settings: AuthSettings,
        key: bytes,
        *,
        passwords: Passwords | None = None,
        sites_of_session: SitesOfSession | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.tree = tree
        self.sites_of_session: SitesOfSession = sites_of_session or (lambda _session: None)
        """Sites whose people may enter a consultation; None: no such open one. Set by the owner of sessions."""
        self.passwords = passwords or Passwords()
        self._database = database
        self._settings = settings
        self._tokens = Tokens(key)
        self._attempts = Attempts(settings.login_attempts_per_minute)
        self._clock = clock
        self.guests = Guests(
            database, self._tokens, is_open=lambda session: self.sites_of_session(session) is not None,
            token_s=settings.access_token_s, attempts_per_minute=settings.login_attempts_per_minute, clock=clock,
        )  # fmt: skip
        self._callbacks: list[Callable[[Revocation], None]] = []

    @classmethod
    async def open(cls, database: Database, tree: SiteTree, settings: AuthSettings, data_dir: Path) -> "Identity":
        """With the key in the data folder, made there at first start.

        Raises:
            SecretError: the key file cannot be used.
        """
        key = await asyncio.to_thread(load_or_make, data_dir / "secrets" / "token.key")
        identity = cls(database, tree, settings, key)
        async with database.transaction() as connection:
            await rows.forget_ended(connection, identity._clock() - KEEP_ENDED_S)
        return identity

    # --- may they? ---

    def may(self, user: User, verb: Verb, site: str) -> bool:
        """Whether this person may do this at this site."""
        return may(user, verb, site, self.tree)

    def visible_sites(self, user: User) -> tuple[str, ...]:
        """The own site and all below it."""
        if user.site not in self.tree:
            return ()
        return (user.site, *self.tree.descendants(user.site))

    # --- log-in ---

    async def login(self, login: str, password: str, address: str) -> tuple[Visitor, str]:
        """Check a password. Returns the visitor and the secret for the cookie.

        Every refusal costs one password verification, whether the name exists or not, except when there were too many.

        Raises:
            LoginError: `wrong_login`, `too_many_attempts`, `capacity`.
        """
        login = login.casefold()
        keys = (f"address:{address}", f"login:{_hash(login)}")
        wait = self._attempts.take(keys, time.monotonic())
        if wait is not None:
            raise LoginError("too_many_attempts", "Too many attempts in the last minute.", retry_after_s=wait)
        async with self._database.reading() as connection:
            found = await rows.find_login(connection, login)
        user, stored = found if found is not None else (None, None)
        try:
            fits = await self.passwords.verify(stored, password)
        except LoginError:
            self._attempts.give_back(keys)  # nobody looked at the password
            raise
        if user is None or stored is None or not fits or user.disabled or user.site not in self.tree:
            await self._audit_refused_login(user, address)
            raise LoginError("wrong_login", "The user name or password is not correct.")
        self._attempts.give_back(keys)
        if self.passwords.outdated(stored):
            await self._store_password(user.user, await self.passwords.hash(password))
        return await self._enter(user, address, "login")

    async def _audit_refused_login(self, user: User | None, address: str) -> None:
        """A name that does not exist may be a password typed in the wrong place: it is not kept."""
        async with self._database.transaction() as connection:
            await audit.append(
                connection,
                at=self._clock(),
                actor=user.user if user else "",
                action="login",
                object=user.user if user else "",
                site=user.site if user else "",
                result="refused",
                address=address,
            )

    async def _enter(self, user: User, address: str, action: str) -> tuple[Visitor, str]:
        at = self._clock()
        login_id, secret = secrets.token_urlsafe(12), secrets.token_urlsafe(32)
        async with self._database.transaction() as connection:
            expires_at = at + self._settings.login_days * 86400.0
            await rows.add_login(connection, login_id, _hash(secret), user.user, at, expires_at, address)
            await audit.append(
                connection, at=at, actor=user.user, action=action, object=login_id, site=user.site, address=address
            )
        return Visitor(user, login_id), f"{login_id}.{secret}"

    async def user_of_cookie(self, cookie: str) -> Visitor | None:
        """Who has this log-in; None if nobody has (ended, revoked, forged, disabled)."""
        login_id, _, secret = cookie.partition(".")
        if not (0 < len(login_id) <= 64 and 0 < len(secret) <= 128 and cookie.isascii()):
            return None
        at = self._clock()
        async with self._database.reading() as connection:
            login = await rows.live_login(connection, login_id, at)
        if login is None or not hmac.compare_digest(login.secret_hash, _hash(secret)):
            return None
        if login.user.site not in self.tree:
            return None
        if at - login.last_seen_at > TOUCH_EVERY_S:
            async with self._database.transaction() as connection:
                await rows.touch_login(connection, login_id, at)
        return Visitor(login.user, login_id)

    async def keep_login(self, login_id: str) -> bool:
        """Let a log-in live on from now; False: it is too old for that."""
        at = self._clock()
        async with self._database.transaction() as connection:
            return await rows.extend_login(
                connection, login_id, at + self._settings.login_days * 86400.0, at - MAX_KEPT_LOGIN_S
            )

    # --- one-time links ---

    async def make_link(self, user: str, *, by: str = "", purpose: Purpose = "login", ttl: float = LINK_LIFE_S) -> str:
        """A code that logs its user in once, within `ttl` seconds. Shown once, kept only as a hash.

        Raises:
            AccountError: no such user, or disabled.
        """
        if not 0 < ttl <= MAX_LINK_LIFE_S:
            raise ValueError(f"a link may not live {ttl} s")
        code, at = secrets.token_urlsafe(24), self._clock()
        async with self._database.transaction() as connection:
            found = await rows.get_user(connection, user)
            if found is None or found.disabled:
                raise AccountError("no_such_user", "There is no such user.")
            await rows.add_link(connection, _hash(code), user, purpose, at + ttl)
            await audit.append(connection, at=at, actor=by, action="link.make", object=user, site=found.site)
        return code

    async def redeem(self, code: str, address: str, *, purpose: Purpose = "login") -> tuple[Visitor, str]:
        """Use up a code. Returns the visitor and the secret for the cookie.

        Raises:
            LoginError: `link_invalid` (unknown, used, expired, account disabled: not told apart), `too_many_attempts`.
        """
        keys = (f"link:{address}",)
        wait = self._attempts.take(keys, time.monotonic())
        if wait is not None:
            raise LoginError("too_many_attempts", "Too many attempts in the last minute.", retry_after_s=wait)
        async with self._database.transaction() as connection:
            user = await rows.use_link(connection, _hash(code), purpose, self._clock())
        if user is None or user.site not in self.tree:
            raise LoginError("link_invalid", "The link is not good.")
        self._attempts.give_back(keys)
        return await self._enter(user, address, "link.redeem")

    # --- room tokens ---

    async def issue(self, user: User, room: str, *, login: str | None = None) -> RoomToken:
        """A token for a room.

        Raises:
            RoomRefused: there is no such room, or not for this person.
        """
        grants = self._grants(user, room)
        if grants is None:
            raise RoomRefused(f"{room} is not for this person.")
        holder = Holder(user.user, user.name, user.role, user.site, self.tree.level(user.site), login)
        return self._tokens.issue(holder, room, grants, self._clock(), self._settings.access_token_s)

    def issue_device(self, room: str, name: str, life_s: float = MAX_DEVICE_LIFE_S) -> RoomToken:
        """A token with which a camera or encoder publishes into the room of a mine, for at most a day.

        Raises:
            RoomRefused: not the room of a site of ours.
            AccountError: `invalid`, not a name for a camera.
            ValueError: the life is out of bounds.
        """
        if not DEVICE_NAME.fullmatch(name):
            raise AccountError("invalid", "The name of a camera is made of a-z, 0-9, dash and underscore.")
        site = room.removeprefix(SITE_PREFIX)
        if not room.startswith(SITE_PREFIX) or site not in self.tree:
            raise RoomRefused(f"{room} is not the room of a site.")
        subject = device_subject(site, name)
        holder = Holder(subject, name, "device", site, self.tree.level(site))
        grants = self._device_grants(site)
        return self._tokens.issue(holder, room, grants, self._clock(), life_s)

    async def verify(self, token: str) -> Grant:
        """What a room token says, if it is good now.

        Raises:
            TokenError: `token_invalid`, `token_expired`, `revoked`.
        """
        at = self._clock()
        grant = self._tokens.read(token, at)
        if grant.role == "device":
            await self._verify_device(grant)
            return grant
        if grant.role == "guest":
            await self.guests.verify(grant)
            return grant
        async with self._database.reading() as connection:
            user = await rows.get_user(connection, grant.user)
            login = await rows.live_login(connection, grant.login, at) if grant.login is not None else None
            void_until = await rows.tokens_void_until(connection, grant.jti)
        if user is None or user.disabled or grant.issued_at <= max(user.valid_after, void_until):
            raise TokenError("revoked", "The account is disabled, or its tokens were revoked.")
        if grant.login is not None and (login is None or login.user.user != grant.user):
            raise TokenError("revoked", "The log-in that fetched the token has ended.")
        if (user.role, user.site) != (grant.role, grant.site):
            raise TokenError("revoked", "The role or the site of the account has changed.")
        if self._grants(user, grant.room) is None:
            raise TokenError("revoked", "The room is no longer for this person.")
        return grant

    async def _verify_device(self, grant: Grant) -> None:
        if grant.site not in self.tree or grant.room != f"{SITE_PREFIX}{grant.site}" or grant.subscribe:
            raise TokenError("token_invalid", "A device publishes into the room of its site and does no more.")
        async with self._database.reading() as connection:
            void_until = await rows.tokens_void_until(connection, grant.user, grant.jti)
        if grant.issued_at <= void_until:
            raise TokenError("revoked", "The tokens of this device were revoked.")

    def _grants(self, user: User, room: str) -> Grants | None:
        if room.startswith(SITE_PREFIX):
            return site_room(user, room.removeprefix(SITE_PREFIX), self.tree)
        if room.startswith(SESSION_PREFIX) and user.site in self.tree:
            sites = self.sites_of_session(room.removeprefix(SESSION_PREFIX))
            return None if sites is None else session_room(user, frozenset(sites))
        return None

    def _device_grants(self, site: str) -> Grants:
        grants = site_room(_Device(site), site, self.tree)
        if grants is None:
            raise RoomRefused(f"{site} is not a site.")
        return grants

    # --- the end of access ---

    def on_revoked(self, callback: Callable[[Revocation], None]) -> Callable[[], None]:
        """Call `callback` whenever access ends; returns what undoes the registration."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def revoke_login(self, login: str, *, by: str = "", site: str = "") -> None:
        """End one log-in and every token fetched with it. `site`: that of the account, for the audit."""
        at = self._clock()
        async with self._database.transaction() as connection:
            if await rows.revoke_login(connection, login, at):
                await audit.append(connection, at=at, actor=by, action="login.end", object=login, site=site)
        self._tell(Revocation(login=login))

    async def revoke_user(self, user: str, *, by: str = "") -> None:
        """End all log-ins, links and tokens of an account; it may log in again.

        Raises:
            AccountError: no such user.
        """
        await self._end_access(user, by, "user.revoke")

    async def disable(self, user: str, *, by: str = "") -> None:
        """End all access of an account, for good.

        Raises:
            AccountError: no such user.
        """
        await self._end_access(user, by, "user.disable", disabled=True)

    async def revoke_device(self, site: str, name: str, *, by: str = "") -> None:
        """Tokens issued to this device up to now are void."""
        await self._void(device_subject(site, name), by, Revocation(user=device_subject(site, name)))

    async def revoke_token(self, jti: str, *, by: str = "") -> None:
        """This one token is void."""
        await self._void(jti, by, Revocation(jti=jti))

    async def _void(self, subject: str, by: str, revocation: Revocation) -> None:
        at = self._clock()
        async with self._database.transaction() as connection:
            await rows.void_tokens(connection, subject, at, MAX_DEVICE_LIFE_S + 60.0)
            await audit.append(connection, at=at, actor=by, action="token.revoke", object=subject, site="")
        self._tell(revocation)

    async def _end_access(self, user: str, by: str, action: str, **changes: object) -> None:
        at = self._clock()
        async with self._database.transaction() as connection:
            found = await rows.get_user(connection, user)
            if found is None:
                raise AccountError("no_such_user", "There is no such user.")
            await self._keep_an_admin(connection, found, changes)
            await rows.change_user(connection, user, valid_after=at, **changes)
            await rows.revoke_logins_of(connection, user, at)
            await rows.void_links_of(connection, user, at)
            await audit.append(
                connection, at=at, actor=by, action=action, object=user, site=found.site,
                detail={key: value for key, value in changes.items() if key in ("role", "site", "disabled")}
                | {f"{key}_was": getattr(found, key) for key in ("role", "site") if key in changes}
                | ({"password": "new"} if "password_hash" in changes else {}),
            )  # fmt: skip
        self._tell(Revocation(user=user))

    async def _keep_an_admin(self, connection: AsyncConnection, user: User, changes: Mapping[str, object]) -> None:
        """Within the transaction of a change: somebody is left who may do everything."""
        top = self.tree.top
        if user.role != "admin" or user.disabled or user.site != top:
            return
        stays = (changes.get("role", "admin"), changes.get("disabled", False)) == ("admin", False)
        moves = changes.get("site", top) != top
        if (not stays or moves) and not await rows.other_admins(connection, top, user.user):
            raise AccountError("last_admin", "This is the last administrator of the whole server.")

    def end_access_of(self, user: str) -> None:
        """Close whatever this user, device or guest has open; what it may do from now on is decided elsewhere."""
        self._tell(Revocation(user=user))

    def _tell(self, revocation: Revocation) -> None:
        log.info("access_revoked", user=revocation.user, login=revocation.login, jti=revocation.jti)
        for callback in list(self._callbacks):
            callback(revocation)

    # --- accounts ---

    async def add_user(
        self,
        login: str,
        password: str,
        *,
        name: str,
        role: Role,
        site: str,
        language: Literal["zh", "en"] = "zh",
        must_change: bool = False,
        by: str = "",
    ) -> User:
        """A new account.

        Raises:
            AccountError: `login_taken`, `password_too_short`, `no_such_site`, `invalid` (not spelled as a login, or a
                role without log-in).
        """
        if not LOGIN_NAME.fullmatch(login):
            raise AccountError("invalid", "A login is made of a-z, 0-9, dot, dash and underscore.")
        if role in WITHOUT_LOGIN:
            raise AccountError("invalid", f"A {role} has no log-in.")
        if site not in self.tree:
            raise AccountError("no_such_site", "There is no such site.")
        self._check_length(password)
        stored = await self.passwords.hash(password)
        at = self._clock()
        user = User(new_id(at), login, name, role, site, language, False, must_change, 0.0, at)
        try:
            async with self._database.transaction() as connection:
                await rows.add_user(connection, user, stored)
                await audit.append(
                    connection, at=at, actor=by, action="user.add", object=user.user, site=site, detail={"role": role}
                )
        except StoreConflict as error:
            raise AccountError("login_taken", "That user name is taken.") from error
        return user

    async def get_user(self, user: str) -> User | None:
        async with self._database.reading() as connection:
            return await rows.get_user(connection, user)

    async def list_users(
        self, site: str, after: str | None, limit: int, *, text: str = "", role: Role | None = None
    ) -> list[User]:
        """Accounts at or below a site, by id (raises `NoSuchSite`)."""
        async with self._database.reading() as connection:
            return await rows.list_users(connection, self.tree[site].path, after, limit, text=text, role=role)

    async def seen(self, accounts: Collection[str]) -> dict[str, rows.Seen]:
        """When accounts were last here, and how many log-ins they have now."""
        async with self._database.reading() as connection:
            return await rows.seen(connection, accounts, self._clock())

    async def logins_of(self, user: str) -> list[rows.LiveLogin]:
        """The log-ins of an account that are good now."""
        async with self._database.reading() as connection:
            return await rows.live_logins_of(connection, user, self._clock())

    async def reset_password(self, user: User, *, by: str = "") -> str:
        """A new password for one use, shown this once: all access ends, and it is to be changed at the next log-in.

        Raises:
            AccountError: no such user. LoginError: `capacity`.
        """
        password = self.one_time_password()
        await self.change_user(user, password=password, by=by)
        return password

    def one_time_password(self) -> str:
        """Easy to read out and to type: groups of four of letters and digits that nobody takes for another."""
        groups = max(4, -(-self._settings.minimum_password_length // 4))
        return "-".join("".join(secrets.choice(SPEAKABLE) for _ in range(4)) for _ in range(groups))

    async def confirm(self, who: Visitor, password: str) -> None:
        """It is really this person, who asks for something dangerous.

        Raises:
            LoginError: the password is wrong, or was tried too often.
        """
        keys = (f"password:{who.user.user}",)
        wait = self._attempts.take(keys, time.monotonic())
        if wait is not None:
            raise LoginError("too_many_attempts", "Too many attempts in the last minute.", retry_after_s=wait)
        async with self._database.reading() as connection:
            stored = await rows.password_hash(connection, who.user.user)
        if not await self.passwords.verify(stored, password):
            raise LoginError("wrong_login", "The password is not correct.")
        self._attempts.give_back(keys)

    async def change_user(
        self,
        user: User,
        *,
        name: str | None = None,
        language: Literal["zh", "en"] | None = None,
        role: Role | None = None,
        site: str | None = None,
        disabled: bool | None = None,
        password: str | None = None,
        by: str = "",
    ) -> User:
        """Change an account. A new role, site or password, and disabling, end all its access first.

        Raises:
            AccountError: `no_such_user`, `no_such_site`, `password_too_short`, `invalid`.
        """
        if site is not None and site not in self.tree:
            raise AccountError("no_such_site", "There is no such site.")
        if role in WITHOUT_LOGIN:
            raise AccountError("invalid", f"A {role} has no log-in.")
        wanted = replace(
            user,
            name=user.name if name is None else name,
            language=user.language if language is None else language,
            role=user.role if role is None else role,
            site=user.site if site is None else site,
            disabled=user.disabled if disabled is None else disabled,
        )
        changes = {
            key: getattr(wanted, key)
            for key in ("name", "language", "role", "site", "disabled")
            if getattr(wanted, key) != getattr(user, key)
        }
        if password is not None:
            self._check_length(password)
            changes |= {"password_hash": await self.passwords.hash(password), "must_change": True}
        if changes.keys() & {"role", "site", "disabled", "password_hash"}:
            await self._end_access(user.user, by, "user.change", **changes)
        elif changes:
            await self._change_quietly(user, by, changes)
        changed = await self.get_user(user.user)
        if changed is None:
            raise AccountError("no_such_user", "There is no such user.")
        return changed

    async def _change_quietly(self, user: User, by: str, changes: dict[str, object]) -> None:
        async with self._database.transaction() as connection:
            await rows.change_user(connection, user.user, **changes)
            await audit.append(
                connection, at=self._clock(), actor=by, action="user.change", object=user.user, site=user.site,
                detail={"fields": sorted(changes)},
            )  # fmt: skip

    async def change_own_password(self, who: Visitor, old: str, new: str, address: str) -> tuple[Visitor, str]:
        """Change the own password: every log-in ends, and a new one is made for this browser.

        Raises:
            LoginError: the old password is wrong, or was tried too often.
            AccountError: `password_too_short`.
        """
        keys = (f"password:{who.user.user}",)
        wait = self._attempts.take(keys, time.monotonic())
        if wait is not None:
            raise LoginError("too_many_attempts", "Too many attempts in the last minute.", retry_after_s=wait)
        self._check_length(new)
        async with self._database.reading() as connection:
            stored = await rows.password_hash(connection, who.user.user)
        if not await self.passwords.verify(stored, old):
            raise LoginError("wrong_login", "The old password is not correct.")
        self._attempts.give_back(keys)
        fresh = await self.passwords.hash(new)
        await self._end_access(who.user.user, who.user.user, "user.password", password_hash=fresh, must_change=False)
        user = await self.get_user(who.user.user)
        if user is None:
            raise AccountError("no_such_user", "There is no such user.")
        return await self._enter(user, address, "login")

    async def _store_password(self, user: str, stored: str) -> None:
        async with self._database.transaction() as connection:
            await rows.change_user(connection, user, password_hash=stored)

    def _check_length(self, password: str) -> None:
        least = self._settings.minimum_password_length
        if len(password) < least:
            raise AccountError("password_too_short", f"A password has at least {least} characters.")

    async def ensure_first_admin(self) -> str | None:
        """When there is no account at all: make `admin` at the top site. Returns its random password, once."""
        async with self._database.reading() as connection:
            if await rows.count_users(connection):
                return None
            top = await rows.top_site(connection)
        if top is None:
            raise AccountError("no_such_site", "There is no site yet for the first admin.")
        password = secrets.token_urlsafe(15)
        try:
            await self.add_user(
                FIRST_ADMIN_LOGIN, password, name="管理员 Admin", role="admin", site=top, must_change=True
            )
        except AccountError:
            return None  # another process was faster; its password is the one
        return password


@dataclass(frozen=True, slots=True)
class _Device:
    """A device as a holder of a role."""

    site: str
    role: Literal["device"] = "device"
