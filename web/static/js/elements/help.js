// All shortcuts in one dialog, and what a supporter wants to know of this page's links.
import { Part, html, icon, nothing } from './part.js';
import { showPassword } from './password.js';
import { app } from '../app.js';
import { t } from '../i18n.js';
import { listShortcuts } from '../shortcuts.js';

class Help extends Part {
  open() {
    const dialog = this.querySelector('dialog');
    if (dialog?.open) dialog.close();
    else dialog?.showModal();
  }

  render() {
    return html`<dialog class="dialog help" aria-label=${t('help.title')}>
      <header><h2>${t('help.title')}</h2><button class="tool" @click=${this.#close} aria-label=${t('close')}>${icon('x')}</button></header>
      <dl class="keys">
        ${listShortcuts().map(
          (one) => html`<dt>${one.shown ? html`<kbd>${one.shown}</kbd>` : one.keys.length > 3 && !one.chord ? html`<kbd>${one.keys[0]}</kbd>–<kbd>${one.keys.at(-1)}</kbd>` : [...one.keys].map((key) => html`<kbd>${key}</kbd> `)}</dt>
            <dd>${t(one.label)}</dd>`,
        )}
        <dt><kbd>Esc</kbd></dt><dd>${t('help.escape')}</dd>
      </dl>
      <p class="faint">${t('help.typing')}</p>
      <footer>
        <button @click=${this.#copy}>${icon('clipboard-list')} ${t('help.copy')}</button>
        ${app.isGuest ? nothing : html`<button data-password @click=${this.#password}>${icon('key')} ${t('password.title')}</button>`}
        <a class="button" href="/check">${t('page.check')}</a>
      </footer>
    </dialog>`;
  }

  #password() {
    this.#close();
    showPassword();
  }

  #close() {
    this.querySelector('dialog')?.close();
  }

  async #copy() {
    const { link, roundTrip, clockOffset } = app.room;
    const facts = {
      at: new Date().toISOString(),
      agent: navigator.userAgent,
      link: link.value,
      round_trip_ms: Math.round(roundTrip * 1000),
      clock_offset_s: Number(clockOffset.toFixed(3)),
      publish: app.media.publishState.value,
      watch: app.media.watchState.value,
      wanted: app.media.wanted.length,
      refused: Object.fromEntries(app.media.refused),
      devices: app.deviceErrors.value,
    };
    try {
      await navigator.clipboard.writeText(JSON.stringify(facts, null, 1));
      app.toast(t('help.copied'));
    } catch {
      app.toast(t('help.not_copied'), 'bad');
    }
  }
}
customElements.define('lamproom-help', Help);

export function showHelp() {
  /** @type {any} */ (document.querySelector('lamproom-help'))?.open();
}
