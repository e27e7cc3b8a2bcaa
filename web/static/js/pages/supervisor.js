// An authority: the wall of the mines below, their alerts and duty posts, calls that ring, consultations that go on.
import { app, bootWork } from '../app.js';
import { t } from '../i18n.js';
import { addKeys } from '../keys.js';
import { addShortcut } from '../shortcuts.js';
import { keepAwake } from '../wakelock.js';
import { Part, html, icon, nothing } from '../elements/part.js';
import '../elements/topbar.js';
import '../elements/beacon.js';
import '../elements/challenge.js';
import '../elements/checks.js';
import '../elements/muster-strip.js';
import '../elements/tile.js';
import '../elements/duty.js';
import '../elements/incidents.js';
import '../elements/sites.js';
import '../elements/session.js';
import '../elements/timeline.js';
import '../elements/toasts.js';
import '../elements/kiosk.js';
import { focusedCamera, toggleKiosk } from '../elements/wall.js';
import { kiosk, readAddress } from '../wallstore.js';

class Supervisor extends Part {
  static properties = { started: { state: true } };

  watches() {
    return [app.session, app.rooms, kiosk];
  }

  async connectedCallback() {
    super.connectedCallback();
    readAddress();
    await bootWork();
    this.started = true;
    addKeys((number) => (number ? /** @type {any} */ (this.querySelector('lamproom-wall'))?.focusNumber(number) : focusedCamera.set('')));
    addShortcut({ keys: 'dk', chord: true, label: 'key.kiosk', run: toggleKiosk });
    addEventListener('keydown', (event) => event.key === 'Escape' && kiosk.value && !focusedCamera.value && !document.querySelector('dialog[open]') && toggleKiosk());
    keepAwake();
  }

  render() {
    if (!this.started) return nothing;
    const inSession = Boolean(app.session.value);
    const bare = kiosk.value && !inSession;
    return html`
      ${bare ? html`<lamproom-kiosk></lamproom-kiosk>` : html`<lamproom-topbar></lamproom-topbar>`}
      <lamproom-beacon></lamproom-beacon>
      <lamproom-muster-strip></lamproom-muster-strip>
      <main class="supervisor ${inSession ? 'in-session' : ''} ${bare ? 'kiosk' : ''}">
        ${inSession
          ? html`<lamproom-session></lamproom-session>`
          : html`${bare ? nothing : html`<div class="column tree"><lamproom-sites></lamproom-sites>${this.#open()}<lamproom-duty></lamproom-duty></div>`}
              <div class="column middle"><lamproom-wall></lamproom-wall></div>`}
        ${inSession || bare ? nothing : html`<div class="column news"><lamproom-incidents></lamproom-incidents><lamproom-alerts></lamproom-alerts><lamproom-timeline></lamproom-timeline></div>`}
      </main>
      <lamproom-call></lamproom-call>
      <lamproom-incoming></lamproom-incoming>
      <lamproom-challenge></lamproom-challenge>
      <lamproom-check-call></lamproom-check-call>
      <lamproom-help></lamproom-help>
      <lamproom-toasts></lamproom-toasts>
    `;
  }

  #open() {
    return app.openSessions().map(
      (one) => html`<button class="rejoin" @click=${() => app.answer(String(one.session))}>${icon('video')} ${t('session.join_in')} <b>${app.sessionName(one)}</b></button>`,
    );
  }
}
customElements.define('lamproom-supervisor', Supervisor);
