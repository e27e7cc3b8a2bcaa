// Every setting: what it means, its value and where that comes from. Changes are gathered, shown against what is, and written at once.
import { app } from '../app.js';
import { ApiError, api } from '../api.js';
import { pick, t } from '../i18n.js';
import { html, icon, nothing } from '../elements/part.js';
import { AdminPage } from '../elements/adminpage.js';
import { settingField, shownValue } from '../elements/setting.js';

/** @typedef {Record<string, any>} Body */

class Settings extends AdminPage {
  static properties = {
    ...AdminPage.properties, facts: { state: true }, section: { state: true }, find: { state: true }, drafts: { state: true }, added: { state: true }, removed: { state: true },
    problems: { state: true }, review: { state: true }, refusal: { state: true },
  };
  page = 'settings';

  constructor() {
    super();
    /** @type {Body | null} */
    this.facts = null;
    this.section = location.hash.slice(1) || 'server';
    this.find = '';
    /** Path to the value wanted; `undefined` gives back the default. @type {Map<string, any>} */
    this.drafts = new Map();
    /** List to the items that are to be added. @type {Map<string, Body[]>} */
    this.added = new Map();
    /** Items that are to be removed. @type {Set<string>} */
    this.removed = new Set();
    /** Path to what is wrong with it. @type {Map<string, string>} */
    this.problems = new Map();
    /** What the server says of the changes, while the dialog is open. @type {Body | null} */
    this.review = null;
    /** Why it was not applied. */
    this.refusal = '';
    this.leaving = (/** @type {BeforeUnloadEvent} */ event) => this.count && event.preventDefault();
  }

  async connectedCallback() {
    addEventListener('beforeunload', this.leaving);
    addEventListener('hashchange', this.moved);
    await super.connectedCallback();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    removeEventListener('beforeunload', this.leaving);
    removeEventListener('hashchange', this.moved);
  }

  moved = () => {
    this.section = location.hash.slice(1) || 'server';
    this.find = '';
  };

  get hasContent() {
    return this.facts !== null;
  }

  async load() {
    this.facts = await api.settings();
  }

  /** How many changes wait. */
  get count() {
    return this.drafts.size + this.removed.size + [...this.added.values()].reduce((sum, items) => sum + items.length, 0);
  }

  // --- drafts ---

