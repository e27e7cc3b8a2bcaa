// One-key shortcuts, off while somebody types. The help dialog lists what is registered here.

/** @typedef {{keys: string, label: string, run: (key: string) => void, shown?: string}} Shortcut `label` is a key of the language table; `shown`: what the help shows for keys that are handled elsewhere */

/** @type {Shortcut[]} */
const shortcuts = [];

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
    const found = shortcuts.find((shortcut) => event.key.length === 1 && shortcut.keys.includes(event.key.toLowerCase()));
    if (!found) return;
    event.preventDefault();
    found.run(event.key.toLowerCase());
  });
}
