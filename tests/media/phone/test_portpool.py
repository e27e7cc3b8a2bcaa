"""Ports and their quarantine."""

import random

import pytest

from media.phone.portpool import NoPort, PortPool


def test_ports_are_even_different_and_not_in_order() -> None:
    pool = PortPool(20001, 20401, random.Random(1))
    taken = [pool.take() for _ in range(200)]
    assert all(port % 2 == 0 and 20002 <= port < 20401 for port in taken)
    assert len(set(taken)) == 200
    assert taken != sorted(taken)
    with pytest.raises(NoPort):
        pool.take()


def test_a_used_port_is_free_after_thirty_quiet_seconds() -> None:
    pool = PortPool(20000, 20001)
    port = pool.take()
    pool.release(port, 100.0)
    with pytest.raises(NoPort):
        pool.take()
    assert pool.due(129.9) == []
    pool.heard(port, 120.0)
    assert pool.due(149.9) == []
    assert pool.due(150.0) == [port]
    assert pool.take() == port


def test_a_port_that_is_never_quiet_is_free_after_ten_minutes() -> None:
    pool = PortPool(20000, 20001)
    port = pool.take()
    pool.release(port, 0.0)
    for second in range(600):
        pool.heard(port, float(second))
        assert pool.due(float(second)) == []
    pool.heard(port, 600.0)
    assert pool.due(600.0) == [port]


def test_a_port_that_another_program_has_goes_back() -> None:
    pool = PortPool(20000, 20001)
    pool.give_up(pool.take())
    assert pool.free == 1
