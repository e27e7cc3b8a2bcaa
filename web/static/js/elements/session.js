// A consultation: pictures of all levels in the layout one likes, who was called and has (not) come, who has the floor,
// and beside them people, orders, words and facts.
import { Part, html, icon, nothing } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { app, LEVELS } from '../app.js';
import { api } from '../api.js';
import { heard, mayEnd, rank } from '../floor.js';
import { clock, timer } from '../format.js';
import { t, has } from '../i18n.js';
import { memory, Store } from '../state.js';
import { templates } from '../templates.js';
import { tilesOf } from '../tiles.js';
import './alert-list.js';
import { drillChip } from './drill-strip.js';
import './ladder.js';
import './orders.js';
import './people.js';
import './readings.js';
import './positions.js';
import './tile.js';
import './timeline.js';

export const LAYOUTS = ['grid', 'speaker', 'beside'];

/** Tile in the large place, by key; empty: as the layout says. @type {Store<string>} */
export const focusedTile = new Store('');
/** How the pictures are laid out on this computer. @type {Store<string>} */
export const layout = new Store(LAYOUTS.includes(memory.get('layout')) ? memory.get('layout') : 'grid');
/** The tab beside the pictures. @type {Store<string>} */
export const sideTab = new Store('orders');

/** The tiles of the consultation as they are numbered. */
export function sessionTiles() {
  const view = app.sessionRoom;
  if (!view) return [];
  // The mine's own page shows its fixed camera beside the consultation.
  const fixed = app.me.level === 'mine' || app.isGuest ? [] : app.sessionCamera().filter((track) => !view.tracks.some((one) => one.track === track.track));
  const tiles = tilesOf([...view.tracks, ...fixed], view.members, app.room.client, true, (site) => app.siteOf(site)?.level ?? '');
  for (const tile of tiles) tile.speaking ||= app.media.speaks(tile.audio);
  return tiles;
}

/** @param {number} number from 1 */
export function focusTile(number) {
  const key = sessionTiles()[number - 1]?.key ?? '';
  focusedTile.set(focusedTile.value === key ? '' : key);
}

/** @param {string} [wanted] the next one without it */
export function chooseLayout(wanted) {
  const next = wanted ?? LAYOUTS[(LAYOUTS.indexOf(layout.value) + 1) % LAYOUTS.length];
  layout.set(next);
  memory.set('layout', next);
}

/** @param {import('../tiles.js').Tile[]} tiles @param {string} spotlight */
const lit = (tiles, spotlight) => tiles.find((tile) => spotlight && (tile.video?.track === spotlight || tile.client === spotlight));

class Session extends Part {
  static properties = { sure: { state: true } };
  #lastSpeaker = '';

  constructor() {
    super();
    this.sure = false;
  }

  watches() {
    return [app.rooms, app.session, app.tick, app.media.own, app.media.speaker, app.sites, app.deviceErrors, app.talking, focusedTile, layout, sideTab, templates];
  }

  /** The tile in the large place: one's own choice, the chair's for all, a shared screen, or who speaks.
   * @param {import('../tiles.js').Tile[]} tiles @param {Record<string, any>} floor */
  #large(tiles, floor) {
    const chosen = tiles.find((tile) => tile.key === focusedTile.value) ?? lit(tiles, floor.spotlight);
    if (chosen) return chosen.key;
    if (layout.value === 'grid') return '';
    const holder = tiles.find((tile) => !tile.screen && tile.user === floor.holder?.user);
    const speaks = holder ?? tiles.find((tile) => tile.speaking && !tile.screen);
    if (speaks) this.#lastSpeaker = speaks.key;
    const screen = tiles.find((tile) => tile.screen);
    const before = tiles.find((tile) => tile.key === this.#lastSpeaker);
    const chair = tiles.find((tile) => !tile.screen && tile.user === floor.chair?.user);
    return (screen ?? speaks ?? before ?? chair ?? tiles[0])?.key ?? '';
  }

