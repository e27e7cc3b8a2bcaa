"""Errors of musters: `MusterError` with a stable id (`muster_over`, `no_such_person`, `no_such_list`, `stale`)."""


class MusterError(Exception):
    """A request to a muster was refused; nothing was changed."""

    def __init__(self, error: str, detail: str) -> None:
        self.error = error
        self.detail = detail
        super().__init__(detail)
