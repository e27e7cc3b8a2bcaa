// Is this computer fit for a consultation? Camera, microphone, link and a real media connection, each told in words.
import { app, boot } from '../app.js';
import { DeviceError, listDevices, openCamera, openMicrophone } from '../devices.js';
import { bitrate } from '../format.js';
import { has, language, pick, switchLanguage, t } from '../i18n.js';
import { memory } from '../state.js';
import { armSound, play } from '../sound.js';
import { theme } from '../theme.js';
import { brand, looks } from '../elements/tools.js';
import { Part, html, icon, nothing } from '../elements/part.js';
import '../elements/toasts.js';

/** @typedef {'waiting' | 'running' | 'good' | 'fair' | 'bad'} Verdict */
/** @typedef {{verdict: Verdict, text: string}} Step */

const STEPS = ['browser', 'camera', 'microphone', 'link', 'media'];
const ICONS = { waiting: 'clock', running: 'loader-circle', good: 'circle-check', fair: 'triangle-alert', bad: 'octagon-alert' };
const LINK_MS = 8_000;
const MEDIA_MS = 10_000;
const MEASURE_MS = 3_000;

const wait = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until a store's value fits, or not. @template T @param {import('../state.js').Store<T>} store @param {(value: T) => boolean} fits @param {number} ms @returns {Promise<boolean>} */
function until(store, fits, ms) {
  return new Promise((resolve) => {
    if (fits(store.value)) return resolve(true);
    const stop = store.subscribe((value) => fits(value) && end(true));
    const timer = setTimeout(() => end(false), ms);
    const end = (/** @type {boolean} */ found) => {
      clearTimeout(timer);
      stop();
      resolve(found);
    };
  });
}

class Check extends Part {
  static properties = { ready: { state: true }, steps: { state: true }, level: { state: true }, running: { state: true }, cameras: { state: true }, microphones: { state: true } };
  /** @type {MediaStreamTrack | null} */
  #camera = null;
  /** @type {MediaStreamTrack | null} */
  #microphone = null;
  #meterTimer = 0;

  constructor() {
    super();
    this.ready = false;
    this.running = false;
    this.level = 0;
    this.peak = 0;
    /** @type {MediaDeviceInfo[]} */
    this.cameras = [];
    /** @type {MediaDeviceInfo[]} */
    this.microphones = [];
    /** @type {Record<string, Step>} */
    this.steps = {};
  }

  watches() {
    return [theme];
  }

  async connectedCallback() {
    super.connectedCallback();
    await boot();
    this.ready = true;
    this.#run();
  }

