// Hazards and their rectification: numbers per site, the list, one hazard with its history, and what may be done with it.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { age, moment } from '../format.js';
import { t } from '../i18n.js';

/** @typedef {Record<string, any>} Body */

const DAY_S = 86400;
const DAYS = 7;
const STATES = ['standing', 'waiting', 'replied', 'closed', 'withdrawn'];
const MAX_PICTURES = 9;

/** What each state lets people do: of the site, and of those above it. @type {Record<string, { own: string[], above: string[] }>} */
const STEPS = {
  open: { own: ['reply', 'ask'], above: ['extend', 'withdraw'] },
  returned: { own: ['reply', 'ask'], above: ['extend', 'withdraw'] },
  replied: { own: [], above: ['close', 'return', 'withdraw'] },
  closed: { own: [], above: [] },
  withdrawn: { own: [], above: [] },
};
const TIMED = new Set(['ask', 'extend', 'return', 'grant']);

/** For `<input type=datetime-local>`, in the clock of the page. @param {number} at */
function localField(at) {
  const then = new Date(at * 1000);
  return new Date(then.getTime() - then.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

class Hazards extends Part {
  static properties = {
    site: { type: String }, list: { state: true }, shown: { state: true }, recording: { state: true }, doing: { state: true },
    state: { state: true }, severity: { state: true }, late: { state: true }, words: { state: true }, busy: { state: true },
  };

  constructor() {
    super();
    const asked = new URLSearchParams(location.search);
    this.site = '';
    /** @type {Body | null} */
    this.list = null;
    /** @type {Body | null} */
    this.shown = null;
    this.origin = asked.get('origin') ?? '';
    this.recording = Boolean(this.origin);
    this.about = asked.get('text') ?? '';
    this.wanted = asked.get('hazard') ?? '';
    this.doing = '';
    this.busy = false;
    this.state = 'standing';
    this.severity = '';
    this.late = false;
    this.words = '';
    this.newest = 0;
  }

  watches() {
    return [app.sites, app.rooms];
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (!this.site) return;
    if (['site', 'state', 'severity', 'late', 'words'].some((name) => changed.has(name))) this.#load();
    else if (this.#news() > this.newest) this.#load();
  }

  /** The number of the newest entry about a hazard in the own room. */
  #news() {
    const entries = app.own?.entries ?? [];
    return entries.findLast((/** @type {Body} */ one) => one.kind === 'hazard')?.seq ?? 0;
  }

  /** @param {() => Promise<unknown>} run */
  async #do(run) {
    this.busy = true;
    await app.attempt(run);
    this.busy = false;
  }

  /** @param {string} [after] */
  async #load(after = '') {
    this.newest = this.#news();
    const asked = JSON.stringify([this.site, this.state, this.severity, this.late, this.words]);
    try {
      const list = await api.hazards({ ...this.#filters, after });
      if (asked !== JSON.stringify([this.site, this.state, this.severity, this.late, this.words])) return;
      this.list = after ? { ...list, items: [...(this.list?.items ?? []), ...list.items] } : list;
      const open = this.shown?.hazard ?? this.wanted;
      this.wanted = '';
      if (open) this.shown = await api.hazard(open);
    } catch (error) {
      app.report(error);
    }
  }

  get #filters() {
    return { site: this.site, state: this.state === 'all' ? '' : this.state, severity: this.severity, late: this.late ? '1' : '', q: this.words };
  }

  /** @param {Body | null} one */
  #isAbove(one) {
    return app.mayClose && (!one || one.site !== app.me.site || !this.#parent(one.site));
  }

  /** @param {string} site */
  #parent(site) {
    return app.sites.value.find((one) => one.site === site)?.parent;
  }

  /** @param {string} hazard */
  #open(hazard) {
    this.doing = '';
    this.#do(async () => (this.shown = await api.hazard(hazard)));
  }

  render() {
    const list = this.list;
    if (!list) return html`<p class="empty">${t('loading')}</p>`;
    return html`<div class="parts hazards">
      ${this.#numbers(list)}
      <section class="panel wide" aria-busy=${this.busy}><h2>${icon('triangle-alert')} ${t('hazard.title')}<span class="grow"></span>
        ${app.mayClose ? html`<button class="small primary" data-record aria-expanded=${this.recording} @click=${() => (this.recording = !this.recording)}>${icon('plus')} ${t('hazard.record')}</button>` : nothing}
        <a class="button small" href=${`/api/hazards?${new URLSearchParams({ ...this.#filters, format: 'csv' })}`} download>CSV</a></h2>
        ${this.recording ? this.#recordForm() : nothing}
        ${this.#filterBar()}
        ${list.items.length
          ? html`<div class="scroll"><table><thead><tr><th>${t('hazard.recorded')}</th><th>${t('duty_office.site')}</th><th>${t('hazard.what')}</th><th>${t('hazard.severity')}</th><th>${t('hazard.state')}</th><th>${t('hazard.deadline')}</th></tr></thead>
              <tbody>${list.items.map((/** @type {Body} */ one) => this.#row(one))}</tbody></table></div>
              ${list.next ? html`<p class="acts note"><button class="small" @click=${() => this.#load(list.next)}>${t('hazard.more')}</button></p>` : nothing}`
          : html`<p class="empty">${icon('circle-check')} ${t('hazard.none')}</p>`}
      </section>
      ${this.shown ? this.#detail(this.shown) : nothing}</div>`;
  }

  /** @param {Body} list */
  #numbers(list) {
    if (!list.counts.length) return nothing;
    const columns = ['late', 'open', 'returned', 'replied', 'closed'];
    return html`<section class="panel wide"><h2>${icon('activity')} ${t('hazard.per_site')}</h2>
      <div class="scroll"><table class="hazard-counts"><thead><tr><th>${t('duty_office.site')}</th>${columns.map((name) => html`<th class="num">${t(name === 'late' ? 'hazard.late' : `hazard.state.${name}`)}</th>`)}</tr></thead>
      <tbody>${list.counts.slice(0, 200).map((/** @type {Body} */ one) => html`<tr data-site=${one.site}><td>${app.siteName(one.site)}</td>
        ${columns.map((name) => html`<td class="num mono">${name === 'late' && one.late ? html`<span class="badge critical">${one.late}</span>` : one[name]}</td>`)}</tr>`)}</tbody></table></div></section>`;
  }

  #filterBar() {
    const value = (/** @type {Event} */ event) => /** @type {HTMLInputElement} */ (event.target).value;
    return html`<div class="duty-form hazard-filters" role="search">
      <label>${t('hazard.state')}<select name="state" @change=${(/** @type {Event} */ event) => (this.state = value(event))}>${[...STATES, 'all'].map((one) => html`<option value=${one} ?selected=${one === this.state}>${t(`hazard.state.${one}`)}</option>`)}</select></label>
      <label>${t('hazard.severity')}<select name="severity_filter" @change=${(/** @type {Event} */ event) => (this.severity = value(event))}>${['', 'general', 'major'].map((one) => html`<option value=${one} ?selected=${one === this.severity}>${t(`hazard.severity.${one || 'any'}`)}</option>`)}</select></label>
      <label>${t('hazard.search')}<input name="words" type="search" maxlength="100" autocomplete="off" .value=${this.words} @change=${(/** @type {Event} */ event) => (this.words = value(event).trim())} /></label>
      <label class="check"><input type="checkbox" name="late" .checked=${this.late} @change=${(/** @type {Event} */ event) => (this.late = /** @type {HTMLInputElement} */ (event.target).checked)} /> ${t('hazard.only_late')}</label>
    </div>`;
  }

  /** @param {Body} one */
  #badge(one) {
    const kind = one.state === 'closed' ? 'ok' : one.state === 'replied' ? 'info' : one.state === 'withdrawn' ? 'plain' : one.state === 'returned' ? 'warning' : 'plain';
    return html`<span class="badge ${kind}">${t(`hazard.state.${one.state}`)}</span>`;
  }

  /** @param {Body} one */
  #deadline(one) {
    const now = app.now();
    const waits = one.state === 'open' || one.state === 'returned';
    const left = one.deadline - now;
    const words = !waits ? nothing : left < 0 ? html` <span class="badge critical">${t('hazard.overdue_by', { time: age(-left) })}</span>` : html` <span class="faint">${t('hazard.left', { time: age(left) })}</span>`;
    return html`<span class="mono nowrap">${moment(one.deadline, now)}</span>${words}${one.asked_until ? html` <span class="badge warning">${t('hazard.asks')}</span>` : nothing}`;
  }

  /** @param {Body} one */
  #row(one) {
    return html`<tr data-hazard=${one.hazard} data-state=${one.state} aria-selected=${this.shown?.hazard === one.hazard}>
      <td class="mono nowrap">${moment(one.recorded_at, app.now())}</td><td>${app.siteName(one.site)}</td>
      <td><button class="linklike" @click=${() => this.#open(one.hazard)}>${one.place}${t('colon')}${one.text.slice(0, 120)}</button>${one.simulated ? html` <span class="simulated">${t('simulated')}</span>` : nothing}</td>
      <td><span class="badge ${one.severity === 'major' ? 'critical' : 'plain'}">${t(`hazard.severity.${one.severity}`)}</span></td>
      <td>${this.#badge(one)}</td><td>${this.#deadline(one)}</td></tr>`;
  }

  // --- recording ---

  #recordForm() {
    const sites = app.below(app.me.site).filter((one) => this.#isAbove(one));
    return html`<form class="duty-form hazard-form" data-form="record" @submit=${(/** @type {SubmitEvent} */ event) => this.#record(event)}>
      <label>${t('hazard.site')}<select name="site" required>${sites.map((one) => html`<option value=${one.site} ?selected=${one.site === this.site}>${app.siteName(one.site)}</option>`)}</select></label>
      <label>${t('hazard.place')}<input name="place" required maxlength="120" autocomplete="off" /></label>
      <label>${t('hazard.severity')}<select name="severity">${['general', 'major'].map((one) => html`<option value=${one}>${t(`hazard.severity.${one}`)}</option>`)}</select></label>
      ${this.#timeField(app.now() + DAYS * DAY_S, t('hazard.deadline'), true)}
      <label class="full">${t('hazard.text')}<textarea name="text" required minlength="2" maxlength="2000" .value=${this.about}></textarea></label>
      ${this.#pictureField(false)}
      ${this.origin ? html`<p class="faint full">${t('hazard.from', { what: t(`hazard.origin.${this.origin.split(':')[0]}`) })}</p>` : nothing}
      <p class="acts full"><button class="primary" type="submit" ?disabled=${this.busy}>${icon('check')} ${t('hazard.record_now')}</button><button type="button" @click=${() => (this.recording = false)}>${t('cancel')}</button></p>
    </form>`;
  }

  /** @param {boolean} required */
  #pictureField(required) {
    return html`<label>${t('hazard.pictures')}<input type="file" name="pictures" accept="image/png,image/jpeg,image/webp" multiple ?required=${required} /></label>`;
  }

  /** @param {number} at @param {string} label @param {boolean} required */
  #timeField(at, label, required) {
    return html`<label>${label}<input type="datetime-local" name="deadline" ?required=${required} .defaultValue=${localField(at)} /></label>`;
  }

  /** Sends the pictures of a form, one after the other. @param {FormData} form @returns {Promise<string[]>} */
  async #send(form) {
    const files = form.getAll('pictures').filter((one) => one instanceof File && one.size);
    const names = [];
    for (const file of files.slice(0, MAX_PICTURES)) names.push((await api.hazardPicture(/** @type {File} */ (file))).picture);
    return names;
  }

  /** @param {SubmitEvent} event */
  #record(event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const [origin, ...id] = this.origin ? this.origin.split(':') : ['manual', ''];
    this.#do(async () => {
      const pictures = await this.#send(form);
      const made = await api.recordHazard({
        site: String(form.get('site')), place: String(form.get('place')), text: String(form.get('text')), severity: String(form.get('severity')),
        deadline: new Date(String(form.get('deadline'))).getTime() / 1000, pictures, origin, origin_id: id.join(':'),
      });
      this.recording = false;
      this.origin = this.about = '';
      this.shown = made;
      app.toast(t('hazard.is_recorded'));
      await this.#load();
    });
  }

  // --- one hazard ---

  /** @param {Body} one */
  #detail(one) {
    const steps = this.#steps(one);
    return html`<section class="panel wide hazard" data-hazard=${one.hazard} data-state=${one.state}>
      <h2>${icon('clipboard-list')} ${one.place} ${this.#badge(one)}<span class="grow"></span><button class="small" aria-label=${t('close')} @click=${() => (this.shown = null)}>${icon('x')}</button></h2>
      <div class="hazard-body">
        <p>${one.text}</p>
        <p class="faint"><b>${app.siteName(one.site)}</b> · ${t(`hazard.severity.${one.severity}`)} · ${t('hazard.deadline')} ${this.#deadline(one)}${one.origin !== 'manual' ? html` · ${t('hazard.from', { what: t(`hazard.origin.${one.origin}`) })}` : nothing}</p>
        <ol class="hazard-steps">${one.steps.map((/** @type {Body} */ step) => this.#step(one, step))}</ol>
        ${steps.length ? html`<p class="acts">${steps.map((name) => html`<button class=${['reply', 'close'].includes(name) ? 'primary' : ''} data-step=${name} aria-expanded=${this.doing === name} @click=${() => (this.doing = this.doing === name ? '' : name)}>${t(`hazard.do.${name}`)}</button>`)}</p>` : nothing}
        ${this.doing && steps.includes(this.doing) ? this.#stepForm(one, this.doing) : nothing}
      </div></section>`;
  }

  /** What may be done by who looks. @param {Body} one @returns {string[]} */
  #steps(one) {
    const of = STEPS[one.state] ?? { own: [], above: [] };
    const above = this.#isAbove(one) ? [...(one.asked_until ? ['grant', 'refuse'] : []), ...of.above] : [];
    return [...(one.site === app.me.site && app.mayAcknowledge ? of.own : []), ...above];
  }

  /** @param {Body} one @param {Body} step */
  #step(one, step) {
    const source = (/** @type {Body} */ picture) => `/api/hazards/${encodeURIComponent(one.hazard)}/pictures/${encodeURIComponent(picture.picture)}`;
    return html`<li data-change=${step.change}><span class="mono">${moment(step.at, app.now())}</span> <b>${t(`hazard.change.${step.change}`)}</b> ${step.by.name ? html`${step.by.name} <span class="faint">${app.siteName(step.by.site)}</span>` : nothing}
      ${step.deadline ? html`<span class="faint">${t('hazard.until', { time: moment(step.deadline, 0) })}</span>` : nothing}
      ${step.text && step.change !== 'recorded' ? html`<p class="comment">${step.text}</p>` : nothing}
      ${step.pictures.length ? html`<p class="evidence">${step.pictures.map((/** @type {Body} */ picture, /** @type {number} */ number) => html`<a href=${source(picture)} target="_blank" rel="noopener" title=${`SHA-256 ${picture.sha256}`}><img src=${source(picture)} loading="lazy" alt=${t('hazard.picture', { n: number + 1 })} /></a>`)}</p>` : nothing}</li>`;
  }

  /** @param {Body} one @param {string} name */
  #stepForm(one, name) {
    const late = one.deadline <= app.now();
    const from = Math.max(one.asked_until ?? 0, one.deadline, app.now());
    const needsWords = !['close', 'grant', 'refuse'].includes(name);
    return html`<form class="duty-form hazard-form" data-form=${name} @submit=${(/** @type {SubmitEvent} */ event) => this.#act(one, name, event)}>
      <label class="full">${t(name === 'reply' ? 'hazard.reply_text' : 'hazard.reason')}<textarea name="text" ?required=${needsWords} minlength=${needsWords ? 2 : 0} maxlength="2000"></textarea></label>
      ${name === 'reply' ? this.#pictureField(true) : nothing}
      ${TIMED.has(name) ? this.#timeField(name === 'grant' ? one.asked_until : name === 'return' && !late ? one.deadline : from + 3 * DAY_S, t('hazard.new_deadline'), name !== 'return' || late) : nothing}
      <p class="acts full"><button class="primary" type="submit" ?disabled=${this.busy}>${icon('check')} ${t(`hazard.do.${name}`)}</button></p>
    </form>`;
  }

  /** @param {Body} one @param {string} name @param {SubmitEvent} event */
  #act(one, name, event) {
    event.preventDefault();
    const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const text = String(form.get('text') ?? '').trim();
    const at = form.get('deadline') ? new Date(String(form.get('deadline'))).getTime() / 1000 : null;
    // The field knows minutes only: one that was left as it was is the very moment.
    const same = at !== null && [one.deadline, one.asked_until].find((known) => known && localField(known) === form.get('deadline'));
    const deadline = same || at;
    this.#do(async () => {
      const body = { text, ...(name === 'reply' ? { pictures: await this.#send(form) } : {}), ...(deadline && TIMED.has(name) ? { deadline } : {}) };
      const decided = name === 'grant' || name === 'refuse';
      this.shown = await api.hazardStep(one.hazard, decided ? 'decide' : name, decided ? { ...body, granted: name === 'grant' } : body);
      this.doing = '';
      await this.#load();
    });
  }
}
customElements.define('lamproom-hazards', Hazards);