  /** @param {Body} field @param {any} value */
  #draft(field, value) {
    this.problems.delete(field.path);
    if (!field.secret && !field.hides && JSON.stringify(value) === JSON.stringify(field.value)) this.drafts.delete(field.path);
    else if ((field.secret || field.hides) && (value === '' || value === null)) this.drafts.delete(field.path);
    else this.drafts.set(field.path, value);
    this.requestUpdate();
  }

  /** Back to what is, or to the default. @param {Body} field */
  #reset(field) {
    this.problems.delete(field.path);
    if (this.drafts.has(field.path)) this.drafts.delete(field.path);
    else this.drafts.set(field.path, undefined);
    this.requestUpdate();
  }

  #discard() {
    this.drafts.clear();
    this.added.clear();
    this.removed.clear();
    this.problems.clear();
    this.requestUpdate();
  }

  /** Values first, then new items, then what goes, from the end of its list on: so that numbers stay true. */
  #changes() {
    const sets = [...this.drafts].map(([path, value]) => (value === undefined ? { path, op: 'remove' } : { path, op: 'set', value }));
    const adds = [...this.added].flatMap(([path, items]) => {
      const there = this.#node(path)?.items.length ?? 0;
      return items.map((value, number) => ({ path: `${path}.${there + number}`, op: 'set', value }));
    });
    const gone = [...this.removed].sort((a, b) => b.localeCompare(a, undefined, { numeric: true })).map((path) => ({ path, op: 'remove' }));
    const inside = (/** @type {string} */ path) => [...this.removed].some((one) => path.startsWith(`${one}.`));
    return [...sets.filter((one) => !inside(one.path)), ...adds.filter((one) => !inside(one.path)), ...gone];
  }

  /** The node of a path. @param {string} path @returns {Body | undefined} */
  #node(path) {
    /** @type {Body[]} */
    const waiting = [...(this.facts?.sections ?? [])];
    while (waiting.length) {
      const node = /** @type {Body} */ (waiting.pop());
      if (node.path === path) return node;
      if (path.startsWith(`${node.path}.`)) waiting.push(...(node.fields ?? []), ...(node.items ?? []).flat());
    }
    return undefined;
  }

  // --- what is drawn ---

  content() {
    const facts = /** @type {Body} */ (this.facts);
    return html`${this.#notices(facts)}
      ${facts.sections.length ? html`<div class="settings-grid">${this.#index(facts)}<div class="settings-body">${this.find ? this.#found(facts) : this.#section(facts)}</div></div>` : nothing}
      ${this.count ? this.#bar() : nothing}${this.#dialog()}`;
  }

  /** @param {Body} facts */
  #notices(facts) {
    return html`${facts.broken.length ? html`<section class="panel settings-notice bad" role="alert"><p>${icon('octagon-alert')} ${t('settings.broken')}</p><ul class="plain">${facts.broken.map((/** @type {string} */ one) => html`<li class="mono wrap">${one}</li>`)}</ul></section>` : nothing}
      ${facts.restart_needed && !facts.broken.length ? html`<p class="settings-notice warn" role="status" data-restart>${icon('refresh-cw')} ${t('settings.restart_needed')}</p>` : nothing}
      ${facts.file ? (facts.writable || facts.broken.length ? nothing : html`<p class="settings-notice warn">${icon('lock')} ${t('settings.not_writable', { file: facts.file })}</p>`) : html`<p class="settings-notice warn">${icon('info')} ${t('settings.no_file')}</p>`}`;
  }

  /** @param {Body} facts */
  #index(facts) {
    return html`<nav class="panel settings-index" aria-label=${t('settings.sections')}>
      <label class="settings-find"><span class="sr">${t('settings.find')}</span><input type="search" placeholder=${t('settings.find')} .value=${this.find} @input=${(/** @type {Event} */ event) => (this.find = /** @type {HTMLInputElement} */ (event.target).value)} /></label>
      <ul>${facts.sections.map((/** @type {Body} */ one) => {
        const waiting = [...this.drafts.keys(), ...this.removed, ...this.added.keys()].filter((path) => path === one.path || path.startsWith(`${one.path}.`)).length;
        return html`<li><a href="#${one.key}" aria-current=${one.key === this.section && !this.find ? 'true' : nothing}><span class="mono">${one.key}</span>${waiting ? html`<span class="count hot">${waiting}</span>` : one.kind === 'sections' ? html`<span class="count">${one.items.length}</span>` : nothing}</a></li>`;
      })}</ul>
      <p class="faint file">${facts.file ? html`${t('settings.file')}<br /><span class="mono wrap">${facts.file}</span>` : nothing}</p>
    </nav>`;
  }

  /** @param {Body} facts */
  #section(facts) {
    const node = facts.sections.find((/** @type {Body} */ one) => one.key === this.section) ?? facts.sections[0];
    return this.#group(node, true);
  }

  /** A section, or a list of them. @param {Body} node @param {boolean} top @returns {unknown} */
  #group(node, top) {
    const title = top ? html`<h2>${icon('gear')} <span class="mono">${node.path}</span></h2>` : html`<h3 class="mono">${node.key}</h3>`;
    const inside = node.kind === 'sections' ? this.#list(node) : this.#fields(node.fields);
    return html`<section class=${top ? 'panel' : 'settings-group'} data-section=${node.path}>${title}<p class="hint">${pick(node.help)}</p>${inside}</section>`;
  }

  /** @param {Body[]} nodes */
  #fields(nodes) {
    return nodes.map((node) => (node.kind === 'section' || node.kind === 'sections' ? this.#group(node, false) : this.#field(node)));
  }

  /** @param {Body} field */
  #field(field) {
    const drafted = this.drafts.has(field.path);
    const draft = this.drafts.get(field.path);
    const locked = field.source.from === 'environment' || !this.facts?.writable;
    return settingField(field, {
      value: drafted ? (draft === undefined ? field.default : draft) : field.value,
      drafted,
      problem: this.problems.get(field.path) ?? '',
      disabled: locked,
      change: (value) => this.#draft(field, value),
      wrong: (why) => (this.problems = new Map(this.problems).set(field.path, why)),
      reset: locked || field.required || !(drafted || field.source.from === 'file') ? null : () => this.#reset(field),
    });
  }

  /** @param {Body} node */
  #list(node) {
    const added = this.added.get(node.path) ?? [];
    const locked = node.source.from === 'environment' || !this.facts?.writable;
    return html`${node.items.map((/** @type {Body[]} */ item, /** @type {number} */ number) => this.#item(node, item, number, locked))}
      ${added.map((values, number) => this.#newItem(node, values, number))}
      <p class="settings-add">${node.items.length || added.length ? nothing : html`<span class="faint">${t('settings.no_items')}</span> `}${locked ? nothing : html`<button class="small" @click=${() => { this.added.set(node.path, [...added, {}]); this.requestUpdate(); }}>${icon('plus')} ${t('settings.add')}</button>`}</p>`;
  }

  /** @param {Body} node @param {Body[]} item @param {number} number @param {boolean} locked */
  #item(node, item, number, locked) {
    const path = `${node.path}.${number}`;
    const gone = this.removed.has(path);
    const name = item.filter((one) => ['site', 'name', 'post', 'device', 'key', 'chain', 'host'].includes(one.key) && one.value).map((one) => one.value).join(' · ');
    const turn = () => { gone ? this.removed.delete(path) : this.removed.add(path); this.requestUpdate(); };
    return html`<details class="settings-item ${gone ? 'gone' : ''}" data-item=${path}><summary><span class="faint mono">${number + 1}</span> <b>${name || path}</b>${gone ? html` <span class="badge critical">${t('settings.goes')}</span>` : nothing}</summary>
      ${gone ? nothing : this.#fields(item)}${locked ? nothing : html`<p class="settings-add"><button class="small" @click=${turn}>${gone ? t('settings.undo') : t('settings.remove')}</button></p>`}</details>`;
  }

  /** An item that is to be added: only what is typed is written. @param {Body} node @param {Body} values @param {number} number */
  #newItem(node, values, number) {
    const path = `${node.path}.${node.items.length + number}`;
    const fields = node.template.map((/** @type {Body} */ one) => ({ ...one, path: `${path}.${one.key}`, ...(one.kind === 'sections' || one.kind === 'section' ? { kind: 'json', value: null, default: null, required: false } : {}) }));
    const change = (/** @type {Body} */ field, /** @type {any} */ value) => {
      this.problems.delete(field.path);
      if (value === null || value === '' || JSON.stringify(value) === JSON.stringify(field.default)) delete values[field.key];
      else values[field.key] = value;
      this.requestUpdate();
    };
    const drop = () => {
      const left = (this.added.get(node.path) ?? []).filter((one) => one !== values);
      left.length ? this.added.set(node.path, left) : this.added.delete(node.path);
      this.requestUpdate();
    };
    return html`<details class="settings-item drafted" open data-item=${path}><summary><b>${t('settings.new_item')}</b> <span class="badge warning">${t('settings.pending')}</span></summary>
      ${fields.map((/** @type {Body} */ field) => settingField({ ...field, changed: false }, {
        value: field.key in values ? values[field.key] : field.default, drafted: field.key in values, problem: this.problems.get(field.path) ?? '', disabled: false,
        change: (value) => change(field, value), wrong: (why) => (this.problems = new Map(this.problems).set(field.path, why)), reset: null,
      }))}<p class="settings-add"><button class="small" @click=${drop}>${t('settings.remove')}</button></p></details>`;
  }

  /** Fields whose path or help holds what is looked for. @param {Body} facts */
  #found(facts) {
    const wanted = this.find.trim().toLowerCase();
    /** @type {Body[]} */
    const found = [];
    const look = (/** @type {Body} */ node) => {
      if (node.kind === 'section') node.fields.forEach(look);
      else if (node.kind === 'sections') node.items.flat().forEach(look);
      else if (`${node.path} ${node.help.zh} ${node.help.en}`.toLowerCase().includes(wanted)) found.push({ ...node, key: node.path });
    };
    facts.sections.forEach(look);
    return html`<section class="panel"><h2>${icon('search')} ${t('settings.found', { n: found.length })}</h2>${found.slice(0, 100).map((field) => this.#field(field))}</section>`;
  }

  // --- applying ---

  #bar() {
    return html`<div class="settings-bar" role="region" aria-label=${t('settings.pending_all', { n: this.count })}><b>${t('settings.pending_all', { n: this.count })}</b><span class="grow"></span>
      <button @click=${this.#discard}>${t('settings.discard')}</button><button class="primary" ?disabled=${this.problems.size > 0} @click=${this.#review}>${t('settings.review')}</button></div>`;
  }

  async #review() {
    this.problems = new Map();
    this.refusal = '';
    try {
      this.review = await api.trySettings({ changes: this.#changes(), expect: this.facts?.fingerprint });
    } catch (error) {
      this.#refused(error);
      return;
    }
    await this.updateComplete;
    /** @type {HTMLDialogElement | null} */ (this.querySelector('dialog.settings-review'))?.showModal();
  }

  /** Say at each field what is wrong with it. @param {unknown} error */
  #refused(error) {
    if (error instanceof ApiError && error.fields.length) {
      this.problems = new Map(error.fields.map((one) => [one.where, one.why]));
      const first = error.fields[0];
      this.section = first.where.split('.')[0] || this.section;
      this.find = '';
      app.toast(`${error.words} ${first.where}: ${first.why}`, 'bad');
    } else app.report(error);
  }

  #dialog() {
    const review = this.review;
    if (!review) return nothing;
    return html`<dialog class="dialog settings-review" aria-label=${t('settings.review')} @close=${() => (this.review = null)}>
      <header><h2>${icon('gear')} ${t('settings.review')}</h2><button class="tool" @click=${this.#close} aria-label=${t('close')}>${icon('x')}</button></header>
      <div class="scroll"><table class="cards"><thead><tr><th>${t('settings.setting')}</th><th>${t('settings.before')}</th><th>${t('settings.after')}</th></tr></thead><tbody>
        ${review.differences.map((/** @type {Body} */ one) => html`<tr data-diff=${one.path}><td class="mono wrap">${one.dangerous ? icon('lock') : nothing} ${one.path}</td><td data-label=${t('settings.before')}><del>${shownValue(one.before)}</del></td><td data-label=${t('settings.after')}><ins>${shownValue(one.after)}</ins></td></tr>`)}</tbody></table></div>
      ${review.differences.length ? nothing : html`<p class="empty">${t('settings.no_difference')}</p>`}
      <form class="fields" @submit=${this.#apply}>
        ${review.dangerous ? html`<label>${t('settings.password')} <input name="password" type="password" autocomplete="current-password" required maxlength="256" /></label>` : nothing}
        <p class="problem" role="alert">${this.refusal}</p>
        <p class="hint">${t('settings.restart_note')}</p>
        <button class="primary" type="submit" ?disabled=${!review.differences.length}>${t('settings.apply')}</button>
      </form></dialog>`;
  }

  #close() {
    this.querySelector('dialog')?.close();
  }

  /** @param {SubmitEvent} event */
  async #apply(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    try {
      await api.changeSettings({ changes: this.#changes(), expect: this.facts?.fingerprint, password: String(form.get('password') ?? '') });
    } catch (error) {
      // A wrong password is no lost log-in.
      if (error instanceof ApiError && error.error !== 'not_signed_in' && !error.fields.length) this.refusal = error.words;
      else {
        this.#close();
        this.#refused(error);
      }
      return;
    }
    this.#close();
    this.#discard();
    app.toast(t('settings.applied'));
    await this.attempt(() => this.load());
  }
}
customElements.define('lamproom-settings', Settings);
