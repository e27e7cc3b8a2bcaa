// The cameras of the chosen sites, or a group that its owner has laid out. Whoever looks stands in the roster of those
// mines: nobody watches unseen.
import { Part, html, icon, nothing } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { app } from '../app.js';
import { isOpen, isRed } from '../alerts.js';
import { t } from '../i18n.js';
import { Store } from '../state.js';
import { tilesOf } from '../tiles.js';
import { changeGroup, changeWall, kiosk, loadWall, shownGroup, touring, wall, writeAddress } from '../wallstore.js';
import { freshId, tidy, withCamera } from '../walls.js';
import { openCall } from './call-dialog.js';
import { cameraName } from './layout.js';
import { shownSite } from './sites.js';

const PER_PAGE = 12;
const TOUR_S = [10, 20, 30, 60, 120];

/** @type {Store<string>} */
export const focusedCamera = new Store('');

/** @param {string[]} sites @returns {import('../tiles.js').Tile[]} */
function cameras(sites) {
  return sites.flatMap((site) => {
    const view = app.rooms.value.get(`site:${site}`);
    return view ? tilesOf(view.tracks, view.members, app.room.client, false, () => 'mine') : [];
  });
}

/** @param {import('../tiles.js').Tile} tile */
const cameraOf = (tile) => `${tile.site}/${tile.source}`;

export function toggleKiosk() {
  kiosk.set(!kiosk.value);
  if (kiosk.value) document.documentElement.requestFullscreen().catch(() => {}); // it is a wish; the page has no chrome of its own
  else if (document.fullscreenElement) document.exitFullscreen();
}

class Wall extends Part {
  static properties = { page: { state: true }, arranging: { state: true } };

  constructor() {
    super();
    this.page = 0;
    this.arranging = false;
    this.visited = '';
    this.wanted = '';
    /** Seconds at this stop of the tour. */
    this.stayed = 0;
  }

  watches() {
    return [app.rooms, app.sites, app.session, shownSite, focusedCamera, wall, shownGroup, touring, kiosk];
  }

  connectedCallback() {
    super.connectedCallback();
    loadWall();
    this.stops = [app.tick.subscribe(() => this.#goOn()), shownSite.subscribe(() => shownGroup.set('')), shownGroup.subscribe(() => this.#begin()), touring.subscribe(writeAddress), kiosk.subscribe(writeAddress)];
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    for (const stop of this.stops ?? []) stop();
    app.showOnWall([]);
    this.wanted = '';
  }

  get #group() {
    return wall.value.groups.find((one) => one.id === shownGroup.value);
  }

  #sites() {
    if (this.#group) return [...new Set(this.#group.cells.map((cell) => cell.camera.split('/')[0]))];
    return app.below(shownSite.value || app.me.site).filter((site) => site.level === 'mine').map((site) => site.site);
  }

  updated() {
    const sites = this.#sites();
    if (sites.join() !== this.visited && app.sites.value.length) {
      this.visited = sites.join();
      this.page = 0;
      app.visit(sites);
    }
    const wanted = this.#shown().flatMap((tile) => (tile.video ? [tile.video.track] : [])).join();
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      app.showOnWall(wanted ? wanted.split(',') : []);
    }
  }

  // --- tour ---

