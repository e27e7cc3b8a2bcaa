// The own wall as the server keeps it, and what of it is shown now.
import { api, ApiError } from './api.js';
import { app } from './app.js';
import { t } from './i18n.js';
import { Store } from './state.js';

const SETTLE_MS = 700;

/** @type {Store<{groups: import('./walls.js').Group[], tour_s: number}>} */
export const wall = new Store({ groups: /** @type {import('./walls.js').Group[]} */ ([]), tour_s: 20 });
/** The group that is shown; empty: the pictures of the site that the tree names. @type {Store<string>} */
export const shownGroup = new Store('');
/** Whether pictures and pages follow one another by themselves. */
export const touring = new Store(false);
/** Only pictures, for a screen on a wall. */
export const kiosk = new Store(false);

let version = 0;
let timer = 0;

export async function loadWall() {
  try {
    const kept = await api.wall();
    version = kept.version;
    wall.set(kept.value);
    if (shownGroup.value && !kept.value.groups.some((/** @type {any} */ one) => one.id === shownGroup.value)) shownGroup.set('');
  } catch (error) {
    app.report(error);
  }
}

/** Shown at once, kept a moment later. @param {Partial<{groups: import('./walls.js').Group[], tour_s: number}>} change */
export function changeWall(change) {
  wall.set({ ...wall.value, ...change });
  clearTimeout(timer);
  timer = setTimeout(keep, SETTLE_MS);
}

/** One at a time: a second one under way would be taken for another page's. */
let keeping = false;

async function keep() {
  if (keeping) return; // it looks again when it is done
  keeping = true;
  try {
    let kept;
    do {
      kept = wall.value;
      version = (await api.keepWall(kept, version)).version;
    } while (kept !== wall.value);
  } catch (error) {
    if (error instanceof ApiError && error.error === 'stale') {
      app.toast(t('wall.stale'), 'bad');
      await loadWall();
    } else app.report(error);
  } finally {
    keeping = false;
  }
}

/** @param {string} id @param {(group: import('./walls.js').Group) => import('./walls.js').Group} change */
export function changeGroup(id, change) {
  changeWall({ groups: wall.value.groups.map((one) => (one.id === id ? change(one) : one)) });
}

/** What the address says of the wall: kept there, so that a screen comes back as it was. */
export function readAddress() {
  const asked = new URLSearchParams(location.search);
  kiosk.set(asked.has('kiosk'));
  touring.set(asked.has('tour'));
  shownGroup.set(asked.get('group') ?? '');
}

export function writeAddress() {
  const asked = new URLSearchParams();
  if (kiosk.value) asked.set('kiosk', '1');
  if (shownGroup.value) asked.set('group', shownGroup.value);
  if (touring.value) asked.set('tour', '1');
  const said = asked.toString();
  history.replaceState(null, '', `${location.pathname}${said ? `?${said}` : ''}`);
}
