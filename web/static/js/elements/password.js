// The own password, changed with the present one. Every other log-in ends by it.
import { ApiError, api } from '../api.js';
import { t } from '../i18n.js';
import { Part, html, icon, nothing } from './part.js';

const LEAST = 8;

/** The three fields. @param {string | null} old the present password, where it was typed just now @param {string} problem @param {(old: string, fresh: string) => void} change */
export function passwordForm(old, problem, change) {
  const sent = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const again = /** @type {HTMLFormElement} */ (event.target).querySelector('[name=again]');
    const same = form.get('fresh') === form.get('again');
    /** @type {HTMLInputElement} */ (again).setCustomValidity(same ? '' : t('password.differ'));
    if (!same) /** @type {HTMLInputElement} */ (again).reportValidity();
    else change(old ?? String(form.get('old')), String(form.get('fresh')));
  };
  const typed = (/** @type {Event} */ event) => /** @type {HTMLInputElement} */ (event.target).setCustomValidity('');
  return html`<form class="fields" @submit=${sent}>
    ${old === null ? html`<label>${t('password.old')} <input name="old" type="password" autocomplete="current-password" required maxlength="256" /></label>` : nothing}
    <label>${t('password.new')} <input name="fresh" type="password" autocomplete="new-password" required minlength=${LEAST} maxlength="256" /></label>
    <label>${t('password.again')} <input name="again" type="password" autocomplete="new-password" required maxlength="256" @input=${typed} /></label>
    <p class="problem" role="alert">${problem}</p>
    <button class="primary" type="submit">${t('password.change')}</button>
  </form>`;
}

/** Why a password was not changed, in words. @param {unknown} error */
export const whyNot = (error) => (error instanceof ApiError ? error.words : t('error.unknown'));

class Password extends Part {
  static properties = { problem: { state: true } };

  constructor() {
    super();
    this.problem = '';
  }

  firstUpdated() {
    this.querySelector('dialog')?.showModal();
  }

  render() {
    return html`<dialog class="dialog" aria-label=${t('password.title')} @close=${() => this.remove()}>
      <header><h2>${icon('key')} ${t('password.title')}</h2><button class="tool" @click=${this.#close} aria-label=${t('close')}>${icon('x')}</button></header>
      ${passwordForm(null, this.problem, (old, fresh) => this.#change(old, fresh))}
      <p class="hint">${t('password.hint')}</p>
    </dialog>`;
  }

  #close() {
    this.querySelector('dialog')?.close();
  }

  /** @param {string} old @param {string} fresh */
  async #change(old, fresh) {
    this.problem = '';
    try {
      await api.changePassword(old, fresh);
      location.reload(); // the rooms of before have ended with the old log-in
    } catch (error) {
      this.problem = whyNot(error);
    }
  }
}
customElements.define('lamproom-password', Password);

export function showPassword() {
  document.body.append(document.createElement('lamproom-password'));
}
