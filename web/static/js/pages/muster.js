// The muster board: read from across a room, worked with by who runs the evacuation.
import { app } from '../app.js';
import { ApiError, api } from '../api.js';
import { age, clock, moment, timer } from '../format.js';
import { pickField, t } from '../i18n.js';
import { html, icon, nothing } from '../elements/part.js';
import { MinePage } from '../elements/minepage.js';

const REFRESH_MS = 4000;
const STATES = ['lost', 'underground', 'moving', 'refuge', 'out_once', 'out'];
const ICONS = { lost: 'siren', underground: 'user', moving: 'activity', refuge: 'shield', out_once: 'circle-help', out: 'circle-check' };
const SHOWN = 400;

class MusterPage extends MinePage {
  static properties = {
    ...MinePage.properties, muster: { state: true }, people: { state: true }, zones: { state: true }, filter: { state: true },
    zone: { state: true }, named: { state: true }, earlier: { state: true }, old: { state: true }, busy: { state: true }, asking: { state: true },
  };

  constructor() {
    super();
    /** @type {any} */
    this.muster = null;
    /** @type {any[]} */
    this.people = [];
    /** @type {Map<string, any>} */
    this.zones = new Map();
    /** @type {Map<string, string>} */
    this.drifts = new Map();
    this.filter = '';
    this.zone = '';
    this.named = false;
    /** @type {any[]} musters of before */
    this.earlier = [];
    this.old = false;
    this.busy = false;
    this.asking = false;
  }

  watches() {
    return [...super.watches(), app.tick, app.live];
  }

  get mayAct() {
    return ['admin', 'supervisor', 'dispatcher'].includes(app.me.role);
  }

  async connectedCallback() {
    await super.connectedCallback();
    await this.#find();
    setInterval(() => this.#refresh(), REFRESH_MS);
    try {
      const plan = await api.plan(this.site);
      const of = (/** @type {string} */ what) => plan.features.map((/** @type {any} */ one) => one.properties).filter((/** @type {any} */ one) => one.what === what);
      this.zones = new Map(of('zone').map((/** @type {any} */ one) => [one.id, one]));
      this.drifts = new Map(of('drift').map((/** @type {any} */ one) => [one.id, pickField(one, 'name')]));
    } catch (error) {
      app.report(error);
    }
  }

  async #find() {
    try {
      const all = (await api.musters(this.site)).filter((one) => one.site === this.site);
      this.earlier = all.filter((one) => one.ended_at !== null);
      const open = all.find((one) => one.ended_at === null);
      const wanted = new URLSearchParams(location.search).get('muster');
      if (wanted ?? open?.muster) await this.#show(wanted ?? open?.muster);
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string} muster */
  async #show(muster) {
    [this.muster, this.people] = await Promise.all([api.muster(muster), api.musterPeople(muster, this.named)]);
    this.old = this.muster.ended_at !== null;
  }

