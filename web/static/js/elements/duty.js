// Duty posts: who is missing, since when. "Not known" is a state of its own and is never shown as "nobody there".
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { timer } from '../format.js';
import { has, pick, t } from '../i18n.js';
import { dutyKey } from '../roomview.js';

const ICONS = /** @type {Record<string, string>} */ ({ present: 'user-check', leaving: 'user', absent: 'user-x', unknown: 'circle-help' });
const RANK = /** @type {Record<string, number>} */ ({ absent: 0, leaving: 1, unknown: 2, present: 3 });

/** @param {Record<string, any>} duty */
export const dutyState = (duty) => (duty.state in ICONS ? String(duty.state) : 'unknown');

class Duty extends Part {
  static properties = { large: { type: Boolean } };

  watches() {
    return [app.rooms, app.tick, app.sites, app.live];
  }

  render() {
    const posts = [...(app.own?.duty.values() ?? [])].sort(
      (a, b) => RANK[dutyState(a)] - RANK[dutyState(b)] || dutyKey(a).localeCompare(dutyKey(b)),
    );
    return html`<section class="panel duty" aria-label=${t('duty.title')}>
      <h2>${icon('user-check')} ${t('duty.title')}</h2>
      <div class="scroll">${posts.length ? posts.map((one) => this.#post(one)) : html`<p class="empty">${app.own?.ready ? t('duty.none') : t('loading')}</p>`}</div>
    </section>`;
  }

  /** @param {Record<string, any>} one */
  #post(one) {
    const state = dutyState(one);
    const seconds = one.since ? app.now() - one.since : null;
    const elsewhere = app.me.level !== 'mine';
    const reason = state === 'unknown' && has(`picture.${one.reason || one.picture}`) ? t(`picture.${one.reason || one.picture}`) : '';
    const limit = state === 'leaving' || state === 'absent' ? this.#limit(one, seconds ?? 0) : '';
    return html`<div class="post ${state}" data-state=${state}>
      ${icon(ICONS[state], 'large')}
      <div class="post-words">
        <p class="post-name">${elsewhere ? html`<b>${app.siteName(one.site)}</b> ` : nothing}${pick(one.name) || one.post}</p>
        <p class="post-state">${t(`duty.${state}`)}${reason ? html` · <span class="faint">${reason}</span>` : nothing}${limit ? html` · <span class="faint">${limit}</span>` : nothing}</p>
      </div>
      ${seconds === null ? nothing : html`<span class="post-timer mono">${timer(seconds)}</span>`}
    </div>`;
  }

  /** @param {Record<string, any>} one @param {number} seconds */
  #limit(one, seconds) {
    const left = (/** @type {unknown} */ s) => timer(Number(s) - seconds);
    if (Number(one.warn_after_s) > seconds) return t('duty.warns_in', { time: left(one.warn_after_s) });
    if (Number(one.alarm_after_s) > seconds) return t('duty.alarms_in', { time: left(one.alarm_after_s) });
    return '';
  }
}
customElements.define('lamproom-duty', Duty);
