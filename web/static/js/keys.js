// The shortcuts that all work pages share.
import { app } from './app.js';
import { acknowledgeSelected, callNextSelected, selectNext } from './elements/alert-list.js';
import { openCall } from './elements/call-dialog.js';
import { showHelp } from './elements/help.js';
import { focusTile, focusedTile } from './elements/session.js';
import { addShortcut } from './shortcuts.js';

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else document.documentElement.requestFullscreen().catch(() => {}); // some browsers ask for a click; nothing is lost
}

/** For whoever is in a consultation and does nothing else. */
export function addSessionKeys() {
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