  /** Another group: from its beginning. */
  #begin() {
    this.stayed = 0;
    this.page = 0;
    this.arranging = false;
    focusedCamera.set('');
    writeAddress();
  }

  /** Where a tour may go: from group to group, or through the pages of a site. */
  #stops() {
    return wall.value.groups.length > 1 ? wall.value.groups.length : this.#group ? 1 : Math.ceil(cameras(this.#sites()).length / PER_PAGE);
  }

  /** It waits while somebody arranges or looks closely, and where a red alert stands that nobody has. */
  #waits() {
    return this.arranging || Boolean(focusedCamera.value) || [...(app.own?.alerts.values() ?? [])].some((alert) => isOpen(alert) && isRed(alert));
  }

  #goOn() {
    if (!touring.value || this.#waits()) return;
    this.stayed += 1;
    if (this.stayed < wall.value.tour_s || this.#stops() < 2) return;
    this.stayed = 0;
    const { groups } = wall.value;
    if (groups.length > 1) shownGroup.set(groups[(groups.findIndex((one) => one.id === shownGroup.value) + 1) % groups.length].id);
    else this.page = (this.page + 1) % this.#stops();
  }

  // --- what is shown ---

  #shown() {
    const all = cameras(this.#sites());
    const focused = all.find((tile) => tile.key === focusedCamera.value);
    if (focused) return [focused];
    const group = this.#group;
    if (group) return all.filter((tile) => group.cells.some((cell) => cell.camera === cameraOf(tile)));
    return all.slice(this.page * PER_PAGE, (this.page + 1) * PER_PAGE);
  }

  /** @param {number} number */
  focusNumber(number) {
    const key = this.#shown()[number - 1]?.key ?? '';
    focusedCamera.set(focusedCamera.value ? '' : key);
  }

  // --- groups ---

  /** The pictures that are shown, as a group of one's own. */
  #make() {
    const name = prompt(t('wall.group_name'), '')?.trim().slice(0, 40);
    if (!name) return;
    const id = freshId(wall.value.groups);
    changeWall({ groups: [...wall.value.groups, { id, name, cells: tidy(this.#shown().map(cameraOf)) }].slice(0, 24) });
    shownGroup.set(id);
    this.arranging = true;
  }

  #rename() {
    const group = this.#group;
    const name = group && prompt(t('wall.group_name'), group.name)?.trim().slice(0, 40);
    if (group && name) changeGroup(group.id, (one) => ({ ...one, name }));
  }

  #delete() {
    const group = this.#group;
    if (!group || !confirm(t('wall.delete_sure', { name: group.name }))) return;
    changeWall({ groups: wall.value.groups.filter((one) => one !== group) });
    shownGroup.set('');
  }

  /** @param {Event} event */
  #add(event) {
    const select = /** @type {HTMLSelectElement} */ (event.target);
    const group = this.#group;
    if (group && select.value) {
      const cells = withCamera(group.cells, select.value);
      if (cells === group.cells) app.toast(t('wall.no_place'), 'bad');
      changeGroup(group.id, (one) => ({ ...one, cells }));
    }
    select.value = '';
  }

  render() {
    const all = cameras(this.#sites());
    const shown = this.#shown();
    const group = focusedCamera.value ? undefined : this.#group;
    const tiles = new Map(all.map((tile) => [cameraOf(tile), tile]));
    return html`<section class="wall" aria-label=${t('wall.title')}>
      ${kiosk.value ? nothing : this.#header(all)}
      ${this.arranging && group ? this.#arrange(group) : nothing}
      ${group
        ? html`<lamproom-layout .group=${group} .tiles=${tiles} ?arranging=${this.arranging} @chosen=${(/** @type {CustomEvent} */ event) => focusedCamera.set(event.detail)}></lamproom-layout>`
        : html`<div class="wall-grid ${focusedCamera.value ? 'one' : ''} n${Math.min(shown.length, PER_PAGE)}">
            ${repeat(shown, (tile) => tile.key, (tile, index) => html`<lamproom-tile .tile=${tile} .number=${index + 1} @click=${() => focusedCamera.set(focusedCamera.value ? '' : tile.key)}></lamproom-tile>`)}
          </div>
          ${shown.length ? nothing : html`<p class="empty tall">${icon('video-off', 'large')}<span>${app.own?.ready ? t('wall.none') : t('loading')}</span></p>`}`}
    </section>`;
  }

  /** @param {import('../tiles.js').Tile[]} all */
  #header(all) {
    const site = shownSite.value || app.me.site;
    const pages = this.#group ? 1 : Math.ceil(all.length / PER_PAGE);
    const isMine = app.siteOf(site)?.level === 'mine';
    const { groups } = wall.value;
    return html`<header>
      <h2>${icon('layout-grid')} ${this.#group?.name ?? app.siteName(site)} <span class="faint">${t('wall.count', { n: this.#group?.cells.length ?? all.length })}</span></h2>
      ${groups.length ? html`<select class="wall-groups" aria-label=${t('wall.groups')} .value=${shownGroup.value} @change=${(/** @type {Event} */ event) => shownGroup.set(/** @type {HTMLSelectElement} */ (event.target).value)}>
        <option value="" ?selected=${!shownGroup.value}>${app.siteName(site)}</option>${groups.map((one) => html`<option value=${one.id} ?selected=${one.id === shownGroup.value}>${one.name}</option>`)}</select>` : nothing}
      <span class="grow"></span>
      ${pages > 1 && !focusedCamera.value
        ? html`<button class="small" ?disabled=${this.page === 0} @click=${() => (this.page -= 1)} aria-label=${t('wall.before')}>‹</button><span class="mono faint">${this.page + 1}/${pages}</span>
            <button class="small" ?disabled=${this.page >= pages - 1} @click=${() => (this.page += 1)} aria-label=${t('wall.after')}>›</button>`
        : nothing}
      ${focusedCamera.value ? html`<button @click=${() => focusedCamera.set('')}>${icon('arrow-left')} ${t('wall.all')}</button>` : nothing}
      <span class="wall-tools">
        <button class="tool" @click=${this.#make} title=${t('wall.new_group')} aria-label=${t('wall.new_group')}>${icon('plus')}</button>
        ${this.#group ? html`<button class="tool" aria-pressed=${this.arranging} @click=${() => (this.arranging = !this.arranging)} title=${t('wall.arrange')} aria-label=${t('wall.arrange')}>${icon('layout-grid')}</button>` : nothing}
        ${this.#stops() > 1 ? html`<button class="tool" aria-pressed=${touring.value} @click=${() => touring.set(!touring.value)} title=${t('wall.tour')} aria-label=${t('wall.tour')}>${icon('refresh-cw')}</button>` : nothing}
        <button class="tool" @click=${toggleKiosk} title="${t('wall.kiosk')} d k" aria-label=${t('wall.kiosk')}>${icon('monitor')}</button>
      </span>
      ${app.mayCall ? html`<button class="call" @click=${() => openCall(null, isMine ? site : '')}>${icon('phone')} ${t('call.one_click')} <kbd>c</kbd></button>` : nothing}
    </header>`;
  }

  /** @param {import('../walls.js').Group} group */
  #arrange(group) {
    const sites = app.below(app.me.site).map((one) => one.site);
    const others = cameras(sites).map(cameraOf).filter((camera) => !group.cells.some((cell) => cell.camera === camera));
    return html`<div class="arrange" role="group" aria-label=${t('wall.arrange')}>
      <select aria-label=${t('wall.add')} @change=${this.#add}><option value="">${t('wall.add')}</option>${others.map((camera) => html`<option value=${camera}>${cameraName(camera)}</option>`)}</select>
      <button class="small" @click=${() => changeGroup(group.id, (one) => ({ ...one, cells: tidy(one.cells.map((cell) => cell.camera)) }))}>${t('wall.tidy')}</button>
      <button class="small" @click=${this.#rename}>${t('wall.rename')}</button>
      <button class="small" @click=${this.#delete}>${t('wall.delete')}</button>
      <label>${t('wall.tour_s')} <select @change=${(/** @type {Event} */ event) => changeWall({ tour_s: Number(/** @type {HTMLSelectElement} */ (event.target).value) })}>${TOUR_S.map((one) => html`<option value=${one} ?selected=${one === wall.value.tour_s}>${t('time.seconds', { n: one })}</option>`)}</select></label>
      <span class="faint grow">${t('wall.keys')}</span>
      <button class="small primary" @click=${() => (this.arranging = false)}>${icon('check')} ${t('wall.done')}</button>
    </div>`;
  }
}
customElements.define('lamproom-wall', Wall);
