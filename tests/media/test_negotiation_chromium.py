"""Chromium takes our answers and our offers, from the first one through changes, removal, reuse and ICE restart."""

import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright

from media.negotiation import SubscriberNegotiation, answer_player, answer_publisher
from media.rtpparameters import Codec, Kind, LocalTransport, WantedTrack

pytestmark = pytest.mark.peer

LOCAL = LocalTransport("ours", "o" * 24, "sha-256 " + ":".join(["A5"] * 32), (("127.0.0.1", 9),))
RESTARTED = replace(LOCAL, ufrag="again", password="a" * 24)
BOTH: tuple[Kind, Kind] = ("audio", "video")
OPUS = Codec(111, "opus", 48000, 2, (("minptime", "10"), ("useinbandfec", "1")))
VP8 = Codec(96, "VP8", 90000)
H264 = Codec(102, "H264", 90000, 1, (("packetization-mode", "1"), ("profile-level-id", "42e01f")))
ARGUMENTS = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--no-sandbox"]

PUBLISHER = """
async () => {
  const pc = globalThis.pc = new RTCPeerConnection();
  const camera = globalThis.camera = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
  for (const track of camera.getTracks()) pc.addTransceiver(track, {direction: 'sendonly', streams: [camera]});
}
"""
SHARE = """
() => {
  const canvas = document.createElement('canvas');
  canvas.getContext('2d').fillRect(0, 0, 9, 9);
  const screen = canvas.captureStream(5);
  globalThis.sharing = pc.addTransceiver(screen.getVideoTracks()[0], {direction: 'sendonly', streams: [screen]});
}
"""
OFFER = """
async (options) => { await pc.setLocalDescription(await pc.createOffer(options)); return pc.localDescription.sdp; }
"""
TAKE_ANSWER = "async (sdp) => { await pc.setRemoteDescription({type: 'answer', sdp}); }"
SUBSCRIBER = """
() => {
  globalThis.pc = new RTCPeerConnection();
  globalThis.seen = [];
  pc.ontrack = (event) => seen.push({
    mid: event.transceiver.mid, kind: event.track.kind, streams: event.streams.map((stream) => stream.id)});
}
"""
TAKE_OFFER = """
async (sdp) => {
  seen.length = 0;
  await pc.setRemoteDescription({type: 'offer', sdp});
  await pc.setLocalDescription(await pc.createAnswer());
  return {sdp: pc.localDescription.sdp, seen: [...seen]};
}
"""
DIRECTIONS = "() => pc.getTransceivers().map((t) => [t.mid, t.currentDirection])"


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium on this machine")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = await browser.new_page()
        await page.route("http://localhost/**", lambda route: route.fulfill(body="<p>", content_type="text/html"))
        await page.goto("http://localhost/")
        yield page
        await browser.close()


def track(name: str, codec: Codec, stream: str, ssrc: int) -> WantedTrack:
    return WantedTrack(name, "audio" if codec.name == "opus" else "video", codec, stream, ssrc, ssrc + 1, stream)


async def test_publishing_camera_then_screen_then_neither_then_restart(page: Page) -> None:
    await page.evaluate(PUBLISHER)
    first = answer_publisher(await page.evaluate(OFFER), LOCAL, BOTH)
    await page.evaluate(TAKE_ANSWER, first.sdp)
    assert await page.evaluate(DIRECTIONS) == [["0", "sendonly"], ["1", "sendonly"]]

    await page.evaluate(SHARE)
    second = answer_publisher(await page.evaluate(OFFER), LOCAL, BOTH)
    await page.evaluate(TAKE_ANSWER, second.sdp)
    assert [(media.mid, media.kind, media.active) for media in second.media] == [
        ("0", "audio", True),
        ("1", "video", True),
        ("2", "video", True),
    ]
    assert second.media[0].stream == second.media[1].stream != second.media[2].stream
    assert second.remote == first.remote

    await page.evaluate("() => { pc.getTransceivers()[1].direction = 'inactive'; sharing.stop(); }")
    third = answer_publisher(await page.evaluate(OFFER), LOCAL, BOTH)
    await page.evaluate(TAKE_ANSWER, third.sdp)
    assert [(media.mid, media.active) for media in third.media] == [("0", True), ("1", False)]

    fourth = answer_publisher(await page.evaluate(OFFER, {"iceRestart": True}), RESTARTED, BOTH)
    await page.evaluate(TAKE_ANSWER, fourth.sdp)
    assert fourth.remote.ufrag != first.remote.ufrag
    assert await page.evaluate("() => pc.signalingState") == "stable"


async def test_publishing_only_what_is_allowed(page: Page) -> None:
    await page.evaluate(PUBLISHER)
    await page.evaluate("() => { pc.createDataChannel('x'); }")
    answer = answer_publisher(await page.evaluate(OFFER), LOCAL, ["video"])
    await page.evaluate(TAKE_ANSWER, answer.sdp)
    assert await page.evaluate("() => pc.signalingState") == "stable"
    assert [media.kind for media in answer.media] == ["video"]


