// Call list and rota of a site: who is on duty now and in the next days, who is called when, and whether the numbers work.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { moment } from '../format.js';
import { has, t } from '../i18n.js';

const WHO = /** @type {const} */ (['on_duty', 'deputy', 'leader']);
const HOUR = 3600;

/** @typedef {Record<string, any>} Body */

/** A `datetime-local` value as seconds since the epoch. @param {unknown} value */
export const localTime = (value) => new Date(String(value)).getTime() / 1000;

/** @param {number} at seconds */
function localValue(at) {
  const then = new Date(at * 1000);
  return new Date(then.getTime() - then.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

class RotaPart extends Part {
  static properties = { site: { type: String }, rota: { state: true }, form: { state: true } };

  constructor() {
    super();
    this.site = '';
    /** @type {Body | null} */
    this.rota = null;
    this.form = '';
  }

  watches() {
    return [app.sites];
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (changed.has('site') && this.site) this.#load();
  }

  async #load() {
    const site = this.site;
    await this.#do(async () => {
      const rota = await api.rota(site);
      if (site === this.site) this.rota = rota;
    }, false);
  }

  /** @param {() => Promise<unknown>} run @param {boolean} [again] */
  #do(run, again = true) {
    return app.attempt(async () => {
      await run();
      if (!again) return;
      this.form = '';
      await this.#load();
    });
  }

  get #may() {
    return app.mayAcknowledge;
  }

  /** @param {string} id */
  #name(id) {
    return this.rota?.people.find((/** @type {Body} */ one) => one.person === id)?.name ?? id;
  }

  /** @param {string[]} people */
  #names(people) {
    return people.length ? people.map((one) => this.#name(one)).join(t('comma')) : t('rota.nobody');
  }

  render() {
    const rota = this.rota;
    if (!rota) return html`<p class="empty">${t('loading')}</p>`;
    return html`
      <section class="panel wide now-on-duty"><h2>${icon('user-check')} ${t('rota.now')}</h2>
        <dl class="rota-now">${WHO.map((who) => html`<dt>${t(`who.${who}`)}</dt><dd class=${rota.now[who].length ? '' : 'faint'} data-who=${who}>${this.#names(rota.now[who])}</dd>`)}</dl>
      </section>
      <section class="panel wide"><h2>${icon('users')} ${t('rota.people')}<span class="grow"></span>${this.#peopleTools(rota)}</h2>
        ${this.form === 'person' ? this.#personForm() : nothing}
        ${rota.people.length ? this.#people(rota) : html`<p class="empty">${t('rota.no_people')}</p>`}
      </section>
      <section class="panel"><h2>${icon('history')} ${t('rota.plans')}<span class="grow"></span>${this.#button('plan', 'rota.add_plan')}</h2>
        ${this.form === 'plan' ? this.#planForm(rota) : nothing}
        ${rota.plans.length ? html`<ul class="plain">${rota.plans.map((/** @type {Body} */ one) => this.#plan(one))}</ul>` : html`<p class="empty">${t('rota.no_plans')}</p>`}
      </section>
      <section class="panel"><h2>${icon('refresh-cw')} ${t('rota.overrides')}<span class="grow"></span>${this.#button('override', 'rota.add_override')}</h2>
        ${this.form === 'override' ? this.#overrideForm(rota) : nothing}
        ${rota.overrides.length ? html`<ul class="plain">${rota.overrides.map((/** @type {Body} */ one) => this.#override(one))}</ul>` : html`<p class="empty">${t('rota.no_overrides')}</p>`}
      </section>
      <section class="panel wide"><h2>${icon('clock')} ${t('rota.week')}</h2><div class="scroll">${this.#week(rota)}</div></section>
    `;
  }

  /** @param {string} form @param {string} label */
  #button(form, label) {
    if (!this.#may) return nothing;
    return html`<button class="small" aria-expanded=${this.form === form} data-form=${form} @click=${() => (this.form = this.form === form ? '' : form)}>${icon('plus')} ${t(label)}</button>`;
  }

  /** @param {Body} rota */
  #peopleTools(rota) {
    return html`${this.#may
      ? html`<button class="small" ?disabled=${!rota.phones || rota.drilling} title=${rota.phones ? '' : t('rota.no_phones')} @click=${() => this.#do(() => api.drill(this.site))}>${icon('phone')} ${rota.drilling ? t('rota.drilling') : t('rota.drill')}</button>`
      : nothing}${this.#button('person', 'rota.add_person')}`;
  }

  /** @param {Body} rota */
  #people(rota) {
    return html`<div class="scroll"><table><thead><tr><th>${t('rota.name')}</th><th>${t('rota.phone')}</th><th>${t('rota.test')}</th><th></th></tr></thead>
      <tbody>${rota.people.map((/** @type {Body} */ one) => html`<tr class=${one.active ? '' : 'faint'} data-person=${one.person}>
        <td class="nowrap">${one.name}${one.active ? nothing : html` <span class="chip">${t('rota.inactive')}</span>`}</td><td class="mono">${one.phone || '—'}</td>
        <td>${this.#test(one)}</td>
        <td class="acts">${this.#may ? this.#personActs(one) : nothing}</td></tr>`)}</tbody></table></div>`;
  }

  /** @param {Body} one */
  #test(one) {
    if (!one.phone) return '—';
    const words = one.test ? t(`test.${one.test}`) : t('test.untested');
    const kind = one.dead ? 'critical' : one.untested ? 'warning' : 'ok';
    return html`<span class="badge ${kind}">${words}</span>${one.tested_at ? html` <span class="faint">${moment(one.tested_at, app.now())}</span>` : nothing}`;
  }

  /** @param {Body} one */
  #personActs(one) {
    const tested = (/** @type {'answered' | 'no_answer' | 'wrong_number'} */ result) => () => this.#do(() => api.personTested(one.person, result));
    return html`${one.phone
        ? html`<button class="small" @click=${tested('answered')}>${t('rota.reached')}</button><button class="small" @click=${tested('wrong_number')}>${t('rota.not_reached')}</button>`
        : nothing}
      <button class="small" @click=${() => this.#do(() => api.changePerson(one.person, { active: !one.active }))}>${one.active ? t('rota.put_out') : t('rota.put_in')}</button>`;
  }

  /** @param {Body} one */
  #plan(one) {
    return html`<li><b>${t(`who.${one.who}`)}</b> ${one.name} <span class="faint">${t('rota.every', { hours: one.turn_s / HOUR })} · ${t('rota.from', { time: moment(one.starts_at, 0) })}</span>
      <ol class="turns">${one.turns.map((/** @type {string[]} */ turn) => html`<li>${this.#names(turn)}</li>`)}</ol>
      ${this.#may ? html`<button class="small" aria-label=${t('rota.remove')} @click=${() => this.#do(() => api.removePlan(one.plan))}>${icon('x')} ${t('rota.remove')}</button>` : nothing}</li>`;
  }

  /** @param {Body} one */
  #override(one) {
    return html`<li><b>${t(`who.${one.who}`)}</b> ${this.#names(one.people)} <span class="mono faint">${moment(one.start, 0)} – ${moment(one.end, 0)}</span> <span class="faint">${one.reason} ${one.by}</span>
      ${this.#may ? html`<button class="small" @click=${() => this.#do(() => api.removeOverride(one.override))}>${icon('x')} ${t('rota.remove')}</button>` : nothing}</li>`;
  }

  /** @param {Body} rota */
  #week(rota) {
    const spans = rota.spans.filter((/** @type {Body} */ one) => one.people.length || one.who === 'on_duty');
    return html`<table><tbody>${spans.slice(0, 60).map((/** @type {Body} */ one) => html`<tr class=${one.people.length ? '' : 'hole'}>
      <td class="mono">${moment(one.start, 0)}</td><td class="mono">${moment(one.end, 0)}</td><td>${t(`who.${one.who}`)}</td>
      <td>${this.#names(one.people)}${one.override ? html` <span class="chip">${t('rota.override')}</span>` : nothing}</td></tr>`)}</tbody></table>`;
  }

  // --- forms ---

  /** @param {(form: FormData) => Promise<unknown>} run */
  #send(run) {
    return (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this.#do(() => run(new FormData(/** @type {HTMLFormElement} */ (event.target))));
    };
  }

  #personForm() {
    return html`<form class="duty-form" @submit=${this.#send((form) => api.addPerson({ site: this.site, name: form.get('name'), phone: form.get('phone'), user: form.get('user') }))}>
      <label>${t('rota.name')}<input name="name" required maxlength="64" autocomplete="off" /></label>
      <label>${t('rota.phone')}<input name="phone" inputmode="tel" pattern="\\+?[0-9]{3,20}" autocomplete="off" /></label>
      <label>${t('rota.user')}<input name="user" maxlength="64" autocomplete="off" placeholder=${t('rota.user_hint')} /></label>
      <button class="primary" type="submit">${t('rota.save')}</button></form>`;
  }

  #whoField() {
    return html`<label>${t('rota.who')}<select name="who">${WHO.map((who) => html`<option value=${who}>${t(`who.${who}`)}</option>`)}</select></label>`;
  }

  /** @param {Body} rota @param {string} name @param {string} label */
  #peopleField(rota, name, label) {
    const active = rota.people.filter((/** @type {Body} */ one) => one.active);
    return html`<fieldset class="people-field"><legend>${label}</legend>${active.map((/** @type {Body} */ one) => html`<label><input type="checkbox" name=${name} value=${one.person} /> ${one.name}</label>`)}</fieldset>`;
  }

  /** Each chosen person is a turn of his own; several in one turn go by the API. @param {Body} rota */
  #planForm(rota) {
    const start = new Date(app.now() * 1000);
    start.setHours(8, 0, 0, 0);
    return html`<form class="duty-form" @submit=${this.#send((form) =>
        api.addPlan({
          site: this.site, who: form.get('who'), name: form.get('name'), starts_at: localTime(form.get('starts_at')),
          turn_s: Number(form.get('hours')) * HOUR, turns: form.getAll('person').map((one) => [one]),
        }),
      )}>
      ${this.#whoField()}
      <label>${t('rota.plan_name')}<input name="name" maxlength="64" autocomplete="off" /></label>
      <label>${t('rota.starts_at')}<input name="starts_at" type="datetime-local" required .value=${localValue(start.getTime() / 1000)} /></label>
      <label>${t('rota.turn_hours')}<input name="hours" type="number" min="1" max="8784" value="8" required /></label>
      ${this.#peopleField(rota, 'person', t('rota.turns'))}
      <button class="primary" type="submit">${t('rota.save')}</button></form>`;
  }

  /** @param {Body} rota */
  #overrideForm(rota) {
    const now = app.now();
    return html`<form class="duty-form" @submit=${this.#send((form) =>
        api.addOverride({
          site: this.site, who: form.get('who'), start: localTime(form.get('start')), end: localTime(form.get('end')),
          people: form.getAll('person'), reason: form.get('reason'),
        }),
      )}>
      ${this.#whoField()}
      <label>${t('rota.start')}<input name="start" type="datetime-local" required .value=${localValue(now)} /></label>
      <label>${t('rota.end')}<input name="end" type="datetime-local" required .value=${localValue(now + 8 * HOUR)} /></label>
      <label>${t('rota.reason')}<input name="reason" maxlength="200" autocomplete="off" /></label>
      ${this.#peopleField(rota, 'person', t('rota.who_instead'))}
      <button class="primary" type="submit">${t('rota.save')}</button></form>`;
  }
}
customElements.define('lamproom-rota', RotaPart);
