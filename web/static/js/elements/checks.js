// Spot checks and roll calls: the call at the desk that is called, and the list of those who call.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { moment, timer } from '../format.js';
import { t } from '../i18n.js';
import { soundFor } from '../sound.js';

/** @typedef {Record<string, any>} Body */

class CheckCall extends Part {
  static properties = { sent: { state: true } };

  constructor() {
    super();
    this.sent = '';
  }

  watches() {
    return [app.rooms, app.tick];
  }

  get #called() {
    const one = app.own?.checks.get(app.me.site);
    return one && one.check !== this.sent && one.until > app.now() && app.mayAcknowledge ? one : undefined;
  }

  updated() {
    soundFor('check', this.#called ? 'ring' : null);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    soundFor('check', null);
  }

  /** @param {Body} called @param {SubmitEvent} event */
  async #answer(called, event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    this.sent = called.check;
    try {
      await api.answerCheck(called.check, String(form.get('officer') ?? ''));
      app.toast(t('check.thanks'));
    } catch (error) {
      this.sent = '';
      app.report(error);
    }
  }

  render() {
    const called = this.#called;
    if (!called) return nothing;
    return html`<section class="challenge check-call" role="alertdialog" aria-label=${t(called.roll ? 'check.roll_call' : 'check.spot_check')} data-check=${called.check}>
      <p class="challenge-title">${icon('phone-incoming', 'large')} <b>${t(called.roll ? 'check.roll_call' : 'check.spot_check')}</b> <span class="mono">${timer(called.until - app.now())}</span></p>
      <p class="challenge-why">${t('check.asks', { name: called.by, site: app.siteName(called.by_site, 'above') })}</p>
      <form class="inline" @submit=${(/** @type {SubmitEvent} */ event) => this.#answer(called, event)}>
        <input name="officer" list="check-officers" maxlength="64" required autocomplete="off" .value=${called.expected?.length === 1 ? called.expected[0] : ''} placeholder=${t('check.officer')} aria-label=${t('check.officer')} />
        <datalist id="check-officers">${(called.expected ?? []).map((/** @type {string} */ name) => html`<option value=${name}></option>`)}</datalist>
        <button class="primary" type="submit">${icon('check')} ${t('check.answer')}</button>
      </form>
    </section>`;
  }
}
customElements.define('lamproom-check-call', CheckCall);

class Checks extends Part {
  static properties = { site: { type: String }, list: { state: true } };

  constructor() {
    super();
    this.site = '';
    /** @type {Body | null} */
    this.list = null;
  }

  watches() {
    return [app.sites, app.tick];
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (changed.has('site') && this.site) this.#load();
    else if (this.list?.items.some((/** @type {Body} */ one) => one.outcome === 'calling') && app.tick.value % 2 === 0 && app.tick.value !== this.loadedAt) this.#load();
  }

