// One-click consultation. The levels are chosen already and the call goes out by itself after a few seconds, so nobody
// has to fill a form in an emergency; touching a choice stops the countdown, Esc takes it back.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { titleOf } from '../alerts.js';
import { pick, t } from '../i18n.js';
import { alertId } from '../roomview.js';
import { fetchTemplates, templates } from '../templates.js';

const COUNTDOWN_S = 5;
const LEVELS = ['county', 'city', 'province'];

class CallDialog extends Part {
  static properties = { template: { state: true }, site: { state: true }, levels: { state: true }, left: { state: true }, busy: { state: true }, drill: { state: true } };
  #timer = 0;
  #key = '';
  /** @type {Record<string, any> | null} */
  #alert = null;

  constructor() {
    super();
    this.site = '';
    this.template = '';
    /** @type {string[]} */
    this.levels = [];
    this.left = COUNTDOWN_S;
    this.busy = false;
    this.drill = false;
  }

  watches() {
    return [app.sites, templates];
  }

  connectedCallback() {
    super.connectedCallback();
    fetchTemplates();
  }

  /** @param {Record<string, any> | null} alert @param {string} site */
  async open(alert, site) {
    if (this.busy) return;
    this.#alert = alert;
    this.drill = false;
    this.template = templates.value.items.find((one) => one.rules.includes(alert?.rule))?.key ?? '';
    this.#key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
    const mines = app.sites.value.filter((one) => one.level === 'mine');
    this.site = alert?.site ?? (site || app.currentSession?.site || (mines.length === 1 ? mines[0].site : ''));
    this.levels = this.#possible();
    await this.updateComplete;
    this.querySelector('dialog')?.showModal();
    /** @type {HTMLElement | null} */ (this.querySelector('.start'))?.focus();
    this.left = COUNTDOWN_S;
    clearInterval(this.#timer);
    // A supervisor without a chosen mine has to choose first.
    // Within a consultation it is a second one, and never begins by itself.
    if (this.site && !app.session.value) this.#timer = setInterval(() => (this.left > 1 ? (this.left -= 1) : this.#start()), 1000);
    else this.left = 0;
  }

  /** Levels above the site; a mine may not see the tree above itself, then the usual three. */
  #possible() {
    const known = app.ancestors(this.site).map((one) => one.level).filter((level) => level !== 'nation');
    return known.length ? known : LEVELS;
  }

  #stopCountdown() {
    clearInterval(this.#timer);
    this.left = 0;
  }

  render() {
    const mines = app.sites.value.filter((one) => one.level === 'mine');
    const possible = this.#possible();
    return html`<dialog class="dialog call-dialog" aria-label=${t('call.one_click')} @close=${this.#stopCountdown}>
      <header><h2>${icon('phone')} ${t('call.one_click')}</h2><button class="tool" @click=${this.#close} aria-label=${t('cancel')}>${icon('x')}</button></header>
      ${this.#alert ? html`<p class="about">${titleOf(this.#alert)}</p>` : nothing}
      <p class="about-site">${t('call.about')} ${app.me.level === 'mine' || mines.length < 2 || this.#alert
          ? html`<b>${app.siteName(this.site)}</b>`
          : html`<select @change=${this.#choose} aria-label=${t('call.about')}>
              <option value="" ?selected=${!this.site}>${t('call.choose')}</option>
              ${mines.map((one) => html`<option value=${one.site} ?selected=${one.site === this.site}>${app.siteName(one.site)}</option>`)}
            </select>`}</p>
      ${templates.value.items.length
        ? html`<p class="about-site">${t('call.template')} <select @change=${this.#chooseTemplate} aria-label=${t('call.template')}>
            <option value="" ?selected=${!this.template}>${t('call.no_template')}</option>
            ${templates.value.items.map((one) => html`<option value=${one.key} ?selected=${one.key === this.template}>${pick(one.title)}</option>`)}
          </select></p>`
        : nothing}
      <fieldset class="levels">
        <legend>${t('call.levels')}</legend>
        ${app.me.level === 'mine' ? nothing : html`<label class="level on fixed"><input type="checkbox" checked disabled /> ${t('level.mine')}</label>`}
        ${possible.map((level) => {
          const own = level === app.me.level;
          const on = own || this.levels.includes(level);
          return html`<label class="level ${on ? 'on' : ''} ${own ? 'fixed' : ''}"><input type="checkbox" .checked=${on} ?disabled=${own} @change=${(/** @type {Event} */ event) => this.#toggle(level, event)} /> ${t(`level.${level}`)}</label>`;
        })}
      </fieldset>
      ${this.#alert ? nothing : html`<label class="level ${this.drill ? 'on' : ''}"><input type="checkbox" name="drill" .checked=${this.drill} @change=${this.#chooseDrill} /> ${t('drill.as_drill')}</label>`}
      <button class="start" ?disabled=${this.busy || !this.site} @click=${this.#start}>${icon('phone')} ${this.busy ? t('call.calling') : t('call.start')}</button>
      ${app.session.value ? html`<p class="note">${icon('info')} ${t('call.second')}</p>` : nothing}
      <p class="faint" role="status">${this.left > 0 ? t('call.countdown', { n: this.left }) : t('call.no_countdown')}</p>
    </dialog>`;
  }

  /** @param {Event} event */
  #choose(event) {
    this.site = /** @type {HTMLSelectElement} */ (event.target).value;
    this.levels = this.#possible();
    this.#stopCountdown();
  }

  /** @param {Event} event */
  #chooseTemplate(event) {
    this.template = /** @type {HTMLSelectElement} */ (event.target).value;
    const chosen = templates.value.items.find((one) => one.key === this.template);
    if (chosen) this.levels = this.#possible().filter((level) => chosen.levels.includes(level));
    this.#stopCountdown();
  }

  /** @param {Event} event */
  #chooseDrill(event) {
    this.#stopCountdown();
    this.drill = /** @type {HTMLInputElement} */ (event.target).checked;
  }

  /** @param {string} level @param {Event} event */
  #toggle(level, event) {
    this.#stopCountdown();
    const on = /** @type {HTMLInputElement} */ (event.target).checked;
    this.levels = on ? [...this.levels, level] : this.levels.filter((one) => one !== level);
  }

  #close() {
    this.querySelector('dialog')?.close();
  }

  async #start() {
    this.#stopCountdown();
    if (this.busy || !this.site) return;
    this.busy = true;
    try {
      const alert = this.#alert ? { alert: alertId(this.#alert) } : {};
      const template = this.template ? { template: this.template } : {};
      await app.call({ site: this.site, levels: this.levels, ...alert, ...template, ...(this.drill ? { drill: true } : {}) }, this.#key);
      this.#close();
    } catch (error) {
      app.report(error);
    } finally {
      this.busy = false;
    }
  }
}
customElements.define('lamproom-call', CallDialog);

/** @param {Record<string, any> | null} [alert] @param {string} [site] */
export function openCall(alert = null, site = app.me.level === 'mine' ? app.me.site : '') {
  /** @type {any} */ (document.querySelector('lamproom-call'))?.open(alert, site);
}
