// Who is in a consultation, who was called, who waits at the door, whose hand is up; and what the chair does with them.
import { reachChip } from './ladder.js';
import { Part, html, icon, nothing } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { app, LEVELS } from '../app.js';
import { api } from '../api.js';
import { heard, mayPreempt, mayTakeChair } from '../floor.js';
import { clock } from '../format.js';
import { has, t } from '../i18n.js';
import './guest-links.js';
import './dial.js';
import './phone-acts.js';

/** @typedef {Record<string, any>} Body */

const MODES = ['open', 'chaired', 'talk'];
const ROLES = ['dispatcher', 'supervisor', 'admin'];

/** @param {string} level */
const height = (level) => LEVELS.indexOf(level);

class People extends Part {
  static properties = { open: { state: true }, inviting: { state: true } };

  constructor() {
    super();
    /** User whose acts are shown. */
    this.open = '';
    this.inviting = false;
  }

  watches() {
    return [app.rooms, app.session, app.sites, app.tick, app.media.speaker];
  }

  render() {
    const session = app.currentSession ?? {};
    const floor = app.floor;
    const people = this.#people();
    const present = new Set(people.map((one) => one.person.user));
    return html`<div class="people scroll">
      ${this.#tools(session, floor, present)}
      ${app.governs ? this.#lobby(floor) : nothing}
      ${this.#hands(floor)}
      <h3>${t('people.in', { n: people.length })}</h3>
      <ul>${repeat(people, (one) => one.person.user, (one) => this.#one(one, floor))}</ul>
      ${this.#called(session, present)}
      ${app.governs && floor.barred.length ? this.#barred(floor) : nothing}
    </div>`;
  }

