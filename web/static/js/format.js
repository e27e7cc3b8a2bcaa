// Times, spans and numbers for people.
import { language, t } from './i18n.js';

const locale = () => (language.value === 'zh' ? 'zh-CN' : 'en-GB');

/** `14:05:09`. @param {number} at seconds since the Unix epoch */
export function clock(at) {
  return new Date(at * 1000).toLocaleTimeString(locale(), { hour12: false });
}

/** `11-24 14:05` for another day, `14:05:09` for today. @param {number} at @param {number} now */
export function moment(at, now) {
  const then = new Date(at * 1000);
  if (then.toDateString() === new Date(now * 1000).toDateString()) return clock(at);
  const day = `${String(then.getMonth() + 1).padStart(2, '0')}-${String(then.getDate()).padStart(2, '0')}`;
  return `${day} ${clock(at).slice(0, 5)}`;
}

/** `2025-11-24 Monday`. @param {number} at */
export function day(at) {
  return new Date(at * 1000).toLocaleDateString(locale(), { year: 'numeric', month: 'short', day: 'numeric', weekday: 'short' });
}

/** `0:42`, `12:05`, `3:07:10`: a running timer. @param {number} seconds */
export function timer(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** `42 s`, `12 min`, `3 h`, in words. @param {number} seconds */
export function age(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return t('time.seconds', { n: whole });
  if (whole < 3600) return t('time.minutes', { n: Math.floor(whole / 60) });
  if (whole < 86400) return t('time.hours', { n: Math.floor(whole / 3600) });
  return t('time.days', { n: Math.floor(whole / 86400) });
}

/** At most 4 significant figures, no exponent. @param {unknown} value */
export function figure(value) {
  const number = Number(value);
  if (value === null || value === undefined || value === '' || !Number.isFinite(number)) return '—';
  const places = Math.abs(number) >= 1000 ? 0 : Math.abs(number) >= 100 ? 1 : 2;
  return number.toLocaleString(locale(), { maximumFractionDigits: places, useGrouping: false });
}

/** @param {unknown} bps */
export function bitrate(bps) {
  const number = Number(bps);
  if (!Number.isFinite(number) || number <= 0) return '—';
  return number >= 1e6 ? `${(number / 1e6).toFixed(1)} Mbit/s` : `${Math.round(number / 1e3)} kbit/s`;
}
