// Newest readings of a mine's devices with their age; a device opens its curve. Old values look old.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { age, figure } from '../format.js';
import { has, t } from '../i18n.js';
import { readingKey } from '../roomview.js';
import './curve.js';

const OLD_S = 30;
/** What brings readings, as links call it. */
const SOURCES = new Set(['mqtt', 'modbus', 'opcua', 'omlox']);
const CURVE_S = 900;
const MAX_POINTS = 4000;

class Readings extends Part {
  static properties = { site: { type: String }, chosen: { state: true }, history: { state: true } };
  #asked = '';

  constructor() {
    super();
    this.site = '';
    this.chosen = '';
    /** @type {{key: string, times: number[], values: number[], state: 'loading' | 'ready' | 'failed'} | null} */
    this.history = null;
  }

  watches() {
    return [app.live, app.rooms, app.tick];
  }

  get #view() {
    return app.rooms.value.get(`site:${this.site || app.me.site}`);
  }

  render() {
    const view = this.#view;
    const readings = [...(view?.readings.values() ?? [])].sort((a, b) => readingKey(a).localeCompare(readingKey(b)));
    const gone = [...(view?.links.values() ?? [])].find((link) => SOURCES.has(link.what) && link.state === 'down');
    const shown = this.chosen || this.#firstChoice(readings);
    if (shown) this.#follow(shown);
    return html`<section class="panel readings" aria-label=${t('readings.title')}>
      <h2>${icon('zap')} ${t('readings.title')}${gone ? html`<span class="nodata">${icon('link-2-off')} ${t('readings.gone')}${gone.link ? ` · ${gone.link}` : ''}</span>` : nothing}</h2>
      ${readings.length ? html`<lamproom-curve .label=${this.#label(shown)} .history=${this.history}></lamproom-curve>` : nothing}
      <div class="scroll" tabindex="0">
        ${readings.length
          ? html`<table>
              <thead><tr><th>${t('readings.device')}</th><th>${t('readings.quantity')}</th><th class="num">${t('readings.value')}</th><th class="num">${t('readings.age')}</th></tr></thead>
              <tbody>${this.#rows(readings, shown)}</tbody>
            </table>`
          : html`<p class="empty">${view?.ready ? t('readings.none') : t('loading')}</p>`}
      </div>
    </section>`;
  }

  /** @param {any[]} readings @param {string} shown */
  #rows(readings, shown) {
    let before = '';
    return readings.map((one) => {
      const seconds = app.now() - one.source_at;
      const old = seconds > OLD_S;
      const first = one.device !== before;
      before = one.device;
      const key = readingKey(one);
      return html`<tr class="${key === shown ? 'chosen' : ''} ${old ? 'old' : ''} ${one.quality && one.quality !== 'good' ? 'suspect' : ''} ${first ? 'first' : ''}" tabindex="0" @click=${() => this.#choose(key)} @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === 'Enter' && this.#choose(key)}>
        <td>${first ? this.#device(one.device) : nothing}</td>
        <td>${this.#quantity(one.quantity)}</td>
        <td class="num mono"><b>${figure(one.value)}</b> <span class="unit">${one.unit ?? ''}</span></td>
        <td class="num mono">${old ? icon('clock') : nothing}${age(seconds)}</td>
      </tr>`;
    });
  }

  /** @param {string} device */
  #device(device) {
    return has(`device.name.${device}`) ? t(`device.name.${device}`) : device;
  }

  /** @param {string} quantity */
  #quantity(quantity) {
    return has(`quantity.${quantity}`) ? t(`quantity.${quantity}`) : quantity;
  }

  /** @param {any[]} readings */
  #firstChoice(readings) {
    const currents = readings.filter((reading) => reading.quantity.startsWith('current'));
    const one = currents.find((reading) => /fan-main|main-fan/.test(reading.device)) ?? currents[0] ?? readings[0];
    return one ? readingKey(one) : '';
  }

  /** @param {string} key */
  #label(key) {
    const one = this.#view?.readings.get(key);
    return one ? `${this.#device(one.device)} · ${this.#quantity(one.quantity)} (${one.unit ?? ''})` : '';
  }

  /** @param {string} key */
  #choose(key) {
    this.chosen = key;
  }

  /** Fetches the curve once, then grows it with what comes live. @param {string} key */
  #follow(key) {
    const asked = `${this.site || app.me.site} ${key}`;
    if (this.#asked !== asked) {
      this.#asked = asked;
      this.#load(key);
      return;
    }
    const newest = this.#view?.readings.get(key);
    const history = this.history;
    if (!newest || !history || history.key !== key || history.state === 'loading') return;
    if (newest.source_at <= (history.times.at(-1) ?? 0)) return;
    history.times.push(newest.source_at);
    history.values.push(newest.value);
    if (history.times.length > MAX_POINTS) {
      history.times.shift();
      history.values.shift();
    }
    this.history = { ...history };
  }

  /** @param {string} key */
  async #load(key) {
    const [device, quantity] = [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)];
    this.history = { key, times: [], values: [], state: 'loading' };
    const asked = this.#asked;
    try {
      const end = app.now();
      const rows = await api.readings({ site: this.site || app.me.site, device, quantity, start: Math.round(end - CURVE_S), end: Math.round(end) + 1 });
      if (asked !== this.#asked) return;
      rows.sort((a, b) => a.source_at - b.source_at);
      this.history = { key, times: rows.map((row) => row.source_at), values: rows.map((row) => row.value), state: 'ready' };
    } catch {
      if (asked === this.#asked) this.history = { key, times: [], values: [], state: 'failed' };
    }
  }
}
customElements.define('lamproom-readings', Readings);
