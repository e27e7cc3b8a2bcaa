"""Errors of identity. `error` is a stable id, told to the other side.

- `IdentityError`
  - `TokenError`: a room token that is refused (`token_invalid`, `token_expired`, `revoked`)
  - `LoginError`: a log-in or a one-time link that is refused (`wrong_login`, `too_many_attempts`, `link_invalid`,
    `capacity`)
  - `RoomRefused`: no such room for this person (`no_such_room`)
  - `AccountError`: an account that cannot be made or changed as asked (`login_taken`, `password_too_short`, ...)
  - `SecretError`: the key file cannot be used; the server must not start
"""

from typing import Literal


class IdentityError(Exception):
    """Identity refused something."""

    error = "not_allowed"


class TokenError(IdentityError):
    """A room token that is refused. `detail` is for our log, never for the other side."""

    def __init__(self, kind: Literal["token_invalid", "token_expired", "revoked"], detail: str) -> None:
        self.error = self.kind = kind
        self.detail = detail
        super().__init__(detail)


class LoginError(IdentityError):
    """A log-in that is refused. What was wrong (name, password, disabled) is not said."""

    def __init__(
        self,
        error: Literal["wrong_login", "too_many_attempts", "link_invalid", "capacity"],
        detail: str,
        *,
        retry_after_s: float | None = None,
    ) -> None:
        self.error = error
        self.detail = detail
        self.retry_after_s = retry_after_s
        super().__init__(detail)


class RoomRefused(IdentityError):
    """The room does not exist, or not for this person: the two look the same."""

    error = "no_such_room"


class AccountError(IdentityError):
    """An account that cannot be made or changed as asked."""

    def __init__(
        self,
        error: Literal[
            "login_taken", "password_too_short", "no_such_user", "no_such_site", "invalid", "last_admin", "no_password"
        ],
        detail: str,
    ) -> None:
        self.error = error
        self.detail = detail
        super().__init__(detail)


class SecretError(IdentityError):
    """The file that holds the token key is short, weak or readable by others."""
