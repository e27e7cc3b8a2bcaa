// Drills of a site and below: begin one, see it go on, and what came of those that were.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { moment } from '../format.js';
import { pick, t } from '../i18n.js';

/** @typedef {Record<string, any>} Body */

const SEVERITIES = ['alarm', 'critical', 'warning'];

class Drills extends Part {
  static properties = { site: { type: String }, list: { state: true }, asking: { state: true } };

  constructor() {
    super();
    this.site = '';
    /** @type {Body[] | null} */
    this.list = null;
    this.asking = false;
    this.newest = '';
  }

  watches() {
    return [app.sites, app.rooms];
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (this.site && (changed.has('site') || this.#news() !== this.newest)) this.#load();
  }

  /** What the own room says of drills: it changes when they do. */
  #news() {
    const own = app.own;
    const alerts = [...(own?.alerts.values() ?? [])].filter((one) => one.drill).map((one) => [one.id, one.state, own?.escalations.get(one.id)?.ring]);
    return JSON.stringify([this.site, alerts]);
  }

  async #load() {
    this.newest = this.#news();
    const site = this.site;
    await app.attempt(async () => {
      const list = await api.drills(site);
      if (site === this.site) this.list = list;
    });
  }

  /** @param {() => Promise<unknown>} run */
  async #do(run) {
    if (await app.attempt(run)) this.asking = false;
    await this.#load();
  }

  /** @param {SubmitEvent} event */
  #begin(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const text = (/** @type {string} */ name) => String(form.get(name) ?? '');
    this.#do(() => api.startDrill({ site: this.site, severity: text('severity'), like: text('like'), words: text('words'), numbers: form.get('numbers') !== null }));
  }

  render() {
    const list = this.list;
    if (!list) return html`<p class="empty">${t('loading')}</p>`;
    return html`<div class="parts">
      <section class="panel wide"><h2>${icon('bell-ring')} ${t('drill.title')}<span class="grow"></span>
        ${app.mayAcknowledge ? html`<button class="small primary" data-begin aria-expanded=${this.asking} @click=${() => (this.asking = !this.asking)}>${icon('plus')} ${t('drill.begin')}</button>` : nothing}</h2>
        <p class="faint note">${t('drill.explain')}</p>
        ${this.asking ? this.#form() : nothing}
        ${list.length
          ? html`<div class="scroll"><table><thead><tr><th>${t('drill.began')}</th><th>${t('duty_office.site')}</th><th>${t('drill.by')}</th><th>${t('drill.outcome')}</th><th class="num">${t('check.took')}</th><th>${t('drill.reached')}</th><th></th></tr></thead>
              <tbody>${list.map((one) => this.#row(one))}</tbody></table></div>`
          : html`<p class="empty">${t('drill.none')}</p>`}
      </section></div>`;
  }

  #form() {
    return html`<form class="duty-form" data-form="drill" @submit=${(/** @type {SubmitEvent} */ event) => this.#begin(event)}>
      <label>${t('drill.severity')}<select name="severity">${SEVERITIES.map((one) => html`<option value=${one}>${t(`severity.${one}`)}</option>`)}</select></label>
      <label>${t('drill.like')}<input name="like" maxlength="63" autocomplete="off" placeholder=${t('drill.like_any')} /></label>
      <label>${t('drill.words')}<input name="words" maxlength="120" autocomplete="off" /></label>
      <label class="check"><input type="checkbox" name="numbers" /> ${t('drill.numbers')}</label>
      <button class="primary" type="submit">${icon('bell-ring')} ${t('drill.begin_at', { site: app.siteName(this.site) })}</button>
    </form>`;
  }

  /** @param {Body} one */
  #row(one) {
    const kind = one.outcome === 'answered' ? 'ok' : one.outcome === 'running' ? 'info' : one.outcome === 'unanswered' ? 'critical' : 'plain';
    const who = one.answered_by ? html` ${one.answered_by} <span class="faint">${app.siteName(one.answered_site)}</span>` : nothing;
    return html`<tr data-drill=${one.alert} data-outcome=${one.outcome}><td class="mono nowrap">${moment(one.began_at, 0)}</td>
      <td>${app.siteName(one.site)}<br /><span class="faint">${pick(one.title)}</span></td><td>${one.by}<br /><span class="faint">${app.siteName(one.by_site)}</span></td>
      <td><span class="badge ${kind}">${t(`drill.outcome.${one.outcome}`)}</span>${who}</td>
      <td class="num mono">${one.took_s === null ? '—' : `${Math.round(one.took_s)} s`}</td>
      <td>${one.reached.map((/** @type {string} */ site) => app.siteName(site)).join(' → ') || '—'} <span class="faint">${t('drill.rings', { n: one.rings })}</span></td>
      <td class="acts">${one.ended_at === null && app.mayAcknowledge ? html`<button class="small" data-end @click=${() => this.#do(() => api.endDrill(one.alert))}>${t('drill.end')}</button>` : nothing}</td></tr>`;
  }
}
customElements.define('lamproom-drills', Drills);