async def test_of_simulcast_all_layers_remain(page: Page) -> None:
    await page.evaluate(PUBLISHER)
    await page.evaluate(
        """() => {
          pc.close(); globalThis.pc = new RTCPeerConnection();
          pc.addTransceiver(camera.getVideoTracks()[0], {direction: 'sendonly', streams: [camera], sendEncodings: [
            {rid: 'f'}, {rid: 'h', scaleResolutionDownBy: 2}, {rid: 'q', scaleResolutionDownBy: 4}]});
        }"""
    )
    answer = answer_publisher(await page.evaluate(OFFER), LOCAL, BOTH)
    await page.evaluate(TAKE_ANSWER, answer.sdp)
    encodings: list[dict[str, Any]] = await page.evaluate("() => pc.getSenders()[0].getParameters().encodings")
    assert [(encoding.get("rid"), encoding["active"]) for encoding in encodings] == [
        ("f", True),
        ("h", True),
        ("q", True),
    ]
    assert answer.media[0].rids == ("f", "h", "q")


async def test_subscribing_through_adding_removing_reusing_and_restarting(page: Page) -> None:
    await page.evaluate(SUBSCRIBER)
    negotiation = SubscriberNegotiation(LOCAL)
    voice, face = track("a/0", OPUS, "alice", 100), track("a/1", VP8, "alice", 200)
    screen, other = track("a/2", H264, "screen", 300), track("b/1", VP8, "bob", 400)

    async def exchange(
        wanted: list[WantedTrack], restart: LocalTransport | None = None
    ) -> tuple[list[str], list[dict[str, Any]]]:
        offer = negotiation.offer(wanted, restart)
        assert offer is not None
        answered = await page.evaluate(TAKE_OFFER, offer.sdp)
        accepted = negotiation.accept(offer.generation, answered["sdp"])
        assert accepted.refused == {}
        assert accepted.remote.setup == "active"
        return [f"{media.mid}={media.track}" for media in accepted.sending], answered["seen"]

    sending, seen = await exchange([voice, face])
    assert sending == ["0=a/0", "1=a/1"]
    assert [(entry["mid"], entry["streams"]) for entry in seen] == [("0", ["alice"]), ("1", ["alice"])]

    sending, seen = await exchange([voice, face, screen])
    assert sending == ["0=a/0", "1=a/1", "2=a/2"]
    assert [(entry["mid"], entry["streams"]) for entry in seen] == [("2", ["screen"])]

    sending, seen = await exchange([voice, screen])
    assert sending == ["0=a/0", "2=a/2"]
    assert seen == []
    assert await page.evaluate(DIRECTIONS) == [["0", "recvonly"], ["1", "inactive"], ["2", "recvonly"]]

    sending, seen = await exchange([voice, screen, other])
    assert sending == ["0=a/0", "1=b/1", "2=a/2"]
    assert [(entry["mid"], entry["streams"]) for entry in seen] == [("1", ["bob"])]

    sending, seen = await exchange([voice, screen, other], RESTARTED)
    assert sending == ["0=a/0", "1=b/1", "2=a/2"]
    assert await page.evaluate("() => pc.signalingState") == "stable"


async def test_what_chromium_cannot_decode_is_refused_and_its_line_comes_back_for_another(page: Page) -> None:
    await page.evaluate(SUBSCRIBER)
    negotiation = SubscriberNegotiation(LOCAL)
    voice = track("a/0", OPUS, "alice", 100)
    strange = track("a/1", Codec(99, "AV1", 90000, 1, (("profile", "2"),)), "alice", 200)
    offer = negotiation.offer([strange, voice])
    assert offer is not None
    accepted = negotiation.accept(1, (await page.evaluate(TAKE_OFFER, offer.sdp))["sdp"])
    assert accepted.refused == {"a/1": "no_common_codec"}
    assert [media.track for media in accepted.sending] == ["a/0"]

    offer = negotiation.offer([strange, voice, track("b/0", OPUS, "bob", 300)])
    assert offer is not None
    answered = await page.evaluate(TAKE_OFFER, offer.sdp)
    accepted = negotiation.accept(2, answered["sdp"])
    assert sorted(media.track for media in accepted.sending) == ["a/0", "b/0"]
    assert [entry["streams"] for entry in answered["seen"]] == [["bob"]]


async def test_a_second_offer_replaces_one_that_was_not_answered(page: Page) -> None:
    await page.evaluate(SUBSCRIBER)
    negotiation = SubscriberNegotiation(LOCAL)
    face, other = track("a/1", VP8, "alice", 200), track("b/1", VP8, "bob", 400)
    first = negotiation.offer([face, other])
    second = negotiation.offer([other])
    assert first is not None
    assert second is not None
    await page.evaluate("async (sdp) => { await pc.setRemoteDescription({type: 'offer', sdp}); }", first.sdp)
    answered = await page.evaluate(TAKE_OFFER, second.sdp)
    accepted = negotiation.accept(2, answered["sdp"])
    assert [(media.mid, media.track) for media in accepted.sending] == [("1", "b/1")]


async def test_a_playing_page_takes_our_answer(page: Page) -> None:
    await page.evaluate(SUBSCRIBER)
    await page.evaluate(
        "() => { for (const kind of ['audio', 'video', 'video']) pc.addTransceiver(kind, {direction: 'recvonly'}); }"
    )
    wanted = [track("a/1", H264, "alice", 200), track("a/0", OPUS, "alice", 100)]
    answer = answer_player(await page.evaluate(OFFER), LOCAL, wanted)
    await page.evaluate(TAKE_ANSWER, answer.sdp)
    seen: list[dict[str, Any]] = json.loads(await page.evaluate("() => JSON.stringify(seen)"))
    assert [(entry["mid"], entry["streams"]) for entry in seen] == [("0", ["alice"]), ("1", ["alice"])]
    assert await page.evaluate(DIRECTIONS) == [["0", "recvonly"], ["1", "recvonly"], ["2", "inactive"]]
