"""RFC 5626 section 4.4.1 on virtual time: when a ping goes out, and when a flow has failed."""

from signaling.sip.keepalive import KEEP_ALIVE_SECONDS, PONG_SECONDS, KeepAlive


def test_a_ping_goes_out_every_25_s() -> None:
    for answers in (True, False):
        one, now, pings = KeepAlive(100.0), 100.0, []
        while now < 400.0:
            now = one.next_timeout()
            if one.timeout(now):
                pings.append(now)
                if answers:
                    one.heard(pong=True)
        assert pings == [100.0 + n * KEEP_ALIVE_SECONDS for n in range(1, 13)]
        assert not one.dead, "from a peer that never sent a pong none is expected"


def answering() -> KeepAlive:
    """It has answered the ping at 25 s."""
    one = KeepAlive(0.0)
    assert not one.timeout(KEEP_ALIVE_SECONDS - 0.1)
    assert one.timeout(KEEP_ALIVE_SECONDS)
    one.heard(pong=True)
    return one


def test_a_flow_whose_pongs_stop_has_failed_after_10_s() -> None:
    one = answering()
    assert one.timeout(50.0)
    assert one.next_timeout() == 50.0 + PONG_SECONDS
    assert not one.timeout(59.9)
    assert not one.dead
    assert not one.timeout(60.0)
    assert one.dead
    one.heard()
    assert one.dead, "it is given up for good"


def test_any_bytes_are_as_good_as_a_pong() -> None:
    one = answering()
    assert one.timeout(50.0)
    one.heard()
    assert not one.timeout(60.0)
    assert not one.dead
    assert one.next_timeout() == 75.0