  render() {
    const view = app.sessionRoom;
    const session = app.currentSession;
    const floor = app.floor;
    const tiles = sessionTiles();
    const large = this.#large(tiles, floor);
    const shown = tiles.length + (app.isStanding ? 0 : 1);
    const beside = layout.value === 'beside' && !app.isGuest;
    return html`<section class="session" aria-label=${t('session.title')}>
      ${this.#head(view, session)}
      <div class="stage-area ${beside ? 'beside' : ''}">
        <lamproom-ladder @write=${() => sideTab.set('chat')}></lamproom-ladder>
        ${this.#banner(floor)}
        <div class="stage ${large ? 'has-focus' : ''} n${Math.min(9, Math.max(1, shown))}">
          ${repeat(tiles, (tile) => tile.key, (tile, index) => html`<lamproom-tile .tile=${tile} .number=${index + 1} .focused=${tile.key === large} class=${tile.key === large ? 'focused' : ''}
                @click=${() => focusTile(index + 1)}></lamproom-tile>`)}
          ${app.isStanding || (app.isGuest && !app.facts.config?.speaks) ? nothing : html`<lamproom-tile own></lamproom-tile>`}
          ${tiles.length ? nothing : html`<div class="waiting">${icon('phone', 'large')}<p>${view?.ready ? t('session.alone') : t('session.entering')}</p></div>`}
        </div>
        ${beside ? html`<div class="stage-facts"><lamproom-readings .site=${session?.site ?? ''}></lamproom-readings><lamproom-positions .site=${session?.site ?? ''}></lamproom-positions></div>` : nothing}
      </div>
      ${this.#side(session, floor)}
      ${this.#bar(floor)}
    </section>`;
  }

  // --- head ---

