// Plays the recordings of a consultation together: every picture and sound hangs on one clock of ours, and is put right
// when it strays. Each file is fetched by ranges of bytes, so a jump costs a jump.
import { Part, html, icon, nothing, svg } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { clock, timer } from '../format.js';
import { t } from '../i18n.js';
import { nextStart, runAt, spanOf } from '../playback.js';
import { sourceName } from './timeline.js';

const TICK_MS = 200;
/** Further apart than this is put right by a jump; below it by playing a little faster or slower. */
const JUMP_S = 0.4;
const STRAY_S = 0.06;
/** A file that fails so often cannot be played here. */
const MAX_TRIES = 3;
const SPEEDS = [0.5, 1, 2, 4];
const STEP_S = 5;
const FRAME_S = 1 / 15;

/** @typedef {import('../playback.js').Lane} Lane */

class Player extends Part {
  static properties = {
    lanes: { attribute: false },
    session: { attribute: false },
    marks: { attribute: false },
    at: { state: true },
    playing: { state: true },
    speed: { state: true },
    muted: { state: true },
    large: { state: true },
    failed: { state: true },
  };
  #timer = 0;
  #ticked = 0;
  /** @type {Map<string, number>} */
  #tries = new Map();

  constructor() {
    super();
    /** @type {Lane[]} */
    this.lanes = [];
    /** @type {Record<string, any>} */
    this.session = {};
    /** @type {Record<string, any>[]} */
    this.marks = [];
    this.at = 0;
    this.playing = false;
    this.speed = 1;
    this.muted = false;
    this.large = '';
    /** Files that this browser cannot play. @type {Set<string>} */
    this.failed = new Set();
  }

  connectedCallback() {
    super.connectedCallback();
    this.keys = (/** @type {KeyboardEvent} */ event) => this.#key(event);
    addEventListener('keydown', this.keys);
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    removeEventListener('keydown', /** @type {any} */ (this.keys));
    clearInterval(this.#timer);
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    if (changed.has('lanes') || changed.has('session')) {
      const [start] = spanOf(this.lanes, this.session);
      this.at = this.lanes.length ? Math.min(...this.lanes.map((lane) => lane.runs[0].start)) : start;
      this.playing = false;
      this.failed = new Set();
      this.#tries.clear();
    }
  }

  updated() {
    this.#place();
  }

  // --- clock ---

  #tick() {
    const now = performance.now();
    const past = (now - this.#ticked) / 1000;
    this.#ticked = now;
    if (!this.playing) return;
    const [, end] = spanOf(this.lanes, this.session);
    let at = this.at + Math.min(past, 1) * this.speed;
    // While nothing can be shown because a file is still fetched, the clock waits with it.
    if (this.#elements().some((element) => element.dataset.url && element.readyState < 2 && !this.failed.has(element.dataset.url))) at = this.at;
    if (!this.lanes.some((lane) => runAt(lane, at))) at = nextStart(this.lanes, at) ?? at; // over what nobody recorded
    if (at >= end) {
      at = end;
      this.playing = false;
    }
    this.at = at;
    this.dispatchEvent(new CustomEvent('moved', { detail: at }));
  }

  /** @returns {HTMLMediaElement[]} */
  #elements() {
    return [...this.querySelectorAll('.lane-media')].filter((one) => one instanceof HTMLMediaElement);
  }

  /** Puts every element where the clock is. */
  #place() {
    for (const element of this.#elements()) {
      const lane = this.lanes.find((one) => one.key === element.dataset.lane);
      const run = lane && runAt(lane, this.at);
      if (!run || this.failed.has(run.url)) {
        if (!element.paused) element.pause();
        if (!run) delete element.dataset.url;
        continue;
      }
      if (element.dataset.url !== run.url) {
        element.dataset.url = run.url;
        element.src = run.url;
        element.currentTime = Math.max(0, this.at - run.start);
      }
      element.muted = this.muted || element.tagName === 'VIDEO';
      const stray = this.at - run.start - element.currentTime;
      if (element.readyState >= 1 && !element.seeking && Math.abs(stray) > (this.playing ? JUMP_S : 0.02)) element.currentTime = Math.max(0, this.at - run.start);
      element.playbackRate = this.speed * (this.playing && Math.abs(stray) > STRAY_S && Math.abs(stray) <= JUMP_S ? 1 + Math.sign(stray) * 0.05 : 1);
      if (this.playing && element.paused) element.play().catch(() => {}); // a change of source interrupts it
      else if (!this.playing && !element.paused) element.pause();
    }
  }

