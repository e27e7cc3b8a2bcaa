// Log-in. What went wrong is said under the fields, in words.
import { ApiError, api } from '../api.js';
import { language, startLanguage, switchLanguage, t } from '../i18n.js';
import { theme, themeIcon, toggleTheme } from '../theme.js';
import { Part, html, icon, nothing } from '../elements/part.js';
import { passwordForm, whyNot } from '../elements/password.js';
import { pageFacts } from '../facts.js';

/** Only a path of our own. @param {string | null} next */
export function safeNext(next) {
  return next && /^\/(?![/\\])/.test(next) ? next : '/';
}

class Login extends Part {
  static properties = { ready: { state: true }, problem: { state: true }, busy: { state: true }, entered: { state: true } };

  constructor() {
    super();
    this.ready = false;
    this.problem = '';
    this.busy = false;
    /** The password that somebody else had set: a new one is to be chosen before anything else. @type {string | null} */
    this.entered = null;
  }

  watches() {
    return [theme];
  }

  async connectedCallback() {
    super.connectedCallback();
    this.facts = pageFacts();
    await startLanguage(this.facts.language, this.facts.language_fixed);
    this.ready = true;
  }

  render() {
    if (!this.ready) return nothing;
    const insecure = !window.isSecureContext;
    return html`<main class="login">
      <section class="login-card">
        <p class="brand"><img src="/static/icon.svg" alt="" width="40" height="40" /><span><b>${t('app.name')}</b><small>${t('app.about')}</small></span></p>
        ${this.facts?.config?.simulated ? html`<p class="simulated wide">${t('simulated.explain')}</p>` : nothing}
        ${this.entered === null ? this.#form() : html`<p class="note" role="status">${icon('key')} ${t('password.must')}</p>${passwordForm(this.entered, this.problem, (old, fresh) => this.#change(old, fresh))}`}
        ${insecure ? html`<p class="note">${icon('triangle-alert')} ${t('login.insecure')}</p>` : nothing}
        <p class="login-tools">
          <button class="tool" @click=${() => switchLanguage(language.value === 'zh' ? 'en' : 'zh')}>${icon('languages')} ${language.value === 'zh' ? 'English' : '中文'}</button>
          <button class="tool" @click=${toggleTheme}>${icon(themeIcon())} ${t('top.theme')}</button>
        </p>
      </section>
      <p class="faint version">${t('app.name')} ${this.facts?.config?.version ?? ''}</p>
    </main>`;
  }

  #form() {
    return html`<form @submit=${this.#send}>
      <label>${t('login.user')}<input name="login" autocomplete="username" autofocus required maxlength="128" /></label>
      <label>${t('login.password')}<input name="password" type="password" autocomplete="current-password" required maxlength="256" /></label>
      <p class="problem" role="alert">${this.problem}</p>
      <button class="primary big" type="submit" ?disabled=${this.busy}>${this.busy ? t('login.busy') : t('login.title')}</button>
    </form>`;
  }

  #go() {
    location.assign(safeNext(new URLSearchParams(location.search).get('next')));
  }

  /** @param {string} old @param {string} fresh */
  async #change(old, fresh) {
    this.problem = '';
    try {
      await api.changePassword(old, fresh);
      this.#go();
    } catch (error) {
      this.problem = whyNot(error);
    }
  }

  /** @param {SubmitEvent} event */
  async #send(event) {
    event.preventDefault();
    if (this.busy) return;
    const facts = new FormData(/** @type {HTMLFormElement} */ (event.target));
    this.busy = true;
    this.problem = '';
    try {
      const me = await api.login(String(facts.get('login')).trim(), String(facts.get('password')));
      if (me?.must_change) this.entered = String(facts.get('password'));
      else this.#go();
    } catch (error) {
      this.problem = error instanceof ApiError ? error.words : t('error.unknown');
      /** @type {HTMLInputElement | null} */ (this.querySelector('input[type=password]'))?.select();
    } finally {
      this.busy = false;
    }
  }
}
customElements.define('lamproom-login', Login);
