// The tree of sites below me: what stands open where, who is on duty, and which of them the wall shows.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { inOrder, isOpen, severityOf, SHAPE } from '../alerts.js';
import { t } from '../i18n.js';
import { Store } from '../state.js';
import { DUTY_STATES, dutyState } from './duty.js';

/** The site whose cameras the wall shows, with all below it. @type {Store<string>} */
export const shownSite = new Store('');

class Sites extends Part {
  watches() {
    return [app.sites, app.rooms, shownSite];
  }

  render() {
    const root = app.siteOf(app.me.site);
    return html`<nav class="panel sites" aria-label=${t('sites.title')}>
      <h2>${icon('layout-grid')} ${t('sites.title')}</h2>
      <div class="scroll">${root ? html`<ul class="tree">${this.#site(root)}</ul>` : html`<p class="empty">${t('loading')}</p>`}</div>
    </nav>`;
  }

  /** @param {Record<string, any>} site @returns {unknown} */
  #site(site) {
    const children = app.sites.value.filter((one) => one.parent === site.site);
    const below = new Set(app.below(site.site).map((one) => one.site));
    const alerts = inOrder([...(app.own?.alerts.values() ?? [])].filter((alert) => below.has(alert.site) && isOpen(alert)));
    const duty = [...(app.own?.duty.values() ?? [])].filter((one) => one.site === site.site).map(dutyState);
    const worst = DUTY_STATES.find((state) => duty.includes(state));
    const current = (shownSite.value || app.me.site) === site.site;
    return html`<li>
      <button class="site-row ${current ? 'current' : ''}" aria-current=${current} @click=${() => shownSite.set(site.site)}>
        <span class="chip level-${site.level}">${t(`level.${site.level}`)}</span>
        <span class="site-name">${app.siteName(site.site)}</span>
        ${worst ? html`<span class="dot ${worst}" title=${t(`duty.${worst}`)} role="img" aria-label=${t(`duty.${worst}`)}></span>` : nothing}
        ${alerts.length ? html`<span class="badge ${severityOf(alerts[0])}">${icon(SHAPE[severityOf(alerts[0])])}${alerts.length}</span>` : nothing}
      </button>
      ${children.length ? html`<ul>${children.map((child) => this.#site(child))}</ul>` : nothing}
    </li>`;
  }
}
customElements.define('lamproom-sites', Sites);