  /** @param {number} at UTC seconds */
  seek(at) {
    const [start, end] = spanOf(this.lanes, this.session);
    this.at = Math.min(Math.max(at, start), end);
    this.dispatchEvent(new CustomEvent('moved', { detail: this.at }));
  }

  toggle() {
    const [start, end] = spanOf(this.lanes, this.session);
    if (this.at >= end) this.at = start;
    this.playing = !this.playing;
    this.#ticked = performance.now();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
    if (target instanceof HTMLElement && (target.matches('input:not([type=range]), textarea, select') || (event.key === ' ' && target.matches('button, a')))) return;
    const step = event.shiftKey ? FRAME_S : STEP_S;
    const acts = /** @type {Record<string, () => void>} */ ({
      ' ': () => this.toggle(),
      ArrowLeft: () => this.seek(this.at - step),
      ArrowRight: () => this.seek(this.at + step),
      j: () => this.#mark(1),
      k: () => this.#mark(-1),
      m: () => (this.muted = !this.muted),
      '+': () => this.#faster(1),
      '-': () => this.#faster(-1),
    });
    const act = acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** @param {number} by */
  #faster(by) {
    this.speed = SPEEDS[Math.min(SPEEDS.length - 1, Math.max(0, SPEEDS.indexOf(this.speed) + by))];
  }

