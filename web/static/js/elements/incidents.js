// Open incidents: alerts that belong together, as one card each. Merged, split and closed by people. Nothing is drawn
// while there is none.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { SHAPE, severityOf, titleOf } from '../alerts.js';
import { moment, timer } from '../format.js';
import { pick, t } from '../i18n.js';
import { alertId } from '../roomview.js';
import { zoneName } from './timeline.js';

/** @typedef {Record<string, any>} Body */

const OUTCOMES = ['confirmed', 'false_alarm', 'explained', 'drill'];
const AGAIN_MS = 300;

class Incidents extends Part {
  static properties = { list: { state: true }, shown: { state: true }, alerts: { state: true }, closing: { state: true } };

  constructor() {
    super();
    /** @type {Body[]} */
    this.list = [];
    this.shown = '';
    /** @type {Body[]} */
    this.alerts = [];
    this.closing = '';
    /** @type {Set<string>} alerts that are chosen to be taken out */
    this.chosen = new Set();
    this.newest = -1;
    this.waiting = 0;
  }

  watches() {
    return [app.rooms, app.tick, app.sites];
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearTimeout(this.waiting);
    this.waiting = 0;
  }

  /** Ask again when the room has heard of an incident since. */
  #follow() {
    const view = app.own;
    if (!view?.ready) return;
    const newest = view.entries.findLast((/** @type {Body} */ entry) => entry.kind === 'incident')?.seq ?? 0;
    if (newest === this.newest || this.waiting) return;
    this.newest = newest;
    this.waiting = window.setTimeout(() => {
      this.waiting = 0;
      this.#load();
    }, AGAIN_MS);
  }

  async #load() {
    try {
      this.list = await api.incidents();
      if (!this.list.some((one) => one.id === this.shown)) this.shown = '';
      if (this.shown) this.alerts = (await api.incident(this.shown)).alerts;
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string} one */
  async #show(one) {
    this.shown = this.shown === one ? '' : one;
    this.alerts = [];
    this.chosen.clear();
    if (this.shown) await this.#load();
  }

  /** @param {Promise<unknown>} work */
  async #do(work) {
    try {
      await work;
      this.chosen.clear();
      this.closing = '';
      await this.#load();
    } catch (error) {
      app.report(error);
    }
  }

  render() {
    this.#follow();
    if (!this.list.length) return nothing;
    return html`<section class="panel alerts incidents" aria-label=${t('incident.title')}>
      <h2>${icon('octagon-alert')} ${t('incident.title')} <span class="count hot">${this.list.length}</span></h2>
      <div class="scroll">${this.list.map((one) => this.#card(one))}</div>
    </section>`;
  }

  /** @param {Body} one */
  #card(one) {
    const severity = severityOf(one);
    const open = this.shown === one.id;
    return html`<article class="alert incident ${severity} ${one.standing ? 'open' : 'taken'}" data-incident=${one.id}>
      <header>
        <span class="badge ${severity}">${icon(SHAPE[severity])} ${t(`severity.${severity}`)}</span>
        <span class="site">${app.siteName(one.site)}</span>
        ${one.simulated ? html`<span class="simulated">${t('simulated')}</span>` : nothing}
        <time class="mono" title=${moment(one.opened_at, 0)}>${moment(one.opened_at, app.now())}</time>
      </header>
      <p class="title">${pick(one.title)}</p>
      <p class="facts">
        <span>${t('incident.alerts', { n: one.alerts, standing: one.standing })}</span>
        <span class="mono" title=${t('incident.age')}>${timer(app.now() - one.opened_at)}</span>
        ${one.standing ? nothing : html`<span class="badge ok" data-over>${icon('circle-check')} ${t(app.mayClose ? 'incident.over_close' : 'incident.over')}</span>`}
        <span>${Object.keys(one.sources).map((name) => t(`incident.source.${name}`)).join(t('comma'))}</span>
        ${one.zones.length ? html`<span>${icon('map-pin')} ${one.zones.slice(0, 4).map(zoneName).join(t('comma'))}</span>` : nothing}
      </p>
      ${open ? this.#members(one) : nothing}
      <p class="acts">
        <button aria-expanded=${open} @click=${() => this.#show(one.id)}>${icon('clipboard-list')} ${t('incident.show')}</button>
        ${app.mayAcknowledge ? this.#merging(one) : nothing}
        ${app.mayClose ? html`<button @click=${() => (this.closing = this.closing === one.id ? '' : one.id)}>${icon('x')} ${t('incident.close')}</button>` : nothing}
      </p>
      ${this.closing === one.id ? html`<p class="acts">${OUTCOMES.map((outcome) => html`<button @click=${() => this.#do(api.closeIncident(one.id, outcome))}>${t(`incident.outcome.${outcome}`)}</button>`)}</p>` : nothing}
    </article>`;
  }

  /** @param {Body} one */
  #members(one) {
    if (!this.alerts.length) return html`<p class="empty">${t('loading')}</p>`;
    return html`<ul class="members">${this.alerts.map((alert) => html`<li><label>
        ${app.mayAcknowledge ? html`<input type="checkbox" .checked=${this.chosen.has(alertId(alert))} @change=${(/** @type {any} */ event) => this.#choose(alertId(alert), event.target.checked)} />` : nothing}
        ${icon(SHAPE[severityOf(alert)])} ${titleOf(alert)} <span class="faint">${moment(alert.opened_at, app.now())}</span></label></li>`)}</ul>
      ${app.mayAcknowledge && this.chosen.size && this.chosen.size < this.alerts.length ? html`<p class="acts"><button @click=${() => this.#do(api.splitIncident(one.id, [...this.chosen]))}>${icon('x')} ${t('incident.split', { n: this.chosen.size })}</button></p>` : nothing}`;
  }

  /** @param {string} alert @param {boolean} on */
  #choose(alert, on) {
    if (on) this.chosen.add(alert);
    else this.chosen.delete(alert);
    this.requestUpdate();
  }

  /** @param {Body} one */
  #merging(one) {
    const others = this.list.filter((other) => other.site === one.site && other.id !== one.id);
    if (!others.length) return nothing;
    return html`<select aria-label=${t('incident.merge')} @change=${(/** @type {any} */ event) => event.target.value && this.#do(api.mergeIncident(one.id, event.target.value))}>
      <option value="">${t('incident.merge')}</option>
      ${others.map((other) => html`<option value=${other.id}>${pick(other.title)} ${moment(other.opened_at, app.now())}</option>`)}
    </select>`;
  }
}
customElements.define('lamproom-incidents', Incidents);
