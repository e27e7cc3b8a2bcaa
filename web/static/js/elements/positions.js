// Where people and vehicles are: head count by zone as a simple plan, and the tags themselves with the age of the fix.
import { Part, html, svg, icon, nothing } from './part.js';
import { app } from '../app.js';
import { age } from '../format.js';
import { t } from '../i18n.js';
import { zoneName } from './timeline.js';

const SILENT_S = 60;
const SHOWN = 200;

class Positions extends Part {
  static properties = { site: { type: String }, zone: { state: true } };

  constructor() {
    super();
    this.site = '';
    this.zone = '';
  }

  watches() {
    return [app.live, app.rooms, app.tick];
  }

  render() {
    const view = app.rooms.value.get(`site:${this.site || app.me.site}`);
    const tags = [...(view?.positions.values() ?? [])];
    const people = tags.filter((one) => one.kind !== 'vehicle').length;
    return html`<section class="panel positions" aria-label=${t('position.title')}>
      <h2>${icon('map-pin')} ${t('position.title')} ${tags.length ? html`<span class="faint">${t('position.count', { people, vehicles: tags.length - people })}</span>` : nothing}</h2>
      ${tags.length ? this.#plan(tags) : html`<p class="empty">${view?.ready ? t('position.none') : t('loading')}</p>`}
      ${tags.length ? html`<div class="scroll" tabindex="0">${this.#table(tags)}</div>` : nothing}
    </section>`;
  }

  /** @param {any[]} tags */
  #zones(tags) {
    /** @type {Map<string, {people: number, vehicles: number, silent: number}>} */
    const zones = new Map();
    for (const one of tags) {
      const zone = zones.get(one.zone) ?? { people: 0, vehicles: 0, silent: 0 };
      if (one.kind === 'vehicle') zone.vehicles += 1;
      else zone.people += 1;
      if (app.now() - one.source_at > SILENT_S) zone.silent += 1;
      zones.set(one.zone, zone);
    }
    return [...zones].sort((a, b) => String(a[0]).localeCompare(String(b[0])));
  }

  /** Zones as boxes in reading order; dots are people, squares are vehicles, hollow ones are silent. @param {any[]} tags */
  #plan(tags) {
    const zones = this.#zones(tags);
    const columns = zones.length > 4 ? 3 : 2;
    const [width, height, gap] = [120, 56, 6];
    const rows = Math.ceil(zones.length / columns);
    return html`<svg class="plan" viewBox="0 0 ${columns * (width + gap) - gap} ${rows * (height + gap) - gap}" role="img" aria-label=${t('position.plan')}>
      ${zones.map(([zone, count], index) => {
        const x = (index % columns) * (width + gap);
        const y = Math.floor(index / columns) * (height + gap);
        const dots = Math.min(24, count.people + count.vehicles);
        return svg`<g class="zone ${this.zone === zone ? 'chosen' : ''} ${count.silent ? 'silent' : ''}" transform="translate(${x} ${y})" @click=${() => (this.zone = this.zone === zone ? '' : zone)}>
          <rect width=${width} height=${height} rx="5"></rect>
          <text class="zone-name" x="8" y="16">${zoneName(zone)}</text>
          <text class="zone-count" x=${width - 8} y="18" text-anchor="end">${count.people}${count.vehicles ? ` + ${count.vehicles}` : ''}</text>
          ${Array.from({ length: dots }, (_, n) => {
            const [cx, cy] = [11 + (n % 12) * 9, 32 + Math.floor(n / 12) * 11];
            const hollow = n >= dots - count.silent ? 'hollow' : '';
            return n < count.people ? svg`<circle class=${hollow} cx=${cx} cy=${cy} r="3"></circle>` : svg`<rect class="vehicle ${hollow}" x=${cx - 3} y=${cy - 3} width="6" height="6"></rect>`;
          })}
        </g>`;
      })}
    </svg>`;
  }

  /** @param {any[]} tags */
  #table(tags) {
    const now = app.now();
    const list = tags
      .filter((one) => !this.zone || one.zone === this.zone)
      .sort((a, b) => Number(now - b.source_at > SILENT_S) - Number(now - a.source_at > SILENT_S) || String(a.zone).localeCompare(String(b.zone)) || String(a.tag).localeCompare(String(b.tag)));
    return html`<table>
      <thead><tr><th>${t('position.tag')}</th><th>${t('position.zone')}</th><th class="num">${t('readings.age')}</th></tr></thead>
      <tbody>${list.slice(0, SHOWN).map((one) => {
        const silent = now - one.source_at > SILENT_S;
        return html`<tr class=${silent ? 'old' : ''}><td>${one.label || one.tag} <span class="faint">${one.label ? one.tag : ''}</span></td><td>${zoneName(one.zone)}</td><td class="num mono">${silent ? icon('clock') : nothing}${age(now - one.source_at)}</td></tr>`;
      })}</tbody>
    </table>`;
  }
}
customElements.define('lamproom-positions', Positions);
