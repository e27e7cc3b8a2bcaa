"""Waits between tries."""

from media.ingest.patience import FORGIVEN_AFTER_S, JITTER, LOGIN_FIRST_S, LOGIN_LONGEST_S, LONGEST_S, Patience


def test_waits_double_up_to_a_minute() -> None:
    patience = Patience(lambda: 0.5)
    assert [patience.wait_s("no_data") for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_camera_that_ran_well_begins_again_with_a_short_wait() -> None:
    patience = Patience(lambda: 0.5)
    for _ in range(5):
        patience.wait_s("no_data")
    patience.ran(FORGIVEN_AFTER_S - 1)
    assert patience.wait_s("no_data") == 32
    patience.ran(FORGIVEN_AFTER_S)
    assert patience.wait_s("no_data") == 1


def test_wrong_passwords_are_not_tried_often_enough_to_lock_an_account() -> None:
    patience = Patience(lambda: 0.0)
    waits = [patience.wait_s("unauthorized") for _ in range(6)]
    assert waits[0] == LOGIN_FIRST_S * (1 - JITTER)
    assert sum(1 for _ in waits if sum(waits[:5]) > 900) == 6
    assert max(waits) == LOGIN_LONGEST_S * (1 - JITTER)


def test_jitter_stays_within_its_share() -> None:
    for draw in (0.0, 0.3, 1.0):
        patience = Patience(lambda draw=draw: draw)  # type: ignore[misc]
        for _ in range(12):
            wait = patience.wait_s("timeout")
        assert LONGEST_S * (1 - JITTER) <= wait <= LONGEST_S * (1 + JITTER)
