"""Failed log-ins are counted per key in a sliding minute."""

from server.identity.attempts import Attempts

KEYS = ("address:10.0.0.1", "login:wang")


def test_sixth_attempt_in_a_minute_waits() -> None:
    attempts = Attempts(5)
    assert [attempts.take(KEYS, now) for now in (0, 10, 20, 30, 40)] == [None] * 5
    assert attempts.take(KEYS, 50) == 10
    assert attempts.take(KEYS, 59.5) == 0.5
    assert attempts.take(KEYS, 60) is None
    assert attempts.take(KEYS, 60) == 10


def test_one_used_up_key_is_enough() -> None:
    attempts = Attempts(2)
    for address in ("a", "b"):
        assert attempts.take((address, "login:wang"), 0) is None
    assert attempts.take(("c", "login:wang"), 1) is not None
    assert attempts.take(("a", "login:li"), 1) is None
    assert attempts.take(("a", "login:zhao"), 1) is not None


def test_refused_attempt_is_not_counted_for_the_other_key() -> None:
    attempts = Attempts(1)
    attempts.take(("login:wang",), 0)
    for now in range(10):
        assert attempts.take(("address", "login:wang"), now) is not None
    assert attempts.take(("address", "login:li"), 10) is None


def test_right_password_does_not_count() -> None:
    attempts = Attempts(1)
    for now in range(20):
        assert attempts.take(KEYS, now) is None
        attempts.give_back(KEYS)


def test_right_password_takes_back_only_its_own_attempt() -> None:
    attempts = Attempts(3)
    attempts.take(KEYS, 0)
    attempts.take(KEYS, 1)
    attempts.take(KEYS, 2)
    attempts.give_back(KEYS)
    assert attempts.take(KEYS, 3) is None
    assert attempts.take(KEYS, 4) is not None


def test_memory_is_bounded() -> None:
    attempts = Attempts(1, max_keys=100)
    for number in range(1000):
        attempts.take((f"address:{number}",), number / 100)
    assert len(attempts._taken) == 100
    assert attempts.take(("address:999",), 10) is not None
