// Says by what this page takes part where it is less than pictures, and offers what else there is: never silently.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { t } from '../i18n.js';

/** What others see beside a name. @param {string | undefined} reach */
export const reachChip = (reach) => (reach && reach !== 'video' ? html`<span class="badge warning" data-reach=${reach}>${t(`ladder.chip.${reach}`)}</span>` : nothing);

class Ladder extends Part {
  static properties = { rung: { state: true } };

  constructor() {
    super();
    /** Whom was rung. */
    this.rang = '';
  }

  watches() {
    return [app.ladder, app.session];
  }

  render() {
    const { rung, reason, held } = app.ladder.value;
    if (!app.session.value || (rung === 'video' && !held)) return nothing;
    const why = reason ? t(`ladder.why.${reason}`) : '';
    return html`<div class="ladder ${rung}" role="status" data-rung=${rung}>
      ${icon(rung === 'video' ? 'video' : rung === 'audio' ? 'volume-2' : rung === 'phone' ? 'phone' : 'message-square')}
      <span><b>${t(`ladder.${rung}`)}</b> ${why}</span>
      ${rung === 'audio' ? html`<button class="small" data-pictures @click=${() => app.holdPictures(true)}>${t('ladder.pictures')}</button>` : nothing}
      ${rung === 'video' ? html`<button class="small" @click=${() => app.holdPictures(false)}>${t('ladder.by_line')}</button>` : nothing}
      ${rung === 'phone' ? this.#phone() : nothing}
      ${rung === 'phone' || rung === 'text' ? html`<button class="small" data-write @click=${() => this.dispatchEvent(new CustomEvent('write', { bubbles: true }))}>${icon('message-square')} ${t('ladder.write')}</button>` : nothing}
    </div>`;
  }

  #phone() {
    return html`<form class="inline" @submit=${(/** @type {SubmitEvent} */ event) => this.#ring(event)}>
      <input name="number" type="tel" maxlength="32" pattern="[0-9+ \\-]{3,32}" placeholder=${t('ladder.number')} aria-label=${t('ladder.number')} autocomplete="tel" />
      <button class="small primary" type="submit">${icon('phone')} ${t('ladder.call_me')}</button></form>
      ${app.phonePin.value ? html`<span class="faint">${t('dial.pin')} <b class="mono">${app.phonePin.value}</b></span>` : nothing}
      ${this.rang ? html`<span role="status">${t('dial.ringing', { whom: this.rang })}</span>` : nothing}`;
  }

  /** The number that is given; without one the desk telephones of the own site. @param {SubmitEvent} event */
  async #ring(event) {
    event.preventDefault();
    const number = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('number') ?? '').replace(/[ -]/g, '');
    try {
      await api.ringPhones(String(app.session.value), { targets: [number ? `tel:${number}` : `site:${app.me.site}`], mode: 'sequential', timeout_s: null });
      this.rang = number || app.siteName(app.me.site);
      this.requestUpdate();
    } catch (error) {
      app.report(error);
    }
  }
}
customElements.define('lamproom-ladder', Ladder);
