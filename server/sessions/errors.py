"""Errors of sessions.

- `SessionError`: what was asked does not fit the session as it is; carries a stable id from `signaling.room.problems`.
"""


class SessionError(Exception):
    """The request was refused and nothing changed."""

    def __init__(self, error: str, detail: str) -> None:
        self.error = error
        self.detail = detail
        super().__init__(detail)
