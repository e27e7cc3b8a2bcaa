// Telephones, for engineers: desk phones and their secrets, trunks, calls with their messages, and what was refused by which rule.
import { app, bootWork } from '../app.js';
import { api, ApiError } from '../api.js';
import { clock, moment, timer } from '../format.js';
import { has, t } from '../i18n.js';
import { Part, html, icon, nothing } from '../elements/part.js';
import { adminNav } from '../elements/adminnav.js';
import '../elements/topbar.js';
import '../elements/help.js';
import '../elements/toasts.js';

const EVERY_MS = 3_000;

/** @typedef {Record<string, any>} Body */

/** A result, a reason or a state in words, or as it is. @param {string} stem @param {string} name */
const named = (stem, name) => (name && has(`${stem}.${name}`) ? t(`${stem}.${name}`) : name);

/** What a rule says, in words: ours by their name, those of SIP as they are, those of the settings by theirs. @param {Body} one */
function because(one) {
  if (has(`phones.rule.${one.rule}`)) return t(`phones.rule.${one.rule}`);
  if (has(`call.result.${one.rule}`)) return t(`call.result.${one.rule}`);
  return one.rule.startsWith('sip_') ? one.why : t('phones.by_rule', { rule: one.rule });
}

class Phones extends Part {
  static properties = { started: { state: true }, state: { state: true }, form: { state: true }, shown: { state: true }, ladder: { state: true }, found: { state: true } };
  #timer = 0;

  constructor() {
    super();
    /** @type {Body | null} */
    this.state = null;
    this.form = false;
    /** The secret that was just made. @type {Body | null} */
    this.shown = null;
    /** @type {Body | null} */
    this.ladder = null;
    /** What the rules say of a call. @type {Body | null} */
    this.found = null;
  }

  watches() {
    return [app.sites];
  }

