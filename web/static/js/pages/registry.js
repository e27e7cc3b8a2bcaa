// The registry of a mine: facts by kind, edited in a form made of their fields, with history, import and export.
import { app } from '../app.js';
import { ApiError, api } from '../api.js';
import { moment } from '../format.js';
import { pick, t } from '../i18n.js';
import { html, icon, nothing } from '../elements/part.js';
import { MinePage } from '../elements/minepage.js';

const KINDS = ['mine', 'states', 'shifts', 'levels', 'drifts', 'zones', 'quotas', 'people', 'devices', 'machines', 'cameras', 'plans'];
const PAGE = 500;

class RegistryPage extends MinePage {
  admin = 'registry';
  static properties = {
    ...MinePage.properties, kind: { state: true }, forms: { state: true }, overview: { state: true }, items: { state: true }, next: { state: true },
    editing: { state: true }, faults: { state: true }, history: { state: true }, changes: { state: true }, outcome: { state: true }, file: { state: true }, find: { state: true },
  };

  constructor() {
    super();
    this.kind = KINDS.includes(location.hash.slice(1)) ? location.hash.slice(1) : 'zones';
    /** @type {any} */
    this.forms = null;
    /** @type {any} */
    this.overview = null;
    /** @type {any[]} */
    this.items = [];
    /** @type {string | null} */
    this.next = null;
    /** @type {{id: string, data: Record<string, any>, manual: string[], fresh: boolean} | null} */
    this.editing = null;
    /** @type {Record<string, string>} */
    this.faults = {};
    /** @type {any[]} */
    this.history = [];
    /** @type {any[]} */
    this.changes = [];
    /** @type {any} */
    this.outcome = null;
    /** @type {File | null} */
    this.file = null;
    this.find = '';
  }

  get mayEdit() {
    return ['admin', 'engineer'].includes(app.me.role);
  }

  get mayIdentify() {
    return ['admin', 'supervisor', 'dispatcher'].includes(app.me.role);
  }

  async connectedCallback() {
    await super.connectedCallback();
    try {
      this.forms = (await api.registryForms()).kinds;
    } catch (error) {
      app.report(error);
    }
    await this.#load();
  }

