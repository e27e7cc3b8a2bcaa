// Duty posts: who is missing or asleep, since when. "Not known" is a state of its own and is never shown as "nobody there".
import { Part, html, icon, nothing } from './part.js';
import { ApiError, api } from '../api.js';
import { app } from '../app.js';
import { timer } from '../format.js';
import { has, pick, t } from '../i18n.js';
import { dutyKey } from '../roomview.js';

const ICONS = /** @type {Record<string, string>} */ ({ present: 'user-check', leaving: 'user', absent: 'user-x', unknown: 'circle-help', drowsy: 'moon', asleep: 'octagon-alert' });
/** The worst first. */
export const DUTY_STATES = ['absent', 'asleep', 'leaving', 'drowsy', 'unknown', 'present'];

/** Whether the post is manned and, where it is, whether whoever is there sleeps. @param {Record<string, any>} duty */
export function dutyState(duty) {
  if (duty.state === 'present' && (duty.sleep?.state === 'drowsy' || duty.sleep?.state === 'asleep')) return String(duty.sleep.state);
  return duty.state === 'drowsy' || duty.state === 'asleep' || !(duty.state in ICONS) ? 'unknown' : String(duty.state);
}

/** @param {string} state */
export const dutyIcon = (state) => ICONS[state];

class Duty extends Part {
  static properties = { large: { type: Boolean } };

  watches() {
    return [app.rooms, app.tick, app.sites, app.live];
  }

  render() {
    const posts = [...(app.own?.duty.values() ?? [])].sort(
      (a, b) => DUTY_STATES.indexOf(dutyState(a)) - DUTY_STATES.indexOf(dutyState(b)) || dutyKey(a).localeCompare(dutyKey(b)),
    );
    return html`<section class="panel duty" aria-label=${t('duty.title')}>
      <h2>${icon('user-check')} ${t('duty.title')}</h2>
      <div class="scroll" tabindex="0">${posts.length ? posts.map((one) => this.#post(one)) : html`<p class="empty">${app.own?.ready ? t('duty.none') : t('loading')}</p>`}</div>
    </section>`;
  }

  /** @param {Record<string, any>} one */
  #post(one) {
    const state = dutyState(one);
    const sleeps = state === 'drowsy' || state === 'asleep';
    const since = sleeps ? one.sleep.since : one.since;
    const seconds = since ? app.now() - since : null;
    const elsewhere = app.me.level !== 'mine';
    const reason = state === 'unknown' && has(`picture.${one.reason || one.picture}`) ? t(`picture.${one.reason || one.picture}`) : '';
    let limit = '';
    if (sleeps) limit = this.#limit(one.sleep_warn_after_s, one.sleep_alarm_after_s, seconds ?? 0);
    else if (state === 'leaving' || state === 'absent') limit = this.#limit(one.warn_after_s, one.alarm_after_s, seconds ?? 0);
    return html`<div class="post ${state}" data-state=${state}>
      ${icon(dutyIcon(state), 'large')}
      <div class="post-words">
        <p class="post-name">${elsewhere ? html`<b>${app.siteName(one.site)}</b> ` : nothing}${pick(one.name) || one.post}</p>
        <p class="post-state">${t(`duty.${state}`)}${reason ? html` · <span class="faint">${reason}</span>` : nothing}${limit ? html` · <span class="faint">${limit}</span>` : nothing}</p>
      </div>
      ${this.#renew(one, state)}
      ${seconds === null ? nothing : html`<span class="post-timer mono">${timer(seconds)}</span>`}
    </div>`;
  }

  /** After a camera was moved on purpose, whoever may says that its view is right. @param {Record<string, any>} one @param {string} state */
  #renew(one, state) {
    const about = ['moved', 'blurred', 'blocked'].includes(one.reason || one.picture);
    if (state !== 'unknown' || !about || !['admin', 'engineer'].includes(app.me.role)) return nothing;
    return html`<button class="small" title=${t('reference.explain')} @click=${() => this.#renewNow(one)}>${t('reference.renew')}</button>`;
  }

  /** @param {Record<string, any>} one */
  async #renewNow(one) {
    if (!confirm(t('reference.explain'))) return;
    try {
      await api.renewReference(one.site, one.camera);
      app.toast(t('reference.renewed'));
    } catch (error) {
      app.toast(error instanceof ApiError ? error.words : String(error), 'bad');
    }
  }

  /** What comes next; a time of 0 never does. @param {unknown} warn @param {unknown} alarm @param {number} seconds */
  #limit(warn, alarm, seconds) {
    const left = (/** @type {unknown} */ s) => timer(Number(s) - seconds);
    if (Number(warn) > seconds) return t('duty.warns_in', { time: left(warn) });
    if (Number(alarm) > seconds) return t('duty.alarms_in', { time: left(alarm) });
    return '';
  }
}
customElements.define('lamproom-duty', Duty);
