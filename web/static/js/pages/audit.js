// The audit: who did what, to what, when and from where; who saw people's names; and whether the chain still holds.
import { app } from '../app.js';
import { api } from '../api.js';
import { age, moment } from '../format.js';
import { has, t } from '../i18n.js';
import { html, icon, nothing } from '../elements/part.js';
import { AdminPage, fieldsOf } from '../elements/adminpage.js';

const PAGE = 100;
const CHECKING_MS = 1_000;

/** @typedef {Record<string, any>} Body */

/** An action in words, and the action itself where we have none. @param {string} action */
const named = (action) => (has(`audit.action.${action}`) ? t(`audit.action.${action}`) : action);

/** A number of seconds for a field with date and time, or nothing. @param {string} text */
const seconds = (text) => (text ? new Date(text).getTime() / 1000 : undefined);

class Audit extends AdminPage {
  static properties = {
    ...AdminPage.properties, items: { state: true }, next: { state: true }, kinds: { state: true }, check: { state: true }, shown: { state: true }, wanted: { state: true },
  };
  page = 'audit';
  #timer = 0;

  constructor() {
    super();
    /** @type {Body[] | null} */
    this.items = null;
    /** @type {number | null} */
    this.next = null;
    /** @type {Body} */
    this.kinds = { kinds: [], unmasked: '' };
    /** Of the chains; null where it is not for me. @type {Body | null} */
    this.check = null;
    /** The row whose details are open. */
    this.shown = 0;
    /** What is looked for. @type {Record<string, string | number | undefined>} */
    this.wanted = {};
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearTimeout(this.#timer);
  }

  get hasContent() {
    return this.items !== null;
  }

  async load() {
    const [page, kinds] = await Promise.all([api.audit({ ...this.wanted, limit: PAGE }), api.auditKinds()]);
    this.items = page.items;
    this.next = page.next;
    this.kinds = kinds;
    this.shown = 0;
    await this.#look();
  }

  /** How the chains stand, again while they are being walked. */
  async #look() {
    try {
      this.check = await api.auditCheck();
    } catch {
      this.check = null; // of the server as a whole: not for every administrator
    }
    clearTimeout(this.#timer);
    if (this.check?.running) this.#timer = setTimeout(() => this.#look(), CHECKING_MS);
  }

  async #more() {
    const page = await api.audit({ ...this.wanted, limit: PAGE, before: this.next ?? undefined });
    this.items = [...(this.items ?? []), ...page.items];
    this.next = page.next;
  }

  content() {
    return html`${this.#chain()}${this.#list()}`;
  }

  // --- the chain ---

