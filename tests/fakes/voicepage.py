"""Chromium in a room with a tone for a voice, and what it hears, sample by sample (WebAudio)."""

import base64
from typing import Any

import numpy as np
from playwright.async_api import Page

from media.phone.audio import FULL_SCALE, Samples
from signaling.room import messages as m
from tests.fakes.instance import PASSWORD

RATE = 48000

SCRIPT = r"""
window.voice = {
  notices: [], heard: null,
  async start(login, password, room, frequency, version) {
    const post = (path, body) => fetch(path, {
      method: "POST", headers: {"X-Lamproom": "1", "Content-Type": "application/json"}, body: JSON.stringify(body),
    }).then(answer => answer.json());
    await post("/api/login", {login, password});
    const {token} = await post("/api/token", {room});
    this.room = room;
    this.audio = new AudioContext({sampleRate: 48000});
    this.socket = new WebSocket(location.origin.replace("http", "ws") + "/api/ws");
    this.socket.onmessage = event => this.hear(JSON.parse(event.data));
    await new Promise(done => { this.socket.onopen = done; });
    this.send({type: "hello", version, joins: [{type: "join", id: room, token}]});
    setInterval(() => this.send({type: "ping", t: 0}), 2000);
    await this.until(one => one.type === "joined");
    await this.speak(frequency);
  },
  send(message) { this.socket.send(JSON.stringify(message)); },
  hear(message) {
    this.notices.push(message);
    if (message.type === "offer") this.answer(message);
  },
  async until(fits) {
    for (;;) {
      const found = this.notices.find(fits);
      if (found) return found;
      await new Promise(done => setTimeout(done, 20));
    }
  },
  async speak(frequency) {
    const tone = this.audio.createOscillator(), gain = this.audio.createGain();
    const out = this.audio.createMediaStreamDestination();
    out.channelCount = 1;
    tone.frequency.value = frequency;
    gain.gain.value = 0.25;
    tone.connect(gain).connect(out);
    tone.start();
    const peer = this.sending = new RTCPeerConnection();
    const track = out.stream.getAudioTracks()[0];
    const transceiver = peer.addTransceiver(track, {direction: "sendonly", streams: [out.stream]});
    await peer.setLocalDescription();
    const publication = {source: "microphone", name: "voice", rooms: [this.room]};
    this.publications = {[transceiver.mid]: publication};
    await this.publish("p");
  },
  async publish(id) {
    this.send({type: "publish", id, sdp: this.sending.localDescription.sdp, publications: this.publications});
    const published = await this.until(one => one.type === "published" && one.id === id);
    await this.sending.setRemoteDescription({type: "answer", sdp: published.sdp});
  },
  async show() {  // a moving picture, as H.264
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [320, 240];
    const context = canvas.getContext("2d");
    let step = 0;
    setInterval(() => {
      context.fillStyle = `hsl(${step++ * 5 % 360} 80% 50%)`;
      context.fillRect(step % 300, step % 200, 60, 60);
    }, 50);
    const stream = canvas.captureStream(20), peer = this.sending;
    const transceiver = peer.addTransceiver(stream.getVideoTracks()[0], {direction: "sendonly", streams: [stream]});
    const all = RTCRtpSender.getCapabilities("video").codecs;
    transceiver.setCodecPreferences(all.filter(one => one.mimeType === "video/H264"));
    await peer.setLocalDescription();
    this.publications[transceiver.mid] = {source: "camera", name: "face", rooms: [this.room]};
    await this.publish("v");
  },
  async pictures() {  // decoded until now, and their width
    for (const each of this.receiving ? (await this.receiving.getStats()).values() : []) {
      if (each.type === "inbound-rtp" && each.kind === "video") return [each.framesDecoded ?? 0, each.frameWidth ?? 0];
    }
    return [0, 0];
  },
  watch(tracks) {
    this.receiving = null;
    this.send({type: "watch", id: "w", tracks, fresh: true});
  },
  async answer(offer) {
    const peer = this.receiving = new RTCPeerConnection();
    peer.ontrack = event => {
      const stream = new MediaStream([event.track]);
      if (event.track.kind === "video") {
        this.screen = document.createElement("video");
        [this.screen.srcObject, this.screen.muted] = [stream, true];
        document.body.append(this.screen);
        this.screen.play();
        return;
      }
      this.element = new Audio();  // without it Chromium decodes nothing
      this.element.srcObject = stream;
      this.element.muted = true;
      this.element.play();
      const analyser = this.audio.createAnalyser();
      analyser.fftSize = 32768;
      this.audio.createMediaStreamSource(stream).connect(analyser);
      this.heard = analyser;
    };
    await peer.setRemoteDescription({type: "offer", sdp: offer.sdp});
    await peer.setLocalDescription();
    this.send({type: "answer", generation: offer.generation, sdp: peer.localDescription.sdp});
  },
  samples() {
    const found = new Float32Array(32768);
    if (this.heard) this.heard.getFloatTimeDomainData(found);
    return btoa(Array.from(new Uint8Array(found.buffer), one => String.fromCharCode(one)).join(""));
  },
};
"""


class VoicePage:
    """One page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def enter(self, url: str, login: str, room: str, frequency: float) -> None:
        """Log in, into the room, and sound at about -15 dBov."""
        await self.page.goto(f"{url}/login")
        await self.page.evaluate(SCRIPT)
        given: list[Any] = [login, PASSWORD, room, frequency, m.VERSION]
        await self.page.evaluate("given => voice.start(...given)", given)

    async def watch(self, *tracks: str) -> None:
        """One track of sound at most is heard, one of pictures seen."""
        await self.page.evaluate("tracks => voice.watch(tracks)", list(tracks))

    async def show(self) -> None:
        """Publish a moving picture as well."""
        await self.page.evaluate("voice.show()")

    async def pictures(self) -> tuple[int, int]:
        """How many were decoded of what is watched, and their width."""
        decoded, width = await self.page.evaluate("voice.pictures()")
        return int(decoded), int(width)

    async def samples(self) -> Samples:
        """What was heard in the last 0.68 s, at 48 kHz."""
        raw = base64.b64decode(await self.page.evaluate("voice.samples()"))
        return np.frombuffer(raw, np.float32) * np.float32(FULL_SCALE)
