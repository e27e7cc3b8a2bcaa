// The shortcuts that all work pages share.
import { app } from './app.js';
import { acknowledgeSelected, callNextSelected, selectNext } from './elements/alert-list.js';
import { openCall } from './elements/call-dialog.js';
import { showHelp } from './elements/help.js';
import { chooseLayout, focusTile, focusedTile, sideTab } from './elements/session.js';
import { addShortcut, isTyping } from './shortcuts.js';
import { toggleTheme } from './theme.js';

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen().catch(() => {}); // some browsers ask for a click; nothing is lost
}

/** What is asked of the floor and of the pictures by one key; nothing outside of a consultation. */
function addFloorKeys() {
  addShortcut({ keys: 'h', label: 'key.hand', run: () => app.toggleHand() });
  addShortcut({ keys: 'l', label: 'key.layout', run: () => app.session.value && chooseLayout() });
  addShortcut({ keys: 'p', label: 'key.people', run: () => app.session.value && sideTab.set('people') });
  addShortcut({ keys: '', shown: '␣', label: 'key.talk', run: () => {} });
  const talks = (/** @type {KeyboardEvent} */ event) => event.key === ' ' && app.session.value && !event.ctrlKey && !event.altKey && !event.metaKey;
  addEventListener('keydown', (event) => {
    if (!talks(event) || isTyping(event.target) || document.querySelector('dialog[open]')) return;
    // Somebody who walks through the page by keys presses buttons with this one.
    if (event.target instanceof HTMLElement && event.target.matches('button:focus-visible, a:focus-visible, summary:focus-visible, [tabindex]:focus-visible')) return;
    event.preventDefault();
    if (!event.repeat) app.talk(true);
  });
  addEventListener('keyup', (event) => {
    if (event.key !== ' ' || !app.talking.value) return;
    event.preventDefault(); // the button that was pressed last is not pressed again
    app.talk(false);
  });
  addEventListener('blur', () => app.talk(false)); // the key is let go somewhere else
}

/** Another page, beside this one, which goes on ringing. @param {string} path */
const beside = (path) => () => window.open(path, '_blank', 'noopener');

/** To the other pages, by two keys. */
export function addPageKeys() {
  addShortcut({ keys: 'gi', chord: true, label: 'page.alerts', run: beside('/alerts') });
  addShortcut({ keys: 'gm', chord: true, label: 'page.plan', run: beside('/plan') });
  addShortcut({ keys: 'gr', chord: true, label: 'page.review', run: beside('/review') });
  addShortcut({ keys: 'gd', chord: true, label: 'page.duty', run: beside('/duty') });
  addShortcut({ keys: 'dt', chord: true, label: 'top.theme', run: toggleTheme });
}

/** For whoever is in a consultation and does nothing else. */
export function addSessionKeys() {
  addFloorKeys();
  addShortcut({ keys: 'm', label: 'key.microphone', run: () => app.toggleMute('microphone') });
  addShortcut({ keys: 'v', label: 'key.camera', run: () => app.toggleMute('camera') });
  addShortcut({ keys: '123456789', label: 'key.focus', run: (key) => focusTile(Number(key)) });
  addShortcut({ keys: 'f', label: 'key.full', run: fullScreen });
  addShortcut({ keys: '?', label: 'key.help', run: showHelp });
  addEventListener('keydown', (event) => event.key === 'Escape' && !document.querySelector('dialog[open]') && focusedTile.set(''));
}

/** @param {(number: number) => void} focusOutside what 1-9 do when there is no consultation */
export function addKeys(focusOutside) {
  addShortcut({ keys: 'm', label: 'key.microphone', run: () => app.toggleMute('microphone') });
  addShortcut({ keys: 'v', label: 'key.camera', run: () => app.toggleMute('camera') });
  addFloorKeys();
  addPageKeys();
  addShortcut({ keys: 'a', label: 'key.acknowledge', run: acknowledgeSelected });
  addShortcut({ keys: 'e', label: 'key.escalate', run: callNextSelected });
  addShortcut({ keys: 'jk', label: 'key.next', run: (key) => selectNext(key === 'j' ? 1 : -1) });
  addShortcut({ keys: 'c', label: 'key.call', run: () => app.mayCall && openCall() });
  addShortcut({ keys: '123456789', label: 'key.focus', run: (key) => (app.session.value ? focusTile(Number(key)) : focusOutside(Number(key))) });
  addShortcut({ keys: 'f', label: 'key.full', run: fullScreen });
  addShortcut({ keys: '?', label: 'key.help', run: showHelp });
  addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || document.querySelector('dialog[open]')) return;
    focusedTile.set('');
    focusOutside(0);
  });
}
