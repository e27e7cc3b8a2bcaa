// What consultations about each type of incident begin with, and the legal clocks; fetched once.
import { api } from './api.js';
import { app } from './app.js';
import { Store } from './state.js';

/** @typedef {{key: string, title: {zh: string, en: string}, rules: string[], levels: string[], clocks: boolean, orders: {to: string, text: {zh: string, en: string}}[]}} Template */

/** @type {Store<{items: Template[], clocks_s: number[]}>} */
export const templates = new Store({ items: /** @type {Template[]} */ ([]), clocks_s: /** @type {number[]} */ ([]) });

let asked = false;

/** Fetches them when they are first needed. */
export async function fetchTemplates() {
  if (asked || app.isGuest) return;
  asked = true;
  try {
    templates.set(await api.templates());
  } catch {
    asked = false; // the dialog works without them; the next one asks again
  }
}
