"""A whole worker and peers made by hand: what of a track arrives, and what goes back."""

import asyncio
import itertools

import pytest

from media import rtcp, rtp
from media.messages import Mute, Subscribe
from media.sourcetime import middle
from tests.fakes.mediaserver import running_worker
from tests.fakes.rawpeer import (
    AUDIO,
    RTX,
    VIDEO,
    RawPeer,
    connected_publisher,
    connected_subscriber,
    vp8,
)

SSRC, RTX_SSRC = 77, 78


def send(camera: RawPeer, numbers: range, *, key: int | None = None, ssrc: int = SSRC) -> None:
    for number in numbers:
        camera.send_media(number, vp8(number == key), ssrc=ssrc, timestamp=3000 * number & 0xFFFFFFFF)


def steps(viewer: RawPeer) -> list[tuple[int, int]]:
    """Differences of sequence number and timestamp from packet to packet."""
    return [
        (after.sequence - before.sequence & 0xFFFF, after.timestamp - before.timestamp & 0xFFFFFFFF)
        for before, after in itertools.pairwise(viewer.received)
    ]


async def test_packets_arrive_rewritten_and_otherwise_as_they_were() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link, ssrc=SSRC)
        viewer = await connected_subscriber(link, "camera/0")
        start = 65530
        for number in range(start, start + 20):
            camera.send_media(
                number & 0xFFFF, vp8(number == start), ssrc=SSRC, timestamp=number * 7, marker=number % 3 == 0
            )
        await viewer.until(20)
        assert steps(viewer) == [(1, 7)] * 19
        assert {each.ssrc for each in viewer.received} == {viewer.offered_ssrcs()[0]}
        assert [each.marker for each in viewer.received] == [number % 3 == 0 for number in range(start, start + 20)]
        assert viewer.received[0].payload == vp8(True)
        assert viewer.received[0].payload_type == VIDEO
        assert 0 < viewer.received[0].sequence < 32768


async def test_hop_by_hop_extensions_stay_behind() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        camera.send_media(0, vp8(True), ssrc=SSRC, mid="0")
        await viewer.until(1)
        # But for ours: the number of the packet on its own hop.
        assert [value for _, value in rtp.extensions(viewer.received[0].raw)] == [b"\0\1"]


async def test_an_ssrc_that_the_offer_does_not_name_is_found_by_its_mid() -> None:
    async with running_worker() as (link, _):
        camera = RawPeer(link, "camera")
        await camera.publish(camera.offer(video=True, audio=True))
        await camera.connect()
        viewer = await connected_subscriber(link, "camera/0", "camera/1")
        camera.send_media(1, b"sound", ssrc=5, payload_type=AUDIO, mid="1")
        camera.send_media(1, vp8(True), ssrc=6, mid="0")
        camera.send_media(2, vp8(False), ssrc=6)
        await viewer.until(3)
        assert sorted(each.payload for each in viewer.received) == sorted([b"sound", vp8(True), vp8(False)])


async def test_a_wrong_mid_is_dropped() -> None:
    async with running_worker() as (link, worker):
        camera = RawPeer(link, "camera")
        await camera.publish(camera.offer())
        await camera.connect()
        camera.send_media(1, vp8(True), ssrc=6, mid="7")
        await camera.check()
        assert worker.counters()["dropped_unbound"] == 1


async def test_a_lost_packet_is_asked_for_and_its_rtx_is_forwarded_in_its_place() -> None:
    async with running_worker() as (link, worker):
        camera = await connected_publisher(link, ssrc=SSRC, rtx=RTX_SSRC)
        viewer = await connected_subscriber(link, "camera/0")
        send(camera, range(10, 13), key=10)
        send(camera, range(14, 16))
        nack = await camera.until_report(rtcp.Nack)
        assert isinstance(nack, rtcp.Nack)
        assert (nack.media, nack.sequences) == (SSRC, (13,))
        lost = rtp.pack(b"repaired", payload_type=VIDEO, sequence=13, timestamp=39000, ssrc=SSRC)
        camera.send_rtp(rtp.wrap_rtx(lost, RTX_SSRC, RTX, 500))
        camera.send_rtp(rtp.wrap_rtx(lost, RTX_SSRC, RTX, 501))
        await viewer.until(6)
        await viewer.listen(0.1)
        assert len(viewer.received) == 6
        assert viewer.received[5].payload == b"repaired"
        assert viewer.received[5].sequence == viewer.received[2].sequence + 1
        assert worker.counters()["packets_repaired"] == 1


