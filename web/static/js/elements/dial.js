// Telephones and one consultation: the digits by which they come in, and ringing a desk phone or a number. Shows nothing where phones are off.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { t } from '../i18n.js';

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
      <input name="number" list="dial-sites" maxlength="40" required placeholder=${t('dial.whom')} aria-label=${t('dial.whom')} autocomplete="off" />
      <datalist id="dial-sites">${sites.map((one) => html`<option value=${app.siteName(one.site)}></option>`)}</datalist>
      <button class="small" type="submit">${icon('phone')} ${t('people.ring')}</button>
      ${this.asked ? html`<span class="faint" role="status">${t('dial.ringing', { whom: this.asked })}</span>` : nothing}
    </form>`;
  }

  /** A site by its name means its desk phones; digits are a number. @param {SubmitEvent} event */
  async #ring(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const whom = String(new FormData(form).get('number') ?? '').trim();
    const site = app.sites.value.find((one) => app.siteName(one.site) === whom || one.site === whom);
    try {
      await api.ringPhone(this.session, site ? `site:${site.site}` : `tel:${whom}`);
      this.asked = whom;
      form.reset();
    } catch (error) {
      app.report(error);
    }
  }
}
customElements.define('lamproom-dial', Dial);
