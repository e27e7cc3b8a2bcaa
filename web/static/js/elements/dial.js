// Telephones and one consultation: the digits by which they come in, and ringing a desk phone or a number. Shows nothing where phones are off.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { t } from '../i18n.js';

/** A site by its name means its desk phones; digits are a number. @param {string} whom */
export function target(whom) {
  const site = app.sites.value.find((one) => app.siteName(one.site) === whom || one.site === whom);
  return site ? `site:${site.site}` : `tel:${whom}`;
}

class Dial extends Part {
  static properties = { session: { type: String }, facts: { state: true }, asked: { state: true } };

  constructor() {
    super();
    this.session = '';
    /** @type {{available: boolean, pin: string} | null} */
    this.facts = null;
    /** Whom was just rung. */
    this.asked = '';
  }

  /** @param {Map<string, unknown>} changed */
  async updated(changed) {
    if (!changed.has('session') || !this.session) return;
    const session = this.session;
    try {
      const facts = await api.sessionPhone(session);
      if (session === this.session) this.facts = facts;
    } catch {
      this.facts = null; // not for this visitor: there is nothing to show
    }
  }

  render() {
    if (!this.facts?.available) return nothing;
    const sites = app.sites.value.filter((one) => !one.above);
    return html`<form class="invite dial" @submit=${this.#ring}>
      <span class="faint">${t('dial.pin')} <b class="mono">${this.facts.pin}</b></span>
      <input name="number" list="dial-sites" maxlength="200" required placeholder=${t('dial.whom')} aria-label=${t('dial.whom')} autocomplete="off" />
      <datalist id="dial-sites">${sites.map((one) => html`<option value=${app.siteName(one.site)}></option>`)}</datalist>
      <select name="mode" aria-label=${t('dial.mode')}><option value="sequential">${t('dial.mode.sequential')}</option><option value="parallel">${t('dial.mode.parallel')}</option></select>
      <label class="faint">${t('dial.timeout')} <input name="timeout" type="number" min="5" max="170" step="5" placeholder="30" /></label>
      <button class="small" type="submit">${icon('phone')} ${t('people.ring')}</button>
      ${this.asked ? html`<span class="faint" role="status">${t('dial.ringing', { whom: this.asked })}</span>` : nothing}
    </form>`;
  }

  /** Several go in a row until one has it, or ring together. @param {SubmitEvent} event */
  async #ring(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const facts = new FormData(form);
    const whom = String(facts.get('number') ?? '').split(/[,，、;；]/).map((one) => one.trim()).filter(Boolean);
    try {
      await api.ringPhones(this.session, { targets: whom.map(target), mode: String(facts.get('mode')), timeout_s: Number(facts.get('timeout')) || null });
      this.asked = whom.join(t('comma'));
      form.reset();
    } catch (error) {
      app.report(error);
    }
  }
}
customElements.define('lamproom-dial', Dial);
