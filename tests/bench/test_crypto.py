"""Both ways of protecting a packet can be measured. What they cost is not asserted."""

import pytest

from tests.bench import crypto

pytestmark = pytest.mark.peer


def test_both_ways_protect_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "TURNS", 1)
    found = crypto.measure(3, 200)
    assert isinstance(found["libsrtp"], int)
    assert isinstance(found["libcrypto"], int)
    assert min(found["libsrtp"], found["libcrypto"]) > 0