@pytest.mark.parametrize("rtx", [True, False])
async def test_a_subscriber_gets_again_what_it_asks_for(rtx: bool) -> None:
    async with running_worker() as (link, worker):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0", rtx=rtx)
        send(camera, range(10), key=0)
        await viewer.until(10)
        asked = viewer.received[4]
        viewer.send_rtcp(rtcp.ReceiverReport(1), rtcp.Nack(1, asked.ssrc, (asked.sequence, 60000)))
        if rtx:
            await viewer.until(11)
            again = viewer.received[10]
            assert again.payload_type == RTX
            assert again.ssrc == viewer.offered_ssrcs()[1]
            original = rtp.unwrap_rtx(again.raw, asked.ssrc, asked.payload_type)
            # All but the number of the packet on this hop.
            assert original is not None
            assert (original[:17], original[19:]) == (asked.raw[:17], asked.raw[19:])
        else:
            # The very same bytes: libsrtp's replay window refuses them at the receiver, which has them already.
            assert (await viewer.datagram()) == viewer.datagrams[4]
        viewer.send_rtcp(rtcp.ReceiverReport(1), rtcp.Nack(1, asked.ssrc, (asked.sequence,)))
        await viewer.listen(0.05)
        assert worker.counters()["packets_resent"] == 1


async def test_many_requests_for_a_key_frame_make_one_per_interval() -> None:
    async with running_worker(keyframe_interval_s=0.5) as (link, worker):
        camera = await connected_publisher(link)
        viewers = [await connected_subscriber(link, "camera/0", name=f"viewer-{number}") for number in range(3)]
        send(camera, range(3), key=0)
        await link.track("camera/0", "live")
        await asyncio.sleep(0.6)
        before = worker.counters()["keyframe_requests"]
        for viewer in viewers * 5:
            viewer.send_rtcp(rtcp.ReceiverReport(1), rtcp.Pli(1, viewer.offered_ssrcs()[0]))
            viewer.send_rtcp(rtcp.ReceiverReport(1), rtcp.Fir(1, ((viewer.offered_ssrcs()[0], 1),)))
        await camera.listen(0.3)
        assert worker.counters()["keyframe_requests"] == before + 1
        assert rtcp.Pli in {type(each) for each in camera.reports}
        await camera.listen(0.4)
        assert worker.counters()["keyframe_requests"] == before + 2


async def test_a_late_subscriber_gets_the_short_group_of_pictures_at_once() -> None:
    async with running_worker() as (link, worker):
        camera = await connected_publisher(link)
        send(camera, range(10), key=4)
        await link.track("camera/0", "live")
        viewer = await connected_subscriber(link, "camera/0")
        await viewer.until(6)
        assert viewer.received[0].payload == vp8(True)
        assert steps(viewer) == [(1, 3000)] * 5
        assert worker.counters()["fast_starts"] == 1
        assert worker.counters()["keyframe_requests"] == 0


async def test_a_late_subscriber_waits_for_a_key_frame_that_is_asked_for() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        send(camera, range(100), key=0)
        await link.track("camera/0", "live")
        viewer = await connected_subscriber(link, "camera/0")
        await camera.until_report(rtcp.Pli)
        send(camera, range(100, 105))
        await viewer.listen(0.1)
        assert viewer.received == []
        send(camera, range(105, 108), key=105)
        await viewer.until(3)
        assert viewer.received[0].payload == vp8(True)


async def test_sound_starts_at_once() -> None:
    async with running_worker() as (link, _):
        camera = RawPeer(link, "camera")
        await camera.publish(camera.offer(video=False, audio=True))
        await camera.connect()
        viewer = await connected_subscriber(link, "camera/1")
        camera.send_media(9, b"sound", ssrc=5, payload_type=AUDIO)
        await viewer.until(1)


async def test_a_mute_leaves_no_seam() -> None:
    async with running_worker() as (link, worker):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        send(camera, range(5), key=0)
        await viewer.until(5)
        await link.call(Mute(track="camera/0", muted=True))
        send(camera, range(5, 25))
        await camera.check()
        await link.call(Mute(track="camera/0", muted=False))
        await camera.until_report(rtcp.Pli)
        send(camera, range(25, 30), key=25)
        await viewer.until(10)
        assert steps(viewer) == [(1, 3000)] * 4 + [(1, 21 * 3000)] + [(1, 3000)] * 4
        assert worker.counters()["dropped_muted"] == 20


async def test_another_ssrc_leaves_no_seam_but_in_time() -> None:
    async with running_worker() as (link, _):
        camera = RawPeer(link, "camera")
        await camera.publish(camera.offer())
        await camera.connect()
        viewer = await connected_subscriber(link, "camera/0")
        for number in range(5):
            camera.send_media(number, vp8(number == 0), ssrc=1000, timestamp=number * 3000, mid="0")
        await viewer.until(5)
        await asyncio.sleep(0.1)
        for number in range(5):
            camera.send_media(40000 + number, vp8(number == 0), ssrc=2000, timestamp=77 + number * 3000, mid="0")
        await viewer.until(10)
        differences = steps(viewer)
        assert [sequence for sequence, _ in differences] == [1] * 9
        assert 0.1 * 90000 <= differences[4][1] < 0.5 * 90000
        assert differences[5:] == [(1, 3000)] * 4


@pytest.mark.parametrize("jump", [5000, 40000])
async def test_a_sender_that_begins_anew_leaves_no_seam(jump: int) -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        send(camera, range(100, 105), key=100)
        await viewer.until(5)
        # A jump by half the circle is taken for late packets at first: one of them is the price.
        send(camera, range(100 + jump, 106 + jump))
        await viewer.until(10)
        assert [sequence for sequence, _ in steps(viewer)][:9] == [1] * 9