  /** One line for each user; a second page of the same user is counted. @returns {Body[]} */
  #people() {
    /** @type {Map<string, Body>} */
    const users = new Map();
    const voice = app.sessionRoom?.tracks.find((track) => app.media.speaks(track))?.client;
    for (const { ...member } of app.sessionRoom?.members ?? []) {
      member.speaking ||= member.client === voice;
      const known = users.get(member.person.user);
      if (known) {
        known.pages += 1;
        known.watching ||= member.watching;
        known.speaking ||= member.speaking;
        known.since = Math.min(known.since, member.since);
      } else users.set(member.person.user, { ...member, pages: 1 });
    }
    return [...users.values()].sort((a, b) => height(b.person.level) - height(a.person.level) || a.since - b.since);
  }

  // --- tools ---

  /** @param {Body} session @param {Body} floor @param {Set<string>} present */
  #tools(session, floor, present) {
    const { me } = app;
    return html`<div class="people-tools">
      ${mayPreempt(floor, me) && !(floor.priority && floor.holder?.user === me.user) ? html`<button class="preempt" @click=${() => app.act('preempt')}>${icon('octagon-alert')} ${t('floor.preempt')}</button>` : nothing}
      ${mayTakeChair(floor, me, present) ? html`<button @click=${() => app.act('take_chair')}>${icon('chair')} ${t('floor.take_chair')}</button>` : nothing}
      ${app.governs
        ? html`<span class="segments" role="group" aria-label=${t('floor.mode')}>${MODES.map((mode) => html`<button class="small" aria-pressed=${floor.mode === mode} title=${t(`floor.mode.${mode}.told`)} @click=${() => app.act('mode', '', mode)}>${t(`floor.mode.${mode}`)}</button>`)}</span>
            <button class="small" @click=${() => app.act(floor.mute_new ? 'unmute_all' : 'mute_all')}>${icon(floor.mute_new ? 'mic' : 'mic-off')} ${floor.mute_new ? t('floor.unmute_all') : t('floor.mute_all')}</button>
            <button class="small" aria-pressed=${floor.locked} @click=${() => app.act(floor.locked ? 'unlock' : 'lock')}>${icon(floor.locked ? 'lock' : 'unlock')} ${floor.locked ? t('floor.unlock') : t('floor.lock')}</button>
            ${app.mayCall ? html`<lamproom-guest-links></lamproom-guest-links>` : nothing}
            ${floor.spotlight ? html`<button class="small" @click=${() => app.act('spotlight')}>${icon('spot')} ${t('floor.unspot')}</button>` : nothing}
            ${this.#merge()}`
        : nothing}
      ${app.mayCall ? html`<button class="small" aria-expanded=${this.inviting} @click=${() => (this.inviting = !this.inviting)}>${icon('plus')} ${t('people.invite')}</button>` : nothing}
      ${this.inviting ? html`${this.#invite(session)}<lamproom-dial .session=${String(app.session.value)}></lamproom-dial>` : nothing}
    </div>`;
  }

  #merge() {
    const others = app.openSessions().filter((one) => String(one.session) !== app.session.value);
    return others.map((one) => html`<button class="small" @click=${() => this.#mergeHere(String(one.session))}>${icon('users')} ${t('people.merge', { name: app.sessionName(one) })}</button>`);
  }

  /** @param {string} other */
  async #mergeHere(other) {
    try {
      await api.merge(other, String(app.session.value));
    } catch (error) {
      app.report(error);
    }
  }

  /** A level, a site that I know, and whom there. @param {Body} session */
  #invite(session) {
    const invited = new Set([session.site, ...Object.keys(session.invitations ?? {})]);
    const levels = LEVELS.slice(1).filter((level) => !Object.values(session.invitations ?? {}).some((one) => one.level === level && one.state === 'answered'));
    const sites = app.sites.value.filter((one) => !invited.has(one.site) && one.site !== app.me.site && !one.above);
    return html`<form class="invite" @submit=${this.#sendInvite}>
      <select name="whom" aria-label=${t('people.whom')}>
        <optgroup label=${t('people.levels')}>${levels.map((level) => html`<option value="level:${level}">${t(`authority.${level}`)}</option>`)}</optgroup>
        ${sites.length ? html`<optgroup label=${t('people.sites')}>${sites.map((one) => html`<option value="site:${one.site}">${app.siteName(one.site)}</option>`)}</optgroup>` : nothing}
      </select>
      <select name="role" aria-label=${t('people.role')}><option value="">${t('people.any_role')}</option>${ROLES.map((role) => html`<option value=${role}>${t(`role.${role}`)}</option>`)}</select>
      <button class="primary small" type="submit">${icon('phone')} ${t('people.ring')}</button>
    </form>`;
  }

  /** @param {SubmitEvent} event */
  async #sendInvite(event) {
    event.preventDefault();
    const facts = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const [kind, name] = String(facts.get('whom')).split(':');
    const role = String(facts.get('role'));
    try {
      await api.invite(String(app.session.value), { [kind]: name, ...(role ? { role } : {}) });
      this.inviting = false;
    } catch (error) {
      app.report(error);
    }
  }

  // --- lists ---

  /** @param {Body} floor */
  #lobby(floor) {
    const waiting = Object.values(floor.lobby);
    if (!waiting.length) return nothing;
    return html`<h3 class="hot">${t('people.lobby', { n: waiting.length })}</h3>
      <ul class="lobby">${waiting.map((one) => html`<li class="person"><span class="who"><b>${one.name}</b> <span>${this.#unit(one)}</span></span>
        <span class="acts"><button class="small primary" @click=${() => app.act('admit', one.user)}>${t('floor.admit')}</button><button class="small" @click=${() => app.act('refuse', one.user)}>${t('floor.refuse')}</button></span></li>`)}</ul>`;
  }

  /** @param {Body} floor */
  #hands(floor) {
    const hands = Object.values(floor.hands).sort((a, b) => a.at - b.at);
    if (!hands.length) return nothing;
    return html`<h3>${t('people.hands', { n: hands.length })}</h3>
      <ol class="hands">${hands.map((one) => html`<li class="person">${icon('hand')}<span class="who"><b>${one.name}</b> <span>${this.#unit(one)}</span> <span class="mono faint">${clock(one.at)}</span></span>
        ${app.governs ? html`<span class="acts"><button class="small primary" @click=${() => app.act('pass', one.user)}>${t('floor.pass')}</button><button class="small" @click=${() => app.act('lower_hand', one.user)}>${t('floor.lower')}</button></span>` : nothing}</li>`)}</ol>`;
  }

  /** @param {Body} person */
  #unit(person) {
    return person.role === 'guest' ? t('role.guest') : app.siteName(person.site, person.level);
  }

  /** @param {Body} one @param {Body} floor */
  #one(one, floor) {
    const { user, name, level, role } = one.person;
    const me = user === app.me.user;
    const open = this.open === user;
    const mark = (/** @type {boolean} */ on, /** @type {string} */ sign, /** @type {string} */ words, tone = '') => (on ? html`<span class="mark ${tone}" title=${words} role="img" aria-label=${words}>${icon(sign)}</span>` : nothing);
    return html`<li class="person ${open ? 'open' : ''} ${one.speaking ? 'speaking' : ''}">
      <button class="who" aria-expanded=${open} ?disabled=${!app.governs || me} @click=${() => (this.open = open ? '' : user)}>
        <b>${name}</b> <span class="chip">${role === 'guest' ? t('role.guest') : has(`level.${level}`) ? t(`level.${level}`) : level}</span> <span>${me ? t('people.me') : this.#unit(one.person)}</span> ${reachChip(one.reach)}
        ${one.pages > 1 ? html`<span class="faint">×${one.pages}</span>` : nothing}
      </button>
      <span class="marks">
        ${mark(floor.chair?.user === user, 'chair', t('floor.chair'), 'lamp')}
        ${mark(floor.holder?.user === user, floor.priority ? 'octagon-alert' : 'mic', floor.priority ? t('floor.preempt') : t('floor.holder'), floor.priority ? 'bad' : 'ok')}
        ${mark(user in floor.hands, 'hand', t('people.hand'), 'lamp')}
        ${mark(!heard(floor, user), 'mic-off', user in floor.muted ? t('floor.muted_by', { name: floor.muted[user] || t('floor.chair') }) : t('floor.not_heard'), 'bad')}
        ${mark(one.watching, 'eye', t('people.watching'))}
      </span>
      ${open ? this.#acts(one, floor) : nothing}
    </li>`;
  }

  /** @param {Body} one @param {Body} floor */
  #acts(one, floor) {
    const { user, role } = one.person;
    const act = (/** @type {string} */ action, /** @type {string} */ sign, value = '') => html`<button class="small" @click=${() => app.act(action, action === 'spotlight' ? '' : user, value)}>${icon(sign)} ${t(`floor.act.${action}`)}</button>`;
    const video = app.sessionRoom?.tracks.find((track) => track.client === one.client && track.kind === 'video');
    return html`<div class="acts">
      ${user in floor.muted ? act('unmute', 'mic') : act('mute', 'mic-off')}
      ${act('pass', 'hand')}
      ${role === 'guest' || floor.chair?.user === user ? nothing : act('hand_over', 'chair')}
      ${act('spotlight', 'spot', video?.track ?? one.client)}
      ${act('remove', 'user-x')}
      ${role === 'phone' ? html`<lamproom-phone-acts class="acts" .client=${one.client}></lamproom-phone-acts>` : nothing}
    </div>`;
  }

  /** Sites that were called, and who of them is (not) there. @param {Body} session @param {Set<string>} present */
  #called(session, present) {
    const called = Object.values(session.invitations ?? {}).sort((a, b) => height(b.level) - height(a.level));
    if (!called.length) return nothing;
    const were = Object.values(session.participants ?? {}).filter((one) => one.left_at && !present.has(one.user));
    const gone = [...new Map(were.map((one) => [one.user, one])).values()];
    return html`<h3>${t('people.called')}</h3>
      <ul>${called.map((one) => html`<li class="person called ${one.state}"><span class="who"><b>${app.siteName(one.site, one.level)}</b> ${one.role ? html`<span class="chip">${t(`role.${one.role}`)}</span>` : nothing}</span>
        <span>${has(`ring.${one.state}`) ? t(`ring.${one.state}`) : one.state}${one.answer_s ? html` <span class="mono">${one.answer_s.toFixed(1)} s</span>` : nothing} ${one.answered_by}</span></li>`)}</ul>
      ${gone.length ? html`<h3>${t('people.gone')}</h3><ul>${gone.map((one) => html`<li class="person"><span class="who"><b>${one.name}</b> <span>${this.#unit(one)}</span></span><span class="mono faint">${clock(one.joined_at)}–${clock(one.left_at)}</span></li>`)}</ul>` : nothing}`;
  }

  /** @param {Body} floor */
  #barred(floor) {
    const names = new Map(Object.values(app.currentSession?.participants ?? {}).map((one) => [one.user, one.name]));
    return html`<h3>${t('people.barred')}</h3><ul>${floor.barred.map((/** @type {string} */ user) => html`<li class="person"><span class="who"><b>${names.get(user) ?? user}</b></span><button class="small" @click=${() => app.act('let_back', user)}>${t('floor.let_back')}</button></li>`)}</ul>`;
  }
}
customElements.define('lamproom-people', People);