  async connectedCallback() {
    super.connectedCallback();
    await bootWork();
    this.started = true;
    await this.#load();
    this.#timer = setInterval(() => document.visibilityState === 'visible' && this.#load(), EVERY_MS);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  async #load() {
    try {
      const [phones, calls] = await Promise.all([api.phones(), api.phoneCalls()]);
      this.state = { phones, calls, ...(await this.#serverWide()) };
    } catch (error) {
      if (error instanceof ApiError && error.error === 'phones_off') {
        this.state = { off: true };
        clearInterval(this.#timer);
      } else if (error instanceof ApiError && error.status === 403) {
        this.state = { forbidden: true };
        clearInterval(this.#timer);
      } else app.report(error);
    }
  }

  /** Trunks and refusals are for engineers of the uppermost site. */
  async #serverWide() {
    try {
      const [trunks, refused] = await Promise.all([api.trunks(), api.refusedCalls()]);
      return { trunks, refused };
    } catch (error) {
      if (error instanceof ApiError && (error.status === 404 || error.status === 403)) return {};
      throw error;
    }
  }

  /** @param {() => Promise<unknown>} run */
  #do(run) {
    return app.attempt(async () => {
      await run();
      await this.#load();
    });
  }

  render() {
    if (!this.started) return nothing;
    return html`
      <lamproom-topbar quiet></lamproom-topbar>${adminNav('phones')}
      <main class="duty-office phones-page">${this.#content()}</main>
      <lamproom-help></lamproom-help>
      <lamproom-toasts></lamproom-toasts>
    `;
  }

  #content() {
    const state = this.state;
    if (!state) return html`<p class="empty">${t('loading')}</p>`;
    if (state.off) return html`<section class="panel"><h2>${icon('phone')} ${t('page.phones')}</h2><p class="empty">${t('phones.off')}</p></section>`;
    if (state.forbidden) return html`<section class="panel"><h2>${icon('phone')} ${t('page.phones')}</h2><p class="empty">${t('phones.forbidden')}</p></section>`;
    return html`${this.#desk(state.phones)} ${this.#calls(state.calls)} ${this.#trunks(state.trunks)} ${this.#refused(state.refused)}`;
  }

  // --- desk phones ---

  /** @param {Body} phones */
  #desk(phones) {
    return html`<section class="panel wide" data-part="desk"><h2>${icon('phone')} ${t('phones.desk')}<span class="grow"></span>
        <span class="faint mono">${phones.address}:${phones.port}${phones.tls_port ? ` · TLS ${phones.tls_port}` : ''} · ${phones.domain}</span>
        <button class="small" aria-expanded=${this.form} @click=${() => (this.form = !this.form)}>${icon('plus')} ${t('phones.add')}</button></h2>
      ${this.form ? this.#addForm() : nothing} ${this.shown ? this.#secret(this.shown) : nothing}
      ${phones.items.length
        ? html`<div class="scroll" tabindex="0"><table><thead><tr><th>${t('phones.phone')}</th><th>${t('phones.name')}</th><th>${t('phones.site')}</th><th>${t('phones.registered')}</th><th>${t('phones.from')}</th><th></th></tr></thead>
            <tbody>${phones.items.map((/** @type {Body} */ one) => this.#phone(one))}</tbody></table></div>`
        : html`<p class="empty">${t('phones.none')}</p>`}
    </section>`;
  }

  /** @param {Body} one */
  #phone(one) {
    const there = one.registered.length > 0;
    const kind = one.disabled ? '' : one.needs_secret ? 'warning' : there ? 'ok' : 'critical';
    const words = one.disabled ? t('phones.disabled') : one.needs_secret ? t('phones.needs_secret') : there ? t('phones.there') : t('phones.away');
    return html`<tr class=${one.disabled ? 'faint' : ''} data-phone=${one.phone}>
      <td class="mono">${one.phone}</td><td>${one.name}</td><td>${app.siteName(one.site)}</td>
      <td><span class="badge ${kind}">${words}</span> ${one.registered.map((/** @type {Body} */ at) => html`<span class="faint mono" title=${one.agent}>${at.address} ${at.transport}</span> `)}</td>
      <td class="mono faint">${one.networks.join(t('comma')) || t('phones.anywhere')}</td>
      <td class="acts"><button class="small" @click=${() => this.#renew(one.phone)}>${t('phones.new_secret')}</button>
        <button class="small" @click=${() => this.#do(() => api.changePhone(one.phone, { disabled: !one.disabled }))}>${one.disabled ? t('phones.enable') : t('phones.disable')}</button>
        <button class="small" @click=${() => confirm(t('phones.remove_sure', { phone: one.phone })) && this.#do(() => api.removePhone(one.phone))}>${t('phones.remove')}</button></td>
    </tr>`;
  }

  #addForm() {
    const below = app.below(app.me.site);
    return html`<form class="duty-form" @submit=${this.#add}>
      <label>${t('phones.phone')} <input name="phone" required pattern="[a-z0-9][a-z0-9._\\-]{0,62}" maxlength="63" placeholder="mine-1" /></label>
      <label>${t('phones.name')} <input name="name" required maxlength="64" /></label>
      <label>${t('phones.site')} <select name="site">${below.map((one) => html`<option value=${one.site} ?selected=${one.site === app.me.site}>${app.siteName(one.site)}</option>`)}</select></label>
      <label>${t('phones.from')} <input name="networks" maxlength="200" placeholder="10.1.0.0/16" /></label>
      <button class="primary small" type="submit">${t('phones.add')}</button>
    </form>`;
  }

  /** @param {SubmitEvent} event */
  #add(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const text = (/** @type {string} */ name) => String(form.get(name) ?? '').trim();
    const networks = text('networks').split(/[\s,，]+/).filter(Boolean);
    this.#do(async () => {
      this.shown = await api.addPhone({ phone: text('phone'), site: text('site'), name: text('name'), networks });
      this.form = false;
    });
  }

  /** @param {string} phone */
  #renew(phone) {
    if (!confirm(t('phones.new_secret_sure', { phone }))) return;
    this.#do(async () => (this.shown = await api.phoneSecret(phone)));
  }

  /** @param {Body} shown */
  #secret(shown) {
    return html`<div class="shown-once" role="status"><p>${t('phones.shown_once')}</p>
      <dl class="rota-now"><dt>${t('phones.phone')}</dt><dd class="mono">${shown.phone}</dd><dt>${t('phones.secret')}</dt><dd class="mono" data-secret>${shown.secret}</dd><dt>${t('phones.domain')}</dt><dd class="mono">${shown.domain}</dd></dl>
      <button class="small" @click=${() => (this.shown = null)}>${t('phones.noted')}</button></div>`;
  }

  // --- calls ---

  /** @param {Body[]} calls */
  #calls(calls) {
    return html`<section class="panel wide" data-part="calls"><h2>${icon('history')} ${t('phones.calls')}</h2>
      ${calls.length
        ? html`<div class="scroll" tabindex="0"><table><thead><tr><th>${t('phones.at')}</th><th></th><th>${t('phones.who')}</th><th>${t('phones.site')}</th><th>${t('phones.state')}</th><th>${t('phones.rule')}</th><th></th></tr></thead>
            <tbody>${calls.map((one) => this.#call(one))}</tbody></table></div>`
        : html`<p class="empty">${t('phones.no_calls')}</p>`}
      ${this.ladder ? this.#steps(this.ladder) : nothing}
    </section>`;
  }

  /** @param {Body} one */
  #call(one) {
    const over = one.state === 'ended';
    const moderates = app.me.verbs?.includes('moderate');
    const result = [named('call.result', one.result), one.reason, one.status > 299 ? one.status : ''].filter(Boolean).join(' · ');
    const talked = one.answered_at ? timer((one.ended_at ?? app.now()) - one.answered_at) : '';
    return html`<tr class=${over ? 'faint' : ''} data-call=${one.call}>
      <td class="nowrap">${moment(one.at, app.now())}</td><td>${t(`call.${one.direction}`)}</td><td>${one.name}${one.by ? html` <span class="faint">${one.by}</span>` : nothing}</td>
      <td>${one.site ? app.siteName(one.site) : ''}</td>
      <td>${over ? result : named('call.state', one.held ? 'held' : one.state)} <span class="mono faint">${talked}</span></td><td class="mono faint">${one.rule}</td>
      <td class="acts">${!over && moderates
          ? html`<button class="small" @click=${() => this.#do(() => api.holdCall(one.call, !one.held))}>${one.held ? t('call.resume') : t('call.hold')}</button>
              <button class="small" @click=${() => this.#do(() => api.hangUp(one.call))}>${t('call.hang_up')}</button>`
          : nothing}
        <button class="small" aria-expanded=${this.ladder?.call === one.call} @click=${() => this.#show(one.call)}>${t('phones.messages')}</button></td>
    </tr>`;
  }

  /** @param {string} one */
  #show(one) {
    if (this.ladder?.call === one) this.ladder = null;
    else this.#do(async () => (this.ladder = await api.callTrace(one)));
  }

  /** @param {Body} ladder */
  #steps(ladder) {
    const left = ladder.total - ladder.steps.length;
    return html`<ol class="ladder">${ladder.steps.map((/** @type {Body} */ one) => html`<li class=${one.sent ? 'sent' : 'came'}><details><summary>
        <span class="mono faint">${clock(one.at)}</span> <span class="way">${one.sent ? '→' : '←'}</span> <b>${one.line.replace(/ ?SIP\/2\.0 ?/, '')}</b> <span class="mono faint">${one.peer} ${one.transport}</span></summary>
        <pre>${one.text}</pre></details></li>`)}${left > 0 ? html`<li class="faint">${t('phones.left_out', { count: left })}</li>` : nothing}</ol>`;
  }

  // --- trunks, refusals ---

  /** @param {Body[] | undefined} trunks */
  #trunks(trunks) {
    if (!trunks) return nothing;
    return html`<section class="panel wide" data-part="trunks"><h2>${icon('refresh-cw')} ${t('phones.trunks')}</h2>
      ${trunks.length
        ? html`<div class="scroll" tabindex="0"><table><thead><tr><th>${t('phones.trunk')}</th><th>${t('phones.address')}</th><th>${t('phones.state')}</th><th>${t('phones.now')}</th><th>${t('phones.today')}</th><th>${t('phones.prefixes')}</th></tr></thead>
            <tbody>${trunks.map((one) => html`<tr><td class="mono">${one.name}</td><td class="mono">${one.host}:${one.port} ${one.transport}</td>
              <td>${one.up === null ? '—' : html`<span class="badge ${one.up ? 'ok' : 'critical'}">${one.up ? t('phones.up') : t('phones.down')}</span>`} ${one.registration ? html`<span class=${one.registration === 'registered' ? '' : 'faint'}>${named('phones.registration', one.registration)} ${one.reason}</span>` : nothing}</td>
              <td class="mono">${one.calls}/${one.max_calls}</td><td class="mono">${one.dialled_today}/${one.max_dialled_per_day}</td><td class="mono">${one.outbound ? one.prefixes.join(t('comma')) : '—'}</td></tr>`)}</tbody></table></div>`
        : html`<p class="empty">${t('phones.no_trunks')}</p>`}
      <form class="duty-form" @submit=${this.#explain}>
        <label>${t('phones.source')} <select name="source"><option value="phones">${t('phones.desk')}</option>${trunks.map((one) => html`<option>${one.name}</option>`)}</select></label>
        <label>${t('phones.called')} <input name="called" maxlength="33" required /></label>
        <label>${t('phones.caller')} <input name="caller" maxlength="33" /></label>
        <button class="small" type="submit">${t('phones.explain')}</button>
        ${this.found ? html`<output class=${this.found.status ? 'bad' : 'ok'}><b class="mono">${this.found.rule}</b> ${this.found.status || this.found.action} ${because(this.found)} ${this.found.site ? app.siteName(this.found.site) : ''}</output>` : nothing}
      </form></section>`;
  }

  /** @param {SubmitEvent} event */
  #explain(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const text = (/** @type {string} */ name) => String(form.get(name) ?? '').trim();
    this.#do(async () => (this.found = await api.explainCall({ source: text('source'), called: text('called'), caller: text('caller') })));
  }

  /** @param {Body | undefined} refused */
  #refused(refused) {
    if (!refused) return nothing;
    return html`<section class="panel wide" data-part="refused"><h2>${icon('octagon-alert')} ${t('phones.refused')}<span class="grow"></span>
        ${Object.entries(refused.rules).map(([rule, count]) => html`<span class="chip"><span class="mono">${rule}</span> ${count}</span>`)}</h2>
      ${refused.bans.length ? html`<ul class="plain bans">${refused.bans.map((/** @type {Body} */ one) => html`<li><span class="badge warning">${t('phones.banned')}</span> <span class="mono">${one.address}</span> ${one.why} ${timer(one.left_s)}
        <button class="small" @click=${() => this.#do(() => api.liftBan(one.address))}>${t('phones.lift')}</button></li>`)}</ul>` : nothing}
      ${refused.items.length
        ? html`<div class="scroll" tabindex="0"><table><thead><tr><th>${t('phones.at')}</th><th>${t('phones.rule')}</th><th>${t('phones.why')}</th><th></th><th>${t('phones.address')}</th><th>${t('phones.caller')}</th><th>${t('phones.called')}</th></tr></thead>
            <tbody>${refused.items.slice(0, 100).map((/** @type {Body} */ one) => html`<tr><td class="nowrap">${moment(one.at, app.now())}${one.count > 1 ? ` ×${one.count}` : ''}</td><td class="mono">${one.rule}</td><td title=${one.why}>${because(one)}</td>
              <td class="mono">${one.method} ${one.status || t('phones.silence')}</td><td class="mono">${one.address}</td><td class="mono">${one.caller}</td><td class="mono">${one.called}</td></tr>`)}</tbody></table></div>`
        : html`<p class="empty">${t('phones.none_refused')}</p>`}
    </section>`;
  }
}
customElements.define('lamproom-phones', Phones);
