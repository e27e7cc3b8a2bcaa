"""The board alone, over a forwarder whose packets come through the door."""

import datetime
from collections.abc import Iterator

import pytest

from media.exchange import Exchange
from media.forwarder.reference import ReferenceForwarder
from media.messages import Message, PlainTrack, TrackState
from media.transport.dtls import new_identity
from media.transport.guard import StrangerGuard
from media.transport.mux import Mux
from tests.fakes.stage import udp


class Board:
    def __init__(self) -> None:
        self.socket = udp()
        self.said: list[Message] = []
        self.forwarder = ReferenceForwarder(self.socket, cache_packets=256, gso=True, clock=lambda: 100.0)
        identity = new_identity(datetime.datetime.now(datetime.UTC))
        self.exchange = Exchange(
            self.forwarder,
            lambda listener: Mux(self.forwarder, identity, (), StrangerGuard(100), listener),
            self.said.append,
            keyframe_interval_s=1.0,
            stalled_after_s=5.0,
            max_peers=10,
            clock=lambda: 100.0,
            wall_clock=lambda: 1e9,
        )
        self.exchange.door_address = "door"

    def plain(self, codec: str) -> PlainTrack:
        return PlainTrack(mid="0", kind="video", codec=codec, clock_rate=90_000, payload_type=96, ssrc=7)


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.socket.close()


def test_a_muted_track_that_begins_anew_with_another_codec_stays_muted(board: Board) -> None:
    (before,) = board.exchange.publish_plain(1, "camera", [board.plain("VP8")], "").tracks
    assert not before.muted
    board.exchange.mute(2, before.track, True)
    (after,) = board.exchange.publish_plain(3, "camera", [board.plain("H264")], "").tracks
    assert (after.track, after.codec, after.muted) == (before.track, "H264", True)
    assert board.said[-1] == TrackState(track=before.track, peer="camera", state="ended")
    _, track = board.exchange._track(after.track)
    assert board.forwarder._sources[track.encodings[0].source].muted
    board.exchange.mute(4, after.track, False)
    (last,) = board.exchange.publish_plain(5, "camera", [board.plain("VP8")], "").tracks
    assert not last.muted