  async #load() {
    try {
      [this.overview, this.changes] = await Promise.all([api.registry(this.site), api.registryChanges(this.site)]);
      const page = await api.facts(this.site, this.kind, '');
      this.items = page.items;
      this.next = page.next;
    } catch (error) {
      app.report(error);
    }
  }

  async #more() {
    try {
      const page = await api.facts(this.site, this.kind, this.next ?? '');
      this.items = [...this.items, ...page.items];
      this.next = page.next;
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string} kind */
  #choose(kind) {
    this.kind = kind;
    location.hash = kind;
    this.editing = null;
    this.outcome = null;
    this.#load();
  }

  // --- one fact ---

  /** @param {any} item */
  async #edit(item) {
    this.faults = {};
    this.editing = { ...item, fresh: false };
    try {
      this.history = await api.factHistory(this.site, this.kind, item.id);
    } catch (error) {
      app.report(error);
    }
  }

  #add() {
    this.faults = {};
    this.history = [];
    const form = this.forms[this.kind];
    this.editing = { id: this.kind === 'mine' ? 'mine' : '', data: { ...form.fields }, manual: [], fresh: true };
  }

  /** @param {SubmitEvent} event */
  async #save(event) {
    event.preventDefault();
    const { editing } = this;
    if (!editing) return;
    const form = this.forms[this.kind];
    this.faults = {};
    /** @type {Record<string, any>} */
    const data = {};
    for (const [name, value] of Object.entries(editing.data)) {
      const field = /** @type {HTMLInputElement} */ (this.querySelector(`[name="${name}"]`));
      try {
        data[name] = read(field, value, form.fields[name]);
      } catch {
        this.faults = { ...this.faults, [name]: t('registry.not_json') };
      }
    }
    if (Object.keys(this.faults).length) return;
    const id = editing.fresh ? String(data[form.id] ?? '') : editing.id;
    for (const name of Object.keys(data)) if (data[name] === null && form.fields[name] === null && name !== form.id) delete data[name];
    try {
      await api.putFact(this.site, this.kind, id, data, this.overview.version);
      this.editing = null;
      await this.#load();
    } catch (error) {
      if (error instanceof ApiError && error.fields.length) {
        this.faults = Object.fromEntries(error.fields.map((one) => [one.where.split('.')[0], `${one.where}${t('colon')}${pick(one.text) || one.why}`]));
        const [strange] = Object.entries(this.faults).filter(([name]) => !(name in editing.data));
        if (strange) app.toast(strange[1], 'bad');
      } else app.report(error);
    }
  }

  async #remove() {
    const { editing } = this;
    if (!editing || !confirm(t('registry.remove_sure', { id: editing.id }))) return;
    try {
      await api.removeFact(this.site, this.kind, editing.id);
      this.editing = null;
      await this.#load();
    } catch (error) {
      if (error instanceof ApiError && error.fields.length) app.toast(error.fields.map((one) => pick(one.text) || one.why).join(t('comma')), 'bad');
      else app.report(error);
    }
  }

  async #unmask() {
    const { editing } = this;
    const reason = editing && prompt(t('registry.unmask_reason'));
    if (!editing || !reason) return;
    try {
      const found = await api.unmask(this.site, editing.id, reason);
      this.editing = { ...editing, data: found.data };
    } catch (error) {
      app.report(error);
    }
  }

  #editor() {
    const { editing } = this;
    if (!editing) return nothing;
    const form = this.forms[this.kind];
    return html`<form class="panel fact" @submit=${this.#save}>
      <h2>${icon('clipboard-check')} ${t(`registry.kind.${this.kind}`)} ${editing.id}</h2>
      <div class="scroll fields">
        ${Object.entries(editing.data).map(([name, value]) => {
          const kind = editing.fresh && name === form.id && this.kind !== 'mine' ? 'text' : kindOf(value, form.fields[name]);
          const fixed = (name === form.id && !editing.fresh) || !this.mayEdit;
          const text = kind === 'json' ? spelled(value ?? form.fields[name]) : String(value ?? '');
          return html`<label class=${this.faults[name] ? 'bad' : ''}><span>${name}${editing.manual.includes(name) ? html` <em title=${t('registry.manual')}>✎</em>` : nothing}</span>
            ${kind === 'bool' ? html`<input type="checkbox" name=${name} .checked=${Boolean(value)} ?disabled=${fixed} />`
              : kind === 'json' ? html`<textarea name=${name} rows=${Math.min(8, text.split('\n').length)} spellcheck="false" .value=${text} ?readonly=${fixed}></textarea>`
                : html`<input name=${name} .value=${text} ?readonly=${fixed} />`}
            ${this.faults[name] ? html`<small>${this.faults[name]}</small>` : nothing}</label>`;
        })}
      </div>
      <div class="acts">
        ${this.mayEdit ? html`<button class="primary">${t('plan.save')}</button>${editing.fresh ? nothing : html`<button type="button" class="danger" @click=${this.#remove}>${t('registry.remove')}</button>`}` : nothing}
        ${this.kind === 'people' && !editing.fresh && this.mayIdentify ? html`<button type="button" @click=${this.#unmask}>${icon('eye')} ${t('registry.unmask')}</button>` : nothing}
        ${this.kind === 'plans' && !editing.fresh && this.mayEdit ? html`<label class="button">${t('registry.picture')} <input type="file" accept="image/png,image/jpeg,image/webp" hidden @change=${this.#picture} /></label>` : nothing}
        <button type="button" @click=${() => (this.editing = null)}>${t('plan.cancel')}</button>
      </div>
      ${this.history.length ? html`<details><summary>${t('registry.history', { n: this.history.length })}</summary><ol>${this.history.map((one) => html`<li><b>${moment(one.valid_from, app.now())}</b> → ${one.valid_to ? moment(one.valid_to, app.now()) : t('registry.now')} <code class="mono">${JSON.stringify(one.data)}</code></li>`)}</ol></details>` : nothing}
    </form>`;
  }

  /** @param {Event} event */
  async #picture(event) {
    const file = /** @type {HTMLInputElement} */ (event.target).files?.[0];
    if (!file || !this.editing) return;
    try {
      await api.planPicture(this.site, this.editing.id, file);
      app.toast(t('registry.saved'));
      this.editing = null;
      await this.#load();
    } catch (error) {
      app.report(error);
    }
  }

  // --- files ---

  /** @param {boolean} dry */
  async #import(dry) {
    if (!this.file) return;
    const csv = this.file.name.toLowerCase().endsWith('.csv');
    const mode = /** @type {HTMLSelectElement} */ (this.querySelector('#mode')).value;
    try {
      this.outcome = await api.importFacts({ site: this.site, format: csv ? 'csv' : 'yaml', kind: csv ? this.kind : '', mode, dry_run: String(dry) }, this.file);
      if (this.outcome.done) await this.#load();
    } catch (error) {
      app.report(error);
    }
  }

  #files() {
    const csv = `/api/registry/export?site=${encodeURIComponent(this.site)}&format=csv&kind=${this.kind}`;
    const yaml = `/api/registry/export?site=${encodeURIComponent(this.site)}&format=yaml`;
    const { outcome } = this;
    return html`<section class="panel files">
      <h2>${icon('clipboard-list')} ${t('registry.files')}</h2>
      <div class="body">
        <p class="acts">${this.kind !== 'people' || this.mayIdentify ? html`<a class="button" href=${csv}>${t('registry.export_kind', { kind: t(`registry.kind.${this.kind}`) })}</a>` : nothing}<a class="button" href=${yaml}>${t('registry.export_all')}</a></p>
        ${this.mayEdit ? html`<p class="hint">${t('registry.import_hint', { kind: t(`registry.kind.${this.kind}`) })}</p>
          <input type="file" accept=".csv,.yaml,.yml" aria-label=${t('registry.file')} @change=${(/** @type {Event} */ event) => { this.file = /** @type {HTMLInputElement} */ (event.target).files?.[0] ?? null; this.outcome = null; }} />
          <label>${t('registry.mode')} <select id="mode"><option value="merge">${t('registry.merge')}</option><option value="replace">${t('registry.replace')}</option></select></label>
          <p class="acts"><button ?disabled=${!this.file} @click=${() => this.#import(true)}>${t('registry.try')}</button><button class="primary" ?disabled=${!this.file || !outcome || outcome.mistakes.length > 0} @click=${() => this.#import(false)}>${t('registry.apply')}</button></p>` : nothing}
        ${outcome ? html`<div class="outcome ${outcome.mistakes.length ? 'bad' : ''}">
          <p><b>${outcome.mistakes.length ? t('registry.mistakes', { n: outcome.mistakes.length }) : outcome.done ? t('registry.done') : t('registry.would')}</b> ${t('registry.counts', { added: outcome.added, changed: outcome.changed, removed: outcome.removed, unchanged: outcome.unchanged })}</p>
          <ul>${outcome.mistakes.slice(0, 50).map((/** @type {any} */ one) => html`<li><b>${one.line ? t('registry.line', { n: one.line }) : ''}</b> ${one.kind} ${one.id} ${one.key}${t('colon')}${pick(one.text)}</li>`)}</ul></div>` : nothing}
      </div>
    </section>`;
  }

  #log() {
    return html`<section class="panel log"><h2>${icon('history')} ${t('registry.changes')}</h2><ol class="scroll">
      ${this.changes.slice(0, 40).map((one) => html`<li><b class="mono">${one.version}</b> ${moment(one.at, app.now())} <span>${one.by || one.source}</span> <span class="faint">${Object.entries(one.counts).map(([kind, n]) => `${t(`registry.kind.${kind}`)} +${/** @type {any} */ (n).added} ~${/** @type {any} */ (n).changed} −${/** @type {any} */ (n).removed}`).join(t('comma'))}</span></li>`)}
    </ol></section>`;
  }

  #list() {
    const shown = this.items.filter((one) => !this.find || JSON.stringify(one).toLowerCase().includes(this.find.toLowerCase()));
    return html`<section class="panel facts-list">
      <h2>${t(`registry.kind.${this.kind}`)} <span class="count">${this.items.length}${this.next ? '+' : ''}</span>
        <input type="search" placeholder=${t('registry.find')} .value=${this.find} @input=${(/** @type {Event} */ event) => (this.find = /** @type {HTMLInputElement} */ (event.target).value)} />
        ${this.mayEdit && !(this.kind === 'mine' && this.items.length) ? html`<button class="small" @click=${this.#add}>${icon('plus')} ${t('registry.add')}</button>` : nothing}</h2>
      <div class="scroll"><table><tbody>
        ${shown.slice(0, PAGE).map((one) => html`<tr class=${this.editing?.id === one.id ? 'chosen' : ''} @click=${() => this.#edit(one)}><td><b>${one.id}</b></td><td>${pick({ zh: one.data.name_zh ?? one.data.name, en: one.data.name_en ?? one.data.name })}</td><td class="faint">${brief(this.kind, one.data)}</td></tr>`)}
      </tbody></table>
      ${this.items.length ? nothing : html`<p class="empty">${t('registry.empty')}</p>`}
      ${this.next ? html`<button @click=${this.#more}>${t('registry.more')}</button>` : nothing}</div>
    </section>`;
  }

  content() {
    if (!this.forms) return nothing;
    const state = this.overview?.state;
    return html`<main class="registry-page">
      <div class="planbar">${this.choice()} ${state ? html`<span class="chip">${t(`registry.state.${state.state}`)}</span>` : nothing}<span class="faint">${t('registry.version', { n: this.overview?.version ?? 0 })}</span><span class="grow"></span>
        <a class="button" href="/plan?site=${this.site}">${icon('map-pin')} ${t('page.plan')}</a></div>
      <nav class="kinds">${KINDS.map((kind) => html`<button aria-current=${kind === this.kind ? 'page' : 'false'} @click=${() => this.#choose(kind)}>${t(`registry.kind.${kind}`)} <span class="count">${this.overview?.counts[kind] ?? ''}</span></button>`)}</nav>
      <div class="registry-grid">${this.#list()}<div class="side">${this.#editor()}${this.#files()}${this.#log()}</div></div>
    </main>`;
  }
}
customElements.define('lamproom-registry-page', RegistryPage);

/** How a field is shown. @param {any} value @param {any} standard */
function kindOf(value, standard) {
  const one = value ?? standard;
  if (typeof one === 'boolean') return 'bool';
  return one !== null && typeof one === 'object' ? 'json' : 'text';
}

/** JSON with a line for each item of a list of lists. @param {any} value */
function spelled(value) {
  const text = JSON.stringify(value);
  return text.length > 60 ? text.replace(/\],\[/g, '],\n [').replace(/,"/g, ',\n"') : text;
}

/** What stands in a field, in the type of its value. Throws when it is no JSON. @param {HTMLInputElement} field @param {any} value @param {any} standard */
function read(field, value, standard) {
  if (field.type === 'checkbox') return field.checked;
  if (field.tagName === 'TEXTAREA') return JSON.parse(field.value || 'null');
  const text = field.value.trim();
  if (typeof (value ?? standard) === 'string') return text;
  if (text === '') return null;
  if (/^[[{]/.test(text)) return JSON.parse(text);
  return /^[+-]?\d+(\.\d+)?$/.test(text) && text.length < 16 ? Number(text) : text;
}

/** The few words that tell facts of a kind apart. @param {string} kind @param {any} data */
function brief(kind, data) {
  const found = { zones: [data.kind, data.fence?.level], quotas: [data.zone, data.people], people: [data.job, data.dept], devices: [data.kind, data.rated_kw && `${data.rated_kw} kW`], machines: [data.kind, (data.tags ?? []).join(' ')], states: [data.state], drifts: [data.level], levels: [data.z_low_m, data.z_high_m], cameras: [data.zone] };
  return (/** @type {any} */ (found)[kind] ?? []).filter(Boolean).join(' · ');
}