  #chain() {
    const check = this.check;
    if (!check) return nothing;
    const report = check.report;
    return html`<section class="panel" data-part="chain"><h2>${icon('shield')} ${t('audit.chain')}<span class="grow"></span>
        <button class="small" ?disabled=${check.running} @click=${() => this.attempt(async () => { this.check = await api.checkAudit(); await this.#look(); })}>${icon('refresh-cw')} ${check.running ? t('audit.checking') : t('audit.check_now')}</button></h2>
      <div class="chain" role="status">${report ? this.#report(report) : html`<p class="empty">${check.running ? t('audit.checking') : t('audit.not_checked')}</p>`}
        ${check.failed ? html`<p class="problem">${icon('triangle-alert')} ${t('audit.check_failed', { why: check.failed })}</p>` : nothing}</div>
    </section>`;
  }

  /** @param {Body} report */
  #report(report) {
    const when = t('audit.checked', { ago: age(app.now() - report.at), by: report.by === 'server' ? t('audit.by_itself') : report.name || report.by, s: report.took_s });
    return html`<p class="chain-verdict ${report.holds ? 'good' : 'bad'}" data-holds=${report.holds}>${icon(report.holds ? 'circle-check' : 'octagon-alert')} <b>${report.holds ? t('audit.holds') : t('audit.broken')}</b></p>
      ${report.holds ? nothing : html`<ul class="plain">${report.faults.map((/** @type {Body} */ one) => html`<li><b class="mono">${one.chain}</b> ${t('audit.row', { n: one.seq })}: ${one.reason}</li>`)}</ul>`}
      <p class="faint">${t('audit.counted', { rows: report.audit_rows, entries: report.entries, rooms: report.rooms, removed: report.removed })} ${when}</p>
      <details class="hint"><summary>${t('audit.head')}</summary><output class="mono wrap">${report.head_seq}:${report.head_sha256}</output></details>`;
  }

  // --- rows ---

  #list() {
    const below = app.below(app.me.site);
    const wanted = this.wanted;
    return html`<section class="panel" data-part="rows"><h2>${icon('clipboard-check')} ${t('audit.title')}<span class="grow"></span>
        <button class="small" aria-pressed=${wanted.action === this.kinds.unmasked} @click=${this.#unmasked}>${icon('eye')} ${t('audit.unmasked')}</button>
        <a class="button small" href=${api.auditExport(wanted)} download="audit.csv">${icon('download')} CSV</a></h2>
      <form class="filters" role="search" @submit=${this.#find}>
        <label>${t('audit.who')} <input name="who" type="search" maxlength="64" autocomplete="off" .value=${String(wanted.who ?? '')} /></label>
        <label>${t('audit.what')} <select name="action"><option value="">${t('users.any')}</option>${this.kinds.kinds.map((/** @type {string} */ kind) => html`<option value=${kind} ?selected=${wanted.action === kind}>${named(kind)}</option>`)}</select></label>
        <label>${t('audit.object')} <input name="object" type="search" maxlength="200" autocomplete="off" .value=${String(wanted.object ?? '')} /></label>
        ${below.length > 1 ? html`<label>${t('users.site_below')} <select name="site"><option value="">${t('users.any')}</option>${below.map((one) => html`<option value=${one.site} ?selected=${wanted.site === one.site}>${app.siteName(one.site)}</option>`)}</select></label>` : nothing}
        <label>${t('audit.from')} <input name="start" type="datetime-local" /></label>
        <label>${t('audit.to')} <input name="end" type="datetime-local" /></label>
        <button class="primary" type="submit">${icon('search')} ${t('users.find')}</button>
      </form>
      ${this.items?.length
        ? html`<div class="scroll"><table class="cards"><thead><tr><th>${t('audit.at')}</th><th>${t('audit.who')}</th><th>${t('audit.what')}</th><th>${t('audit.object')}</th><th>${t('users.site')}</th><th>${t('audit.address')}</th><th><span class="sr">${t('audit.more')}</span></th></tr></thead>
            <tbody>${this.items.map((one) => this.#row(one))}</tbody></table></div>`
        : html`<p class="empty">${t('audit.none')}</p>`}
      ${this.next ? html`<p class="more"><button class="small" @click=${() => this.attempt(() => this.#more())}>${t('users.more')}</button></p>` : nothing}
    </section>`;
  }

  /** @param {Body} one */
  #row(one) {
    const facts = Object.entries(one.detail);
    const open = this.shown === one.seq;
    return html`<tr data-seq=${one.seq} class=${one.result === 'ok' ? '' : 'not-ok'}>
        <td class="nowrap" title="${new Date(one.at * 1000).toISOString()}"><span class="faint mono">${one.seq}</span> ${moment(one.at, app.now())}</td>
        <td data-label=${t('audit.who')}>${one.name ? html`<b>${one.name}</b>` : one.actor ? html`<span class="mono">${one.actor}</span>` : html`<span class="faint">${t('audit.nobody')}</span>`}</td>
        <td data-label=${t('audit.what')}>${named(one.action)}${one.result === 'ok' ? nothing : html` <span class="badge warning">${has(`audit.result.${one.result}`) ? t(`audit.result.${one.result}`) : one.result}</span>`}</td>
        <td data-label=${t('audit.object')} class="object">${one.object_name ? html`<span title=${one.object}>${one.object_name}</span>` : one.object}</td>
        <td data-label=${t('users.site')} class=${one.site ? '' : 'none'}>${one.site ? app.siteName(one.site) : ''}</td>
        <td data-label=${t('audit.address')} class=${one.address ? 'mono' : 'none'}>${one.address}</td>
        <td class="acts">${facts.length ? html`<button class="small" aria-expanded=${open} aria-label=${t('audit.more')} @click=${() => (this.shown = open ? 0 : one.seq)}>${icon('chevron-down')}</button>` : nothing}</td>
      </tr>
      ${open ? html`<tr class="detail"><td colspan="7"><dl class="explain"><dt>${t('audit.action')}</dt><dd class="mono">${one.action}</dd><dt>${t('audit.actor')}</dt><dd class="mono">${one.actor}</dd>${facts.map(([key, value]) => html`<dt>${key}</dt><dd>${typeof value === 'object' ? JSON.stringify(value) : String(value)}</dd>`)}</dl></td></tr>` : nothing}`;
  }

  /** @param {SubmitEvent} event */
  #find(event) {
    const field = fieldsOf(event);
    const wanted = { who: field('who'), action: field('action'), object: field('object'), site: field('site'), start: seconds(field('start')), end: seconds(field('end')) };
    this.wanted = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value));
    this.attempt(() => this.load());
  }

  #unmasked() {
    const { action, ...others } = this.wanted;
    this.wanted = action === this.kinds.unmasked ? others : { ...others, action: this.kinds.unmasked };
    this.attempt(() => this.load());
  }
}
customElements.define('lamproom-audit', Audit);
