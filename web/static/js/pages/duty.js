// The duty office of a site: call list and rota, spot checks and roll calls, shift handovers, the log. A supervisor chooses the site.
import { app, bootWork } from '../app.js';
import { t } from '../i18n.js';
import { Part, html, nothing } from '../elements/part.js';
import '../elements/topbar.js';
import '../elements/checks.js';
import '../elements/drills.js';
import '../elements/handover.js';
import '../elements/hazards.js';
import '../elements/rota.js';
import '../elements/help.js';
import '../elements/toasts.js';

const TABS = [['rota', 'duty_office.rota'], ['checks', 'duty_office.checks'], ['handover', 'duty_office.handover'], ['drills', 'duty_office.drills'], ['hazards', 'duty_office.hazards'], ['log', 'duty_office.log']];

class DutyOffice extends Part {
  static properties = { started: { state: true }, site: { state: true }, tab: { state: true } };

  constructor() {
    super();
    this.site = '';
    this.tab = location.hash.slice(1);
  }

  watches() {
    return [app.sites];
  }

  async connectedCallback() {
    super.connectedCallback();
    addEventListener('hashchange', () => (this.tab = location.hash.slice(1)));
    await bootWork();
    this.site = new URLSearchParams(location.search).get('site') ?? app.me.site;
    this.started = true;
  }

  render() {
    if (!this.started) return nothing;
    const tab = TABS.some(([name]) => name === this.tab) ? this.tab : TABS[0][0];
    const below = app.below(app.me.site);
    return html`
      <lamproom-topbar quiet></lamproom-topbar>
      <main class="duty-office">
        <nav class="tabs" aria-label=${t('page.duty')}>
          ${TABS.map(([name, label]) => html`<a href="#${name}" aria-current=${name === tab ? 'page' : 'false'}>${t(label)}</a>`)}
          <span class="grow"></span>
          ${below.length > 1
            ? html`<label class="site-choice">${t('duty_office.site')} <select @change=${(/** @type {Event} */ event) => (this.site = /** @type {HTMLSelectElement} */ (event.target).value)}>
                ${below.map((one) => html`<option value=${one.site} ?selected=${one.site === this.site}>${app.siteName(one.site)}</option>`)}</select></label>`
            : html`<b>${app.siteName(this.site)}</b>`}
        </nav>
        ${this.#part(tab)}
      </main>
      <lamproom-help></lamproom-help>
      <lamproom-toasts></lamproom-toasts>
    `;
  }

  /** @param {string} tab */
  #part(tab) {
    switch (tab) {
      case 'handover':
        return html`<lamproom-handover .site=${this.site}></lamproom-handover>`;
      case 'drills':
        return html`<lamproom-drills .site=${this.site}></lamproom-drills>`;
      case 'hazards':
        return html`<lamproom-hazards .site=${this.site}></lamproom-hazards>`;
      case 'log':
        return html`<lamproom-duty-log .site=${this.site}></lamproom-duty-log>`;
      case 'checks':
        return html`<lamproom-checks .site=${this.site}></lamproom-checks>`;
      default:
        return html`<lamproom-rota .site=${this.site}></lamproom-rota>`;
    }
  }
}
customElements.define('lamproom-duty-office', DutyOffice);