  /** To the next or the last mark. @param {number} by */
  #mark(by) {
    const times = this.marks.map((mark) => mark.at);
    const at = by > 0 ? times.find((one) => one > this.at + 0.05) : times.findLast((one) => one < this.at - 0.05);
    if (at !== undefined) this.seek(at);
  }

  // --- page ---

  render() {
    const [start, end] = spanOf(this.lanes, this.session);
    const videos = this.lanes.filter((lane) => lane.kind === 'video');
    const audios = this.lanes.filter((lane) => lane.kind === 'audio');
    return html`<section class="player" aria-label=${t('review.player')}>
      <div class="player-stage ${this.large ? 'has-large' : ''}">
        ${repeat(videos, (lane) => lane.key, (lane) => this.#picture(lane))}
        ${videos.length ? nothing : html`<p class="empty tall">${icon('video-off', 'large')}<span>${t('review.no_pictures')}</span></p>`}
        ${repeat(audios, (lane) => lane.key, (lane) => html`<audio class="lane-media" preload="auto" data-lane=${lane.key} @error=${this.#broken}></audio>`)}
      </div>
      <div class="player-bar">
        <button class="primary" @click=${() => this.toggle()} aria-pressed=${this.playing}>${this.playing ? t('review.pause') : t('review.play')} <kbd>␣</kbd></button>
        <button class="small" @click=${() => this.seek(this.at - STEP_S)} title=${t('review.back')}>−5 s</button>
        <button class="small" @click=${() => this.seek(this.at + STEP_S)} title=${t('review.on')}>+5 s</button>
        <output class="mono now">${clock(this.at)} <span class="faint">${timer(this.at - start)} / ${timer(end - start)}</span></output>
        <span class="grow"></span>
        <span class="segments" role="group" aria-label=${t('review.speed')}>${SPEEDS.map((speed) => html`<button class="small" aria-pressed=${this.speed === speed} @click=${() => (this.speed = speed)}>${speed}×</button>`)}</span>
        <button class="small" aria-pressed=${this.muted} @click=${() => (this.muted = !this.muted)}>${icon(this.muted ? 'volume-x' : 'volume-2')} ${this.muted ? t('review.unmute') : t('review.mute')}</button>
      </div>
      ${this.#axis(start, end)}
    </section>`;
  }

  /** @param {Lane} lane */
  #picture(lane) {
    const run = runAt(lane, this.at);
    const why = !run ? t('review.gap') : this.failed.has(run.url) ? t('review.cannot_play') : '';
    return html`<figure class="tile ${why ? 'blank' : ''} ${this.large === lane.key ? 'focused' : ''}" @click=${() => (this.large = this.large === lane.key ? '' : lane.key)}>
      <video class="lane-media" muted playsinline preload="auto" data-lane=${lane.key} @error=${this.#broken}></video>
      ${why ? html`<div class="why" role="status">${icon('video-off', 'large')}<p>${why}</p></div>` : nothing}
      ${lane.simulated ? html`<span class="simulated corner">${t('simulated')}</span>` : nothing}
      <figcaption><span class="name">${[lane.person, sourceName(lane.name)].filter(Boolean).join(' · ')}</span></figcaption>
    </figure>`;
  }

  /** @param {Event} event */
  #broken(event) {
    const element = /** @type {HTMLMediaElement} */ (event.target);
    const url = element.dataset.url;
    if (!url) return;
    const tries = (this.#tries.get(url) ?? 0) + 1;
    this.#tries.set(url, tries);
    delete element.dataset.url; // fetched anew by the next tick
    if (tries >= MAX_TRIES) this.failed = new Set([...this.failed, url]);
    else setTimeout(() => this.requestUpdate(), TICK_MS);
  }

  /** Lanes as bars (gaps are gaps), marks above them, and the needle. @param {number} start @param {number} end */
  #axis(start, end) {
    const x = (/** @type {number} */ at) => ((at - start) / (end - start)) * 1000;
    const height = 26 + this.lanes.length * 14;
    return html`<div class="axis">
      <svg class="axis-lanes" viewBox="0 0 1000 ${height}" preserveAspectRatio="none" @pointerdown=${(/** @type {PointerEvent} */ event) => this.#drag(event, start, end)} @pointermove=${(/** @type {PointerEvent} */ event) => event.buttons & 1 && this.#drag(event, start, end)}>
        <rect class="axis-ground" x="0" y="0" width="1000" height=${height}></rect>
        ${this.#lines(x)}
        <line class="axis-needle" x1=${x(this.at)} x2=${x(this.at)} y1="0" y2=${height}></line>
      </svg>
      <input type="range" class="axis-range" min="0" max="1000" step="0.1" .value=${String(x(this.at))} aria-label=${t('review.position')} aria-valuetext=${clock(this.at)} @input=${(/** @type {Event} */ event) => this.seek(start + (Number(/** @type {HTMLInputElement} */ (event.target).value) / 1000) * (end - start))} />
      <p class="axis-ends mono faint"><span>${clock(start)}</span><span>${clock(end)}</span></p>
    </div>`;
  }

  /** @param {(at: number) => number} x */
  #lines(x) {
    const runs = this.lanes.flatMap((lane, row) => lane.runs.map((run) => ({ ...run, row, kind: lane.kind })));
    return [
      ...runs.map((run) => svgRect(`axis-run ${run.kind}`, x(run.start), 24 + run.row * 14, Math.max(1.5, x(run.end) - x(run.start)), 10)),
      ...this.marks.map((mark) => svgRect(`axis-mark ${mark.tone}`, x(mark.at) - 1, 4, 2.5, 14)),
    ];
  }

  /** @param {PointerEvent} event @param {number} start @param {number} end */
  #drag(event, start, end) {
    const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    this.seek(start + ((event.clientX - box.left) / box.width) * (end - start));
  }
}
customElements.define('lamproom-player', Player);

/** @param {string} kind @param {number} x @param {number} y @param {number} width @param {number} height */
function svgRect(kind, x, y, width, height) {
  return svg`<rect class=${kind} x=${x} y=${y} width=${width} height=${height}></rect>`;
}
