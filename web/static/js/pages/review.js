// Consultations that were: their recordings on one clock, what happened beside them, the report, the case folder and
// the hold on the evidence. Opened beside the page of the duty, which goes on ringing.
import { app, boot } from '../app.js';
import { api } from '../api.js';
import { clock, day, timer } from '../format.js';
import { language, t } from '../i18n.js';
import { lanesOf, marksOf, spanOf } from '../playback.js';
import { fetchTemplates, templates } from '../templates.js';
import { drillChip } from '../elements/drill-strip.js';
import { describe } from '../elements/timeline.js';
import { Part, html, icon, nothing } from '../elements/part.js';
import '../elements/past.js';
import '../elements/player.js';
import '../elements/topbar.js';
import '../elements/toasts.js';

const MAX_ENTRIES = 5000;
/** Mines that are looked at for one with consultations. */
const MOST_LOOKED_AT = 12;
/** Lengths of a stretch of time that is looked at without a consultation, minutes. */
const STRETCH_MIN = [10, 30, 60, 240];

/** @typedef {Record<string, any>} Body */

/** Where the player begins: at the first picture or sound. @param {{session: Body, lanes: import('../playback.js').Lane[]}} chosen */
const startOf = ({ lanes, session }) => (lanes.length ? Math.min(...lanes.map((lane) => lane.runs[0].start)) : session.started_at);

/** As a field for date and time takes it. @param {number} at */
const local = (at) => new Date((at - new Date(at * 1000).getTimezoneOffset() * 60) * 1000).toISOString().slice(0, 16);

class Review extends Part {
  static properties = { started: { state: true }, site: { state: true }, list: { state: true }, next: { state: true }, chosen: { state: true }, at: { state: true }, asking: { state: true } };

  constructor() {
    super();
    this.site = '';
    /** @type {Body[]} */
    this.list = [];
    /** @type {number | null} */
    this.next = null;
    /** What is shown. @type {{session: Body, lanes: import('../playback.js').Lane[], entries: Body[], marks: Body[]} | null} */
    this.chosen = null;
    this.at = 0;
    this.asking = false;
    /** @type {Element | null} the entry that was scrolled to */
    this.shownEntry = null;
  }

  watches() {
    return [app.sites, templates];
  }

  async connectedCallback() {
    super.connectedCallback();
    await boot();
    this.started = true;
    fetchTemplates();
    try {
      app.sites.set(await api.sites());
      const asked = new URLSearchParams(location.search);
      const session = asked.get('session');
      if (session) await this.#choose(session);
      else if (asked.has('start')) await this.#stretch(asked.get('site') || app.me.site, Number(asked.get('start')), Number(asked.get('end')));
      const below = app.below(app.me.site).filter((one) => one.level === 'mine');
      await this.#list(asked.get('site') || this.chosen?.session.site || (below[0]?.site ?? app.me.site));
      // Nothing asked for: the first of the mines below where there is something.
      const others = asked.has('site') || this.chosen ? [] : below.slice(1, MOST_LOOKED_AT);
      for (const one of others) if (!this.list.length) await this.#list(one.site);
      if (!session && !this.chosen && this.list.length) await this.#choose(this.list[0].session);
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string} site */
  async #list(site) {
    this.site = site;
    const page = await api.sessions(site);
    this.list = page.items;
    this.next = page.next;
  }

