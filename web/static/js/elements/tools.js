// What every page has on top, whoever looks: where it leads back to, the language, the theme.
import { html, icon } from './part.js';
import { language, switchLanguage, t } from '../i18n.js';
import { themeIcon, toggleTheme } from '../theme.js';

/** The way back to the page of the duty. */
export const brand = () => html`<a class="brand" href="/" aria-label=${t('app.name')}><img src="/static/icon.svg" alt="" width="26" height="26" /><b>${t('app.name')}</b></a>`;

/** Language and theme. */
export function looks() {
  const other = language.value === 'zh' ? 'EN' : '中';
  return html`<button class="tool" @click=${() => switchLanguage(language.value === 'zh' ? 'en' : 'zh')} aria-label="${other} ${t('top.language')}" title=${t('top.language')}>${other}</button>
    <button class="tool" @click=${toggleTheme} aria-label=${t('top.theme')} title=${t('top.theme')}>${icon(themeIcon())}</button>`;
}