  render() {
    if (!this.ready) return nothing;
    const all = STEPS.map((name) => this.steps[name]?.verdict ?? 'waiting');
    const verdict = this.running ? 'running' : all.includes('bad') ? 'bad' : all.includes('fair') ? 'fair' : 'good';
    return html`<header class="topbar">
        ${brand()}<span class="where"><b>${t('page.check')}</b></span>
        <span class="grow"></span>
        <nav class="tools">
          ${looks()}
        </nav>
      </header>
      <main class="check">
        <section class="verdict ${verdict}" role="status">${icon(/** @type {any} */ (ICONS)[verdict], 'huge')}<div><h1>${t(`check.verdict.${verdict}`)}</h1><p>${t(`check.verdict.${verdict}.more`)}</p></div></section>
        <div class="check-grid">
          <section class="panel">
            <h2>${icon('video')} ${t('check.self')}</h2>
            <figure class="tile ${this.#camera ? '' : 'blank'}"><video class="mirror" muted playsinline autoplay></video>${this.#camera ? nothing : html`<div class="why">${icon('video-off', 'large')}<p>${this.steps.camera?.text ?? ''}</p></div>`}</figure>
            <label class="pick">${t('check.camera')}<select @change=${(/** @type {Event} */ event) => this.#pick('camera', event)}>${this.cameras.map((one) => html`<option value=${one.deviceId} ?selected=${one.deviceId === this.#camera?.getSettings().deviceId}>${one.label || t('check.unnamed')}</option>`)}</select></label>
            <label class="pick">${t('check.microphone')}<select @change=${(/** @type {Event} */ event) => this.#pick('microphone', event)}>${this.microphones.map((one) => html`<option value=${one.deviceId} ?selected=${one.deviceId === this.#microphone?.getSettings().deviceId}>${one.label || t('check.unnamed')}</option>`)}</select></label>
            <p class="meter"><span>${icon('mic')}</span><meter min="0" max="1" low="0.05" optimum="0.5" .value=${this.level}></meter></p>
            <p class="acts"><button @click=${this.#sound}>${icon('volume-2')} ${t('sound.test')}</button></p>
          </section>
          <section class="panel">
            <h2>${icon('clipboard-check')} ${t('check.steps')}</h2>
            <ol class="steps">${STEPS.map((name) => {
              const step = this.steps[name] ?? { verdict: 'waiting', text: '' };
              return html`<li class="step ${step.verdict}" data-step=${name} data-verdict=${step.verdict}>${icon(ICONS[step.verdict], 'large')}<div><b>${t(`check.step.${name}`)}</b><p>${step.text || t(`check.state.${step.verdict}`)}</p></div></li>`;
            })}</ol>
            <p class="acts"><button class="primary" ?disabled=${this.running} @click=${this.#run}>${t('check.again')}</button><a class="button" href="/">${t('check.go')}</a></p>
          </section>
        </div>
      </main>
      <lamproom-toasts></lamproom-toasts>`;
  }

  updated() {
    const video = this.querySelector('video');
    const track = /** @type {MediaStream | null} */ (video?.srcObject)?.getTracks()[0] ?? null;
    if (video && track !== this.#camera) video.srcObject = this.#camera ? new MediaStream([this.#camera]) : null;
  }

  /** @param {string} name @param {Verdict} verdict @param {string} [text] */
  #say(name, verdict, text = '') {
    this.steps = { ...this.steps, [name]: { verdict, text } };
  }

  async #run() {
    if (this.running) return;
    this.running = true;
    this.steps = {};
    this.#say('browser', window.isSecureContext ? 'good' : 'bad', window.isSecureContext ? t('check.browser.good') : t('device.camera.insecure'));
    await this.#testCamera();
    await this.#testMicrophone();
    if (await this.#testLink()) await this.#testMedia();
    else this.#say('media', 'bad', t('check.media.no_link'));
    this.running = false;
  }

  async #testCamera() {
    this.#say('camera', 'running');
    try {
      this.#camera?.stop();
      this.#camera = await openCamera(memory.get('camera'));
      this.cameras = await listDevices('videoinput');
      const { width, height, frameRate } = this.#camera.getSettings();
      const small = (height ?? 0) < 480;
      this.#say('camera', small ? 'fair' : 'good', t(small ? 'check.camera.small' : 'check.camera.good', { size: `${width}×${height}`, rate: Math.round(frameRate ?? 0) }));
    } catch (error) {
      this.#camera = null;
      this.#say('camera', 'bad', t(`device.camera.${error instanceof DeviceError ? error.reason : 'failed'}`));
    }
  }

  async #testMicrophone() {
    this.#say('microphone', 'running');
    try {
      this.#microphone?.stop();
      this.#microphone = await openMicrophone(memory.get('microphone'));
      this.microphones = await listDevices('audioinput');
      this.#measure(this.#microphone);
      await wait(1500);
      const heard = this.peak > 0.02;
      this.#say('microphone', heard ? 'good' : 'fair', t(heard ? 'check.microphone.good' : 'check.microphone.quiet'));
    } catch (error) {
      this.#say('microphone', 'bad', t(`device.microphone.${error instanceof DeviceError ? error.reason : 'failed'}`));
    }
  }

  /** @param {MediaStreamTrack} track */
  #measure(track) {
    clearInterval(this.#meterTimer);
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.peak = 0;
    this.#meterTimer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      this.level = Math.min(1, 4 * Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length));
      this.peak = Math.max(this.peak, this.level);
      if (this.steps.microphone?.verdict === 'fair' && this.peak > 0.02) this.#say('microphone', 'good', t('check.microphone.good'));
    }, 100);
  }

  async #testLink() {
    this.#say('link', 'running');
    app.room.join(app.ownRoom);
    const online = await until(app.room.link, (link) => link.state === 'online', LINK_MS);
    if (!online) {
      const { text, error } = app.room.link.value;
      this.#say('link', 'bad', pick(text) || (has(`link.why.${error}`) ? t(`link.why.${error}`) : t('check.link.bad')));
      return false;
    }
    await wait(300);
    const ms = Math.round(app.room.roundTrip * 1000);
    this.#say('link', ms > 300 ? 'fair' : 'good', t('check.link.good', { ms }));
    return true;
  }

  async #testMedia() {
    this.#say('media', 'running');
    if (!this.#camera) return this.#say('media', 'bad', t('check.media.no_camera'));
    if (!(await this.#inOwnRoom())) return this.#say('media', 'bad', t('room.refused', { room: app.siteName(app.me.site) }));
    const copy = this.#camera.clone();
    app.media.publish('camera', copy, 'precheck', [app.ownRoom]);
    const settled = (/** @type {any} */ state) => state.state === 'connected' || (state.state === 'closed' && state.error !== '');
    await until(app.media.publishState, settled, MEDIA_MS);
    const { state, text, error } = app.media.publishState.value;
    if (state === 'connected') await this.#judge();
    else this.#say('media', 'bad', pick(text) || (has(`reason.${error}`) ? t(`reason.${error}`) : t('reason.ice_timeout')));
    app.media.unpublish('camera');
  }

  async #inOwnRoom() {
    const started = Date.now();
    while (!app.room.isIn(app.ownRoom) && Date.now() - started < LINK_MS) await wait(100);
    return app.room.isIn(app.ownRoom);
  }

  async #judge() {
    await wait(MEASURE_MS);
    const facts = await app.media.publishFacts();
    const verdict = facts.loss > 0.1 || facts.rtt > 0.5 ? 'bad' : facts.loss > 0.02 || facts.rtt > 0.25 ? 'fair' : 'good';
    this.#say('media', verdict, t(`check.media.${verdict}`, { rate: bitrate(facts.bps), loss: (facts.loss * 100).toFixed(1), ms: Math.round(facts.rtt * 1000) }));
  }

  /** @param {'camera' | 'microphone'} kind @param {Event} event */
  async #pick(kind, event) {
    memory.set(kind, /** @type {HTMLSelectElement} */ (event.target).value);
    await (kind === 'camera' ? this.#testCamera() : this.#testMicrophone());
  }

  async #sound() {
    await armSound();
    play('test');
  }
}
customElements.define('lamproom-check', Check);