  async #more() {
    try {
      const page = await api.sessions(this.site, this.next ?? undefined);
      this.list = [...this.list, ...page.items];
      this.next = page.next;
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string} id */
  async #choose(id) {
    try {
      const [session, recordings, entries] = await Promise.all([api.session(id), api.recordings(id), this.#entries(`session:${id}`)]);
      const marks = marksOf(entries).map((entry) => ({ at: entry.at, entry, tone: describe(entry)[1] }));
      this.chosen = { session, lanes: lanesOf(recordings), entries: entries.filter((entry) => !['position', 'reading', 'recording'].includes(entry.kind)), marks };
      this.at = startOf(this.chosen);
      history.replaceState(null, '', `/review?session=${encodeURIComponent(id)}`);
    } catch (error) {
      app.report(error);
    }
  }

  /** All cameras of a site between two moments, whether anybody talked then or not. @param {string} site @param {number} start @param {number} end */
  async #stretch(site, start, end) {
    if (!(end > start)) return;
    try {
      const [recordings, log] = await Promise.all([api.recordingsOf(site, start, end), api.log({ site, start, end })]);
      const entries = [...log.items].sort((a, b) => a.at - b.at);
      const marks = marksOf(entries).map((entry) => ({ at: entry.at, entry, tone: describe(entry)[1] }));
      const lanes = lanesOf(recordings).map((lane) => ({ ...lane, runs: lane.runs.filter((run) => run.end > start && run.start < end) })).filter((lane) => lane.runs.length);
      this.chosen = { session: { session: '', site, started_at: start, ended_at: end }, lanes, entries: entries.filter((entry) => !['position', 'reading', 'recording'].includes(entry.kind)), marks };
      this.at = startOf(this.chosen);
      history.replaceState(null, '', `/review?${new URLSearchParams({ site, start: String(Math.round(start)), end: String(Math.round(end)) })}`);
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {SubmitEvent} event */
  #askStretch(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const start = new Date(String(form.get('from'))).getTime() / 1000;
    this.#stretch(this.site, start, start + Number(form.get('minutes')) * 60);
  }

  /** @param {string} room @returns {Promise<Body[]>} */
  async #entries(room) {
    /** @type {Body[]} */
    const found = [];
    /** @type {number | null} */
    let after = 0;
    while (after !== null && found.length < MAX_ENTRIES) {
      const page = await api.timeline(room, after);
      found.push(...page.items);
      after = page.next;
    }
    return found;
  }

  updated() {
    const current = this.querySelector('.entry.current');
    if (current && current !== this.shownEntry) {
      this.shownEntry = current;
      current.scrollIntoView({ block: 'nearest' });
    }
  }

  render() {
    if (!this.started) return nothing;
    return html`
      <lamproom-topbar quiet still heading=${t('page.review')}></lamproom-topbar>
      <main class="review">
        ${this.#sessions()}
        ${this.chosen ? this.#one(this.chosen) : html`<section class="panel"><p class="empty tall">${icon('history', 'large')}<span>${this.list.length ? t('review.choose') : t('review.nothing')}</span></p></section>`}
      </main>
      <lamproom-toasts></lamproom-toasts>`;
  }

