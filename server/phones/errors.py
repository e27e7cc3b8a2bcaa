"""What can be refused about phones. `error` is a stable id.

- PhoneError: what was asked for cannot be done (no such phone, not allowed, nothing free)
"""


class PhoneError(Exception):
    def __init__(self, error: str, detail: str, status: int = 0) -> None:
        super().__init__(detail)
        self.error = error
        self.detail = detail
        self.status = status
        """SIP status, where there is one."""
