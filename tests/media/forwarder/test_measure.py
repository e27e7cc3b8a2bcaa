"""The measurement forwards every packet of its load."""

from media.forwarder.measure import BURST, SUBSCRIBERS, measure


def test_every_packet_goes_to_every_subscriber_and_costs_something() -> None:
    measured = measure("python", gso=True, seconds=0.05)
    assert measured.name.startswith("Python")
    assert measured.packets > 0
    assert measured.packets % (BURST * SUBSCRIBERS) == 0
    assert measured.us_per_packet > 0
