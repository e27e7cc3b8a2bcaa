// A consultation: pictures of all levels, who was called and has (not) come, and beside them words, orders and facts.
import { Part, html, icon, nothing } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { app, LEVELS } from '../app.js';
import { api } from '../api.js';
import { clock, timer } from '../format.js';
import { t, has } from '../i18n.js';
import { Store } from '../state.js';
import { tilesOf } from '../tiles.js';
import './alert-list.js';
import './orders.js';
import './readings.js';
import './positions.js';
import './timeline.js';

/** Tile in the large place, by key; empty: all alike. @type {Store<string>} */
export const focusedTile = new Store('');


/** The tiles of the consultation as they are numbered. */
export function sessionTiles() {
  const view = app.sessionRoom;
  if (!view) return [];
  // The mine's own page shows its fixed camera beside the consultation.
  const fixed = app.me.level === 'mine' ? [] : app.sessionCamera().filter((track) => !view.tracks.some((one) => one.track === track.track));
  return tilesOf([...view.tracks, ...fixed], view.members, app.room.client, true, (site) => app.siteOf(site)?.level ?? '');
}

/** @param {number} number from 1 */
export function focusTile(number) {
  const key = sessionTiles()[number - 1]?.key ?? '';
  focusedTile.set(focusedTile.value === key ? '' : key);
}

class Session extends Part {
  static properties = { tab: { state: true }, sure: { state: true } };

  constructor() {
    super();
    this.tab = 'orders';
    this.sure = false;
  }

  watches() {
    return [app.rooms, app.session, app.tick, app.media.own, app.sites, app.deviceErrors, focusedTile];
  }

  render() {
    const view = app.sessionRoom;
    const session = view?.sessions.get(app.session.value ?? '') ?? app.own?.sessions.get(app.session.value ?? '');
    const tiles = sessionTiles();
    const focused = tiles.some((tile) => tile.key === focusedTile.value) ? focusedTile.value : '';
    const count = tiles.length + (app.isStanding ? 0 : 1);
    // A mine has its alerts beside the consultation already.
    const tabs = app.me.level === 'mine' ? ['orders', 'chat', 'facts', 'timeline'] : ['orders', 'chat', 'facts', 'alerts', 'timeline'];
    return html`<section class="session" aria-label=${t('session.title')}>
      <header class="session-head">
        <span class="badge live">${icon('video')} ${t('session.title')}</span>
        ${view && view.recording !== 'off' ? html`<span class="badge ${view.recording === 'on' ? 'recording' : 'warning'}" role="status">${view.recording === 'on' ? html`<i class="dot"></i>` : icon('video-off')} ${t(`session.recording.${view.recording}`)}</span>` : nothing}
        <b class="session-name">${app.sessionName(session)}</b>
        ${session ? html`<span class="mono faint">${timer(app.now() - session.started_at)}</span>` : nothing}
        ${session?.simulated ? html`<span class="simulated">${t('simulated')}</span>` : nothing}
        <span class="grow"></span>
        ${this.#invitations(session)}
      </header>
      <div class="stage ${focused ? 'has-focus' : ''} n${Math.min(9, Math.max(1, count))}">
        ${repeat(tiles, (tile) => tile.key, (tile, index) => html`<lamproom-tile .tile=${tile} .number=${index + 1} .focused=${tile.key === focused} class=${tile.key === focused ? 'focused' : ''}
              @click=${() => focusTile(index + 1)}></lamproom-tile>`)}
        ${app.isStanding ? nothing : html`<lamproom-tile own></lamproom-tile>`}
        ${tiles.length ? nothing : html`<div class="waiting">${icon('phone', 'large')}<p>${view?.ready ? t('session.alone') : t('session.entering')}</p></div>`}
      </div>
      <aside class="session-side">
        <nav class="tabs" role="tablist">${tabs.map((tab) => html`<button role="tab" aria-selected=${this.tab === tab} @click=${() => (this.tab = tab)}>${t(`tab.${tab}`)}</button>`)}</nav>
        <div class="tab-body">
          ${this.tab === 'orders' || this.tab === 'chat' ? html`<lamproom-orders .mode=${this.tab}></lamproom-orders>` : nothing}
          ${this.tab === 'facts' ? html`<lamproom-readings .site=${session?.site ?? ''}></lamproom-readings><lamproom-positions .site=${session?.site ?? ''}></lamproom-positions>` : nothing}
          ${this.tab === 'alerts' ? html`<lamproom-alerts></lamproom-alerts>` : nothing}
          ${this.tab === 'timeline' ? html`<lamproom-timeline .room=${`session:${app.session.value}`}></lamproom-timeline>` : nothing}
        </div>
      </aside>
      ${this.#bar()}
    </section>`;
  }

