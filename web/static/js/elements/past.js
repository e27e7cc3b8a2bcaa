// What was measured and where everybody was, under the same clock and on the same axis as the pictures beside it.
import { Part, html, icon, nothing } from './part.js';
import uPlot from 'uplot';
import { api } from '../api.js';
import { app } from '../app.js';
import { clock, figure } from '../format.js';
import { has, language, t } from '../i18n.js';
import { theme } from '../theme.js';
import { marksAt } from '../tracks.js';
import { withGaps } from './curve.js';
import './map.js';

const CURVE_PX = 74;
const SHOWN = 3;
/** Beyond this the curve is by the minute. */
const RAW_S = 2 * 3600;
const STEP_S = 2;
/** What says most about a machine comes first. */
const QUANTITIES = ['current_a', 'active_power', 'power_kw'];

/** @typedef {{key: string, device: string, quantity: string, unit: string}} Source */

class Past extends Part {
  static properties = { site: { type: String }, start: { type: Number }, end: { type: Number }, at: { type: Number }, sources: { state: true }, shown: { state: true }, data: { state: true }, plan: { state: true }, tracks: { state: true } };
  /** @type {Map<string, any>} */
  #plots = new Map();

  constructor() {
    super();
    this.site = '';
    this.start = 0;
    this.end = 0;
    this.at = 0;
    /** @type {Source[]} */
    this.sources = [];
    /** @type {string[]} */
    this.shown = [];
    /** By source: times and values. @type {Map<string, [number[], (number | null)[]]>} */
    this.data = new Map();
    /** @type {any} */
    this.plan = null;
    /** @type {any[]} */
    this.tracks = [];
    this.about = '';
  }

  watches() {
    return [theme, language];
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#forget();
  }

  #forget() {
    for (const plot of this.#plots.values()) plot.destroy();
    this.#plots.clear();
  }

