// Words in Chinese and English. The table of the page's language is fetched before anything is drawn; the other one when
// somebody switches. What the server sends comes with both languages in it: `pick()`.
import { Store, memory } from './state.js';

/** @typedef {'zh' | 'en'} Language */

/** @type {Map<string, Record<string, string>>} */
const tables = new Map();

/** @type {Store<Language>} */
export const language = new Store(/** @type {Language} */ ('zh'));

/** @param {Language} wanted */
async function load(wanted) {
  if (tables.has(wanted)) return;
  const answer = await fetch(`/static/i18n/${wanted}.json`);
  if (!answer.ok) throw new Error(`language table ${wanted}: ${answer.status}`);
  tables.set(wanted, await answer.json());
}

/** @param {Language} fallback what the server chose for this page @param {boolean} fixed whether it was asked for by address */
export async function startLanguage(fallback, fixed) {
  const kept = memory.get('language');
  const wanted = !fixed && (kept === 'zh' || kept === 'en') ? kept : fallback;
  await load(wanted);
  language.set(wanted);
  document.documentElement.lang = wanted === 'zh' ? 'zh-CN' : 'en';
}

/** @param {Language} wanted */
export async function switchLanguage(wanted) {
  await load(wanted);
  memory.set('language', wanted);
  document.documentElement.lang = wanted === 'zh' ? 'zh-CN' : 'en';
  language.set(wanted);
}

/**
 * The words for a key, with `{name}` filled in. A key that is missing shows itself, which a test forbids.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const words = tables.get(language.value)?.[key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** Whether there are words for a key. @param {string} key */
export function has(key) {
  return tables.get(language.value)?.[key] !== undefined;
}

/** One language out of `{zh, en}`. @param {{zh?: unknown, en?: unknown} | null | undefined} text */
export function pick(text) {
  if (!text) return '';
  const other = language.value === 'zh' ? 'en' : 'zh';
  return String(text[language.value] || text[other] || '');
}

/** One language out of `x_zh`, `x_en`. @param {Record<string, unknown>} body @param {string} name */
export function pickField(body, name) {
  return pick({ zh: body[`${name}_zh`], en: body[`${name}_en`] });
}