  async #load() {
    this.loadedAt = app.tick.value;
    const site = this.site;
    await app.attempt(async () => {
      const list = await api.checks(site);
      if (site === this.site) this.list = list;
    });
  }

  /** @param {() => Promise<unknown>} run */
  async #do(run) {
    await app.attempt(run);
    await this.#load();
  }

  get #may() {
    return app.mayClose; // supervisors and admins
  }

  render() {
    const list = this.list;
    if (!list) return html`<p class="empty">${t('loading')}</p>`;
    const below = app.below(this.site).filter((one) => one.site !== this.site);
    return html`<div class="parts">
      <section class="panel wide"><h2>${icon('phone-incoming')} ${t('check.title')}<span class="grow"></span>
        ${this.#may && below.length ? html`<button class="small" data-mode="draw" @click=${() => this.#do(() => api.callCheck(this.site, 'draw'))}>${icon('zap')} ${t('check.draw')}</button>
          <button class="small" data-mode="roll" @click=${() => this.#do(() => api.callCheck(this.site, 'roll'))}>${icon('users')} ${t('check.call_all')}</button>` : nothing}
        <a class="button small" href="/api/checks?format=csv&site=${encodeURIComponent(this.site)}" download>CSV</a></h2>
        ${list.items.length ? html`<div class="scroll"><table><thead><tr><th>${t('check.called')}</th><th>${t('duty_office.site')}</th><th>${t('check.outcome')}</th><th class="num">${t('check.took')}</th><th>${t('check.officer')}</th><th></th></tr></thead>
          <tbody>${list.items.map((/** @type {Body} */ one) => this.#row(one))}</tbody></table></div>` : html`<p class="empty">${t('check.none')}</p>`}
      </section>
      <section class="panel wide"><h2>${icon('activity')} ${t('check.fairness')}</h2><p class="faint note">${t('check.fairness_explain')}</p>
        <div class="scroll"><table><thead><tr><th>${t('duty_office.site')}</th><th class="num">${t('check.count')}</th><th>${t('check.last')}</th><th class="num">${t('check.median')}</th><th class="num">${t('check.score')}</th><th class="num">${t('check.month_score')}</th><th></th></tr></thead>
        <tbody>${list.standings.slice(0, 200).map((/** @type {Body} */ one) => html`<tr data-site=${one.site}><td>${app.siteName(one.site)}</td><td class="num mono">${one.checks}</td>
          <td class="mono">${one.last_at ? moment(one.last_at, 0) : '—'}</td><td class="num mono">${one.median_s === null ? '—' : `${one.median_s} s`}</td><td class="num mono">${one.score ?? '—'}</td><td class="num mono">${one.month_score ?? '—'}</td>
          <td class="acts">${this.#may && one.site !== app.me.site ? html`<button class="small" @click=${() => this.#do(() => api.callCheck(one.site, 'one'))}>${icon('phone')} ${t('check.call')}</button>` : nothing}</td></tr>`)}</tbody></table></div>
      </section></div>`;
  }

  /** @param {Body} one */
  #row(one) {
    const kind = one.outcome === 'answered' ? 'ok' : one.outcome === 'calling' ? 'info' : 'critical';
    const planned = one.as_planned === false ? html` <span class="badge warning">${t('check.not_planned')}</span>` : nothing;
    return html`<tr data-check=${one.check}><td class="mono nowrap">${moment(one.called_at, 0)}</td><td>${app.siteName(one.site)}${one.roll ? html` <span class="chip">${t('check.roll_call')}</span>` : nothing}</td>
      <td><span class="badge ${kind}">${t(`check.outcome.${one.outcome}`)}</span></td><td class="num mono">${one.took_s === null ? '—' : `${Math.round(one.took_s)} s`}</td>
      <td>${one.officer || one.answered_by || '—'}${planned} ${one.picture ? html`<a href="/api/checks/${encodeURIComponent(one.check)}/picture" target="_blank" rel="noopener">${t('check.picture')}</a>` : nothing}</td>
      <td class="acts">${this.#confirming(one)}${this.#may && one.site !== app.me.site ? html`<a class="button small" href=${`/duty?${new URLSearchParams({ site: one.site, origin: `check:${one.check}` })}#hazards`}>${t('hazard.record')}</a>` : nothing}</td></tr>`;
  }

  /** @param {Body} one */
  #confirming(one) {
    if (one.confirmed !== null && one.confirmed !== undefined) return html`<span class="faint">${t(one.confirmed ? 'check.was_him' : 'check.was_not_him')} · ${one.confirmed_by}</span>`;
    if (one.outcome !== 'answered' || !this.#may || one.site === app.me.site) return nothing;
    const say = (/** @type {boolean} */ yes) => () => this.#do(() => api.confirmCheck(one.check, yes, ''));
    return html`<button class="small" @click=${say(true)}>${t('check.confirm')}</button><button class="small" @click=${say(false)}>${t('check.deny')}</button>`;
  }
}
customElements.define('lamproom-checks', Checks);