  /** @param {Map<string, unknown>} changed */
  willUpdate(changed) {
    const about = `${this.site} ${this.start} ${this.end}`;
    if (about !== this.about && this.site && this.end > this.start) {
      this.about = about;
      this.data = new Map();
      this.tracks = [];
      this.#load(about);
    }
    if (changed.has('shown') || changed.has('data') || this.#themed !== theme.value) this.#forget();
    this.#themed = theme.value;
  }

  #themed = theme.value;

  /** @param {string} about */
  async #load(about) {
    const { site, start, end } = this;
    try {
      const newest = await api.readings({ site });
      if (about !== this.about) return;
      const rank = (/** @type {any} */ one) => (QUANTITIES.includes(one.quantity) ? QUANTITIES.indexOf(one.quantity) : QUANTITIES.length);
      this.sources = newest.map((one) => ({ key: `${one.device}/${one.quantity}`, device: one.device, quantity: one.quantity, unit: one.unit, rank: rank(one) })).sort((a, b) => a.rank - b.rank || a.key.localeCompare(b.key));
      const kept = this.shown.filter((key) => this.sources.some((one) => one.key === key));
      this.shown = kept.length ? kept : this.sources.slice(0, SHOWN).map((one) => one.key);
      await Promise.all(this.shown.map((key) => this.#fetch(key)));
      const [plan, found] = await Promise.all([api.plan(site), api.tracks(site, start, end, STEP_S)]);
      if (about !== this.about) return;
      this.plan = plan;
      this.tracks = found.features;
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string} key */
  async #fetch(key) {
    const source = this.sources.find((one) => one.key === key);
    const { site, start, end, about } = this;
    if (!source) return;
    const wanted = { site, device: source.device, quantity: source.quantity, start, end };
    const byMinute = end - start > RAW_S;
    const rows = byMinute ? await api.readingMinutes(wanted) : await api.readings(wanted);
    if (about !== this.about) return;
    const times = rows.map((one) => (byMinute ? one.at : one.source_at));
    const values = rows.map((one) => (byMinute ? one.mean : one.value));
    this.data = new Map(this.data).set(key, byMinute ? [times, values] : withGaps(times, values));
  }

  /** @param {string} key */
  #toggle(key) {
    this.shown = this.shown.includes(key) ? this.shown.filter((one) => one !== key) : [...this.shown, key];
    if (!this.data.has(key)) this.#fetch(key).catch((error) => app.report(error));
  }

  updated() {
    for (const place of /** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll('.past-plot'))) this.#draw(place);
    const map = /** @type {any} */ (this.querySelector('lamproom-map'));
    if (!map) return;
    map.marks = marksAt(this.tracks, this.at);
    if (!map.fitted && map.plan) map.fit();
    map.draw();
  }

  /** @param {HTMLElement} place */
  #draw(place) {
    const key = place.dataset.source ?? '';
    const data = this.data.get(key);
    const known = this.#plots.get(key);
    if (known) {
      known.redraw(false);
      return;
    }
    if (!data?.[0].length) return;
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const needle = (/** @type {any} */ plot) => {
      const x = plot.valToPos(this.at, 'x', true);
      plot.ctx.save();
      plot.ctx.fillStyle = colour('--lamp');
      plot.ctx.fillRect(x - 1, plot.bbox.top, 2, plot.bbox.height);
      plot.ctx.restore();
    };
    const plot = new uPlot(
      {
        width: Math.max(160, place.clientWidth),
        height: CURVE_PX,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        padding: [6, 0, 0, 0],
        scales: { x: { time: true, range: () => [this.start, this.end] } },
        axes: [{ show: false }, { show: false }],
        series: [{}, { stroke: colour('--accent'), fill: colour('--info-tint'), width: 1.6, points: { show: false }, spanGaps: false }],
        hooks: { draw: [needle] },
      },
      data,
      place,
    );
    plot.over.addEventListener('click', (/** @type {MouseEvent} */ event) => this.dispatchEvent(new CustomEvent('seek', { detail: plot.posToVal(event.offsetX, 'x') })));
    new ResizeObserver(() => place.isConnected && place.clientWidth > 0 && plot.setSize({ width: place.clientWidth, height: CURVE_PX })).observe(place);
    this.#plots.set(key, plot);
  }

  /** What it was at that moment, and between what it moved. @param {string} key @param {string} unit */
  #said(key, unit) {
    const data = this.data.get(key);
    if (!data) return t('loading');
    const values = data[1].filter((one) => one !== null);
    if (!values.length) return t('curve.none');
    const n = data[0].findLastIndex((at) => at <= this.at);
    return `${figure(n >= 0 ? data[1][n] : null)} ${unit} (${figure(Math.min(...values))}–${figure(Math.max(...values))})`;
  }

  /** @param {Source} one */
  #name(one) {
    return `${has(`device.name.${one.device}`) ? t(`device.name.${one.device}`) : one.device} · ${has(`quantity.${one.quantity}`) ? t(`quantity.${one.quantity}`) : one.quantity}`;
  }

  render() {
    if (!this.sources.length && !this.tracks.length) return nothing;
    const shown = this.sources.filter((one) => this.shown.includes(one.key));
    const people = marksAt(this.tracks, this.at).filter((one) => one.kind === 'person').length;
    return html`${this.sources.length ? html`<section class="panel past-curves" aria-label=${t('past.curves')}>
        <h2>${icon('zap')} ${t('past.curves')} <time class="mono faint">${clock(this.at)}</time><span class="grow"></span>
          <details class="past-choose"><summary>${t('past.choose')}</summary><div>${this.sources.map((one) => html`<label><input type="checkbox" .checked=${this.shown.includes(one.key)} @change=${() => this.#toggle(one.key)} /> ${this.#name(one)}</label>`)}</div></details></h2>
        <div class="scroll" tabindex="0">${shown.map((one) => html`<figure class="past-curve"><figcaption>${this.#name(one)} <span class="mono faint">${this.#said(one.key, one.unit)}</span></figcaption><div class="past-plot" data-source=${one.key} role="img" aria-label="${this.#name(one)} ${this.#said(one.key, one.unit)}"></div></figure>`)}</div>
      </section>` : nothing}
      ${this.tracks.length ? html`<section class="panel past-map" aria-label=${t('past.positions')}><h2>${icon('map-pin')} ${t('past.positions')} <span class="count">${people}</span><time class="mono faint">${clock(this.at)}</time></h2><lamproom-map .plan=${this.plan}></lamproom-map></section>` : nothing}`;
  }
}
customElements.define('lamproom-past', Past);