  /** @param {any} view @param {any} session */
  #head(view, session) {
    return html`<header class="session-head">
      <span class="badge live">${icon('video')} ${t('session.title')}</span>
      ${view && view.recording !== 'off' ? html`<span class="badge ${view.recording === 'on' ? 'recording' : 'warning'}" role="status">${view.recording === 'on' ? html`<i class="dot"></i>` : icon('video-off')} ${t(`session.recording.${view.recording}`)}</span>` : nothing}
      <b class="session-name">${app.sessionName(session)}</b>
      ${session ? html`<span class="mono faint">${timer(app.now() - session.started_at)}</span>` : nothing}
      ${drillChip(session)}
      ${session?.simulated ? html`<span class="simulated">${t('simulated')}</span>` : nothing}
      ${this.#watching(view)}
      ${this.#clocks(session)}
      ${this.#others()}
      <span class="grow"></span>
      ${this.#invitations(session)}
    </header>`;
  }

  /** Who receives pictures or sound now: nobody watches unseen. @param {any} view */
  #watching(view) {
    const people = (view?.members ?? []).filter((/** @type {any} */ member) => member.watching).map((/** @type {any} */ member) => member.person);
    const names = [...new Map(people.map((/** @type {any} */ one) => [one.user, `${one.role === 'guest' ? t('role.guest') : app.siteName(one.site, one.level)} ${one.name}`])).values()];
    const words = t('session.watching', { n: names.length, names: names.join(t('comma')) });
    return html`<button class="small watching" title=${words} aria-label=${words} @click=${() => sideTab.set('people')}>${icon('eye')} ${names.length}</button>`;
  }

  /** Legal clocks: so much time is left to report upwards. @param {any} session */
  #clocks(session) {
    const template = templates.value.items.find((one) => one.key === session?.template);
    if (!session || !template?.clocks) return nothing;
    const alert = session.alert ? app.sessionRoom?.alerts.get(String(session.alert)) : undefined;
    const since = Math.min(session.started_at, alert?.opened_at ?? session.started_at);
    return html`<ul class="clocks" aria-label=${t('clock.title')}>${templates.value.clocks_s.map((limit) => {
      const left = since + limit - app.now();
      const tone = left <= 0 ? 'over' : left < 600 ? 'soon' : '';
      const words = t('clock.explain', { h: limit / 3600, at: clock(since) });
      return html`<li class="clock ${tone}" title=${words} aria-label=${words}>${icon(left <= 0 ? 'triangle-alert' : 'clock')} <b>${t('clock.within', { h: limit / 3600 })}</b> <span class="mono">${left <= 0 ? `+${timer(-left)}` : timer(left)}</span></li>`;
    })}</ul>`;
  }

  /** Other consultations that go on: one press changes over. */
  #others() {
    const others = app.openSessions().filter((one) => String(one.session) !== app.session.value);
    return others.map((one) => html`<button class="small other" title=${t('session.change_over')} @click=${() => app.enterSession(String(one.session))}>${icon('video')} ${app.sessionName(one)}</button>`);
  }

  /** @param {any} session */
  #invitations(session) {
    const called = Object.values(session?.invitations ?? {}).sort((a, b) => LEVELS.indexOf(a.level) - LEVELS.indexOf(b.level));
    const icons = /** @type {Record<string, string>} */ ({ ringing: 'phone', answered: 'check', declined: 'x', unreachable: 'phone-off', cancelled: 'x' });
    return html`<ul class="invitations">${called.map(
      (one) => html`<li class="invitation ${one.state}" title=${one.answered_by ? `${one.answered_by} · ${clock(one.changed_at)}` : ''}>
        ${icon(icons[one.state] ?? 'phone')} <span>${app.siteName(one.site, one.level)}</span> <em>${has(`ring.${one.state}`) ? t(`ring.${one.state}`) : ''}${one.answer_s ? ` ${Math.round(one.answer_s)} s` : ''}</em>
        ${app.mayCall && ['declined', 'unreachable'].includes(one.state) ? html`<button class="small" @click=${() => this.#again(one)}>${t('ring.again')}</button>` : nothing}
      </li>`,
    )}</ul>`;
  }

  /** @param {any} one */
  async #again(one) {
    try {
      await api.invite(String(app.session.value), { site: one.site, ...(one.role ? { role: one.role } : {}) });
    } catch (error) {
      app.report(error);
    }
  }

  // --- floor ---

  /** What everybody must know of the floor. @param {Record<string, any>} floor */
  #banner(floor) {
    const holder = floor.holder;
    const name = holder ? `${app.siteName(holder.site, holder.level)} ${holder.name}` : '';
    const mine = holder?.user === app.me.user;
    if (floor.priority && holder) {
      return html`<p class="floor-banner priority" role="alert">${icon('octagon-alert')} <b>${mine ? t('floor.priority_mine') : t('floor.priority', { name })}</b>
        ${mine || (app.governs && rank(app.me.level) >= rank(holder.level)) ? html`<button class="small" @click=${() => app.act('release')}>${t('floor.release')}</button>` : nothing}</p>`;
    }
    if (app.me.user in floor.muted) return html`<p class="floor-banner muted" role="status">${icon('mic-off')} ${t('floor.you_are_muted', { name: floor.muted[app.me.user] || t('floor.chair') })}</p>`;
    if (floor.mode === 'open' && !holder) return nothing;
    const words = holder ? (mine ? t('floor.has_mine') : t('floor.has', { name })) : t(`floor.free.${floor.mode}`);
    return html`<p class="floor-banner ${mine ? 'mine' : ''}" role="status">${icon(holder ? 'mic' : 'mic-off')} <span class="chip">${t(`floor.mode.${floor.mode}`)}</span> ${words}
      ${holder && floor.mode !== 'talk' && (mine || app.governs) ? html`<button class="small" @click=${() => app.act('release')}>${t('floor.release')}</button>` : nothing}</p>`;
  }

  // --- side ---

  /** @param {any} session @param {Record<string, any>} floor */
  #side(session, floor) {
    // A mine has its alerts beside the consultation already; a guest sees nothing of the mine.
    const tabs = app.isGuest ? ['people', 'chat'] : app.me.level === 'mine' ? ['orders', 'people', 'chat', 'facts', 'timeline'] : ['orders', 'people', 'chat', 'facts', 'alerts', 'timeline'];
    const open = tabs.includes(sideTab.value) ? sideTab.value : tabs[0];
    const calls = Object.keys(floor.hands).length + (app.governs ? Object.keys(floor.lobby).length : 0);
    return html`<aside class="session-side">
      <nav class="tabs" role="tablist">${tabs.map((tab) => html`<button role="tab" aria-selected=${open === tab} @click=${() => sideTab.set(tab)}>${t(`tab.${tab}`)}${tab === 'people' && calls ? html` <span class="count hot">${calls}</span>` : nothing}</button>`)}</nav>
      <div class="tab-body">
        ${open === 'people' ? html`<lamproom-people></lamproom-people>` : nothing}
        ${open === 'orders' || open === 'chat' ? html`<lamproom-orders .mode=${open}></lamproom-orders>` : nothing}
        ${open === 'facts' ? html`<lamproom-readings .site=${session?.site ?? ''}></lamproom-readings><lamproom-positions .site=${session?.site ?? ''}></lamproom-positions>` : nothing}
        ${open === 'alerts' ? html`<lamproom-alerts></lamproom-alerts>` : nothing}
        ${open === 'timeline' ? html`<lamproom-timeline .room=${`session:${app.session.value}`}></lamproom-timeline>` : nothing}
      </div>
    </aside>`;
  }

  // --- bar ---

  /** @param {Record<string, any>} floor */
  #bar(floor) {
    if (this.sure) return this.#endForm();
    const listens = app.isGuest && !app.facts.config?.speaks;
    const raised = app.me.user in floor.hands;
    const next = LAYOUTS[(LAYOUTS.indexOf(layout.value) + 1) % LAYOUTS.length];
    const pictures = /** @type {Record<string, string>} */ ({ grid: 'layout-grid', speaker: 'speaker', beside: 'beside' });
    return html`<footer class="callbar">
      ${listens ? nothing : this.#devices(floor)}
      <button class="round hand ${raised ? 'on' : ''}" aria-pressed=${raised} @click=${() => app.toggleHand()}>${icon('hand')}<span>${raised ? t('bar.hand_down') : t('bar.hand')} <kbd>h</kbd></span></button>
      <button class="round wide-only" title=${t(`layout.${next}`)} @click=${() => chooseLayout()}>${icon(pictures[layout.value])}<span>${t(`layout.${layout.value}`)} <kbd>l</kbd></span></button>
      ${app.deviceErrors.value.microphone ? html`<p class="bar-note">${icon('mic-off')} ${t(`device.microphone.${app.deviceErrors.value.microphone}`)}</p>` : nothing}
      <span class="grow"></span>
      <button class="leave" @click=${() => app.leaveSession()}>${icon('log-out')} ${t('bar.leave')}</button>
      ${app.mayCall && mayEnd(floor, app.me, new Set((app.sessionRoom?.members ?? []).map((member) => member.person.user))) ? html`<button class="danger" @click=${() => (this.sure = true)}>${icon('phone-off')} ${t('bar.end')}</button>` : nothing}
    </footer>`;
  }

  /** @param {Record<string, any>} floor */
  #devices(floor) {
    const microphone = app.media.published.get('microphone');
    const camera = app.media.published.get('camera');
    const errors = app.deviceErrors.value;
    const micOff = !microphone || microphone.muted;
    const camOff = !camera || camera.muted;
    const sharing = app.media.published.has('screen');
    const silent = !heard(floor, app.me.user);
    const talk = floor.mode === 'talk' && !floor.priority;
    return html`
      ${talk
        ? html`<button class="round talk ${app.talking.value ? 'on' : ''}" aria-pressed=${app.talking.value} @pointerdown=${this.#press} @pointerup=${this.#letGo} @pointercancel=${this.#letGo} @contextmenu=${(/** @type {Event} */ event) => event.preventDefault()}>${icon('mic')}<span>${app.talking.value ? t('bar.talking') : t('bar.talk')} <kbd>␣</kbd></span></button>`
        : html`<button class="round ${micOff ? 'off' : silent ? 'silent' : ''}" aria-pressed=${!micOff} title=${errors.microphone ? t(`device.microphone.${errors.microphone}`) : silent ? t('floor.not_heard') : ''} @click=${() => app.toggleMute('microphone')}>${icon(micOff ? 'mic-off' : 'mic')}<span>${micOff ? t('bar.unmute') : t('bar.mute')} <kbd>m</kbd></span></button>`}
      <button class="round ${camOff ? 'off' : ''}" aria-pressed=${!camOff} title=${errors.camera ? t(`device.camera.${errors.camera}`) : ''} @click=${() => app.toggleMute('camera')}>${icon(camOff ? 'video-off' : 'video')}<span>${camOff ? t('bar.camera_on') : t('bar.camera_off')} <kbd>v</kbd></span></button>
      ${app.isGuest ? nothing : html`<button class="round wide-only ${sharing ? 'on' : ''}" aria-pressed=${sharing} @click=${() => app.toggleScreen()}>${icon(sharing ? 'screen-share-off' : 'screen-share')}<span>${sharing ? t('bar.unshare') : t('bar.share')}</span></button>`}`;
  }

  /** @param {PointerEvent} event */
  #press(event) {
    /** @type {HTMLElement} */ (event.currentTarget).setPointerCapture(event.pointerId);
    app.talk(true);
  }

  #letGo() {
    app.talk(false);
  }

  #endForm() {
    return html`<footer class="callbar ending">
      <textarea class="summary" rows="2" maxlength="4000" placeholder=${t('bar.summary')} aria-label=${t('bar.summary')} .value=${app.currentSession?.summary ?? ''}></textarea>
      <button class="danger" @click=${this.#end}>${t('bar.end_sure')}</button><button @click=${() => (this.sure = false)}>${t('cancel')}</button>
    </footer>`;
  }

  async #end() {
    const session = String(app.session.value);
    const text = this.querySelector('.summary');
    const summary = text instanceof HTMLTextAreaElement ? text.value.trim() : '';
    this.sure = false;
    try {
      if (summary && app.governs) await api.summary(session, summary);
      await api.end(session);
      app.leaveSession();
    } catch (error) {
      app.report(error);
    }
  }
}
customElements.define('lamproom-session', Session);
