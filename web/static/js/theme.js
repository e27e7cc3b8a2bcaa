// Dark and light. `early.js` has set it before the first paint; here it is switched and remembered.
import { Store, memory } from './state.js';

/** @type {Store<string>} */
export const theme = new Store(document.documentElement.dataset.theme ?? 'dark');

export function toggleTheme() {
  const next = theme.value === 'dark' ? 'light' : 'dark';
  document.documentElement.dataset.theme = next;
  memory.set('theme', next);
  theme.set(next);
}
