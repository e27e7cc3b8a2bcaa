"""What can go wrong in SIP, theirs and ours apart.

- SipError
  - MessageError: the other side sent something that cannot be used
  - LocalSipError: this program asked for something that SIP does not allow

Anything else that comes out of `signaling.sip` is a bug.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signaling.sip.message import Request


class SipError(Exception):
    """`detail` is a full sentence for the log."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MessageError(SipError):
    """Their message breaks a rule.

    `status` is the response code that the RFC asks for. `request` is what could be read of a request, enough to answer
    it with `status`; None means: drop it without a word (a response, an ACK, or too little to address an answer).
    """

    def __init__(self, detail: str, status: int = 400, request: "Request | None" = None) -> None:
        super().__init__(detail)
        self.status = status
        self.request = request


class LocalSipError(SipError):
    """Our own code asked for a message or a step that SIP does not allow."""
