"""Signatures of webhooks, by the example of the Standard Webhooks specification and by a check of their receiver."""

import base64
import hashlib
import hmac

import pytest

from server.duty.webhook import BadSecret, headers, key_of


def test_signature_of_the_published_example() -> None:
    """From the specification's reference libraries: a fixed secret, id, time and body."""
    made = headers(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert made["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert (made["webhook-id"], made["webhook-timestamp"]) == ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330")


def test_receiver_finds_any_change() -> None:
    secret = "whsec_" + base64.b64encode(b"k" * 32).decode()

    def valid(made: dict[str, str], body: bytes) -> bool:
        signed = f"{made['webhook-id']}.{made['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(b"k" * 32, signed, hashlib.sha256).digest()).decode()
        return made["webhook-signature"] == f"v1,{expected}"

    made = headers(secret, "m1", 1000, b"{}")
    assert valid(made, b"{}")
    assert not valid(made, b"{ }")
    assert not valid({**made, "webhook-id": "m2"}, b"{}")
    assert not valid({**made, "webhook-timestamp": "1001"}, b"{}")


def test_secret_that_is_no_base64_is_refused() -> None:
    with pytest.raises(BadSecret):
        key_of("whsec_not!base64")
