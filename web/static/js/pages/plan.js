// The plan of a mine with everybody on it: live, or as it was; an engineer draws zones on it.
import { app } from '../app.js';
import { ApiError, api } from '../api.js';
import { age, moment } from '../format.js';
import { pickField, t } from '../i18n.js';
import { html, icon, nothing } from '../elements/part.js';
import { MinePage } from '../elements/minepage.js';
import { Store } from '../state.js';
import { last, marksAt } from '../tracks.js';
import '../elements/map.js';
import '../elements/muster-strip.js';

const REFRESH_MS = 5000;
const REPLAY_MIN = 60;
const STEP_S = 5;
const KINDS = ['danger', 'restricted', 'face', 'heading', 'roadway', 'work', 'refuge', 'rest', 'gate', 'shaft_mouth', 'key', 'other'];

class PlanPage extends MinePage {
  static properties = {
    ...MinePage.properties, plan: { state: true }, shown: { state: true }, level: { state: true }, chosen: { state: true },
    replay: { state: true }, drawing: { state: true }, loading: { state: true },
  };

  constructor() {
    super();
    /** @type {any} */
    this.plan = null;
    /** @type {any} the newest of `GET /api/plan/tags` */
    this.shown = null;
    this.level = '';
    this.chosen = '';
    /** @type {{tracks: any[], start: number, end: number, at: number, playing: boolean} | null} */
    this.replay = null;
    /** @type {number[][] | null} */
    this.drawing = null;
    this.loading = false;
    this.pulse = new Store(0);
  }

  watches() {
    return [...super.watches(), app.tick];
  }

  async connectedCallback() {
    await super.connectedCallback();
    app.live.subscribe(() => this.#live());
    await this.#load();
    setInterval(() => this.#refresh(), REFRESH_MS);
    setInterval(() => this.#play(), 200);
    let version = this.plan?.properties.version;
    app.rooms.subscribe(() => {
      const newest = this.#view()?.entries.filter((one) => one.kind === 'registry').at(-1)?.body.version;
      if (newest && newest !== version) {
        version = newest;
        this.#load();
      }
    });
  }

  #view() {
    return app.rooms.value.get(`site:${this.site}`);
  }

  async #load() {
    try {
      [this.plan, this.shown] = await Promise.all([api.plan(this.site), api.planTags(this.site)]);
      this.#marks();
    } catch (error) {
      app.report(error);
    }
  }

  async #refresh() {
    if (this.replay || document.hidden) return;
    try {
      this.shown = await api.planTags(this.site);
      this.#marks();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 401) app.report(error);
    }
  }