  #sessions() {
    const sites = app.below(app.me.site);
    return html`<section class="panel review-list" aria-label=${t('review.list')}>
      <h2>${icon('history')} ${t('review.list')}</h2>
      ${sites.length > 1 ? html`<p class="review-site"><select aria-label=${t('review.site')} @change=${(/** @type {Event} */ event) => this.#list(/** @type {HTMLSelectElement} */ (event.target).value).catch((error) => app.report(error))}>${sites.map((one) => html`<option value=${one.site} ?selected=${one.site === this.site}>${app.siteName(one.site)}</option>`)}</select></p>` : nothing}
      <details class="review-stretch" ?open=${Boolean(this.chosen && !this.chosen.session.session)}><summary>${icon('video')} ${t('review.stretch')}</summary>
        <form @submit=${this.#askStretch}>
          <label>${t('review.from')} <input type="datetime-local" name="from" required .value=${local((this.chosen && !this.chosen.session.session ? this.chosen.session.started_at : app.now() - 1800))} /></label>
          <label>${t('review.length')} <select name="minutes">${STRETCH_MIN.map((one) => html`<option value=${one} ?selected=${one === 30}>${t('time.minutes', { n: one })}</option>`)}</select></label>
          <button class="small primary" type="submit">${t('review.show')}</button>
        </form></details>
      <ul class="scroll">
        ${this.list.length ? nothing : html`<li class="empty">${t('review.none')}</li>`}
        ${this.list.map((one) => html`<li><button class="site-row review-row ${one.session === this.chosen?.session.session ? 'current' : ''}" @click=${() => this.#choose(one.session)}>
          <span><b>${app.sessionName(one)}</b>${drillChip(one)}${one.simulated ? html` <span class="simulated">${t('simulated')}</span>` : nothing}<br />
          <span class="mono faint">${day(one.started_at)} ${clock(one.started_at)} · ${one.ended_at ? timer(one.ended_at - one.started_at) : t('review.open')}</span></span></button></li>`)}
        ${this.next ? html`<li><button class="small" @click=${this.#more}>${t('review.more')}</button></li>` : nothing}
      </ul>
    </section>`;
  }

  /** @param {NonNullable<Review['chosen']>} chosen */
  #one(chosen) {
    const { session } = chosen;
    const report = (/** @type {string} */ format) => `/api/sessions/${encodeURIComponent(session.session)}/report?format=${format}&lang=${language.value}`;
    const [start, end] = spanOf(chosen.lanes, session);
    const at = this.at || start;
    return html`<section class="review-one">
      ${session.session ? this.#head(chosen, report) : html`<header class="session-head"><b class="session-name">${app.siteName(session.site)}</b><span class="mono faint">${day(start)} ${clock(start)}–${clock(end)}</span><span class="faint">${t('review.cameras', { n: chosen.lanes.filter((lane) => lane.kind === 'video').length })}</span></header>`}
      ${this.asking ? this.#hold(session) : nothing}
      ${session.summary ? html`<p class="review-summary">${session.summary}</p>` : nothing}
      <lamproom-player .lanes=${chosen.lanes} .session=${session} .marks=${chosen.marks} @moved=${(/** @type {CustomEvent} */ event) => (this.at = event.detail)}></lamproom-player>
      ${this.#entriesOf(chosen)}
      <lamproom-past site=${session.site} .start=${start} .end=${end} .at=${at} @seek=${(/** @type {CustomEvent} */ event) => this.#seek(event.detail)}></lamproom-past>
    </section>`;
  }

  /** @param {NonNullable<Review['chosen']>} chosen @param {(format: string) => string} report */
  #head(chosen, report) {
    const { session } = chosen;
    return html`<header class="session-head">
        <b class="session-name">${app.sessionName(session)}</b>${drillChip(session)}
        <span class="mono faint">${day(session.started_at)} ${clock(session.started_at)}–${session.ended_at ? clock(session.ended_at) : t('review.open')}</span>
        <span class="badge ${session.held ? 'info' : 'warning'}">${icon('shield')} ${session.held ? t('review.held') : t('review.released')}</span>
        <span class="grow"></span>
        <a class="button" href=${report('pdf')}>${icon('clipboard-list')} ${t('review.report')} PDF</a>
        <a class="button small" href=${report('csv')}>CSV</a><a class="button small" href=${report('json')} target="_blank" rel="noopener">JSON</a>
        <a class="button" href="/api/sessions/${encodeURIComponent(session.session)}/case">${t('review.case')} ZIP</a>
        ${chosen.lanes.length ? html`<a class="button small" href="/api/sessions/${encodeURIComponent(session.session)}/export">${t('review.export')} MKV</a>` : nothing}
        ${app.mayClose ? html`<a class="button small" href=${`/duty?${new URLSearchParams({ site: session.site, origin: `session:${session.session}` })}#hazards`}>${t('hazard.record')}</a>` : nothing}
        ${app.me.role === 'admin' ? html`<button @click=${() => (this.asking = !this.asking)}>${session.held ? t('review.release') : t('review.hold')}</button>` : nothing}
      </header>`;
  }

  /** @param {Body} session */
  #hold(session) {
    return html`<form class="review-hold" @submit=${(/** @type {SubmitEvent} */ event) => this.#sendHold(event, session)}>
      <label>${t('review.reason')} <input name="reason" minlength="4" maxlength="500" required /></label>
      <button class="danger" type="submit">${session.held ? t('review.release') : t('review.hold')}</button>
      <button type="button" @click=${() => (this.asking = false)}>${t('cancel')}</button>
    </form>`;
  }

  /** @param {SubmitEvent} event @param {Body} session */
  async #sendHold(event, session) {
    event.preventDefault();
    const reason = String(new FormData(/** @type {HTMLFormElement} */ (event.target)).get('reason')).trim();
    try {
      await api.hold(session.session, !session.held, reason);
      this.asking = false;
      await this.#choose(session.session);
    } catch (error) {
      app.report(error);
    }
  }

  /** What happened, the current one marked; a press goes there. @param {NonNullable<Review['chosen']>} chosen */
  #entriesOf(chosen) {
    const current = chosen.entries.findLast((entry) => entry.at <= this.at);
    return html`<section class="panel timeline review-entries" aria-label=${t('timeline.title')}>
      <h2>${icon('clock')} ${t('timeline.title')}</h2>
      <ol class="scroll">${chosen.entries.map((entry) => {
        const [name, tone, sentence] = describe(entry);
        return html`<li class="entry ${tone} ${entry === current ? 'current' : ''}"><button class="tool" @click=${() => this.#seek(entry.at)}><time class="mono">${clock(entry.at)}</time></button>${icon(name)}<p>${sentence}</p></li>`;
      })}</ol>
    </section>`;
  }

  /** @param {number} at */
  #seek(at) {
    /** @type {any} */ (this.querySelector('lamproom-player'))?.seek(at);
  }
}
customElements.define('lamproom-review', Review);
