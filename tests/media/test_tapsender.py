"""The tap's sending side over a real Unix socket, with readers that are slow, gone, or not there yet."""

import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import pytest

from media.tap import AccessUnit, Unpacker
from media.tapsender import MAX_PENDING_BYTES, MAX_STUCK_S, RECONNECT_S, TapSender
from tests.fakes.encoded import Sent, encode


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Reader:
    """The vision worker's end."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.address)
        self._listener.listen(1)
        self._link: socket.socket | None = None
        self._unpacker = Unpacker()

    def read(self) -> list[AccessUnit]:
        if self._link is None:
            self._link, _ = self._listener.accept()
            self._link.setblocking(False)
        units: list[AccessUnit] = []
        with suppress(BlockingIOError):
            while data := self._link.recv(1 << 20):
                units += self._unpacker.feed(data)
        return units

    def ask(self) -> None:
        assert self._link is not None, "read first"
        self._link.send(b"k")

    def hang_up(self) -> None:
        assert self._link is not None, "read first"
        self._link.close()

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
        self._listener.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    reader = Reader(tmp_path / "tap")
    yield reader
    reader.close()


def feed(sender: TapSender, packets: list[Sent]) -> None:
    for packet in packets:
        sender.packet(packet.payload, packet.marker, packet.timestamp, packet.seq, 1.0)


def vp8(first: int, key: bool, size: int = 100) -> Sent:
    """A picture of one packet."""
    return Sent(b"\x10" + (b"\x00" if key else b"\x01") + bytes(size), True, first * 3000, first)


def test_a_real_stream_arrives_and_decodes(reader: Reader) -> None:
    sender = TapSender(reader.address, "camera/1", "H264")
    feed(sender, encode("H264", pictures=20, keyframe_every=10))
    units = reader.read()
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    assert len([frame for unit in units for frame in decoder.decode(av.Packet(unit.data))]) == 20
    assert {unit.track for unit in units} == {"camera/1"}
    assert not sender.wants_keyframe
    sender.close()


def test_a_reader_that_comes_in_the_middle_gets_the_first_key_frame_first(reader: Reader) -> None:
    sender = TapSender(reader.address, "a", "VP8")
    assert sender.wants_keyframe
    feed(sender, [vp8(0, False), vp8(1, False), vp8(2, True), vp8(3, False)])
    units = reader.read()
    assert [(unit.key, unit.after_gap) for unit in units] == [(True, True), (False, False)]
    assert sender.units_dropped == 2
    sender.close()


def test_a_slow_reader_loses_pictures_up_to_a_key_frame_and_memory_stays_bounded(reader: Reader) -> None:
    clock = Clock()
    sender = TapSender(reader.address, "a", "VP8", clock)
    feed(sender, [vp8(0, True)])
    feed(sender, [vp8(seq, False, 60_000) for seq in range(1, 200)])
    assert 0 < sender.pending_bytes <= MAX_PENDING_BYTES
    assert sender.wants_keyframe
    before = sender.units_sent
    got: list[AccessUnit] = []
    while sender.pending_bytes:
        got += reader.read()
        sender.flush()
    got += reader.read()
    feed(sender, [vp8(200, False), vp8(201, True), vp8(202, False)])
    rest = reader.read()
    assert len(got) == before
    assert [(unit.key, unit.after_gap) for unit in rest] == [(True, True), (False, False)]
    sender.close()


def test_a_reader_that_is_stuck_gets_no_old_pictures(reader: Reader) -> None:
    clock = Clock()
    sender = TapSender(reader.address, "a", "VP8", clock)
    feed(sender, [vp8(0, True), *(vp8(seq, False, 60_000) for seq in range(1, 10))])
    assert sender.pending_bytes > 0
    clock.now += MAX_STUCK_S + 0.1
    sent = sender.units_sent
    feed(sender, [vp8(10, False, 10), vp8(11, True, 10)])
    assert sender.units_sent == sent
    assert sender.wants_keyframe
    sender.close()


def test_a_lost_packet_asks_for_a_key_frame_and_still_passes_what_comes(reader: Reader) -> None:
    clock = Clock()
    sender = TapSender(reader.address, "a", "VP8", clock)
    feed(sender, [vp8(0, True), vp8(1, False)])
    sender.packet(vp8(3, False).payload, True, 9000, 3, 1.0)
    sender.packet(vp8(4, False).payload, True, 12000, 4, 1.6)
    assert [unit.after_gap for unit in reader.read()] == [False, False, True, False]
    assert sender.wants_keyframe
    sender.packet(vp8(5, True).payload, True, 15000, 5, 1.6)
    assert not sender.wants_keyframe
    sender.close()


def test_a_missing_reader_is_tried_once_a_second(tmp_path: Path) -> None:
    clock = Clock()
    sender = TapSender(str(tmp_path / "tap"), "a", "VP8", clock)
    assert not sender.connected
    assert not sender.wants_keyframe
    reader = Reader(tmp_path / "tap")
    feed(sender, [vp8(0, True)])
    assert not sender.connected
    clock.now += RECONNECT_S
    feed(sender, [vp8(1, True)])
    assert sender.connected
    assert [unit.timestamp for unit in reader.read()] == [3000]
    sender.close()
    reader.close()


def test_a_reader_that_dies_is_replaced_by_its_successor(tmp_path: Path) -> None:
    clock = Clock()
    first = Reader(tmp_path / "tap")
    sender = TapSender(first.address, "a", "VP8", clock)
    feed(sender, [vp8(0, True)])
    assert len(first.read()) == 1
    first.close()
    (tmp_path / "tap").unlink()
    feed(sender, [vp8(1, False), vp8(2, False)])
    assert not sender.connected
    second = Reader(tmp_path / "tap")
    clock.now += RECONNECT_S
    feed(sender, [vp8(3, False), vp8(4, True)])
    assert [(unit.key, unit.after_gap) for unit in second.read()] == [(True, True)]
    sender.close()
    second.close()


def test_after_close_nothing_is_kept(reader: Reader) -> None:
    clock = Clock()
    sender = TapSender(reader.address, "a", "VP8", clock)
    sender.close()
    clock.now += 10 * RECONNECT_S
    feed(sender, [vp8(0, True)])
    assert (sender.connected, sender.pending_bytes) == (False, 0)


def test_a_reader_can_ask_for_a_key_frame_and_loses_nothing_by_that(reader: Reader) -> None:
    sender = TapSender(reader.address, "camera/1", "VP8")
    feed(sender, [vp8(1, key=True), vp8(2, key=False)])
    assert len(reader.read()) == 2
    sender.hear()
    assert not sender.wants_keyframe
    reader.ask()
    sender.hear()
    assert sender.wants_keyframe
    feed(sender, [vp8(3, key=False), vp8(4, key=True)])
    assert [unit.key for unit in reader.read()] == [False, True]
    assert not sender.wants_keyframe
    sender.close()


def test_a_reader_that_hangs_up_is_noticed_without_a_packet(reader: Reader) -> None:
    sender = TapSender(reader.address, "camera/1", "VP8")
    feed(sender, [vp8(1, key=True)])
    reader.read()
    reader.hang_up()
    sender.hear()
    assert not sender.connected
    sender.close()
