"""Encodings of a track: their order, which of them flow, and how their clocks lie to each other."""

import pytest

from media.forwarder.interface import SourceCounters
from media.incoming import FLOWS_S, Encoding, IncomingTrack, lag, ordered
from media.messages import TrackInfo
from media.rtpparameters import Codec, PublishedMedia
from tests.fakes.stage import HIGH, LOW, Stage

VP8 = Codec(96, "VP8", 90000)


def media(rids: tuple[str, ...] = (), simulcast: tuple[int, ...] = ()) -> PublishedMedia:
    return PublishedMedia("0", "video", (VP8,), {}, rids=rids, simulcast=simulcast)


def track(*sources: int) -> IncomingTrack:
    info = TrackInfo(track="camera/0", peer="camera", mid="0", kind="video", codec="VP8")
    encodings = [Encoding(source, rid, 90000, 0.5) for source, rid in zip(sources, "qhf", strict=False)]
    return IncomingTrack(info, media(("q", "h", "f")[: len(sources)]), encodings, 0.0)


@pytest.mark.parametrize(
    ("rids", "order"),
    [
        (("f", "h", "q"), ("q", "h", "f")),
        (("q", "h", "f"), ("q", "h", "f")),
        (("h", "l"), ("l", "h")),
        (("h", "f"), ("h", "f")),
        (("0", "1", "2"), ("2", "1", "0")),
        (("best", "other"), ("other", "best")),
        ((), ("",)),
    ],
)
def test_the_smallest_picture_comes_first(rids: tuple[str, ...], order: tuple[str, ...]) -> None:
    assert ordered(media(rids)) == order


def test_a_group_of_ssrcs_is_in_order_already() -> None:
    assert ordered(media(simulcast=(5, 6))) == ("ssrc0", "ssrc1")


def test_the_best_that_is_being_sent_is_chosen_and_never_none() -> None:
    camera = track(1, 2, 3)
    low, middle, high = camera.encodings
    assert camera.flowing(2) is low
    middle.flows = True
    assert [camera.flowing(index) for index in range(3)] == [middle, middle, middle]
    low.flows = high.flows = True
    assert [camera.flowing(index) for index in range(3)] == [low, middle, high]


def test_an_encoding_behind_the_others_does_not_flow_and_a_silent_track_stays_as_it_was() -> None:
    encoding = Encoding(1, "q", 90000, 0.5)
    encoding.look(SourceCounters(), 0.0, 10.0)
    assert not encoding.flows
    encoding.look(SourceCounters(packets=1, octets=1000, last_arrival=10.0), 10.0, 10.0)
    assert encoding.flows
    encoding.look(SourceCounters(packets=1, octets=1000, last_arrival=10.0), 10.0, 20.0)
    assert encoding.flows
    encoding.look(SourceCounters(packets=1, octets=1000, last_arrival=10.0), 10.0 + FLOWS_S, 20.0)
    assert not encoding.flows


def test_bitrate_is_smoothed_and_kept_while_nothing_comes() -> None:
    encoding = Encoding(1, "q", 90000, 0.5)
    for step in range(40):
        now = step * 0.1
        encoding.look(SourceCounters(packets=1, octets=int(now * 100_000), last_arrival=now), now, now)
    assert encoding.bitrate_bps == pytest.approx(800_000, rel=0.01)
    for step in range(40, 60):
        encoding.look(SourceCounters(packets=1, octets=390_000, last_arrival=3.9), 3.9, step * 0.1)
    assert encoding.bitrate_bps == pytest.approx(800_000, rel=0.1)


def test_two_clocks_are_compared_by_sender_reports() -> None:
    stage = Stage()
    low, high = Encoding(LOW, "q", 90000, 0.5), Encoding(HIGH, "f", 90000, 0.5)
    assert lag(stage.forwarder, low, low) == 0
    assert lag(stage.forwarder, high, low) is None
    second = 1 << 32
    low.time.reported(1000 * second, 5000, 1.0)
    assert lag(stage.forwarder, high, low) is None
    high.time.reported(1002 * second, 4_000_000_000, 3.0)
    assert lag(stage.forwarder, high, low) == 4_000_000_000 - (5000 + 180_000)
    assert lag(stage.forwarder, low, high) == (5000 + 180_000 - 4_000_000_000) & 0xFFFFFFFF
    stage.close()
