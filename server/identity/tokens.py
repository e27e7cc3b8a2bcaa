"""Room tokens: what a client shows to enter a room. JWT (RFC 7519), HS256, read with the discipline of RFC 8725.

PyJWT checks the signature; everything that it is lenient about is checked here: the header must be exactly ours (no
`kid`, `jku`, `crit`, no other `alg`), each part canonical base64url, each claim present, of its type, and none unknown
(so no `nbf` or `hidden` slips in), the life bounded from both ends. `at` is UTC epoch seconds, always an argument.

`iat` and `exp` carry fractions (a NumericDate may): a token issued in the same second as a revocation, but after it,
must not fall to it.
"""

import base64
import binascii
import json
import secrets
from dataclasses import dataclass
from typing import Annotated, Literal

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.identity.errors import TokenError
from server.identity.roles import Role
from server.identity.secret import MINIMUM_BYTES
from signaling.room.messages import Person, Source

ALGORITHM = "HS256"
AUDIENCE = "lamproom-room"
ISSUER = "lamproom"
MAX_TOKEN_BYTES = 8 * 1024
LEEWAY_S = 10.0
"""Between the clocks of two nodes that share the key."""
ROUNDING_S = 0.001
"""`(at + life) - at` is not quite `life` in floating point."""
MAX_LIFE_S = 3600.0
MAX_DEVICE_LIFE_S = 24 * 3600.0
HEADER = {"alg": ALGORITHM, "typ": "JWT"}

ALL_SOURCES: tuple[Source, ...] = ("camera", "microphone", "screen", "other")

Name = Annotated[str, Field(min_length=1, max_length=128)]
Seconds = Annotated[float, Field(gt=0, lt=1e12, allow_inf_nan=False)]


class Grants(BaseModel):
    """What may be done in the room."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    publish: bool = False
    subscribe: bool = False
    sources: tuple[Source, ...] = Field(default=(), max_length=4)
    moderate: bool = False
    unasked: bool = False
    """A guest whose link needs nobody to let him in; a lock holds him back all the same."""
    hidden: Literal[False] = False
    """Nobody watches unseen: a token that says otherwise is neither issued nor taken."""


class Claims(BaseModel):
    """The whole content of a token; anything more or less is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    iss: Literal["lamproom"]
    aud: Literal["lamproom-room"]
    sub: Name
    jti: Name
    iat: Seconds
    exp: Seconds
    room: Name
    site: Name
    role: Role
    name: Name
    level: Name
    login: Name | None = None
    """The log-in that asked for the token: when it ends, so does the token."""
    grants: Grants


@dataclass(frozen=True, slots=True)
class Grant:
    """What a verified token says."""

    user: str
    """The account, or `device:{site}:{name}`."""
    name: str
    role: Role
    site: str
    level: str
    room: str
    publish: bool
    subscribe: bool
    sources: tuple[Source, ...]
    moderate: bool
    jti: str
    login: str | None
    issued_at: float
    expires_at: float
    unasked: bool = False

    def person(self) -> Person:
        """How the others in the room see this person."""
        return Person(user=self.user, name=self.name, role=self.role, site=self.site, level=self.level)

    def grants(self) -> dict[str, object]:
        """For `Joined.grants`."""
        return {
            "publish": self.publish,
            "subscribe": self.subscribe,
            "sources": list(self.sources),
            "moderate": self.moderate,
            "hidden": False,
        }


@dataclass(frozen=True, slots=True)
class RoomToken:
    """A token as it goes to the client."""

    token: str
    room: str
    expires_at: float
    grants: Grants


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a token is for."""

    user: str
    name: str
    role: Role
    site: str
    level: str
    login: str | None = None


class Tokens:
    """Signs and reads room tokens with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < MINIMUM_BYTES:
            raise ValueError(f"a token key has at least {MINIMUM_BYTES} bytes")
        self._key = key

    def issue(self, holder: Holder, room: str, grants: Grants, at: float, life_s: float) -> RoomToken:
        """A fresh token.

        Raises:
            ValueError: the life is longer than this role may have.
        """
        if not 0 < life_s <= longest_life_s(holder.role):
            raise ValueError(f"a token of a {holder.role} may not live {life_s} s")
        claims = Claims(
            iss="lamproom",
            aud="lamproom-room",
            sub=holder.user,
            jti=secrets.token_urlsafe(16),
            iat=at,
            exp=at + life_s,
            room=room,
            site=holder.site,
            role=holder.role,
            name=holder.name,
            level=holder.level,
            login=holder.login,
            grants=grants,
        )
        token = jwt.encode(claims.model_dump(mode="json", exclude_none=True), self._key, ALGORITHM, headers=HEADER)
        return RoomToken(token, room, claims.exp, grants)

    def read(self, token: str, at: float) -> Grant:
        """What the token says.

        Raises:
            TokenError: `token_invalid` or `token_expired`.
        """
        self._check_form(token)
        try:
            payload = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={
                    "require": ["exp", "iat", "aud", "iss", "sub", "jti"],
                    "enforce_minimum_key_length": True,
                    "strict_aud": True,
                    # Times are held against `at` below, not against a clock inside the library.
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            claims = Claims.model_validate_json(json.dumps(payload, allow_nan=False))
        except (jwt.InvalidTokenError, ValidationError, ValueError, RecursionError) as error:
            raise TokenError("token_invalid", f"The token was refused: {type(error).__name__}.") from error
        self._check_times(claims, at)
        grants = claims.grants
        return Grant(
            claims.sub, claims.name, claims.role, claims.site, claims.level, claims.room, grants.publish,
            grants.subscribe, grants.sources, grants.moderate, claims.jti, claims.login, claims.iat, claims.exp,
            grants.unasked,
        )  # fmt: skip

    @staticmethod
    def _check_form(token: str) -> None:
        """Length, canonical base64url and our own header, before any of it is trusted (RFC 8725 sections 3.1, 3.4)."""
        if len(token) > MAX_TOKEN_BYTES or not token.isascii():
            raise TokenError("token_invalid", "The token is too long or not ASCII.")
        parts = token.split(".")
        if len(parts) != 3:
            raise TokenError("token_invalid", f"A token has 3 parts, this one has {len(parts)}.")
        try:
            header, _, _ = (_canonical(part) for part in parts)
            if json.loads(header, object_pairs_hook=_no_doubles) != HEADER:
                raise TokenError("token_invalid", "The token's header is not ours.")
        except (ValueError, RecursionError) as error:
            raise TokenError("token_invalid", "A part of the token is not canonical base64url of JSON.") from error

    @staticmethod
    def _check_times(claims: Claims, at: float) -> None:
        life = claims.exp - claims.iat
        if not 0 < life <= longest_life_s(claims.role) + ROUNDING_S:
            raise TokenError("token_invalid", f"The token's life of {life} s is out of bounds.")
        if claims.iat > at + LEEWAY_S:
            raise TokenError("token_invalid", "The token was issued in the future.")
        if claims.exp + LEEWAY_S <= at:
            raise TokenError("token_expired", "The token has expired.")


def longest_life_s(role: Role) -> float:
    """Devices have nobody to fetch them a new one every ten minutes."""
    return MAX_DEVICE_LIFE_S if role == "device" else MAX_LIFE_S


def _canonical(part: str) -> bytes:
    """Decode base64url without padding; anything but the one canonical spelling is refused.

    Raises:
        ValueError: not canonical.
    """
    try:
        raw = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if not raw or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != part:
        raise ValueError("not canonical base64url")
    return raw


def _no_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a member stands twice")
    return dict(pairs)