async def test_reports_pass_on_the_publisher_s_clock_with_our_timestamps() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        viewer = await connected_subscriber(link, "camera/0")
        send(camera, range(5), key=0)
        await viewer.until(5)
        camera.send_rtcp(rtcp.SenderReport(SSRC, 1000 << 32, 50_000, 5, 500))
        report = await viewer.until_report(rtcp.SenderReport)
        assert isinstance(report, rtcp.SenderReport)
        elapsed = (report.ntp - (1000 << 32)) / (1 << 32)
        assert 0 <= elapsed < 2
        # The sender's 50,000 lies 50,000 after its timestamp 0, which is the first packet's here.
        expected = viewer.received[0].timestamp + 50_000 + elapsed * 90000
        assert abs((report.timestamp - expected + (1 << 31)) % (1 << 32) - (1 << 31)) < 100
        assert report.ssrc == viewer.offered_ssrcs()[0]
        assert report.packets == 5
        assert isinstance(await viewer.until_report(rtcp.SourceDescription), rtcp.SourceDescription)
        block = rtcp.ReportBlock(report.ssrc, 51, 1, 0, 900, middle(report.ntp), 0)
        viewer.send_rtcp(rtcp.ReceiverReport(1, (block,)))
        quality = await link.quality("viewer", lambda each: each.tracks[0].loss > 0)
        [track] = quality.tracks
        assert track.loss == pytest.approx(51 / 256, abs=0.001)
        assert track.jitter_ms == 10
        assert track.rtt_ms is not None
        assert 0 <= track.rtt_ms < 1000
        assert (track.level, track.reason) == ("poor", "loss")


async def test_the_publisher_hears_of_its_loss_and_of_the_bitrate_allowed() -> None:
    async with running_worker() as (link, _):
        camera = await connected_publisher(link)
        send(camera, range(10))
        send(camera, range(12, 20))
        camera.send_rtcp(rtcp.SenderReport(SSRC, 0x1234_5678_9ABC_DEF0, 0, 5, 500))
        report = await camera.until_report(rtcp.ReceiverReport)
        while not (isinstance(report, rtcp.ReceiverReport) and report.reports):
            report = await camera.until_report(rtcp.ReceiverReport)
        [block] = report.reports
        assert (block.ssrc, block.lost, block.highest, block.fraction_lost) == (SSRC, 2, 19, 2 * 256 // 20)
        assert block.last_report == 0x5678_9ABC
        remb = await camera.until_report(rtcp.Remb)
        assert isinstance(remb, rtcp.Remb)
        assert remb.ssrcs == (SSRC,)
        assert remb.bitrate_bps > 100_000


async def test_a_publisher_that_numbers_its_transport_hears_what_came_and_gets_no_estimate() -> None:
    async with running_worker() as (link, _):
        camera = RawPeer(link, "camera")
        await camera.publish(camera.offer(ssrc=SSRC, rtx=RTX_SSRC, audio=True, transport_wide=True))
        await camera.connect()
        viewer = await connected_subscriber(link, "camera/0")
        came = [number for number in range(65_500, 65_560) if number % 7]
        for number in came:
            ssrc, payload_type = (RTX_SSRC, RTX) if number % 5 == 0 else (SSRC, VIDEO)
            camera.send_media(number & 0xFFFF, vp8(True), ssrc=ssrc, payload_type=payload_type, transport=number)
        heard: dict[int, bool] = {}
        while len(heard) < len(range(came[0], came[-1])) + 1:
            feedback = await camera.until_report(rtcp.TransportFeedback)
            assert isinstance(feedback, rtcp.TransportFeedback)
            assert feedback.media == SSRC
            for index, delta in enumerate(feedback.statuses.deltas):
                heard[feedback.statuses.base + index & 0xFFFF] = delta is not None
        assert {number for number, there in heard.items() if there} == {number & 0xFFFF for number in came}
        await viewer.until(1)
        # But for ours: the number of the packet on its own hop.
        assert [value for _, value in rtp.extensions(viewer.received[0].raw)] == [b"\0\1"]
        report = await camera.until_report(rtcp.ReceiverReport)
        while not (isinstance(report, rtcp.ReceiverReport) and report.reports):
            report = await camera.until_report(rtcp.ReceiverReport)
        assert not any(isinstance(each, rtcp.Remb) for each in camera.reports)


async def test_what_is_no_longer_wanted_stops_and_the_rest_goes_on() -> None:
    async with running_worker() as (link, _):
        first = await connected_publisher(link, "first", ssrc=1)
        second = await connected_publisher(link, "second", ssrc=2)
        viewer = await connected_subscriber(link, "first/0", "second/0")
        send(first, range(1), key=0, ssrc=1)
        send(second, range(1), key=0, ssrc=2)
        await viewer.until(2)
        await link.call(Subscribe(peer="viewer", tracks=("second/0",)))
        send(first, range(1, 5), ssrc=1)
        send(second, range(1, 5), ssrc=2)
        await viewer.until(6)
        await viewer.listen(0.05)
        assert len(viewer.received) == 6
        assert len({each.ssrc for each in viewer.received[2:]}) == 1
