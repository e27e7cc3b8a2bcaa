// The timeline of a room in words, newest first. Entries of a kind we have no words for are named, not hidden.
import { Part, html, icon, nothing } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { app } from '../app.js';
import { severityOf, SHAPE, titleOf } from '../alerts.js';
import { drillChip } from './drill-strip.js';
import { dutyIcon, dutyState } from './duty.js';
import { escalationEntry } from './escalation.js';
import { figure, moment } from '../format.js';
import { has, pick, t } from '../i18n.js';
import { ofPerson } from '../tiles.js';

const SHOWN = 120;
/** Too many of them to stand between the rest. */
const MINOR = new Set(['position', 'reading', 'recording']);

/** @typedef {Record<string, any>} Body */

/** @param {string} key @param {Record<string, string | number>} [values] @param {string} [otherwise] */
const words = (key, values, otherwise = '') => (has(key) ? t(key, values) : otherwise);

/** Icon, tone and sentence of each kind. @type {Record<string, (body: Body) => [string, string, string]>} */
const KINDS = {
  alert: (body) => [SHAPE[severityOf(body)], body.change === 'raised' || body.change === 'again' ? severityOf(body) : 'plain', `${words(`alert.change.${body.change}`, {}, body.change)}${t('colon')}${titleOf(body)}`],
  duty: (body) => {
    const state = dutyState(body);
    return [dutyIcon(state), state === 'absent' || state === 'asleep' ? 'warning' : 'plain', `${pick(body.name) || body.post}${t('colon')}${t(`duty.${state}`)}`];
  },
  escalation: escalationEntry,
  note: (body) => ['message-square', 'plain', `${body.from?.name ?? ''}${t('colon')}${body.text}`],
  handover: (body) => ['users', 'plain', words(`handover.change.${body.change}`, { outgoing: String(body.outgoing), incoming: String(body.incoming), n: Number(body.alerts) }, body.change)],
  check: (body) => ['phone-incoming', body.change === 'unanswered' || body.change === 'unreachable' ? 'warning' : 'plain', `${t(body.roll ? 'check.roll_call' : 'check.spot_check')}${t('colon')}${words(`check.change.${body.change}`, { by: String(body.by), who: String(body.officer || body.answered_by || ''), s: Math.round(Number(body.took_s ?? 0)) }, body.change)}`],
  challenge: (body) => ['bell-ring', body.change === 'unanswered' ? 'warning' : 'plain', `${pick(body.name)}${t('colon')}${words(`challenge.change.${body.change}`, { by: String(body.by), s: Math.round(Number(body.took_s ?? 0)) }, body.change)}`],
  session: (body) => ['video', body.change === 'unreachable' || body.change === 'declined' ? 'warning' : 'plain', sessionWords(body)],
  track: (body) => [body.change === 'stalled' || body.change === 'ended' ? 'video-off' : 'video', 'plain', `${words(`track.change.${body.change}`, {}, body.change)}${t('colon')}${app.siteName(body.track?.site ?? body.site)} ${sourceName(body.track?.name ?? body.name)}`],
  chat: (body) => ['message-square', 'plain', `${body.from?.name ?? ''}${t('colon')}${body.text}`],
  incident: (body) => ['octagon-alert', body.change === 'opened' ? severityOf(body) : 'plain', `${words(`incident.change.${body.change}`, {}, body.change)}${t('colon')}${pick(body.title)}${t('comma')}${t('incident.alerts', { n: body.alerts, standing: body.standing })}`],
  order: (body) => ['clipboard-list', 'plain', `${words(`order.change.${body.change}`, {}, body.change)} → ${app.siteName(body.to_site)}${t('colon')}${body.text}`],
  reading: (body) => ['activity', 'plain', `${words(`device.name.${body.device}`, {}, body.device)} ${words(`quantity.${body.quantity}`, {}, body.quantity)} ${figure(body.value)} ${body.unit ?? ''} ${words(`reading.change.${body.change}`, {}, '')}`],
  position: (body) => ['map-pin', 'plain', t('position.moved', { tag: body.label || body.tag, from: zoneName(body.from_zone), to: zoneName(body.zone) })],
  recording: (body) => ['shield', 'plain', t('recording.segment', { n: Number(body.segment) + 1, sha: String(body.sha256).slice(0, 12) })],
  hazard: (body) => ['clipboard-list', body.change === 'overdue' || body.change === 'risen' ? 'warning' : 'plain', `${t('hazard.one')}${t('colon')}${body.place}${t('comma')}${words(`hazard.change.${body.change}`, {}, body.change)}${body.step?.by?.name ? ` (${body.step.by.name})` : ''}`],
  member: (body) => ['users', 'plain', words(`member.${body.change}`, { name: body.person?.name ?? '', site: app.siteName(body.person?.site, body.person?.level) }, body.change)],
  muster: (body) => ['siren', body.change === 'signed' || body.change === 'list' ? 'plain' : 'warning', `${words(`muster.change.${body.change}`, {}, body.change)}${body.drill ? ` (${t('muster.drill')})` : ''}${t('colon')}${app.siteName(body.site)} ${body.board.left === null ? t('muster.left_unknown') : t('muster.left', { n: body.board.left })}`],
  registry: (body) => ['layout-grid', 'plain', t('registry.changed', { n: body.version })],
  call: (body) => ['phone', ['unreachable', 'refused', 'wrong_pin'].includes(body.change) ? 'warning' : 'plain', words(`call.change.${String(body.change).split(':')[0]}`, { name: body.name ?? '', result: words(`call.result.${body.result}`, {}, body.result) }, `${body.name} ${body.change}`)],
  retrospective: (body) => ['history', body.severity === 'info' ? 'plain' : 'warning', t('retrospective', { title: pick(body.title), since: moment(body.since, app.now()), until: body.until ? moment(body.until, app.now()) : '…' })],
  link: (body) => {
    if (body.what === 'gap') return ['activity', 'warning', t('linked.gap', { device: body.device, n: body.missing })];
    const well = body.state === 'back' || body.state === 'up';
    const name = `${words(`linked.${body.what}`, {}, body.what)}${body.link ? ` ${body.link}` : ''}`;
    return [well ? 'wifi' : 'link-2-off', well ? 'plain' : 'warning', `${name}${t('colon')}${words(`linked.state.${body.state}`, {}, body.state)}`];
  },
};

