// Base of the pages for those who look after the server: who may see them, and what is drawn on all.
import { app, bootWork } from '../app.js';
import { ApiError } from '../api.js';
import { t } from '../i18n.js';
import { adminNav, may } from './adminnav.js';
import { Part, html, icon, nothing } from './part.js';
import './topbar.js';
import './help.js';
import './toasts.js';

export class AdminPage extends Part {
  static properties = { started: { state: true }, refused: { state: true } };
  /** Name of the page, and the right that it needs. */
  page = '';
  verb = 'administer';

  constructor() {
    super();
    this.started = false;
    /** Why there is nothing to see. */
    this.refused = '';
  }

  watches() {
    return [app.sites];
  }

  async connectedCallback() {
    super.connectedCallback();
    await bootWork();
    if (!may(this.verb)) this.refused = t('admin.not_for_you');
    this.started = true;
    if (!this.refused) await this.attempt(() => this.load());
  }

  updated() {
    this.querySelector('.admin-nav [aria-current]')?.scrollIntoView({ inline: 'center', block: 'nearest' });
  }

  /** Fetch what the page shows. @returns {Promise<void>} */
  async load() {}

  /** Do it and say in words what went wrong; whether it went well. @param {() => Promise<unknown>} run @returns {Promise<boolean>} */
  async attempt(run) {
    try {
      await run();
      return true;
    } catch (error) {
      if (error instanceof ApiError && (error.status === 403 || error.error === 'not_found') && !this.hasContent) this.refused = t('admin.not_for_you');
      else app.report(error);
      return false;
    }
  }

  /** Whether there is something to show already. */
  get hasContent() {
    return false;
  }

  /** @returns {unknown} what the page is about */
  content() {
    return nothing;
  }

  render() {
    if (!this.started) return nothing;
    const inside = this.refused ? html`<section class="panel"><p class="empty" role="alert">${icon('shield')} ${this.refused}</p></section>` : this.hasContent ? this.content() : html`<p class="empty">${t('loading')}</p>`;
    return html`<lamproom-topbar quiet></lamproom-topbar>${adminNav(this.page)}
      <main class="admin ${this.page}-page">${inside}</main>
      <lamproom-help></lamproom-help><lamproom-toasts></lamproom-toasts>`;
  }
}

/** Values of a form as trimmed text. @param {SubmitEvent} event @returns {(name: string) => string} */
export function fieldsOf(event) {
  event.preventDefault();
  const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
  return (name) => String(form.get(name) ?? '').trim();
}

/** Something that is shown once, to be copied. @param {string} label @param {string} text @param {string} kind */
export function shownOnce(label, text, kind) {
  return html`<div class="shown-once" role="status"><p>${label}</p><output class="mono" data-once=${kind}>${text}</output>
    <button class="small" type="button" @click=${() => copy(text)}>${icon('clipboard-list')} ${t('admin.copy')}</button></div>`;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    app.toast(t('admin.copied'));
  } catch {
    app.toast(t('help.not_copied'), 'bad');
  }
}
