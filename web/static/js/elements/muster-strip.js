// One line while somebody is still underground: at the top of every work page, also during a consultation.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { age, timer } from '../format.js';
import { t } from '../i18n.js';

class MusterStrip extends Part {
  static properties = { site: { type: String }, open: { state: true } };

  constructor() {
    super();
    this.site = '';
    /** @type {Record<string, any>[]} */
    this.open = [];
    this.known = -1;
  }

  watches() {
    return [app.rooms, app.live, app.tick];
  }

  async connectedCallback() {
    super.connectedCallback();
    await this.#load();
  }

  async #load() {
    try {
      this.open = (await api.musters(this.site || app.me.site)).filter((one) => one.ended_at === null && one.board);
    } catch {
      // the next entry tries again
    }
  }

  /** Entries tell of a beginning and an end, live messages of figures. */
  #news() {
    let seq = 0;
    for (const view of app.rooms.value.values()) for (const one of view.entries) if (one.kind === 'muster') seq = Math.max(seq, one.at);
    if (seq !== this.known) {
      const first = this.known === -1;
      this.known = seq;
      if (!first) this.#load();
    }
  }

  willUpdate() {
    this.#news();
  }

  render() {
    return this.open.map((one) => {
      let newest = one;
      for (const view of app.rooms.value.values()) {
        const told = view.musters.get(one.muster);
        if (told && told.board.at > newest.board.at) newest = told;
      }
      const { board } = newest;
      const unknown = board.left === null;
      return html`<div class="muster-strip ${board.feed === 'live' ? '' : 'stale'}" role="status">
        ${icon('siren')} <b>${one.drill ? t('muster.drill') : t('muster.going_on')}</b> <span>${app.siteName(one.site)}</span>
        <b class="left">${unknown ? t('muster.left_unknown') : t('muster.left', { n: board.left })}</b>
        <span>${t('muster.state.lost')} ${board.states.lost} · ${t('muster.state.out')} ${board.states.out}/${board.total}</span>
        ${board.feed === 'live' ? nothing : html`<b>${icon('wifi-off')} ${board.feed_at ? t('muster.feed_stale', { age: age(app.now() - board.feed_at) }) : t('muster.feed_never')}</b>`}
        <span class="mono">${timer(app.now() - one.started_at)}</span>
        <span class="grow"></span>
        <a class="button" href="/muster?site=${one.site}" target="_blank" rel="noopener">${t('muster.open_board')}</a>
      </div>`;
    });
  }
}
customElements.define('lamproom-muster-strip', MusterStrip);
