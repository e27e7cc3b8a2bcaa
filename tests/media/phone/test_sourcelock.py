"""From whom a leg takes packets."""

import random

from media.phone.sourcelock import SourceLock

PHONE, OTHER_PORT, STRANGER = ("192.0.2.1", 4000), ("192.0.2.1", 4002), ("198.51.100.7", 4000)


def lock(*, symmetric: bool = False) -> SourceLock:
    made = SourceLock(3.0)
    made.agree(PHONE, symmetric=symmetric, now=0.0)
    return made


def test_the_signalled_address_is_taken_whenever_it_comes_and_locked_for_good() -> None:
    source = lock()
    assert source.check(PHONE, 1, 20.0) == "locked"
    assert source.check(PHONE, 1, 20.1) == "taken"
    assert source.check(OTHER_PORT, 1, 20.2) == "stranger"
    assert source.check(STRANGER, 1, 20.2) == "stranger"
    assert source.destination() == PHONE


def test_another_port_is_learned_only_in_the_window_and_once() -> None:
    source = lock()
    assert source.check(OTHER_PORT, 1, 2.9) == "locked"
    assert source.check(("192.0.2.1", 5000), 1, 2.95) == "stranger"
    late = lock()
    assert late.check(OTHER_PORT, 1, 3.1) == "stranger"
    assert late.destination() is None


def test_another_address_is_learned_only_by_a_symmetric_leg() -> None:
    assert lock().check(STRANGER, 1, 1.0) == "stranger"
    source = lock(symmetric=True)
    assert source.check(STRANGER, 1, 1.0) == "locked"
    assert source.check(OTHER_PORT, 1, 1.1) == "stranger"
    assert lock(symmetric=True).check(STRANGER, 1, 3.1) == "stranger"


def test_a_symmetric_leg_learns_no_other_address_than_that_of_its_signalling() -> None:
    source = SourceLock(3.0)
    source.agree(("10.0.0.4", 4000), symmetric=True, now=0.0, host="192.0.2.1")
    assert source.check(STRANGER, 1, 0.1) == "stranger"
    assert source.check(OTHER_PORT, 1, 0.2) == "locked"


def test_the_signalled_address_takes_the_place_of_a_learned_one_in_the_window() -> None:
    source = lock(symmetric=True)
    assert source.check(STRANGER, 1, 0.5) == "locked"
    assert source.check(PHONE, 2, 1.0) == "locked"
    assert source.check(STRANGER, 1, 1.1) == "stranger"
    late = lock(symmetric=True)
    late.check(STRANGER, 1, 0.5)
    assert late.check(PHONE, 2, 4.0) == "stranger"


def test_another_ssrc_is_taken_only_after_silence() -> None:
    source = lock()
    source.check(PHONE, 1, 1.0)
    assert source.check(PHONE, 2, 1.2) == "ssrc"
    assert source.check(PHONE, 1, 1.3) == "taken"
    assert source.check(PHONE, 2, 1.9) == "locked"
    assert source.check(PHONE, 1, 2.0) == "ssrc"


def test_the_same_agreement_again_keeps_the_lock_and_another_opens_it() -> None:
    source = lock()
    source.check(OTHER_PORT, 1, 1.0)
    assert source.check(OTHER_PORT, 1, 99.0) == "taken"
    assert not source.agree(PHONE, symmetric=False, now=100.0)
    assert source.check(OTHER_PORT, 1, 100.1) == "taken"
    assert source.check(PHONE, 1, 100.1) == "stranger"
    assert source.agree(("192.0.2.9", 6000), symmetric=False, now=200.0)
    assert source.destination() is None
    assert source.check(OTHER_PORT, 1, 200.1) == "stranger"
    assert source.check(("192.0.2.9", 6002), 1, 200.2) == "locked"


def test_a_phone_whose_port_changed_in_silence_is_learned_anew_by_a_repeated_agreement() -> None:
    source = lock()
    source.check(PHONE, 1, 1.0)
    source.agree(PHONE, symmetric=False, now=2.5)
    assert source.check(OTHER_PORT, 1, 2.6) == "stranger"
    source.agree(PHONE, symmetric=False, now=10.0)
    assert source.destination() == PHONE
    assert source.check(OTHER_PORT, 1, 10.5) == "locked"
    assert source.check(STRANGER, 1, 10.6) == "stranger"
    assert source.check(("192.0.2.1", 5000), 1, 10.7) == "stranger"


def test_without_an_address_nobody_is_taken() -> None:
    source = SourceLock(3.0)
    assert source.check(PHONE, 1, 0.0) == "stranger"
    source.agree(None, symmetric=True, now=0.0)
    assert source.check(PHONE, 1, 0.0) == "stranger"


def test_probes_of_a_symmetric_leg_go_where_the_signalling_came_from() -> None:
    source = SourceLock(3.0)
    source.agree(("10.0.0.4", 4000), symmetric=True, now=0.0, host="192.0.2.1")
    assert source.signalled() == ("192.0.2.1", 4000)
    source.agree(("10.0.0.4", 4000), symmetric=False, now=0.0, host="192.0.2.1")
    assert source.signalled() == ("10.0.0.4", 4000)


def test_a_sprayer_never_takes_a_locked_leg_over() -> None:
    choose = random.Random(1)
    source = lock(symmetric=True)
    source.check(PHONE, 1, 0.1)
    for _ in range(10_000):
        address = (f"192.0.2.{choose.randrange(256)}", choose.randrange(1024, 65536))
        if address != PHONE:
            assert source.check(address, choose.randrange(1 << 32), choose.uniform(0, 100)) == "stranger"
    assert source.destination() == PHONE
