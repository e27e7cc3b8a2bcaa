// The two media peers of this page: one that publishes (we offer) and one that watches (the server offers).
//
// Both hang on the client, not on the socket: after a lost socket they go on when `welcome.resumed`, else they are built
// anew with `fresh`. No ICE servers are ever asked; the server answers on an address the page already reaches.
// Negotiations of one peer never overlap: what is asked meanwhile is done once, afterwards (`#publishAgain`).
import { Store } from './state.js';
import { RoomProblem, retryDelay } from './room.js';

const SETTLE_MS = 120;
const DISCONNECTED_MS = 4_000;
const MAX_RESTARTS = 2;
const MAX_RETRIES = 8;
const LASTING = new Set(['not_allowed', 'not_in_room', 'sdp_invalid', 'no_common_codec', 'bad_message']);
const SCREEN_BPS = 2_500_000;
/** What a camera is sent as, the smallest picture first: everybody gets the one that fills the tile and fits the line. */
const LAYERS = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_800_000 },
];

/** Browsers leave out the largest layers of a small picture (libwebrtc, below 960 × 540 one, below 480 × 270 two), so it
 * gets fewer. @param {MediaStreamTrack} track */
const layersFor = (track) => {
  const { width = 1280, height = 720 } = track.getSettings();
  const pixels = width * height;
  return LAYERS.slice(pixels >= 960 * 540 ? 0 : pixels >= 480 * 270 ? 1 : 3);
};

/** @typedef {'camera' | 'microphone' | 'screen'} Slot */
/** @typedef {{state: string, error: string, text: {zh: string, en: string} | null, since: number}} PeerState */
/**
 * @typedef {object} Published
 * @property {MediaStreamTrack} track
 * @property {string} name
 * @property {string[]} rooms
 * @property {boolean} muted
 * @property {string} id track id given by the server, empty before
 * @property {RTCRtpTransceiver | null} transceiver
 */

/** @returns {PeerState} */
const nothing = () => ({ state: 'none', error: '', text: null, since: Date.now() / 1000 });

/** Whether a transceiver sends a simulcast: that is settled when it is made. @param {RTCRtpTransceiver} transceiver */
const layered = (transceiver) => transceiver.sender.getParameters().encodings.length > 1;

export class MediaClient {
  /** @type {Map<Slot, Published>} */
  published = new Map();
  /** @type {Store<PeerState>} */
  publishState = new Store(nothing());
  /** @type {Store<PeerState>} */
  watchState = new Store(nothing());
  /** Streams of watched tracks by track id; touched when one comes or goes. @type {Store<Map<string, MediaStream>>} */
  streams = new Store(new Map());
  /** Why a wanted track does not come. @type {Map<string, {zh: string, en: string}>} */
  refused = new Map();
  /** Track of the voice that dominates now; empty for nobody's. */
  speaker = new Store('');
  /** Touched when something of our own changed. */
  own = new Store(0);

