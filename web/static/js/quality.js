// How well a track arrives, in four steps that are told apart by bars, colour and words.
import { Store } from './state.js';
import { has, t } from './i18n.js';

/** @typedef {'excellent' | 'good' | 'poor' | 'lost'} Level */

/** What the server last said of each own or watched track. @type {Store<Map<string, Record<string, any>>>} */
export const quality = new Store(new Map());

/** @type {Record<Level, number>} */
const BARS = { excellent: 3, good: 2, poor: 1, lost: 0 };

/** @param {any} message a `quality` notice */
export function heard(message) {
  for (const [track, body] of Object.entries(message.tracks)) quality.value.set(track, body);
  if (quality.value.size > 256) quality.value.clear(); // tracks come and go; what lives is told again in 2 s
  quality.touch();
}

/** @param {Record<string, any> | undefined} body @returns {Level | null} null: not known yet */
export function levelOf(body) {
  return body && body.level in BARS ? body.level : null;
}

/** @param {Level} level */
export const bars = (level) => BARS[level];

/** In words, for eyes and ears. @param {Level} level @param {Record<string, any>} body */
export function describe(level, body) {
  const parts = [t(`quality.${level}`)];
  const reason = String(body.reason ?? '');
  if (reason && has(`reason.${reason}`)) parts.push(t(`reason.${reason}`));
  if (Number.isFinite(body.loss)) parts.push(t('quality.loss', { n: (100 * body.loss).toFixed(1) }));
  if (Number.isFinite(body.rtt_ms)) parts.push(t('quality.rtt', { n: Math.round(body.rtt_ms) }));
  return parts.join(' · ');
}
