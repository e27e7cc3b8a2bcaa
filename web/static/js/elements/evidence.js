// The evidence of an alert: its pictures one after the other, and the recordings of that moment where there are any.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { raisedAt } from '../alerts.js';
import { clock } from '../format.js';
import { t } from '../i18n.js';
import { lanesOf, runAt } from '../playback.js';
import { alertId } from '../roomview.js';
import { sourceName } from './timeline.js';

const FILM_MS = 1200;
const BEFORE_S = 20;
const AFTER_S = 40;

/** @typedef {{name: string, at: number}} Picture */

class Evidence extends Part {
  static properties = { alert: { attribute: false }, at: { state: true }, runs: { state: true }, lanes: { state: true }, lane: { state: true } };

  constructor() {
    super();
    /** @type {Record<string, any>} */
    this.alert = {};
    this.at = 0;
    this.runs = false;
    /** @type {import('../playback.js').Lane[]} */
    this.lanes = [];
    this.lane = '';
    this.shown = '';
    this.film = 0;
  }

  watches() {
    return [app.sites];
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.film);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    const id = alertId(this.alert);
    if (!changed.has('alert') || id === this.shown) return;
    this.shown = id;
    this.at = 0;
    this.lane = '';
    this.lanes = [];
    this.#stop();
    this.#find(id);
  }

  /** @param {string} id recordings that hold the moment of the alert */
  async #find(id) {
    const at = raisedAt(this.alert);
    try {
      const lanes = lanesOf(await api.recordingsOf(this.alert.site, at - BEFORE_S, at + AFTER_S)).filter((lane) => lane.kind === 'video' && this.#runOf(lane));
      if (this.shown === id) this.lanes = lanes;
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {import('../playback.js').Lane} lane */
  #runOf(lane) {
    const at = raisedAt(this.alert);
    return runAt(lane, at) ?? lane.runs.find((run) => run.end > at - BEFORE_S && run.start < at + AFTER_S);
  }

  /** @returns {Picture[]} */
  get #pictures() {
    return [...(this.alert.evidence ?? [])].sort((/** @type {Picture} */ a, /** @type {Picture} */ b) => a.at - b.at);
  }

  #stop() {
    this.runs = false;
    clearInterval(this.film);
  }

  #play() {
    this.#stop();
    this.lane = '';
    this.runs = true;
    this.film = setInterval(() => (this.at = (this.at + 1) % Math.max(1, this.#pictures.length)), FILM_MS);
  }

  /** @param {number} index */
  #show(index) {
    this.#stop();
    this.lane = '';
    this.at = index;
  }

  /** @param {Event} event */
  #place(event) {
    const video = /** @type {HTMLVideoElement} */ (event.target);
    const lane = this.lanes.find((one) => one.key === this.lane);
    const run = lane && this.#runOf(lane);
    if (run) video.currentTime = Math.max(0, raisedAt(this.alert) - BEFORE_S / 2 - run.start);
  }

  render() {
    const pictures = this.#pictures;
    if (!pictures.length && !this.lanes.length) return html`<p class="empty">${icon('video-off')} ${t('evidence.none')}</p>`;
    const address = (/** @type {Picture} */ one) => `/api/alerts/${encodeURIComponent(alertId(this.alert))}/evidence/${encodeURIComponent(one.name)}`;
    const picture = pictures[Math.min(this.at, pictures.length - 1)];
    const lane = this.lanes.find((one) => one.key === this.lane) ?? (picture ? undefined : this.lanes[0]);
    return html`<section class="evidence-player" aria-label=${t('evidence.title')}>
      ${lane
        ? html`<video class="evidence-large" controls muted autoplay playsinline src=${this.#runOf(lane)?.url ?? ''} @loadedmetadata=${this.#place} aria-label=${t('evidence.clip', { name: sourceName(lane.name) || lane.person })}></video>`
        : html`<img class="evidence-large" src=${address(picture)} alt=${t('alert.evidence', { time: clock(picture.at) })} />`}
      <p class="evidence-bar">
        ${pictures.length > 1 ? html`<button class="small" aria-pressed=${this.runs} @click=${() => (this.runs ? this.#stop() : this.#play())}>${this.runs ? t('review.pause') : t('review.play')}</button>` : nothing}
        ${pictures.map((one, index) => html`<button class="small thumb" aria-pressed=${!lane && one === picture} @click=${() => this.#show(index)} aria-label=${t('alert.evidence', { time: clock(one.at) })}><img src=${address(one)} alt="" loading="lazy" /></button>`)}
        ${this.lanes.map((one) => html`<button class="small" aria-pressed=${one === lane} @click=${() => { this.#stop(); this.lane = one.key; }}>${icon('video')} ${sourceName(one.name) || one.person}</button>`)}
        ${picture && !lane ? html`<time class="mono faint">${clock(picture.at)}</time>` : nothing}
      </p>
    </section>`;
  }
}
customElements.define('lamproom-evidence', Evidence);
