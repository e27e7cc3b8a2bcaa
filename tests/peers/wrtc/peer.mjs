// libwebrtc in Node: publishes two layers of a moving picture and a tone by WHIP, plays by WHEP, and says once a second
// what it measured, as a line of JSON. Argument: {whip, token, whep, viewing} as JSON; without `whep` it plays nothing.
import wrtc from '@roamhq/wrtc';

const { RTCPeerConnection, nonstandard } = wrtc;
const { RTCVideoSource, RTCAudioSource, RTCVideoSink, RTCAudioSink } = nonstandard;
const wanted = JSON.parse(process.argv[2]);
const [WIDTH, HEIGHT, RATE] = [640, 360, 12];

/** Offers to an endpoint and takes its answer. */
async function post(peer, url, token) {
  await peer.setLocalDescription(await peer.createOffer());
  if (peer.iceGatheringState !== 'complete') {
    await new Promise((done) => {
      peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && done();
    });
  }
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` },
    body: peer.localDescription.sdp,
  });
  const sdp = await answer.text();
  if (answer.status !== 201) throw new Error(`${answer.status}: ${sdp}`);
  await peer.setRemoteDescription({ type: 'answer', sdp });
  return sdp;
}

function camera() {
  const source = new RTCVideoSource();
  let number = 0;
  setInterval(() => {
    const data = new Uint8ClampedArray((WIDTH * HEIGHT * 3) / 2).fill(128);
    const left = (number++ * 16) % (WIDTH - 64);
    for (let y = 0; y < HEIGHT; y++) data.fill(235, y * WIDTH + left, y * WIDTH + left + 64);
    source.onFrame({ width: WIDTH, height: HEIGHT, data });
  }, 1000 / RATE);
  return source.createTrack();
}

function microphone() {
  const source = new RTCAudioSource();
  let at = 0;
  setInterval(() => {
    const samples = new Int16Array(480);
    for (let index = 0; index < 480; index++) samples[index] = 8000 * Math.sin((2 * Math.PI * 440 * at++) / 48000);
    source.onData({ samples, sampleRate: 48000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480 });
  }, 10);
  return source.createTrack();
}

const seen = { pictures: 0, width: 0, loudest: 0 };
const publisher = new RTCPeerConnection({ iceServers: [] });
publisher.addTransceiver(microphone(), { direction: 'sendonly' });
publisher.addTransceiver(camera(), {
  direction: 'sendonly',
  sendEncodings: [
    { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 200_000 },
    { rid: 'f', maxBitrate: 1_500_000 },
  ],
});
const answer = await post(publisher, wanted.whip, wanted.token);

if (wanted.whep) {
  const player = new RTCPeerConnection({ iceServers: [] });
  player.ontrack = ({ track }) => {
    if (track.kind === 'video') {
      new RTCVideoSink(track).onframe = ({ frame }) => {
        seen.pictures += 1;
        seen.width = frame.width;
      };
    } else {
      new RTCAudioSink(track).ondata = ({ samples }) => {
        for (const sample of samples) seen.loudest = Math.max(seen.loudest, Math.abs(sample));
      };
    }
  };
  player.addTransceiver('audio', { direction: 'recvonly' });
  player.addTransceiver('video', { direction: 'recvonly' });
  await post(player, wanted.whep, wanted.viewing);
}

setInterval(async () => {
  const sent = {};
  let available = 0;
  for (const one of (await publisher.getStats()).values()) {
    if (one.type === 'outbound-rtp' && one.kind === 'video') sent[one.rid ?? ''] = one.framesSent ?? one.framesEncoded;
    if (one.type === 'candidate-pair' && one.nominated) available = one.availableOutgoingBitrate ?? 0;
  }
  const told = { sent, available, numbered: answer.includes('transport-cc'), simulcast: answer.includes('a=simulcast:recv h;f') };
  console.log(JSON.stringify({ ...told, ...seen }));
}, 500);
