// Base of pages about one mine: the mine is in the address (`?site=`), and a choice where I may see several.
import { app, bootWork } from '../app.js';
import { t } from '../i18n.js';
import { Part, html, nothing } from './part.js';
import { adminNav, may } from './adminnav.js';
import './topbar.js';
import './help.js';
import './toasts.js';

export class MinePage extends Part {
  /** Its name among the pages of administration, if it is one. */
  admin = '';
  static properties = { started: { state: true }, site: { state: true } };

  constructor() {
    super();
    this.started = false;
    this.site = '';
  }

  /** @returns {import('../state.js').Store<any>[]} */
  watches() {
    return [app.sites];
  }

  async connectedCallback() {
    super.connectedCallback();
    await bootWork();
    const wanted = new URLSearchParams(location.search).get('site');
    this.site = wanted ?? this.mines()[0]?.site ?? app.me.site;
    if (this.site !== app.me.site) app.room.join(`site:${this.site}`);
    this.started = true;
  }

  /** Mines that I may see. @returns {Record<string, any>[]} */
  mines() {
    return app.below(app.me.site).filter((one) => one.level === 'mine');
  }

  /** Another mine is another page: the address says which. @param {Event} event */
  #choose(event) {
    const address = new URL(location.href);
    address.searchParams.set('site', /** @type {HTMLSelectElement} */ (event.target).value);
    location.assign(address.href);
  }

  choice() {
    const mines = this.mines();
    if (mines.length < 2) return html`<b>${app.siteName(this.site)}</b>`;
    return html`<label class="site-choice">${t('mine.site')} <select @change=${this.#choose}>
      ${mines.map((one) => html`<option value=${one.site} ?selected=${one.site === this.site}>${app.siteName(one.site)}</option>`)}
    </select></label>`;
  }

  /** @returns {unknown} what the page is about */
  content() {
    return nothing;
  }

  render() {
    if (!this.started) return nothing;
    return html`<lamproom-topbar quiet></lamproom-topbar>${this.admin && may('configure') ? adminNav(this.admin) : nothing}${this.content()}<lamproom-help></lamproom-help><lamproom-toasts></lamproom-toasts>`;
  }
}
