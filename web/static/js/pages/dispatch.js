// The dispatch room of a mine: its own camera is always on, alerts come first, one press calls all levels.
import { app, bootWork } from '../app.js';
import { t } from '../i18n.js';
import { addKeys } from '../keys.js';
import { tilesOf } from '../tiles.js';
import { keepAwake } from '../wakelock.js';
import { Part, html, icon, nothing } from '../elements/part.js';
import { openCall } from '../elements/call-dialog.js';
import '../elements/topbar.js';
import '../elements/beacon.js';
import '../elements/challenge.js';
import '../elements/checks.js';
import '../elements/muster-strip.js';
import '../elements/tile.js';
import '../elements/duty.js';
import '../elements/incidents.js';
import '../elements/positions.js';
import '../elements/readings.js';
import '../elements/timeline.js';
import '../elements/toasts.js';

const TAKE_OVER_MS = 15_000;

class Dispatch extends Part {
  static properties = { started: { state: true } };

  watches() {
    return [app.session, app.rooms, app.media.own];
  }

  async connectedCallback() {
    super.connectedCallback();
    await bootWork();
    this.started = true;
    addKeys(() => {});
    keepAwake();
  }

  updated() {
    if (this.started && app.own?.ready) this.#decideCamera();
  }

  /** This computer's camera shows the room, unless a fixed camera does: two pictures under one name would confuse the
   * duty rule. When the fixed one has been gone for a while, ours takes its place. */
  #decideCamera() {
    const fixed = app.fixedCamera(app.me.site).filter((track) => track.kind === 'video');
    app.showOnWall(fixed.slice(0, 1).map((track) => track.track));
    if (fixed.length) {
      clearTimeout(this.taking);
      this.taking = undefined;
      this.hadFixed = true;
      if (app.isStanding) app.endStanding();
    } else if (!app.isStanding && this.taking === undefined && app.me.level === 'mine' && ['dispatcher', 'admin'].includes(app.me.role)) {
      this.taking = setTimeout(() => {
        this.taking = undefined;
        app.standing('dispatch-room', [app.ownRoom]);
        this.requestUpdate();
      }, this.hadFixed ? TAKE_OVER_MS : 0);
    }
  }

  #camera() {
    const fixed = app.fixedCamera(app.me.site);
    const tile = fixed.length ? tilesOf(fixed, [], app.room.client, false, () => 'mine')[0] : undefined;
    return tile ? html`<lamproom-tile .tile=${tile}></lamproom-tile>` : html`<lamproom-tile own></lamproom-tile>`;
  }

  render() {
    if (!this.started) return nothing;
    const inSession = Boolean(app.session.value);
    return html`
      <lamproom-topbar></lamproom-topbar>
      <lamproom-beacon></lamproom-beacon>
      <lamproom-muster-strip></lamproom-muster-strip>
      <main class="dispatch ${inSession ? 'in-session' : ''}">
        <div class="column own">
          ${this.#camera()}
          ${this.#watchers()}
          ${inSession ? nothing : this.#call()}
          <lamproom-duty></lamproom-duty>
          ${inSession ? html`<lamproom-incidents></lamproom-incidents><lamproom-alerts></lamproom-alerts>` : nothing}
        </div>
        ${inSession
          ? html`<lamproom-session></lamproom-session>`
          : html`<div class="column middle"><lamproom-incidents></lamproom-incidents><lamproom-alerts></lamproom-alerts><lamproom-timeline></lamproom-timeline></div>
              <div class="column data"><lamproom-readings></lamproom-readings><lamproom-positions></lamproom-positions></div>`}
      </main>
      <lamproom-call></lamproom-call>
      <lamproom-incoming></lamproom-incoming>
      <lamproom-challenge></lamproom-challenge>
      <lamproom-check-call></lamproom-check-call>
      <lamproom-help></lamproom-help>
      <lamproom-toasts></lamproom-toasts>
    `;
  }

  /** Who looks at this room now. */
  #watchers() {
    const others = (app.own?.members ?? []).filter((member) => member.client !== app.room.client && member.watching && member.person.site !== app.me.site);
    const names = [...new Set(others.map((member) => `${app.siteName(member.person.site, member.person.level)} ${member.person.name}`))];
    return html`<p class="watchers">${icon('eye')} ${names.length ? t('watchers.some', { names: names.slice(0, 4).join(t('comma')), n: names.length }) : t('watchers.none')}</p>`;
  }

  #call() {
    const open = app.openSessions();
    return html`
      ${open.map((one) => html`<button class="rejoin" @click=${() => app.answer(String(one.session))}>${icon('video')} ${t('session.back_in')} <b>${app.sessionName(one)}</b></button>`)}
      ${app.mayCall ? html`<button class="one-click" @click=${() => openCall()}>${icon('phone', 'large')}<span><b>${t('call.one_click')}</b><small>${t('call.explain')}</small></span><kbd>c</kbd></button>` : nothing}
    `;
  }
}
customElements.define('lamproom-dispatch', Dispatch);
