"""The board alone, over a forwarder whose packets come through the door."""

from collections.abc import Iterator

import pytest

from media import rtp
from media.messages import KeyframeNeeded, TrackState
from media.transport.peer import PeerTransport
from tests.fakes.board import Board
from tests.fakes.loadpeer import Identity, LoadPeer


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


@pytest.mark.parametrize(("watchers", "calls"), [(0, []), (3, [(0, 1)]), (60, [(turn, 10) for turn in range(10)])])
def test_sender_reports_to_many_are_spread_over_a_second(
    board: Board, monkeypatch: pytest.MonkeyPatch, watchers: int, calls: list[tuple[int, int]]
) -> None:
    (info,) = board.exchange.publish_plain(1, "camera", [board.plain("VP8")], "").tracks
    encoding = board.exchange._track(info.track)[1].encodings[0]
    encoding.time.reported(7 << 32, 1234, 100.0)
    told: list[tuple[object, ...]] = []
    monkeypatch.setattr(board.exchange._router, "watched", lambda track: watchers)
    monkeypatch.setattr(board.forwarder, "send_reports", lambda *what: told.append(what))
    for _ in range(10):
        board.exchange.tick()
    assert sorted(each[3:] for each in told) == calls
    assert all(each[:3] == (encoding.source, 7 << 32, 1234) for each in told)
