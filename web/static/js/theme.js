// Dark, light and high contrast. `early.js` has set it before the first paint; here it is switched and remembered.
import { Store, memory } from './state.js';

/** In the order in which the button goes through them. */
const THEMES = ['dark', 'light', 'contrast'];
/** What the button shows: the theme that comes next. @type {Record<string, string>} */
const ICONS = { dark: 'moon', light: 'sun', contrast: 'contrast' };

/** @type {Store<string>} */
export const theme = new Store(document.documentElement.dataset.theme ?? 'dark');

const following = () => THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length];

export function toggleTheme() {
  const next = following();
  document.documentElement.dataset.theme = next;
  memory.set('theme', next);
  theme.set(next);
}

/** The icon of the theme that a press leads to. */
export const themeIcon = () => ICONS[following()];
