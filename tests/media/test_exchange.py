"""The board alone, over a forwarder whose packets come through the door."""

import datetime
from collections.abc import Iterator

import pytest

from media import rtp
from media.exchange import Exchange
from media.forwarder.reference import ReferenceForwarder
from media.messages import KeyframeNeeded, Message, PlainTrack, TrackState
from media.transport.dtls import new_identity
from media.transport.guard import StrangerGuard
from media.transport.mux import Mux
from media.transport.peer import PeerTransport
from tests.fakes.loadpeer import Identity, LoadPeer
from tests.fakes.stage import udp


class Board:
    def __init__(self) -> None:
        self.socket = udp()
        self.said: list[Message] = []
        self.now = 100.0
        self.forwarder = ReferenceForwarder(self.socket, cache_packets=256, gso=True, clock=lambda: self.now)
        identity = new_identity(datetime.datetime.now(datetime.UTC))
        self.exchange = Exchange(
            self.forwarder,
            lambda listener: Mux(self.forwarder, identity, (), StrangerGuard(100), listener),
            self.said.append,
            keyframe_interval_s=1.0,
            stalled_after_s=5.0,
            max_peers=10,
            clock=lambda: self.now,
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


def test_a_key_frame_that_came_before_it_was_wished_for_does_not_count(board: Board) -> None:
    (track,) = board.exchange.publish_plain(1, "camera", [board.plain("VP8")], "", piped=True).tracks

    def asked() -> int:
        return sum(isinstance(one, KeyframeNeeded) for one in board.said)

    publisher, incoming = board.exchange._track(track.track)
    board.exchange._need_keyframe(incoming, incoming.encodings[0])
    assert asked() == 1
    board.now += 0.2
    key = rtp.pack(b"\x10\x00\x00", payload_type=96, sequence=1, timestamp=1, ssrc=7, marker=True)
    board.exchange.hand_in(publisher.transport.number, key)
    board.exchange._need_keyframe(incoming, incoming.encodings[0])  # for somebody who came a moment later
    for _ in range(20):
        board.now += 0.1
        board.exchange.tick()
    assert asked() > 1


def test_a_key_frame_wished_for_before_the_publisher_is_there_is_asked_for_as_soon_as_it_is(board: Board) -> None:
    offer = LoadPeer(Identity(), "127.0.0.1", controlling=True)
    (track,) = board.exchange.publish(1, "page", offer.offer(5), ("video",)).tracks
    offer.close()
    publisher, incoming = board.exchange._track(track.track)
    board.exchange._need_keyframe(incoming, incoming.encodings[0])
    assert board.forwarder.counters.keyframe_requests == 0
    assert isinstance(publisher.transport, PeerTransport)
    publisher.transport.state = "connected"
    board.exchange.tick()
    assert board.forwarder.counters.keyframe_requests == 1
