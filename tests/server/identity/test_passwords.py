"""Passwords: the same work for everybody, and never too much at once."""

import asyncio

import pytest
from argon2 import PasswordHasher

from server.identity import passwords as module
from server.identity.errors import LoginError
from server.identity.passwords import Passwords

CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


async def test_only_the_right_password_fits() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("correct horse battery")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse battery")
    assert not await passwords.verify(stored, "correct horse batterz")
    assert not await passwords.verify("not a hash", "correct horse battery")


async def test_unknown_user_costs_one_verification_too() -> None:
    passwords = Passwords(CHEAP)
    assert not await passwords.verify(None, "whatever it may be")
    assert passwords.verifications == 1


async def test_hash_of_other_parameters_is_outdated() -> None:
    stored = await Passwords(CHEAP).hash("correct horse battery")
    assert not Passwords(CHEAP).outdated(stored)
    assert Passwords(PasswordHasher(time_cost=2, memory_cost=64, parallelism=1)).outdated(stored)


async def test_crowd_is_refused_rather_than_queued_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    passwords = Passwords(CHEAP)
    outcomes = await asyncio.gather(*(passwords.verify(None, "x") for _ in range(12)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if isinstance(outcome, LoginError)]
    assert refused
    assert all(error.error == "capacity" for error in refused)
    assert len(refused) + passwords.verifications == 12
    assert not await passwords.verify(None, "free again")


async def test_cancelled_caller_leaves_its_place() -> None:
    passwords = Passwords(CHEAP)
    callers = [asyncio.ensure_future(passwords.verify(None, "x")) for _ in range(8)]
    await asyncio.sleep(0)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    async with asyncio.timeout(5):
        assert not await passwords.verify(None, "x")
