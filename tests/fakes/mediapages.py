"""Two pages for a real browser, and the HTTP signalling between them and a worker's link."""

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from media.messages import Accept, Publish, Subscribe
from tests.fakes.mediaserver import MemoryLink

PAGE = r"""<!doctype html><meta charset="utf-8"><title>media</title><video id="v" autoplay muted playsinline></video>
<script>
async function post(path, body) {
  const answer = await fetch(path, {method: "POST", body: JSON.stringify(body)});
  if (!answer.ok) throw new Error(await answer.text());
  return answer.json();
}
const pc = new RTCPeerConnection();
window.pc = pc;
async function publish(codec, constraints) {
  const stream = await navigator.mediaDevices.getUserMedia(constraints);
  for (const track of stream.getTracks()) {
    const transceiver = pc.addTransceiver(track, {direction: "sendonly", streams: [stream]});
    if (codec && track.kind === "video") {
      const all = RTCRtpSender.getCapabilities("video").codecs;
      const first = all.filter(c => c.mimeType === "video/" + codec);
      if (!first.length) throw new Error("no " + codec);
      transceiver.setCodecPreferences([...first, ...all.filter(c => c.mimeType === "video/rtx")]);
    }
  }
  return offer();
}
async function offer() {
  await pc.setLocalDescription();
  const answer = await post("/publish", {sdp: pc.localDescription.sdp});
  await pc.setRemoteDescription({type: "answer", sdp: answer.sdp});
  return answer.tracks;
}
async function publishLayers() {
  const stream = await navigator.mediaDevices.getUserMedia({video: {width: 640, height: 480, frameRate: 20}});
  pc.addTransceiver(stream.getVideoTracks()[0], {
    direction: "sendonly",
    sendEncodings: [{rid: "h"}, {rid: "q", scaleResolutionDownBy: 4}],
  });
  return offer();
}
function paint() {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [320, 240];
  const context = canvas.getContext("2d");
  let step = 0;
  setInterval(() => {
    context.fillStyle = `hsl(${step++ * 5 % 360} 80% 50%)`;
    context.fillRect(step % 300, step % 200, 60, 60);
  }, 40);
  return canvas.captureStream(25);
}
async function publishNoise(maxBitrate) {  // pictures that no encoder makes small
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [640, 360];
  const context = canvas.getContext("2d");
  const pictures = [];
  for (let index = 0; index < 6; index++) {
    const image = context.createImageData(640, 360);
    for (let at = 0; at < image.data.length; at += 4) {
      image.data.fill(Math.random() * 255, at, at + 3).fill(255, at + 3, at + 4);
    }
    pictures.push(await createImageBitmap(image));
  }
  let step = 0;
  setInterval(() => context.drawImage(pictures[step++ % 6], 0, 0), 50);
  const stream = canvas.captureStream(20);
  pc.addTransceiver(stream.getVideoTracks()[0], {
    direction: "sendonly", streams: [stream], sendEncodings: [{maxBitrate}],
  });
  return offer();
}
async function addScreen() {
  const stream = paint();
  window.screenSender = pc.addTransceiver(stream.getVideoTracks()[0], {direction: "sendonly", streams: [stream]});
  return offer();
}
async function removeScreen() {
  window.screenSender.stop();
  return offer();
}
async function restartIce() {
  const before = pc.localDescription.sdp.match(/ice-ufrag:(\S+)/)[1];
  pc.restartIce();
  await offer();
  return before !== pc.localDescription.sdp.match(/ice-ufrag:(\S+)/)[1];
}
async function subscribe(tracks, iceRestart = false) {
  pc.ontrack = event => {
    if (event.track.kind === "video") document.getElementById("v").srcObject = event.streams[0];
  };
  const offer = await post("/subscribe", {tracks, ice_restart: iceRestart});
  await pc.setRemoteDescription({type: "offer", sdp: offer.sdp});
  await pc.setLocalDescription();
  await post("/accept", {generation: offer.generation, sdp: pc.localDescription.sdp});
  return offer.mids;
}
async function stats() {
  const found = {};
  for (const each of (await pc.getStats()).values()) {
    if (each.type === "inbound-rtp" || each.type === "outbound-rtp") found[each.kind] = each;
    if (each.type === "transport") found.transport = each;
  }
  return found;
}
</script>
"""


@contextlib.asynccontextmanager
async def serving_pages(link: MemoryLink) -> AsyncIterator[str]:
    """Gives the address; `/?peer=NAME` is a page whose requests are for that peer."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def signal(request: web.Request) -> web.Response:
        peer = request.headers["Referer"].partition("peer=")[2]
        body: dict[str, Any] = json.loads(await request.text())
        match request.path:
            case "/publish":
                reply = await link.ask(Publish(peer=peer, sdp=body["sdp"]))
            case "/subscribe":
                reply = await link.ask(
                    Subscribe(peer=peer, tracks=tuple(body["tracks"]), ice_restart=body["ice_restart"])
                )
            case _:
                reply = await link.ask(Accept(peer=peer, generation=body["generation"], sdp=body["sdp"]))
        return web.Response(text=reply.model_dump_json(), status=200 if reply.type == "reply" else 400)

    application = web.Application(client_max_size=1 << 20)
    application.add_routes(
        [web.get("/", page), *(web.post(f"/{name}", signal) for name in ("publish", "subscribe", "accept"))]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()
