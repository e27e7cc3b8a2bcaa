// The cameras of the chosen sites. Whoever looks stands in the roster of those mines: nobody watches unseen.
import { Part, html, icon, nothing } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { app } from '../app.js';
import { t } from '../i18n.js';
import { Store } from '../state.js';
import { tilesOf } from '../tiles.js';
import { openCall } from './call-dialog.js';
import { shownSite } from './sites.js';

const PER_PAGE = 12;

/** @type {Store<string>} */
export const focusedCamera = new Store('');

/** @returns {import('../tiles.js').Tile[]} */
function cameras() {
  const sites = app.below(shownSite.value || app.me.site).filter((site) => site.level === 'mine');
  return sites.flatMap((site) => {
    const view = app.rooms.value.get(`site:${site.site}`);
    return view ? tilesOf(view.tracks, view.members, app.room.client, false, () => 'mine') : [];
  });
}

class Wall extends Part {
  static properties = { page: { state: true } };

  constructor() {
    super();
    this.page = 0;
    this.visited = '';
    this.wanted = '';
  }

  watches() {
    return [app.rooms, app.sites, app.session, shownSite, focusedCamera];
  }

  updated() {
    const mines = app.below(shownSite.value || app.me.site).filter((site) => site.level === 'mine').map((site) => site.site);
    if (mines.join() !== this.visited && app.sites.value.length) {
      this.visited = mines.join();
      this.page = 0;
      app.visit(mines);
    }
    const wanted = this.#shown().flatMap((tile) => (tile.video ? [tile.video.track] : [])).join();
    if (wanted !== this.wanted) {
      this.wanted = wanted;
      app.showOnWall(wanted ? wanted.split(',') : []);
    }
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    app.showOnWall([]);
    this.wanted = '';
  }

  #shown() {
    const all = cameras();
    const focused = all.find((tile) => tile.key === focusedCamera.value);
    return focused ? [focused] : all.slice(this.page * PER_PAGE, (this.page + 1) * PER_PAGE);
  }

  /** @param {number} number */
  focusNumber(number) {
    const key = this.#shown()[number - 1]?.key ?? '';
    focusedCamera.set(focusedCamera.value ? '' : key);
  }

  render() {
    const site = shownSite.value || app.me.site;
    const all = cameras();
    const shown = this.#shown();
    const pages = Math.ceil(all.length / PER_PAGE);
    const isMine = app.siteOf(site)?.level === 'mine';
    return html`<section class="wall" aria-label=${t('wall.title')}>
      <header>
        <h2>${icon('layout-grid')} ${app.siteName(site)} <span class="faint">${t('wall.count', { n: all.length })}</span></h2>
        <span class="grow"></span>
        ${pages > 1 && !focusedCamera.value
          ? html`<button class="small" ?disabled=${this.page === 0} @click=${() => (this.page -= 1)} aria-label=${t('wall.before')}>‹</button><span class="mono faint">${this.page + 1}/${pages}</span>
              <button class="small" ?disabled=${this.page >= pages - 1} @click=${() => (this.page += 1)} aria-label=${t('wall.after')}>›</button>`
          : nothing}
        ${focusedCamera.value ? html`<button @click=${() => focusedCamera.set('')}>${icon('arrow-left')} ${t('wall.all')}</button>` : nothing}
        ${app.mayCall ? html`<button class="call" @click=${() => openCall(null, isMine ? site : '')}>${icon('phone')} ${t('call.one_click')} <kbd>c</kbd></button>` : nothing}
      </header>
      <div class="wall-grid ${focusedCamera.value ? 'one' : ''} n${Math.min(shown.length, PER_PAGE)}">
        ${repeat(shown, (tile) => tile.key, (tile, index) => html`<lamproom-tile .tile=${tile} .number=${index + 1} @click=${() => focusedCamera.set(focusedCamera.value ? '' : tile.key)}></lamproom-tile>`)}
      </div>
      ${shown.length ? nothing : html`<p class="empty tall">${icon('video-off', 'large')}<span>${app.own?.ready ? t('wall.none') : t('loading')}</span></p>`}
    </section>`;
  }
}
customElements.define('lamproom-wall', Wall);
