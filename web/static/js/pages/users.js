// Accounts: who there is, what each role may do, and every change of them.
import { app } from '../app.js';
import { api } from '../api.js';
import { moment } from '../format.js';
import { language, t } from '../i18n.js';
import { html, icon, nothing } from '../elements/part.js';
import { AdminPage, fieldsOf, shownOnce } from '../elements/adminpage.js';

const ROLES = ['admin', 'supervisor', 'dispatcher', 'engineer', 'viewer'];
const PAGE = 100;
const TYPED_MS = 300;

/** @typedef {Record<string, any>} Body */

class Users extends AdminPage {
  static properties = {
    ...AdminPage.properties, items: { state: true }, next: { state: true }, filter: { state: true }, table: { state: true }, open: { state: true },
    logins: { state: true }, once: { state: true }, how: { state: true },
  };
  page = 'users';
  #typed = 0;

  constructor() {
    super();
    /** @type {Body[] | null} */
    this.items = null;
    /** @type {string | null} */
    this.next = null;
    this.filter = { q: '', role: '', site: '' };
    /** @type {Body | null} */
    this.table = null;
    /** The account in the dialog; `{}` is a new one. @type {Body | null} */
    this.open = null;
    /** @type {Body[]} */
    this.logins = [];
    /** What is shown once. @type {{kind: 'password' | 'link', text: string} | null} */
    this.once = null;
    this.how = 'link';
  }

  get hasContent() {
    return this.items !== null;
  }

  async load() {
    const [page, table] = await Promise.all([api.users({ ...this.filter, limit: PAGE }), this.table ?? api.roles()]);
    this.items = page.items;
    this.next = page.next;
    this.table = table;
  }

