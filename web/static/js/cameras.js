// Diagnosis cards of the cameras that the server fetches; asked for now and then while the page is looked at.
import { api } from './api.js';
import { Store } from './state.js';

const EVERY_MS = 5_000;
const NONE_EVERY_MS = 60_000;

/** As in `GET /api/cameras/diagnosis`. @type {Store<Record<string, any>[]>} */
export const cards = new Store(/** @type {Record<string, any>[]} */ ([]));

/** The worst light of a card. @param {Record<string, any>} card @returns {'bad' | 'warn' | 'ok'} */
export function lightOf(card) {
  const lights = card.steps.map((/** @type {Record<string, any>} */ step) => step.light);
  if (lights.includes('failed')) return 'bad';
  return lights.every((/** @type {string} */ light) => light === 'ok') ? 'ok' : 'warn';
}

/** @param {string} site @param {string} name @returns {Record<string, any> | undefined} */
export function cardOf(site, name) {
  return cards.value.find((card) => card.site === site && card.name === name);
}

let site = '';
/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;

/** Keep the cards of a site and all below it fresh. @param {string} wanted */
export function followCameras(wanted) {
  if (site === wanted) return;
  site = wanted;
  clearTimeout(timer);
  ask();
}

/** Ask now: cameras came or went. */
export function askForCameras() {
  clearTimeout(timer);
  ask();
}

async function ask() {
  if (!document.hidden) {
    try {
      cards.set(await api.diagnosis(site));
    } catch {
      // the line on top says that the server is away; what was known stays
    }
  }
  timer = setTimeout(ask, cards.value.length ? EVERY_MS : NONE_EVERY_MS);
}