  /** @type {RTCPeerConnection | null} */
  #publishPeer = null;
  /** @type {RTCPeerConnection | null} */
  #watchPeer = null;
  /** @type {RTCRtpTransceiver[]} free to be used again */
  #spare = [];
  /** Layers that somebody takes, by track id. @type {Map<string, string[]>} */
  #taken = new Map();
  #publishing = false;
  #publishAgain = false;
  #publishFresh = true;
  #publishRetries = 0;
  #watching = false;
  #watchAgain = false;
  #watchFresh = true;
  #watchRestart = false;
  #watchRetries = 0;
  #settleTimer = 0;
  #generation = -1;
  /** @type {string[]} */
  #wanted = [];
  /** @type {Promise<void>} */
  #offers = Promise.resolve();
  /** @type {Map<'publish' | 'watch', {restarts: number, timer: number}>} */
  #repairs = new Map([
    ['publish', { restarts: 0, timer: 0 }],
    ['watch', { restarts: 0, timer: 0 }],
  ]);

  /** @param {import('./room.js').RoomClient} room */
  constructor(room) {
    this.room = room;
    room.addEventListener('welcome', (event) => this.#welcomed(/** @type {CustomEvent} */ (event).detail));
    room.addEventListener('offer', (event) => this.#offered(/** @type {CustomEvent} */ (event).detail));
    room.addEventListener('tracks_refused', (event) => {
      for (const [id, text] of Object.entries(/** @type {CustomEvent} */ (event).detail.refused)) this.refused.set(id, text);
      this.streams.touch();
    });
    room.addEventListener('encodings', (event) => {
      const { track, active } = /** @type {CustomEvent} */ (event).detail;
      if (this.#taken.size > 16) this.#taken.clear();
      this.#taken.set(track, active);
      this.#tune();
    });
    room.addEventListener('speaker', (event) => this.speaker.set(/** @type {CustomEvent} */ (event).detail.track));
    room.addEventListener('media_state', (event) => this.#told(/** @type {CustomEvent} */ (event).detail));
  }

  /** Whether this is the voice that dominates now. @param {Record<string, any> | null | undefined} track */
  speaks(track) {
    return Boolean(track && !track.muted && !track.silenced && track.track === this.speaker.value);
  }

  // --- publishing ---

  /** Shows a track from now on (or another one in its place). @param {Slot} slot @param {MediaStreamTrack} track @param {string} name @param {string[]} rooms */
  publish(slot, track, name, rooms) {
    const before = this.published.get(slot);
    this.published.set(slot, {
      track,
      name,
      rooms: [...rooms],
      muted: before?.muted ?? false,
      id: before?.id ?? '',
      transceiver: before?.transceiver ?? null,
    });
    track.enabled = !(before?.muted ?? false);
    this.own.touch();
    this.#negotiate();
  }

  /** @param {Slot} slot */
  unpublish(slot) {
    const gone = this.published.get(slot);
    if (!gone) return;
    this.published.delete(slot);
    gone.track.stop();
    if (gone.transceiver) this.#spare.push(gone.transceiver);
    this.own.touch();
    this.#negotiate();
  }

  /** Who may see it. @param {Slot} slot @param {string[]} rooms */
  setRooms(slot, rooms) {
    const one = this.published.get(slot);
    if (!one || one.rooms.join() === rooms.join()) return;
    one.rooms = [...rooms];
    this.#negotiate();
  }

  /** @param {Slot} slot @param {boolean} muted */
  setMuted(slot, muted) {
    const one = this.published.get(slot);
    if (!one) return;
    one.muted = muted;
    one.track.enabled = !muted;
    if (one.id) this.room.tell({ type: 'muted', track: one.id, muted });
    this.own.touch();
  }

  /** Asks for a negotiation; several requests in a row make one. */
  async #negotiate() {
    if (this.#publishing) {
      this.#publishAgain = true;
      return;
    }
    if (!this.room.online || (this.#shown().length === 0 && !this.#publishPeer)) return;
    this.#publishing = true;
    try {
      do {
        this.#publishAgain = false;
        await this.#offerOwn();
      } while (this.#publishAgain && this.room.online);
    } finally {
      this.#publishing = false;
    }
  }

  async #offerOwn() {
    const fresh = this.#publishFresh || !this.#publishPeer;
    const peer = fresh ? this.#newPublishPeer() : /** @type {RTCPeerConnection} */ (this.#publishPeer);
    try {
      await this.#arrange(peer);
      const offer = await peer.createOffer();
      await peer.setLocalDescription(offer);
      const answer = await this.room.request({
        type: 'publish',
        sdp: peer.localDescription?.sdp ?? offer.sdp,
        publications: this.#publications(),
        fresh,
      });
      if (peer !== this.#publishPeer) return;
      await peer.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
      this.#publishFresh = false;
      this.#publishRetries = 0;
      this.#learnIds(answer.tracks);
      await this.#tune();
    } catch (error) {
      if (peer === this.#publishPeer) await this.#publishFailed(peer, error);
    }
  }

  #newPublishPeer() {
    this.#publishPeer?.close();
    const peer = new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
    this.#publishPeer = peer;
    this.#publishFresh = true;
    this.#spare = [];
    for (const one of this.published.values()) Object.assign(one, { transceiver: null, id: '' });
    this.#observe(peer, 'publish');
    this.#setState('publish', 'connecting');
    return peer;
  }

  /** Gives every published track its m-line. @param {RTCPeerConnection} peer */
  async #arrange(peer) {
    for (const transceiver of this.#spare) {
      if (transceiver.direction !== 'inactive') {
        transceiver.direction = 'inactive';
        await transceiver.sender.replaceTrack(null);
      }
    }
    for (const [slot, one] of this.published) {
      if (one.rooms.length === 0) {
        if (one.transceiver) one.transceiver.direction = 'inactive';
        continue;
      }
      if (!one.transceiver) {
        const layers = slot === 'camera' ? layersFor(one.track) : [];
        const fits = (/** @type {RTCRtpTransceiver} */ t) => t.receiver.track.kind === one.track.kind && t.direction !== 'stopped' && layered(t) === layers.length > 0;
        const index = this.#spare.findIndex(fits);
        one.transceiver =
          index >= 0
            ? this.#spare.splice(index, 1)[0]
            : peer.addTransceiver(one.track, { direction: 'sendonly', ...(layers.length && { sendEncodings: layers.map((layer) => ({ ...layer })) }) });
      }
      one.transceiver.direction = 'sendonly';
      if (one.transceiver.sender.track !== one.track) await one.transceiver.sender.replaceTrack(one.track);
    }
  }

  /** What somebody may see now; a track that is in no room waits. */
  #shown() {
    return [...this.published].filter(([, one]) => one.rooms.length > 0);
  }

  #publications() {
    /** @type {Record<string, object>} */
    const publications = {};
    for (const [slot, one] of this.#shown()) {
      const mid = one.transceiver?.mid;
      if (mid) publications[mid] = { source: slot, name: one.name, rooms: one.rooms };
    }
    return publications;
  }

  /** @param {Record<string, string>} ids by mid */
  #learnIds(ids) {
    for (const one of this.published.values()) {
      one.id = ids[one.transceiver?.mid ?? ''] ?? one.id;
      if (one.muted && one.id) this.room.tell({ type: 'muted', track: one.id, muted: true });
    }
    this.own.touch();
  }

  /** Bounds the bit rate; a face may lose detail before motion, a screen the other way round. Layers that nobody takes
   * are not sent. */
  async #tune() {
    for (const [slot, one] of this.published) {
      if (slot === 'microphone' || !one.transceiver) continue;
      const parameters = one.transceiver.sender.getParameters();
      if (!parameters.encodings?.length) continue;
      const taken = this.#taken.get(one.id);
      for (const encoding of parameters.encodings) {
        const layer = LAYERS.find(({ rid }) => rid === encoding.rid);
        if (layer) encoding.active = !taken || taken.includes(layer.rid);
        encoding.maxBitrate = layer?.maxBitrate ?? (slot === 'screen' ? SCREEN_BPS : LAYERS[2].maxBitrate);
      }
      Object.assign(parameters, { degradationPreference: slot === 'screen' ? 'maintain-resolution' : 'maintain-framerate' });
      try {
        await one.transceiver.sender.setParameters(parameters);
      } catch (error) {
        console.debug('The sender kept its own parameters.', error);
      }
    }
  }

  /** @param {RTCPeerConnection} peer @param {any} error */
  async #publishFailed(peer, error) {
    const problem = error instanceof RoomProblem ? error : new RoomProblem('sdp_invalid', null, String(error));
    if (problem.error === 'offline') return; // the next welcome starts again
    this.#setState('publish', 'closed', problem.error, problem.text);
    if (peer.signalingState === 'have-local-offer') {
      this.#publishFresh = true; // a half-made offer is not worth keeping
    }
    if (LASTING.has(problem.error) || ++this.#publishRetries > MAX_RETRIES) return;
    setTimeout(() => this.#negotiate(), 1000 * (0.5 + retryDelay(this.#publishRetries, this.room.random)));
  }

  /** What the browser measured of our sending. Loss is 0 to 1, times in seconds. @returns {Promise<{bps: number, loss: number, rtt: number}>} */
  async publishFacts() {
    const facts = { bps: 0, loss: 0, rtt: 0 };
    const report = await this.#publishPeer?.getStats();
    report?.forEach((/** @type {any} */ one) => {
      if (one.type === 'remote-inbound-rtp') facts.loss = Math.max(facts.loss, one.fractionLost ?? 0);
      if (one.type === 'candidate-pair' && one.nominated) facts.rtt = one.currentRoundTripTime ?? 0;
      if (one.type === 'outbound-rtp' && one.kind === 'video') facts.bps = Math.max(facts.bps, one.targetBitrate ?? 0);
    });
    return facts;
  }

  // --- watching ---

  /** The whole list of tracks this page wants to see and hear. @param {Iterable<string>} tracks */
  want(tracks) {
    const wanted = [...new Set(tracks)].slice(0, 64);
    if (wanted.length === this.#wanted.length && wanted.every((id, index) => id === this.#wanted[index])) return;
    this.#wanted = wanted;
    for (const id of this.refused.keys()) if (!wanted.includes(id)) this.refused.delete(id);
    // The list changes in steps when a page changes its view: one negotiation is enough, and none takes a picture away
    // that comes back at once.
    clearTimeout(this.#settleTimer);
    this.#settleTimer = setTimeout(() => this.#watch(), SETTLE_MS);
  }

  get wanted() {
    return this.#wanted;
  }

  async #watch() {
    if (this.#watching) {
      this.#watchAgain = true;
      return;
    }
    if (!this.room.online || (this.#wanted.length === 0 && !this.#watchPeer)) return;
    this.#watching = true;
    try {
      do {
        this.#watchAgain = false;
        await this.#askForTracks();
      } while (this.#watchAgain && this.room.online);
    } finally {
      this.#watching = false;
    }
  }

  async #askForTracks() {
    const fresh = this.#watchFresh;
    const restart = this.#watchRestart && !fresh;
    if (fresh) this.#forgetWatchPeer();
    this.#watchFresh = false;
    this.#watchRestart = false;
    try {
      const answer = await this.room.request({ type: 'watch', tracks: this.#wanted, fresh, ice_restart: restart });
      this.#watchRetries = 0;
      this.refused = new Map(Object.entries(answer.refused ?? {}));
      this.streams.touch();
      await this.#offers; // our answer goes out before the list changes again
    } catch (error) {
      const problem = error instanceof RoomProblem ? error : new RoomProblem('internal', null, String(error));
      this.#watchFresh ||= fresh;
      this.#watchRestart ||= restart;
      if (problem.error === 'offline') return;
      this.#setState('watch', 'closed', problem.error, problem.text);
      if (LASTING.has(problem.error) || ++this.#watchRetries > MAX_RETRIES) return;
      setTimeout(() => this.#watch(), 1000 * (0.5 + retryDelay(this.#watchRetries, this.room.random)));
    }
  }

  #forgetWatchPeer() {
    this.#watchPeer?.close();
    this.#watchPeer = null;
    this.#generation = -1;
    this.speaker.set('');
    this.streams.value.clear();
    this.streams.touch();
  }

  /** @param {any} offer */
  #offered(offer) {
    this.#offers = this.#offers.then(() => this.#answer(offer));
  }

  /** @param {any} offer */
  async #answer(offer) {
    if (offer.generation <= this.#generation) return; // overtaken
    this.#generation = offer.generation;
    const peer = this.#watchPeer ?? this.#newWatchPeer();
    try {
      await peer.setRemoteDescription({ type: 'offer', sdp: offer.sdp });
      const answer = await peer.createAnswer();
      await peer.setLocalDescription(answer);
      if (peer !== this.#watchPeer) return;
      this.room.tell({ type: 'answer', generation: offer.generation, sdp: peer.localDescription?.sdp ?? answer.sdp });
      this.#learnStreams(peer, offer.mids);
    } catch (error) {
      if (peer !== this.#watchPeer) return;
      console.debug('The offer did not fit; the watching peer is built anew.', error);
      this.#rebuild('watch', 'sdp_invalid', null);
    }
  }

  #newWatchPeer() {
    const peer = new RTCPeerConnection({ iceServers: [], bundlePolicy: 'max-bundle' });
    this.#watchPeer = peer;
    this.#observe(peer, 'watch');
    this.#setState('watch', 'connecting');
    return peer;
  }

  /** @param {RTCPeerConnection} peer @param {Record<string, string>} mids */
  #learnStreams(peer, mids) {
    const known = this.streams.value;
    const now = new Map();
    for (const transceiver of peer.getTransceivers()) {
      const id = mids[transceiver.mid ?? ''];
      if (!id || transceiver.direction === 'stopped' || transceiver.currentDirection === 'inactive') continue;
      const before = known.get(id);
      const same = before?.getTracks()[0] === transceiver.receiver.track;
      now.set(id, same ? before : new MediaStream([transceiver.receiver.track]));
    }
    this.streams.set(now);
  }

  // --- keeping both alive ---

  /** @param {any} welcome */
  #welcomed(welcome) {
    if (!welcome.resumed) {
      this.#publishFresh = true;
      this.#watchFresh = true;
      this.#forgetWatchPeer();
      for (const one of this.published.values()) one.id = '';
    }
    for (const repair of this.#repairs.values()) repair.restarts = 0;
    this.#publishRetries = 0;
    this.#watchRetries = 0;
    const publishWell = welcome.resumed && this.#publishPeer?.connectionState === 'connected' && !this.#publishFresh;
    if (!publishWell || this.#publishPeer?.signalingState !== 'stable') {
      if (this.#publishPeer && this.#publishPeer.signalingState !== 'stable') this.#publishFresh = true;
      this.#negotiate();
    }
    this.#watch();
  }

  /** @param {RTCPeerConnection} peer @param {'publish' | 'watch'} which */
  #observe(peer, which) {
    peer.onconnectionstatechange = () => {
      if (peer !== (which === 'publish' ? this.#publishPeer : this.#watchPeer)) return;
      const repair = /** @type {{restarts: number, timer: number}} */ (this.#repairs.get(which));
      clearTimeout(repair.timer);
      if (peer.connectionState === 'connected') {
        repair.restarts = 0;
        this.#setState(which, 'connected');
      } else if (peer.connectionState === 'disconnected') {
        this.#setState(which, 'disconnected', 'consent_lost');
        repair.timer = setTimeout(() => this.#repair(peer, which), DISCONNECTED_MS);
      } else if (peer.connectionState === 'failed') {
        this.#setState(which, 'disconnected', 'ice_timeout');
        this.#repair(peer, which);
      }
    };
  }

  /** ICE restart first, a new peer when that did not help. @param {RTCPeerConnection} peer @param {'publish' | 'watch'} which */
  #repair(peer, which) {
    if (peer !== (which === 'publish' ? this.#publishPeer : this.#watchPeer)) return;
    const repair = /** @type {{restarts: number, timer: number}} */ (this.#repairs.get(which));
    if (++repair.restarts > MAX_RESTARTS) {
      repair.restarts = 0;
      this.#rebuild(which, 'ice_timeout', null);
    } else if (which === 'publish') {
      peer.restartIce();
      this.#negotiate();
    } else {
      this.#watchRestart = true;
      this.#watch();
    }
  }

  /** @param {'publish' | 'watch'} which @param {string} error @param {{zh: string, en: string} | null} text */
  #rebuild(which, error, text) {
    this.#setState(which, 'closed', error, text);
    const retries = which === 'publish' ? ++this.#publishRetries : ++this.#watchRetries;
    if (retries > MAX_RETRIES) return;
    setTimeout(() => {
      if (which === 'publish') {
        this.#publishFresh = true;
        this.#negotiate();
      } else {
        this.#watchFresh = true;
        this.#watch();
      }
    }, 1000 * (0.3 + retryDelay(retries, this.room.random)));
  }

  /** The server's view of one of our peers. @param {any} message */
  #told(message) {
    if (message.state === 'closed') {
      const peer = message.peer === 'publish' ? this.#publishPeer : this.#watchPeer;
      if (peer) this.#rebuild(message.peer, message.reason || 'closed', message.text);
      return;
    }
    const store = message.peer === 'publish' ? this.publishState : this.watchState;
    if (message.text || message.state === 'connected') this.#setState(message.peer, message.state, message.reason, message.text);
    else store.touch();
  }

  /** @param {'publish' | 'watch'} which @param {string} state @param {string} [error] @param {{zh: string, en: string} | null} [text] */
  #setState(which, state, error = '', text = null) {
    const store = which === 'publish' ? this.publishState : this.watchState;
    const since = store.value.state === state ? store.value.since : Date.now() / 1000;
    store.set({ state, error, text, since });
  }
}