/** @param {unknown} zone */
export const zoneName = (zone) => words(`zone.${zone}`, {}, String(zone || t('position.nowhere')));

/** What a source is called; a page's own camera goes without. @param {unknown} name */
export const sourceName = (name) => (ofPerson(String(name ?? '')) ? '' : name === 'dispatch-room' ? t('tile.dispatch_room') : words(`camera.${name}`, {}, String(name ?? '')));

/** @param {Body} body */
function sessionWords(body) {
  const who = body.participant?.name ?? body.invitation?.answered_by ?? body.by ?? '';
  const about = body.invitation ?? body.participant;
  const site = about ? app.siteName(about.site, about.level) : app.siteName(body.by_site ?? body.site);
  return words(`session.change.${body.change}`, { who: String(who), site }, `${t('session.title')} ${body.change}`);
}

/** Icon, tone and sentence of an entry; one of a kind we have no words for is named. @param {Body} entry @returns {[string, string, string]} */
export function describe(entry) {
  const known = KINDS[entry.kind];
  return known ? known(entry.body) : ['info', 'plain', words(`kind.${entry.kind}`, {}, entry.kind)];
}

class Timeline extends Part {
  static properties = { room: { type: String }, everything: { state: true } };

  constructor() {
    super();
    this.room = '';
    this.everything = false;
  }

  watches() {
    return [app.rooms, app.sites];
  }

  render() {
    const view = app.rooms.value.get(this.room || app.ownRoom);
    const all = view?.entries ?? [];
    const entries = (this.everything ? all : all.filter((entry) => !MINOR.has(entry.kind))).slice(-SHOWN).reverse();
    const now = app.now();
    return html`<section class="panel timeline" aria-label=${t('timeline.title')}>
      <h2>${icon('history')} ${t('timeline.title')}<span class="grow"></span>
        <button class="small" aria-pressed=${this.everything} @click=${() => (this.everything = !this.everything)}>${this.everything ? t('timeline.main') : t('timeline.all')}</button></h2>
      <ol class="scroll" tabindex="0">
        ${entries.length ? nothing : html`<li class="empty">${view?.ready ? t('timeline.none') : t('loading')}</li>`}
        ${repeat(entries, (entry) => entry.seq, (entry) => this.#entry(entry, now))}
      </ol>
    </section>`;
  }

  /** @param {Body} entry @param {number} now */
  #entry(entry, now) {
    const [name, tone, sentence] = describe(entry);
    const far = entry.body.site && entry.body.site !== app.me.site && entry.kind !== 'session';
    return html`<li class="entry ${tone}">
      <time class="mono">${moment(entry.at, now)}</time>${icon(name)}
      <p>${far ? html`<b>${app.siteName(entry.body.site)}</b> ` : nothing}${drillChip(entry.body)} ${sentence}${entry.body.simulated ? html` <span class="simulated">${t('simulated')}</span>` : nothing}</p>
    </li>`;
  }
}
customElements.define('lamproom-timeline', Timeline);