  async #refresh() {
    if (document.hidden || this.old) return;
    try {
      if (this.muster) await this.#show(this.muster.muster);
      else await this.#find();
    } catch (error) {
      if (!(error instanceof ApiError) || error.status === 401) app.report(error);
    }
  }

  /** @param {() => Promise<unknown>} work */
  async #do(work) {
    this.busy = true;
    await app.attempt(async () => {
      await work();
      if (this.muster) await this.#show(this.muster.muster);
    });
    this.busy = false;
  }

  /** @param {boolean} drill */
  #begin(drill) {
    const reason = /** @type {HTMLInputElement | null} */ (this.querySelector('#reason'))?.value ?? '';
    this.#do(async () => {
      this.muster = await api.startMuster({ site: this.site, reason, drill });
      this.asking = false;
    });
  }

  #end() {
    const left = this.muster.board.left;
    const reason = prompt(left === 0 ? t('muster.end_reason') : t('muster.end_reason_left', { n: left ?? '?' }));
    if (reason && reason.trim().length > 1) this.#do(() => api.endMuster(this.muster.muster, reason.trim()));
  }

  /** @param {any} person */
  #mark(person) {
    const out = !person.by_hand;
    const note = prompt(out ? t('muster.mark_out_note', { card: person.name || person.card }) : t('muster.mark_back_note', { card: person.name || person.card }), person.note);
    if (note !== null) this.#do(() => api.markPerson(this.muster.muster, person.card, out, note));
  }

  #showNames() {
    this.named = !this.named;
    this.#do(async () => {});
  }

  /** @param {string} id */
  #zoneName(id) {
    const zone = this.zones.get(id);
    return (zone && pickField(zone, 'name')) || id || t('plan.no_zone');
  }

  // --- parts ---

  #start() {
    return html`<section class="muster-none">
      ${icon('users', 'huge')}
      <h1>${t('muster.none')}</h1>
      <p>${t('muster.none_hint')}</p>
      ${this.mayAct
        ? html`<label>${t('muster.reason')} <input id="reason" maxlength="200" /></label>
            ${this.asking
              ? html`<p><b>${t('muster.sure', { site: app.siteName(this.site) })}</b></p><div class="acts">
                  <button class="danger big" ?disabled=${this.busy} @click=${() => this.#begin(false)}>${t('muster.begin_now')}</button>
                  <button class="big" @click=${() => (this.asking = false)}>${t('plan.cancel')}</button></div>`
              : html`<div class="acts"><button class="danger big" @click=${() => (this.asking = true)}>${icon('siren')} ${t('muster.begin')}</button>
                  <button class="big" ?disabled=${this.busy} @click=${() => this.#begin(true)}>${t('muster.begin_drill')}</button></div>`}`
        : nothing}
      ${this.#earlier()}
    </section>`;
  }

  #earlier() {
    if (!this.earlier.length) return nothing;
    return html`<section class="panel earlier"><h2>${icon('history')} ${t('muster.earlier')}</h2><ul class="scroll">
      ${this.earlier.slice(0, 20).map((one) => html`<li><a href="/muster?site=${this.site}&muster=${one.muster}">${moment(one.started_at, app.now())}</a> ${one.drill ? html`<span class="chip">${t('muster.drill')}</span>` : nothing} ${one.reason}</li>`)}
    </ul></section>`;
  }

  /** Newest figures: of the last answer, or of a live message since. */
  get #board() {
    const told = app.rooms.value.get(`site:${this.site}`)?.musters.get(this.muster.muster);
    return !this.old && told && told.board.at > this.muster.board.at ? told.board : this.muster.board;
  }

  #head() {
    const board = this.#board;
    const now = this.old ? this.muster.ended_at : app.now();
    const live = board.feed === 'live';
    return html`<header class="muster-head ${live ? '' : 'stale'}">
      <div class="left-figure ${board.left === 0 ? 'clear' : ''}">
        <b>${board.left ?? '?'}</b><span>${board.left === null ? t('muster.left_unknown') : t('muster.left_word')}</span>
      </div>
      <div class="states">${STATES.map((one) => html`<button class="state ${one} ${this.filter === one ? 'chosen' : ''}" @click=${() => (this.filter = this.filter === one ? '' : one)}>
        ${icon(/** @type {any} */ (ICONS)[one])}<b>${board.states[one]}</b><span>${t(`muster.state.${one}`)}</span></button>`)}</div>
      <dl class="clockwork">
        <dt>${this.old ? t('muster.lasted') : t('muster.running')}</dt><dd class="mono">${timer(now - this.muster.started_at)}</dd>
        <dt>${t('muster.listed')}</dt><dd>${t('muster.listed_n', { n: board.total, later: board.total - board.frozen })}</dd>
        <dt>${t('muster.oldest')}</dt><dd>${board.oldest_age_s === null ? '—' : age(board.oldest_age_s)}</dd>
        <dt>${t('muster.by')}</dt><dd>${this.muster.by} ${this.muster.reason}</dd>
      </dl>
      ${live ? nothing : html`<p class="feed-bad">${icon('wifi-off')} ${board.feed_at ? t('muster.feed_stale', { age: age(now - board.feed_at) }) : t('muster.feed_never')} ${t('muster.as_known')}</p>`}
      ${this.#goingWrong(board)}
      ${this.muster.drill ? html`<p class="drill">${t('muster.drill')}</p>` : nothing}
      ${this.old ? html`<p class="feed-bad">${t('muster.over', { at: moment(this.muster.ended_at, app.now()) })}</p>` : nothing}
      ${this.muster.left_out ? html`<p class="hint">${t('muster.left_out', { n: this.muster.left_out })}</p>` : nothing}
    </header>`;
  }

  /** Who stands still, who goes away from the way out, where it is crowded. @param {any} board */
  #goingWrong(board) {
    const going = board.going ?? {};
    const crowds = board.crowds ?? [];
    if (this.old || !(going.wrong_way || going.no_progress || crowds.length)) return nothing;
    return html`<ul class="going">
      ${going.wrong_way ? html`<li class="wrong_way">${icon('triangle-alert')} ${t('muster.wrong_way_n', { n: going.wrong_way })}</li>` : nothing}
      ${going.no_progress ? html`<li class="no_progress">${icon('clock')} ${t('muster.no_progress_n', { n: going.no_progress })}</li>` : nothing}
      ${crowds.map((/** @type {any} */ one) => html`<li class="crowd">${icon('users')} ${t('muster.crowd', { drift: this.drifts.get(one.drift) || one.drift, at: Math.round(one.from_m), n: one.people })}</li>`)}
    </ul>`;
  }

  #byZone() {
    const zones = Object.entries(this.#board.zones).sort((a, b) => Number(b[1]) - Number(a[1]));
    return html`<section class="panel by-zone"><h2>${icon('map-pin')} ${t('muster.by_zone')}</h2><div class="scroll">
      ${zones.map(([zone, n]) => html`<button class="zone-row ${this.zone === zone ? 'chosen' : ''}" @click=${() => (this.zone = this.zone === zone ? '' : zone)}><span>${this.#zoneName(zone)}</span><b>${n}</b></button>`)}
      ${zones.length ? nothing : html`<p class="empty">${t('muster.nobody_listed')}</p>`}
    </div></section>`;
  }

  #progress() {
    const line = this.muster.progress.filter((/** @type {any} */ one) => one[1] !== null);
    if (line.length < 2) return nothing;
    const [start, end] = [line[0][0], line.at(-1)[0]];
    const most = Math.max(1, ...line.map((/** @type {any} */ one) => one[1]));
    const path = line.map((/** @type {any} */ [at, left]) => `${(100 * (at - start)) / Math.max(1, end - start)},${30 - (28 * left) / most}`).join(' ');
    return html`<section class="panel progress"><h2>${icon('activity')} ${t('muster.progress')}</h2>
      <svg viewBox="0 0 100 31" preserveAspectRatio="none" role="img" aria-label=${t('muster.progress')}><polyline points=${path}></polyline></svg></section>`;
  }

  #lists() {
    const base = `/api/musters/${this.muster.muster}/lists`;
    return html`<section class="panel lists"><h2>${icon('clipboard-list')} ${t('muster.lists')}</h2><ul class="scroll">
      ${this.muster.lists.map((/** @type {any} */ one) => html`<li>
        <b>${t('muster.list_at', { after: timer(one.at - this.muster.started_at) })}</b> <span class="faint">${clock(one.at)}</span>
        ${one.at - one.due_at > 10 ? html`<span class="chip">${t('muster.list_late', { age: age(one.at - one.due_at) })}</span>` : nothing}
        <span>${one.left ?? '?'}/${one.total}</span>
        ${this.mayAct ? html`<a href="${base}/${one.number}?format=pdf" target="_blank" rel="noopener">PDF</a> <a href="${base}/${one.number}?format=csv">CSV</a>` : nothing}
        <code class="mono faint" title=${one.sha256}>${one.sha256.slice(0, 12)}</code>
        ${one.signed_by
          ? html`<span class="ack">${icon('check')} ${one.signed_by} ${clock(one.signed_at)}</span>`
          : this.mayAct ? html`<button class="small" ?disabled=${this.busy} @click=${() => this.#do(() => api.signList(this.muster.muster, one.number, one.sha256))}>${t('muster.sign')}</button>` : nothing}
      </li>`)}
    </ul></section>`;
  }

  #table() {
    const now = this.old ? this.muster.ended_at : app.now();
    const list = this.people
      .filter((one) => (!this.filter || one.state === this.filter) && (!this.zone || (one.zone === this.zone && one.state !== 'out')))
      .sort((a, b) => STATES.indexOf(a.state) - STATES.indexOf(b.state) || a.zone.localeCompare(b.zone) || a.card.localeCompare(b.card));
    return html`<section class="panel people"><h2>${icon('users')} ${t('muster.people')} <span class="count">${list.length}</span><span class="grow"></span>
      ${this.mayAct ? html`<button class="small" @click=${this.#showNames}>${this.named ? t('muster.hide_names') : t('muster.show_names')}</button>` : nothing}</h2>
      <div class="scroll"><table>
        <thead><tr><th>${t('muster.state')}</th><th>${t('muster.person')}</th><th>${t('muster.last_zone')}</th><th class="num">${t('readings.age')}</th><th></th></tr></thead>
        <tbody>${list.slice(0, SHOWN).map((one) => html`<tr class="person-row ${one.state}">
          <td><span class="mark ${one.state}">${icon(/** @type {any} */ (ICONS)[one.state])} ${t(`muster.state.${one.state}`)}</span>${one.by_hand ? html`<span class="chip">${t('muster.by_hand')}</span>` : nothing}${one.came_back ? html`<span class="chip">${t('muster.came_back')}</span>` : nothing}${one.going === 'wrong_way' || one.going === 'no_progress' ? html`<span class="chip ${one.going}">${t(`muster.${one.going}`)}</span>` : nothing}</td>
          <td><b>${one.name || one.card}</b> <span class="faint">${one.name ? one.card : ''} ${one.job}</span> ${one.leader ? html`<span class="chip">${t('plan.leader')}</span>` : nothing}${one.visitor || !one.known ? html`<span class="chip">${one.known ? t('muster.visitor') : t('muster.unknown_card')}</span>` : nothing}${one.frozen ? nothing : html`<span class="chip">${t('muster.later')}</span>`} ${this.named && one.phone ? one.phone : ''} ${one.note ? html`<i>${one.note}</i>` : nothing}</td>
          <td>${this.#zoneName(one.zone)}${one.to_exit_m === null || this.old ? nothing : html` <span class="faint">${t('muster.to_exit', { n: Math.round(one.to_exit_m) })}</span>`}</td>
          <td class="num mono">${one.seen_at ? age(now - one.seen_at) : '—'}</td>
          <td>${this.mayAct && !this.old && (one.state !== 'out' || one.by_hand) ? html`<button class="small" @click=${() => this.#mark(one)}>${one.by_hand ? t('muster.mark_back') : t('muster.mark_out')}</button>` : nothing}</td></tr>`)}
        </tbody></table></div>
    </section>`;
  }

  content() {
    return html`<main class="muster-page">
      <div class="planbar">${this.choice()}<span class="grow"></span>
        <a class="button" href="/plan?site=${this.site}">${icon('map-pin')} ${t('page.plan')}</a>
        ${this.muster?.drill && !this.old && this.mayAct ? html`<button class="danger" ?disabled=${this.busy} @click=${() => this.#begin(false)}>${icon('siren')} ${t('muster.begin_real')}</button>` : nothing}
        ${this.muster && !this.old && this.mayAct ? html`<button ?disabled=${this.busy} @click=${this.#end}>${t('muster.end')}</button>` : nothing}
        ${this.old ? html`<a class="button" href="/muster?site=${this.site}">${t('muster.back')}</a>` : nothing}
      </div>
      ${this.muster ? html`${this.#head()}<div class="muster-grid"><div class="side">${this.#byZone()}${this.#progress()}${this.#lists()}</div>${this.#table()}</div>` : this.#start()}
    </main>`;
  }
}
customElements.define('lamproom-muster-page', MusterPage);