  get #map() {
    return /** @type {any} */ (this.querySelector('lamproom-map'));
  }

  /** From the last full answer. */
  #marks() {
    const map = this.#map;
    if (!map || this.replay || !this.shown) return;
    map.marks = this.shown.features.map((/** @type {any} */ { geometry, properties }) => ({ ...properties, x: geometry.coordinates[0], y: geometry.coordinates[1] }));
    map.trails = [];
    if (!map.fitted && map.plan) map.fit();
    map.draw();
  }

  /** Fixes that came since. */
  #live() {
    const map = this.#map;
    if (!map || this.replay || !this.shown || document.hidden) return;
    const known = this.#view()?.positions;
    const fresh = this.shown.properties.fresh_s;
    for (const mark of map.marks) {
      const one = known?.get(mark.tag);
      if (one && one.source_at > mark.source_at) Object.assign(mark, { x: one.x_m, y: one.y_m, zone: one.zone, source_at: one.source_at });
      mark.stale = app.now() - mark.source_at > fresh;
    }
    map.draw();
  }

  // --- as it was ---

  async #startReplay() {
    const end = app.now();
    const start = end - REPLAY_MIN * 60;
    this.loading = true;
    try {
      const found = await api.tracks(this.site, start, end, STEP_S);
      this.replay = { tracks: found.features, start, end, at: start, playing: true };
      if (!found.properties.whole) app.toast(t('plan.replay_part'), 'bad');
      this.#showReplay();
    } catch (error) {
      app.report(error);
    }
    this.loading = false;
  }

  #play() {
    if (!this.replay?.playing) return;
    const at = this.replay.at + 0.2 * 60;
    this.replay = { ...this.replay, at: Math.min(at, this.replay.end), playing: at < this.replay.end };
    this.#showReplay();
  }

  #showReplay() {
    const map = this.#map;
    const { replay } = this;
    if (!map || !replay) return;
    map.marks = marksAt(replay.tracks, replay.at);
    const chosen = replay.tracks.find((/** @type {any} */ one) => one.properties.tag === this.chosen);
    map.trails = chosen ? [chosen.geometry.coordinates.slice(0, last(chosen.properties.times, replay.at) + 1)] : [];
    map.draw();
  }

  #endReplay() {
    this.replay = null;
    this.#refresh();
    this.#marks();
  }

  // --- drawing a zone ---

  /** @param {SubmitEvent} event */
  async #saveZone(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const zone = String(form.get('zone'));
    const data = { name_zh: String(form.get('name')), kind: String(form.get('kind')), fence: { outline: this.drawing, level: this.level } };
    try {
      await api.putFact(this.site, 'zones', zone, data);
      const people = String(form.get('people'));
      if (people) await api.putFact(this.site, 'quotas', zone, { zone, people: Number(people) });
      this.drawing = null;
      await this.#load();
    } catch (error) {
      app.report(error);
    }
  }

  #draft() {
    const corners = this.drawing?.length ?? 0;
    return html`<form class="panel draft-form" @submit=${this.#saveZone}>
      <h2>${icon('diamond')} ${t('plan.draw')}</h2>
      <p class="hint">${t('plan.draw_hint', { n: corners })}</p>
      <label>${t('plan.zone_id')} <input name="zone" required pattern="[A-Za-z0-9][A-Za-z0-9_.:\\-]{0,62}" /></label>
      <label>${t('plan.zone_name')} <input name="name" maxlength="120" /></label>
      <label>${t('plan.zone_kind')} <select name="kind">${KINDS.map((one) => html`<option value=${one}>${t(`zone.kind.${one}`)}</option>`)}</select></label>
      <label>${t('plan.quota')} <input name="people" type="number" min="0" /></label>
      <div class="acts">
        <button class="primary" ?disabled=${corners < 3}>${t('plan.save')}</button>
        <button type="button" ?disabled=${!corners} @click=${() => (this.drawing = (this.drawing ?? []).slice(0, -1))}>${t('plan.undo')}</button>
        <button type="button" @click=${() => (this.drawing = null)}>${t('plan.cancel')}</button>
      </div>
    </form>`;
  }

  // --- the page ---

  #feed() {
    const feed = this.shown?.properties.feed;
    if (!feed) return nothing;
    if (feed.state === 'live') return html`<span class="light ok">${icon('wifi')} ${t('plan.feed.live')}</span>`;
    const since = feed.newest_at ? age(app.now() - feed.newest_at) : '';
    return html`<span class="light bad">${icon('wifi-off')} ${feed.state === 'never' ? t('plan.feed.never') : t('plan.feed.stale', { age: since })}</span>`;
  }

  /** @param {string} id */
  #zoneName(id) {
    const zone = this.plan?.features.find((/** @type {any} */ one) => one.properties.what === 'zone' && one.properties.id === id);
    return (zone && pickField(zone.properties, 'name')) || id || t('plan.no_zone');
  }

  #zones() {
    const zones = this.shown?.properties.zones ?? [];
    const people = zones.reduce((/** @type {number} */ sum, /** @type {any} */ one) => sum + one.people, 0);
    const quota = this.plan?.properties.quota;
    const live = this.shown?.properties.feed.state === 'live';
    return html`<section class="panel zones">
      <h2>${icon('users')} ${t('plan.zones')} <span class="grow"></span> <b class="mono ${quota && people > quota ? 'hot' : ''}">${live ? people : '—'}${quota ? ` / ${quota}` : ''}</b></h2>
      <div class="scroll" tabindex="0"><table>
        <thead><tr><th>${t('position.zone')}</th><th class="num">${t('plan.people')}</th><th class="num">${t('plan.quota')}</th><th class="num">${t('plan.vehicles')}</th><th class="num">${t('plan.silent')}</th></tr></thead>
        <tbody>${zones.map((/** @type {any} */ one) => html`<tr class="${one.quota !== null && one.people > one.quota ? 'over' : ''} ${this.chosen === one.zone ? 'chosen' : ''}" @click=${() => this.#choose({ zone: one.zone })}>
          <td>${this.#zoneName(one.zone)}</td><td class="num mono"><b>${one.people}</b></td><td class="num mono">${one.quota ?? ''}</td><td class="num mono">${one.vehicles || ''}</td><td class="num mono">${one.silent || ''}</td></tr>`)}
        </tbody></table></div>
    </section>`;
  }

  #tags() {
    const all = (this.shown?.features ?? []).map((/** @type {any} */ one) => one.properties);
    const inZone = all.filter((/** @type {any} */ one) => one.zone === this.chosen || one.tag === this.chosen || one.machine === this.chosen);
    const list = (this.chosen ? inZone : all).sort((/** @type {any} */ a, /** @type {any} */ b) => Number(b.stale) - Number(a.stale) || String(a.tag).localeCompare(String(b.tag)));
    return html`<section class="panel tags">
      <h2>${icon('map-pin')} ${this.chosen ? this.#zoneName(this.chosen) : t('plan.all_tags')} <span class="count">${list.length}</span>${this.chosen ? html`<span class="grow"></span><button class="small" @click=${() => this.#choose({ zone: '' })}>${t('plan.show_all')}</button>` : nothing}</h2>
      <div class="scroll" tabindex="0"><table>
        <thead><tr><th>${t('position.tag')}</th><th>${t('position.zone')}</th><th class="num">${t('plan.speed')}</th><th class="num">${t('readings.age')}</th></tr></thead>
        <tbody>${list.slice(0, 300).map((/** @type {any} */ one) => {
          const known = this.#view()?.positions.get(one.tag);
          const seen = Math.max(one.source_at, known?.source_at ?? 0);
          return html`<tr class="${one.stale ? 'old' : ''} ${one.tag === this.chosen ? 'chosen' : ''}" @click=${() => this.#choose({ tag: one.tag })}>
            <td>${pickField(one, 'name') || one.job || one.label || one.tag} <span class="faint">${one.tag}</span> ${one.leader ? html`<span class="chip">${t('plan.leader')}</span>` : nothing}${one.state ? html`<span class="chip">${t(`plan.state.${one.state}`)}${one.power === 'on' || one.power === 'off' ? ` · ${t(`plan.power.${one.power}`)}` : ''}</span>` : nothing}</td>
            <td>${this.#zoneName(known?.zone ?? one.zone)}</td>
            <td class="num mono">${one.speed_mps === null ? '' : one.speed_mps.toFixed(1)}</td>
            <td class="num mono">${age(app.now() - seen)}</td></tr>`;
        })}</tbody></table></div>
    </section>`;
  }

  /** @param {{tag?: string, zone?: string}} wish */
  #choose(wish) {
    this.chosen = wish.tag ?? wish.zone ?? '';
    if (this.replay) this.#showReplay();
  }

  #bar() {
    const levels = this.plan?.properties.levels ?? [];
    const { replay } = this;
    return html`<div class="planbar">
      ${this.choice()} ${this.#feed()}
      ${levels.length > 1 ? html`<select class="level" aria-label=${t('plan.level')} @change=${(/** @type {Event} */ event) => (this.level = /** @type {HTMLSelectElement} */ (event.target).value)}>
        <option value="">${t('plan.all_levels')}</option>${levels.map((/** @type {any} */ one) => html`<option value=${one.level}>${pickField(one, 'name') || one.level}</option>`)}</select>` : nothing}
      <button @click=${() => this.#map?.fit()}>${icon('maximize')} ${t('plan.fit')}</button>
      ${replay
        ? html`<button @click=${() => (this.replay = { ...replay, playing: !replay.playing, at: replay.at >= replay.end ? replay.start : replay.at })}>${replay.playing ? t('plan.pause') : t('plan.play')}</button>
            <input type="range" min=${replay.start} max=${replay.end} .value=${String(replay.at)} aria-label=${t('plan.replay')} @input=${(/** @type {Event} */ event) => { this.replay = { ...replay, playing: false, at: Number(/** @type {HTMLInputElement} */ (event.target).value) }; this.#showReplay(); }} />
            <time class="mono">${moment(replay.at, app.now())}</time>
            <button class="primary" @click=${this.#endReplay}>${t('plan.to_live')}</button>`
        : html`<button ?disabled=${this.loading} @click=${this.#startReplay}>${icon('history')} ${t('plan.replay')}</button>`}
      <span class="grow"></span>
      ${['admin', 'engineer'].includes(app.me.role) && !this.drawing ? html`<button @click=${() => (this.drawing = [])}>${icon('plus')} ${t('plan.draw')}</button>` : nothing}
      <a class="button" href="/muster?site=${this.site}">${icon('users')} ${t('page.muster')}</a>
      <a class="button" href="/registry?site=${this.site}">${icon('layout-grid')} ${t('page.registry')}</a>
    </div>`;
  }

  content() {
    const counts = new Map((this.replay ? [] : (this.shown?.properties.zones ?? [])).map((/** @type {any} */ one) => [one.zone, one]));
    const drawn = this.plan?.features.length || this.shown?.features.length;
    return html`<lamproom-muster-strip .site=${this.site}></lamproom-muster-strip>
      <main class="mine-plan">
        ${this.#bar()}
        <div class="stage ${this.replay ? 'past' : ''}">
          ${this.plan && !drawn ? html`<p class="empty tall">${t('plan.empty')}</p>` : nothing}
          <lamproom-map .plan=${this.plan} .level=${this.level} .counts=${counts} .chosen=${this.chosen} .drawing=${this.drawing}
            @choose=${(/** @type {CustomEvent} */ event) => this.#choose(event.detail)} @corner=${(/** @type {CustomEvent} */ event) => (this.drawing = [...(this.drawing ?? []), event.detail])}></lamproom-map>
          ${this.replay ? html`<span class="badge warning past-mark">${t('plan.past')}</span>` : nothing}
        </div>
        <aside>${this.drawing ? this.#draft() : html`${this.#zones()}${this.#tags()}`}</aside>
      </main>`;
  }
}
customElements.define('lamproom-plan-page', PlanPage);

