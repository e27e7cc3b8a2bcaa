// A guest of one consultation: came by a link, has no log-in, sees people and pictures and nothing of the mine.
import { app, bootWork } from '../app.js';
import { t } from '../i18n.js';
import { addSessionKeys } from '../keys.js';
import { keepAwake } from '../wakelock.js';
import { Part, html, icon, nothing } from '../elements/part.js';
import '../elements/topbar.js';
import '../elements/session.js';
import '../elements/toasts.js';
import '../elements/help.js';

class Guest extends Part {
  static properties = { started: { state: true } };

  watches() {
    return [app.session, app.rooms, app.lobby];
  }

  async connectedCallback() {
    super.connectedCallback();
    await bootWork();
    this.started = true;
    addSessionKeys();
    keepAwake();
  }

  render() {
    if (!this.started) return nothing;
    return html`
      <lamproom-topbar quiet></lamproom-topbar>
      <main class="supervisor in-session">${app.session.value && !app.lobby.value ? html`<lamproom-session></lamproom-session>` : this.#door()}</main>
      <lamproom-help></lamproom-help>
      <lamproom-toasts></lamproom-toasts>
    `;
  }

  #door() {
    const waits = app.session.value && app.lobby.value;
    return html`<section class="door panel" role="status">${icon(waits ? 'loader-circle' : 'log-out', 'huge')}
      <h1>${waits ? t('guest.waiting') : t('guest.over')}</h1>
      <p>${waits ? t('guest.knocked') : t('guest.thanks')}</p></section>`;
  }
}
customElements.define('lamproom-guest', Guest);
