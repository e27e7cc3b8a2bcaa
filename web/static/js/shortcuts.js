// Shortcuts of one key, or of two after one another, off while somebody types. The help dialog lists what is registered here.

/** @typedef {{keys: string, label: string, run: (key: string) => void, shown?: string, chord?: boolean}} Shortcut `chord`: the two keys of `keys` one after the other; `label` is a key of the language table; `shown`: what the help shows for keys that are handled elsewhere */

const CHORD_MS = 1500;

/** @type {Shortcut[]} */
const shortcuts = [];
/** The first key of two, and when it was pressed. */
let first = { key: '', at: 0 };

/** @param {EventTarget | null} target */
export function isTyping(target) {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !['checkbox', 'radio', 'button', 'submit'].includes(target.type);
}

/** @param {Shortcut} shortcut `keys`: one character each, e.g. `jk` or `123456789` */
export function addShortcut(shortcut) {
  shortcuts.push(shortcut);
}

export function listShortcuts() {
  return [...shortcuts];
}

export function startShortcuts() {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || isTyping(event.target)) return;
    if (document.querySelector('dialog[open]') && event.key !== '?') return;
    const key = event.key.toLowerCase();
    const both = event.timeStamp - first.at < CHORD_MS ? first.key + key : '';
    first = { key: '', at: 0 };
    const second = both && shortcuts.find((shortcut) => shortcut.chord && shortcut.keys === both);
    const found = second || shortcuts.find((shortcut) => !shortcut.chord && key.length === 1 && shortcut.keys.includes(key));
    if (!found && shortcuts.some((shortcut) => shortcut.chord && shortcut.keys[0] === key)) first = { key, at: event.timeStamp };
    if (!found) return;
    event.preventDefault();
    found.run(key);
  });
}
