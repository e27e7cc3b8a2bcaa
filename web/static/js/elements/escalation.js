// Who is being rung about an alert: the line on its card and on the beacon.
import { html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { timer } from '../format.js';
import { has, t } from '../i18n.js';
import { alertId } from '../roomview.js';

/** @typedef {Record<string, any>} Body */

/** @param {Body} body @param {string} site @param {string} level */
const place = (body, site, level) => (body[site] ? app.siteName(body[site], body[level]) : '');

/** What is going on, in a sentence. @param {Body} one */
export function escalationWords(one) {
  const left = one.until ? timer(one.until - app.now()) : '';
  const next = one.next && one.next.site !== one.at_site ? app.siteName(one.next.site, one.next.level) : '';
  switch (one.status) {
    case 'ringing':
      if (!one.at_site) return t(one.reached?.length ? 'escalation.pausing' : 'escalation.nobody', { left });
      return next
        ? t('escalation.ringing_next', { site: place(one, 'at_site', 'at_level'), by: means(one.channels), left, next })
        : t('escalation.ringing', { site: place(one, 'at_site', 'at_level'), by: means(one.channels), left });
    case 'held':
      return t('escalation.held', { left });
    case 'answered':
      return one.until ? t('escalation.answered_until', { by: one.by, left }) : '';
    case 'settled':
      return t('escalation.settled', { by: one.by });
    case 'exhausted':
      return t('escalation.exhausted');
    default:
      return '';
  }
}

/** @param {string[]} channels */
function means(channels) {
  return (channels ?? []).map((one) => (has(`channel.${one}`) ? t(`channel.${one}`) : one)).join(t('comma'));
}

/** @param {Body} alert */
export function escalationOf(alert) {
  return app.own?.escalations.get(alertId(alert));
}

/** @param {Body} alert */
export function escalationLine(alert) {
  const one = escalationOf(alert);
  const words = one ? escalationWords(one) : '';
  if (!one || !words) return nothing;
  return html`<p class="escalation ${one.status}" data-status=${one.status}>${icon(one.status === 'ringing' ? 'bell-ring' : one.status === 'held' ? 'clock' : 'user-check')} <span>${words}</span></p>`;
}

/** Whether there is a ring to be cut short. @param {Body} alert */
export function mayCallNext(alert) {
  const one = escalationOf(alert);
  return Boolean(app.mayAcknowledge && one?.status === 'ringing' && one.at_site && one.next);
}

/** @param {Body} body an `escalation` entry @returns {[string, string, string]} icon, tone, sentence */
export function escalationEntry(body) {
  const alert = app.own?.alerts.get(String(body.alert));
  const title = alert ? (alert.title?.[document.documentElement.lang.startsWith('zh') ? 'zh' : 'en'] ?? '') : '';
  const site = place(body, 'at_site', 'at_level');
  const reasons = [...new Set(Object.values(body.reasons ?? (body.reason ? { r: body.reason } : {})))].map((one) => (has(`unable.${one}`) ? t(`unable.${one}`) : String(one)));
  const key = `escalation.change.${body.change}`;
  const values = { site, by: String(body.by || '—'), means: means(body.channels), why: reasons.join(t('comma')) };
  const words = has(key) ? t(key, values) : String(body.change);
  const tone = ['ringing', 'reverted', 'exhausted', 'nobody', 'skipped', 'failed'].includes(String(body.change)) ? 'warning' : 'plain';
  return ['bell-ring', tone, title ? `${words}${t('colon')}${title}` : words];
}
