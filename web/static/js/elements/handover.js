// Shift handover: what stands, notes, two signatures; and the duty log with its search.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { moment } from '../format.js';
import { has, pick, t } from '../i18n.js';
import { describe } from './timeline.js';
import { localTime } from './rota.js';

/** @typedef {Record<string, any>} Body */

class HandoverPart extends Part {
  static properties = { site: { type: String }, list: { state: true }, current: { state: true } };

  constructor() {
    super();
    this.site = '';
    /** @type {Body | null} */
    this.list = null;
    /** @type {Body | null} the one being made here */
    this.current = null;
  }

  watches() {
    return [app.sites];
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (changed.has('site') && this.site) this.#load();
  }

  get #own() {
    return this.site === app.me.site && app.mayAcknowledge;
  }

  #load() {
    const site = this.site;
    return app.attempt(async () => {
      const list = await api.handovers(site);
      if (site !== this.site) return;
      this.list = list;
      this.current = list.items.find((/** @type {Body} */ one) => one.status !== 'complete') ?? null;
    });
  }

  render() {
    const list = this.list;
    if (!list) return html`<p class="empty">${t('loading')}</p>`;
    const done = list.items.filter((/** @type {Body} */ one) => one.status === 'complete');
    return html`<div class="parts">
      <section class="panel wide"><h2>${icon('users')} ${t('handover.title')}<span class="grow"></span>
        ${this.#own && !this.current ? html`<button class="small primary" data-open @click=${() => app.attempt(async () => { await api.openHandover(this.site); await this.#load(); })}>${icon('plus')} ${t('handover.open')}</button>` : nothing}</h2>
        <p class="faint note">${list.next_end ? t('handover.next', { time: moment(list.next_end, app.now()) }) : t('handover.no_rota')}</p>
        ${this.current ? this.#making(this.current) : nothing}
      </section>
      <section class="panel wide"><h2>${icon('history')} ${t('handover.past')}</h2>
        ${done.length ? html`<ul class="plain">${done.map((/** @type {Body} */ one) => this.#past(one))}</ul>` : html`<p class="empty">${t('handover.none')}</p>`}
      </section></div>`;
  }

  /** @param {Body} one */
  #making(one) {
    const step = one.status === 'open' ? 'outgoing' : 'incoming';
    return html`<div class="handover" data-status=${one.status}>
      ${this.#standing(one.standing)}
      ${one.outgoing ? html`<p>${t('handover.signed_out', { name: one.outgoing.name, time: moment(one.outgoing.at, app.now()) })}${one.outgoing.notes ? html`<br /><span class="comment">${one.outgoing.notes}</span>` : nothing}</p>` : nothing}
      ${this.#own
        ? html`<form class="duty-form" @submit=${(/** @type {SubmitEvent} */ event) => this.#sign(one, event)}>
            <label>${t(`handover.${step}`)}<input name="name" required maxlength="64" autocomplete="off" /></label>
            <label>${t('handover.notes')}<textarea name="notes" maxlength="2000"></textarea></label>
            <button class="primary" type="submit">${icon('check')} ${t(`handover.sign_${step}`)}</button></form>`
        : html`<p class="faint">${t('handover.there')}</p>`}
    </div>`;
  }

  /** @param {Body} one @param {SubmitEvent} event */
  #sign(one, event) {
    event.preventDefault();
    const target = /** @type {HTMLFormElement} */ (event.target);
    const form = new FormData(target);
    app.attempt(async () => {
      await api.signHandover(one.handover, String(form.get('name')), String(form.get('notes')));
      target.reset();
      await this.#load();
    });
  }

  /** @param {Body} standing */
  #standing(standing) {
    const alerts = standing.alerts ?? [];
    const more = [...(standing.silenced ?? []).map((/** @type {Body} */ one) => `${t('handover.silenced')}${t('colon')}${one.name}`), ...(standing.sessions ?? []).map((/** @type {Body} */ one) => `${t('handover.session')}${t('colon')}${one.title}`), ...(standing.orders ?? []).map((/** @type {Body} */ one) => `${t('handover.order')}${t('colon')}${one.text}`)];
    return html`<h3>${t('handover.standing', { n: standing.alert_count ?? alerts.length })}</h3>
      <ul class="plain">${alerts.map((/** @type {Body} */ one) => html`<li><span class="badge ${one.severity}">${t(`severity.${one.severity}`)}</span> ${pick(one.title)} ${one.taken_by ? html`<span class="faint">${t('alert.taken_by', { name: one.taken_by })}</span>` : nothing}</li>`)}
      ${more.map((one) => html`<li>${one}</li>`)}</ul>`;
  }

  /** @param {Body} one */
  #past(one) {
    const seen = (/** @type {Body} */ signature) => (signature.posts ?? []).map((/** @type {string[]} */ [, state]) => (has(`duty.${state}`) ? t(`duty.${state}`) : state)).join(t('comma'));
    return html`<li><span class="mono">${moment(one.incoming.at, 0)}</span> <b>${one.outgoing.name} → ${one.incoming.name}</b>
      ${one.same_account ? html`<span class="chip">${t('handover.same_account')}</span>` : nothing}
      <span class="faint">${t('handover.standing', { n: one.standing.alert_count ?? 0 })}${seen(one.incoming) ? ` · ${t('handover.camera')}${t('colon')}${seen(one.incoming)}` : ''}</span>
      ${[one.outgoing.notes, one.incoming.notes].filter(Boolean).map((notes) => html`<br /><span class="comment">${notes}</span>`)}</li>`;
  }
}
customElements.define('lamproom-handover', HandoverPart);

const KINDS = ['alert', 'escalation', 'session', 'call', 'order', 'check', 'challenge', 'handover', 'note', 'duty', 'member', 'chat'];

class DutyLog extends Part {
  static properties = { site: { type: String }, items: { state: true }, earlier: { state: true }, busy: { state: true } };
  /** @type {Body} */
  #wanted = {};

  constructor() {
    super();
    this.site = '';
    /** @type {Body[]} */
    this.items = [];
    /** @type {number | null} */
    /** @type {number | null} */
    this.earlier = null;
    this.busy = false;
  }

  watches() {
    return [app.sites];
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (changed.has('site') && this.site) this.#search(false);
  }

  /** @param {boolean} more */
  async #search(more) {
    this.busy = true;
    const site = this.site;
    try {
      const page = await api.log({ site, ...this.#wanted, before: more ? (this.earlier ?? undefined) : undefined });
      if (site !== this.site) return;
      this.items = more ? [...this.items, ...page.items] : page.items;
      this.earlier = page.before;
    } catch (error) {
      app.report(error);
    } finally {
      this.busy = false;
    }
  }

  /** @param {SubmitEvent} event */
  #send(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const time = (/** @type {string} */ name) => (form.get(name) ? localTime(form.get(name)) : undefined);
    this.#wanted = { q: String(form.get('q') ?? ''), kinds: String(form.get('kind') ?? ''), start: time('start'), end: time('end') };
    this.#search(false);
  }

  /** @param {SubmitEvent} event */
  async #write(event) {
    event.preventDefault();
    const target = /** @type {HTMLFormElement} */ (event.target);
    try {
      await api.writeLog(this.site, String(new FormData(target).get('text')));
      target.reset();
      await this.#search(false);
    } catch (error) {
      app.report(error);
    }
  }

  render() {
    return html`<div class="parts"><section class="panel wide"><h2>${icon('history')} ${t('log.title')}</h2>
      <form class="duty-form" @submit=${this.#send}>
        <label>${t('log.words')}<input name="q" maxlength="200" autocomplete="off" /></label>
        <label>${t('log.kind')}<select name="kind"><option value="">${t('log.all')}</option>${KINDS.map((kind) => html`<option value=${kind}>${t(`log.kind.${kind}`)}</option>`)}</select></label>
        <label>${t('rota.start')}<input name="start" type="datetime-local" /></label>
        <label>${t('rota.end')}<input name="end" type="datetime-local" /></label>
        <button class="primary" type="submit">${t('log.search')}</button></form>
      ${this.site === app.me.site && app.mayAcknowledge
        ? html`<form class="duty-form" @submit=${this.#write}><label>${t('log.note')}<textarea name="text" required maxlength="2000"></textarea></label><button type="submit">${t('log.write')}</button></form>`
        : nothing}
      <div class="timeline"><ol class="scroll">${this.items.length ? nothing : html`<li class="empty">${this.busy ? t('loading') : t('log.none')}</li>`}
        ${this.items.map((entry) => this.#entry(entry))}</ol></div>
      ${this.earlier ? html`<p class="note"><button class="small" ?disabled=${this.busy} @click=${() => this.#search(true)}>${t('log.more')}</button></p>` : nothing}
    </section></div>`;
  }

  /** @param {Body} entry */
  #entry(entry) {
    const [name, tone, sentence] = describe(entry);
    return html`<li class="entry ${tone}" data-seq=${entry.seq}><time class="mono">${moment(entry.at, app.now())}</time>${icon(name)}<p>${sentence}</p></li>`;
  }
}
customElements.define('lamproom-duty-log', DutyLog);
