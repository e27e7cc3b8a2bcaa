// The pages for those who look after the server: which are for me, and the links between them.
import { app } from '../app.js';
import { t } from '../i18n.js';
import { html, icon, nothing } from './part.js';

/** Page, right that it needs, icon. */
const PAGES = /** @type {const} */ ([
  ['users', 'administer', 'users'],
  ['audit', 'administer', 'clipboard-check'],
  ['system', 'configure', 'activity'],
  ['settings', 'administer', 'gear'],
  ['cameras', 'configure', 'video'],
  ['phones', 'configure', 'phone'],
  ['registry', 'configure', 'map-pin'],
]);

/** @param {string} verb */
export const may = (verb) => Boolean(app.me.verbs?.includes(verb));

/** The first of these pages that is for me. */
export const firstAdminPage = () => PAGES.find(([, verb]) => may(verb))?.[0];

/** The pages that are for me, as links. @param {string} here */
export function adminNav(here) {
  const shown = PAGES.filter(([, verb]) => may(verb));
  if (!shown.length) return nothing;
  return html`<nav class="admin-nav" aria-label=${t('admin.nav')}>
    ${shown.map(([page, , name]) => html`<a href="/${page}" aria-current=${page === here ? 'page' : nothing}>${icon(name)}<span>${t(`page.${page}`)}</span></a>`)}
  </nav>`;
}
