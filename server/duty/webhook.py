"""Signing of webhooks after Standard Webhooks: the receiver can tell that a message is ours, whole and new.

`webhook-id` stays the same when a message is sent again; `webhook-timestamp` is when it was sent; the signature is
`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body` with the bytes behind `whsec_`.
"""

import base64
import binascii
import hashlib
import hmac


class BadSecret(ValueError):
    """Not `whsec_` and base64."""


def key_of(secret: str) -> bytes:
    """
    Raises:
        BadSecret
    """
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise BadSecret("A webhook secret is whsec_ and base64.") from error


def headers(secret: str, message: str, sent_at: int, body: bytes) -> dict[str, str]:
    """The three headers. `sent_at`: whole seconds since the Unix epoch."""
    signed = f"{message}.{sent_at}.".encode() + body
    signature = base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": message, "webhook-timestamp": str(sent_at), "webhook-signature": f"v1,{signature}"}
