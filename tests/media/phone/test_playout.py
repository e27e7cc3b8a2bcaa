"""From packets to frames of 20 ms."""

import numpy as np

from media.phone.audio import Samples
from media.phone.jitter import Packet, Play
from media.phone.playout import Playout


def test_a_packet_of_nothing_is_skipped_when_two_are_to_become_one() -> None:
    def decode(packet: Packet) -> Samples:
        return np.full(packet.duration // 3, packet.sequence, np.float32)

    playout = Playout(48000, 16000, decode)
    due = [Play(Packet(1, 0, 0, b"", 0.0), hurry=True), Play(Packet(2, 0, 960, b"", 0.0))]
    playout.jitter.get = lambda now: due.pop(0)  # type: ignore[method-assign]
    frame = playout.frame(0.0)
    assert frame is not None
    assert frame.tolist() == [2.0] * 320