  async #more() {
    const page = await api.users({ ...this.filter, limit: PAGE, after: this.next ?? '' });
    this.items = [...(this.items ?? []), ...page.items];
    this.next = page.next;
  }

  /** @param {'q' | 'role' | 'site'} name @param {Event} event */
  #narrow(name, event) {
    this.filter = { ...this.filter, [name]: /** @type {HTMLInputElement} */ (event.target).value };
    clearTimeout(this.#typed);
    this.#typed = setTimeout(() => this.attempt(() => this.load()), name === 'q' ? TYPED_MS : 0);
  }

  content() {
    return html`${this.#list()}${this.#rights()}${this.#dialog()}`;
  }

  #list() {
    const below = app.below(app.me.site);
    return html`<section class="panel" data-part="users"><h2>${icon('users')} ${t('users.title')}<span class="grow"></span>
        <button class="primary small" @click=${() => this.#show({})}>${icon('plus')} ${t('users.new')}</button></h2>
      <form class="filters" role="search" @submit=${(/** @type {Event} */ event) => event.preventDefault()}>
        <label>${t('users.find')} <input name="q" type="search" maxlength="64" autocomplete="off" @input=${(/** @type {Event} */ event) => this.#narrow('q', event)} /></label>
        <label>${t('users.role')} <select @change=${(/** @type {Event} */ event) => this.#narrow('role', event)}><option value="">${t('users.any')}</option>${ROLES.map((role) => html`<option value=${role}>${t(`role.${role}`)}</option>`)}</select></label>
        ${below.length > 1 ? html`<label>${t('users.site_below')} <select @change=${(/** @type {Event} */ event) => this.#narrow('site', event)}>${below.map((one) => html`<option value=${one.site}>${app.siteName(one.site)}</option>`)}</select></label>` : nothing}
      </form>
      ${this.items?.length
        ? html`<div class="scroll"><table class="cards"><thead><tr><th>${t('users.name')}</th><th>${t('users.login')}</th><th>${t('users.role')}</th><th>${t('users.site')}</th><th>${t('users.seen')}</th><th>${t('users.state')}</th><th><span class="sr">${t('users.open')}</span></th></tr></thead>
            <tbody>${this.items.map((one) => this.#row(one))}</tbody></table></div>`
        : html`<p class="empty">${t('users.none')}</p>`}
      ${this.next ? html`<p class="more"><button class="small" @click=${() => this.attempt(() => this.#more())}>${t('users.more')}</button></p>` : nothing}
    </section>`;
  }

  /** @param {Body} one */
  #row(one) {
    const own = one.user === app.me.user;
    return html`<tr class=${one.disabled ? 'faint' : ''} data-user=${one.login}>
      <td><b>${one.name}</b>${own ? html` <span class="chip">${t('users.you')}</span>` : nothing}</td>
      <td data-label=${t('users.login')} class="mono">${one.login}</td>
      <td data-label=${t('users.role')}>${t(`role.${one.role}`)}</td>
      <td data-label=${t('users.site')}>${app.siteName(one.site)} <span class="chip">${t(`level.${one.level}`)}</span></td>
      <td data-label=${t('users.seen')} class="nowrap">${one.last_seen_at ? moment(one.last_seen_at, app.now()) : html`<span class="faint">${t('users.never')}</span>`}${one.logins ? html` <span class="faint">${t('users.logins_count', { n: one.logins })}</span>` : nothing}</td>
      <td data-label=${t('users.state')}>${this.#state(one)}</td>
      <td class="acts"><button class="small" @click=${() => this.#show(one)} aria-label="${t('users.open')}: ${one.name}">${t('users.open')}</button></td>
    </tr>`;
  }

  /** @param {Body} one */
  #state(one) {
    if (one.disabled) return html`<span class="badge critical">${t('users.disabled')}</span>`;
    if (one.must_change) return html`<span class="badge warning">${t('users.must_change')}</span>`;
    return html`<span class="badge ok">${t('users.good')}</span>`;
  }

  #rights() {
    const table = this.table;
    if (!table) return nothing;
    return html`<section class="panel" data-part="rights"><h2>${icon('shield')} ${t('users.rights')}</h2>
      <p class="hint">${t('users.rights_hint')}</p>
      <div class="scroll"><table class="rights"><thead><tr><th scope="col">${t('users.verb')}</th>${table.roles.map((/** @type {Body} */ one) => html`<th scope="col">${t(`role.${one.role}`)}</th>`)}</tr></thead>
        <tbody>${table.verbs.map((/** @type {string} */ verb) => html`<tr><th scope="row">${t(`verb.${verb}`)}</th>${table.roles.map((/** @type {Body} */ one) =>
          html`<td>${one.verbs.includes(verb) ? html`<span class="yes">${icon('check')}<span class="sr">${t('users.may')}</span></span>` : html`<span class="faint">–<span class="sr">${t('users.may_not')}</span></span>`}</td>`)}</tr>`)}</tbody></table></div>
    </section>`;
  }

  // --- one account ---

  /** @param {Body} one */
  async #show(one) {
    this.open = one;
    this.once = null;
    this.logins = [];
    await this.updateComplete;
    const dialog = this.querySelector('dialog.account');
    /** @type {HTMLDialogElement} */ (dialog).showModal();
    if (one.user) await this.attempt(async () => (this.logins = await api.userLogins(one.user)));
  }

  #close() {
    /** @type {HTMLDialogElement | null} */ (this.querySelector('dialog.account'))?.close();
  }

  #dialog() {
    const one = this.open;
    if (!one) return nothing;
    const fresh = !one.user;
    const own = one.user === app.me.user;
    return html`<dialog class="dialog account" aria-label=${fresh ? t('users.new') : one.name} @close=${() => (this.open = null)}>
      <header><h2>${icon('user')} ${fresh ? t('users.new') : one.name}</h2><button class="tool" @click=${this.#close} aria-label=${t('close')}>${icon('x')}</button></header>
      ${this.once ? shownOnce(t(`users.once_${this.once.kind}`), this.once.text, this.once.kind) : nothing}
      ${fresh && this.once ? nothing : this.#form(one, fresh, own)}
      ${fresh ? nothing : this.#acts(one, own)}
    </dialog>`;
  }

  /** @param {Body} one @param {boolean} fresh @param {boolean} own */
  #form(one, fresh, own) {
    const below = app.below(app.me.site);
    const site = one.site ?? app.me.site;
    return html`<form class="fields" @submit=${(/** @type {SubmitEvent} */ event) => (fresh ? this.#add(event) : this.#change(event, one))}>
      <label>${t('users.name')} <input name="name" required maxlength="64" autocomplete="off" .value=${one.name ?? ''} /></label>
      ${fresh ? html`<label>${t('users.login')} <input name="login" required maxlength="63" pattern="[a-z0-9][a-z0-9._\\-]{0,62}" autocomplete="off" autocapitalize="off" spellcheck="false" aria-describedby="login-hint" /><small id="login-hint">${t('users.login_hint')}</small></label>` : nothing}
      <label>${t('users.role')} <select name="role" ?disabled=${own}>${ROLES.map((role) => html`<option value=${role} ?selected=${role === (one.role ?? 'dispatcher')}>${t(`role.${role}`)}</option>`)}</select></label>
      <label>${t('users.site')} <select name="site" ?disabled=${own}>${below.map((two) => html`<option value=${two.site} ?selected=${two.site === site}>${app.siteName(two.site)}</option>`)}</select></label>
      <label>${t('users.language')} <select name="language"><option value="zh" ?selected=${(one.language ?? language.value) === 'zh'}>中文</option><option value="en" ?selected=${(one.language ?? language.value) === 'en'}>English</option></select></label>
      ${fresh
        ? html`<fieldset><legend>${t('users.how')}</legend>${['link', 'password'].map((how) => html`<label><input type="radio" name="how" value=${how} ?checked=${how === this.how} @change=${() => (this.how = how)} /> ${t(`users.how_${how}`)}</label>`)}</fieldset>`
        : html`<p class="hint">${own ? t('users.own_hint') : t('users.change_hint')}</p>`}
      <button class="primary" type="submit">${fresh ? t('users.add') : t('users.save')}</button>
    </form>`;
  }

  /** @param {Body} one @param {boolean} own */
  #acts(one, own) {
    return html`${own ? nothing : html`<section class="account-acts"><h3>${t('users.access')}</h3><div class="acts">
        <button class="small" ?disabled=${one.disabled} @click=${() => this.#reset(one)}>${t('users.reset')}</button>
        <button class="small" ?disabled=${one.disabled} @click=${() => this.#link(one)}>${t('users.link')}</button>
        <button class="small" @click=${() => confirm(t('users.revoke_sure', { name: one.name })) && this.#do(() => api.revokeUser(one.user), one)}>${t('users.revoke')}</button>
        <button class="small ${one.disabled ? '' : 'danger'}" @click=${() => (one.disabled || confirm(t('users.disable_sure', { name: one.name }))) && this.#do(() => api.changeUser(one.user, { disabled: !one.disabled }), one)}>${one.disabled ? t('users.enable') : t('users.disable')}</button>
      </div></section>`}
      <section class="account-acts"><h3>${t('users.logins')}</h3>
        ${this.logins.length
          ? html`<ul class="logins">${this.logins.map((login) => html`<li><span><b class="mono">${login.address || '—'}</b>${login.own ? html` <span class="chip">${t('users.this_one')}</span>` : nothing}<br />
              <small class="faint">${t('users.login_since', { since: moment(login.created_at, app.now()), seen: moment(login.last_seen_at, app.now()) })}</small></span>
              ${login.own ? nothing : html`<button class="small" @click=${() => this.#do(() => api.endLogin(one.user, login.login), one)}>${t('users.end_login')}</button>`}</li>`)}</ul>`
          : html`<p class="faint">${t('users.no_logins')}</p>`}
      </section>`;
  }

  /** Do it, then show list and account as they are now. @param {() => Promise<unknown>} run @param {Body} one */
  async #do(run, one) {
    await this.attempt(async () => {
      await run();
      await this.load();
      if (!one.user) return;
      this.open = this.items?.find((two) => two.user === one.user) ?? one;
      this.logins = await api.userLogins(one.user);
    });
  }

  /** @param {SubmitEvent} event */
  #add(event) {
    const field = fieldsOf(event);
    const wanted = { login: field('login'), name: field('name'), role: field('role'), site: field('site'), language: field('language'), one_time_password: this.how === 'password' };
    this.#do(async () => {
      const made = await api.addUser(wanted);
      this.once = made.one_time_password ? { kind: 'password', text: made.one_time_password } : { kind: 'link', text: (await api.loginLink(made.user)).url };
    }, {});
  }

  /** @param {SubmitEvent} event @param {Body} one */
  #change(event, one) {
    const field = fieldsOf(event);
    const change = Object.fromEntries(['name', 'role', 'site', 'language'].map((name) => [name, field(name)]).filter(([name, value]) => value && value !== one[name]));
    if (!Object.keys(change).length) return;
    this.#do(async () => {
      await api.changeUser(one.user, change);
      app.toast(t('users.saved'));
    }, one);
  }

  /** @param {Body} one */
  #reset(one) {
    if (!confirm(t('users.reset_sure', { name: one.name }))) return;
    this.#do(async () => (this.once = { kind: 'password', text: (await api.resetPassword(one.user)).password }), one);
  }

  /** @param {Body} one */
  #link(one) {
    this.#do(async () => (this.once = { kind: 'link', text: (await api.loginLink(one.user)).url }), one);
  }
}
customElements.define('lamproom-users', Users);
