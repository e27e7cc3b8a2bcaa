"""The ring of a track's last packets."""

from media.packetcache import PacketCache


def test_capacity_is_a_power_of_two_that_holds_what_was_asked_for() -> None:
    assert [PacketCache(size).capacity for size in (64, 100, 1024, 1025)] == [64, 128, 1024, 2048]


def test_a_new_packet_displaces_the_one_a_capacity_older() -> None:
    cache = PacketCache(64)
    assert all(cache.put(number, b"%d" % number) for number in range(100, 200))
    assert cache.get(135) is None
    assert cache.get(136) == b"136"
    assert cache.get(199) == b"199"
    assert cache.get(200) is None


def test_a_repeat_and_a_packet_too_old_are_refused() -> None:
    cache = PacketCache(64)
    assert cache.put(100, b"new")
    assert not cache.put(100, b"repeat")
    assert not cache.put(36, b"old")
    assert cache.get(100) == b"new"


def test_a_late_packet_fills_its_gap() -> None:
    cache = PacketCache(64)
    cache.put(1, b"1")
    cache.put(3, b"3")
    assert cache.run(1, 3) is None
    assert cache.put(2, b"2")
    assert cache.run(1, 3) == [(1, b"1"), (2, b"2"), (3, b"3")]
    assert cache.run(1, 1 + 64) is None
