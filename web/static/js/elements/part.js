// Base of all parts: drawn into the page itself (one style sheet for all), drawn anew when the language or a store that
// it watches changes. What comes from the net is only ever bound as text.
import { LitElement, html, svg, nothing } from 'lit';
import { language } from '../i18n.js';

export { html, svg, nothing };

export class Part extends LitElement {
  /** @type {Array<() => void>} */
  #stops = [];

  createRenderRoot() {
    return this;
  }

  /** Stores to follow. @returns {import('../state.js').Store<any>[]} */
  watches() {
    return [];
  }

  connectedCallback() {
    super.connectedCallback();
    this.#stops = [language, ...this.watches()].map((store) => store.subscribe(() => this.requestUpdate()));
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }
}

/** Drawn by us; the others are of the fetched sprite. */
const OWN_ICONS = new Set(['hand', 'lock', 'unlock', 'chair', 'spot', 'speaker', 'beside', 'link', 'contrast', 'gear', 'download', 'search', 'disk', 'key']);

/** An icon of the sprite; words stand beside it or in the label of its button. @param {string} name @param {string} [kind] */
export function icon(name, kind = '') {
  return html`<svg class="icon ${kind}" aria-hidden="true"><use href="${OWN_ICONS.has(name) ? '/static/icons.svg' : '/static/vendor/icons.svg'}#${name}"></use></svg>`;
}