  /** @param {any} session */
  #invitations(session) {
    const called = Object.values(session?.invitations ?? {}).sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level));
    const icons = /** @type {Record<string, string>} */ ({ ringing: 'phone', answered: 'check', declined: 'x', unreachable: 'phone-off', cancelled: 'x' });
    return html`<ul class="invitations">${called.map(
      (one) => html`<li class="invitation ${one.state}" title=${one.answered_by ? `${one.answered_by} · ${clock(one.changed_at)}` : ''}>
        ${icon(icons[one.state] ?? 'phone')} <span>${app.siteName(one.site, one.level)}</span> <em>${has(`ring.${one.state}`) ? t(`ring.${one.state}`) : ''}${one.answer_s ? ` ${Math.round(one.answer_s)} s` : ''}</em>
        ${app.mayCall && ['declined', 'unreachable'].includes(one.state) ? html`<button class="small" @click=${() => this.#again(one.site)}>${t('ring.again')}</button>` : nothing}
      </li>`,
    )}</ul>`;
  }

  /** @param {string} site */
  async #again(site) {
    try {
      await api.invite(String(app.session.value), { site });
    } catch (error) {
      app.report(error);
    }
  }

  #bar() {
    const microphone = app.media.published.get('microphone');
    const camera = app.media.published.get('camera');
    const errors = app.deviceErrors.value;
    const micOff = !microphone || microphone.muted;
    const camOff = !camera || camera.muted;
    const sharing = app.media.published.has('screen');
    return html`<footer class="callbar">
      <button class="round ${micOff ? 'off' : ''}" aria-pressed=${!micOff} title=${errors.microphone ? t(`device.microphone.${errors.microphone}`) : ''} @click=${() => app.toggleMute('microphone')}>${icon(micOff ? 'mic-off' : 'mic')}<span>${micOff ? t('bar.unmute') : t('bar.mute')} <kbd>m</kbd></span></button>
      <button class="round ${camOff ? 'off' : ''}" aria-pressed=${!camOff} title=${errors.camera ? t(`device.camera.${errors.camera}`) : ''} @click=${() => app.toggleMute('camera')}>${icon(camOff ? 'video-off' : 'video')}<span>${camOff ? t('bar.camera_on') : t('bar.camera_off')} <kbd>v</kbd></span></button>
      <button class="round wide-only ${sharing ? 'on' : ''}" aria-pressed=${sharing} @click=${() => app.toggleScreen()}>${icon(sharing ? 'screen-share-off' : 'screen-share')}<span>${sharing ? t('bar.unshare') : t('bar.share')}</span></button>
      ${errors.microphone ? html`<p class="bar-note">${icon('mic-off')} ${t(`device.microphone.${errors.microphone}`)}</p>` : nothing}
      <span class="grow"></span>
      ${this.sure
        ? html`<button class="danger" @click=${this.#end}>${t('bar.end_sure')}</button><button @click=${() => (this.sure = false)}>${t('cancel')}</button>`
        : html`<button @click=${() => app.leaveSession()}>${icon('log-out')} ${t('bar.leave')}</button>
            ${app.mayCall ? html`<button class="danger" @click=${() => (this.sure = true)}>${icon('phone-off')} ${t('bar.end')}</button>` : nothing}`}
    </footer>`;
  }

  async #end() {
    this.sure = false;
    const session = String(app.session.value);
    try {
      await api.end(session);
      app.leaveSession();
    } catch (error) {
      app.report(error);
    }
  }
}
customElements.define('lamproom-session', Session);
