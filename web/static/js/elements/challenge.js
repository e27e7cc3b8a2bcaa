// "Are you there?": asked at the desk before a warning becomes an alarm. The button is at a random place and names a key,
// so that only somebody who looks can answer. It covers no other button: an emergency goes on beside it.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { timer } from '../format.js';
import { pick, t } from '../i18n.js';
import { soundFor } from '../sound.js';

const PLACES = 9;

class Challenge extends Part {
  /** @type {Set<string>} */
  #sent = new Set();
  #onKey = (/** @type {KeyboardEvent} */ event) => this.#key(event);

  watches() {
    return [app.rooms, app.tick];
  }

  connectedCallback() {
    super.connectedCallback();
    addEventListener('keydown', this.#onKey, true); // before the page's own keys: digits choose tiles there
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    removeEventListener('keydown', this.#onKey, true);
    soundFor('challenge', null);
  }

  /** The one that is asked here and not yet over. */
  get #asked() {
    const own = [...(app.own?.challenges.values() ?? [])].filter((one) => one.site === app.me.site && app.mayAcknowledge && !this.#sent.has(one.challenge));
    return own.find((one) => one.until > app.now());
  }

  updated() {
    soundFor('challenge', this.#asked ? 'challenge' : null);
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const asked = this.#asked;
    if (!asked || event.key !== String(asked.place + 1) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.#answer(asked.challenge);
  }

  /** @param {string} challenge */
  async #answer(challenge) {
    this.#sent.add(challenge);
    this.requestUpdate();
    try {
      await api.answerChallenge(challenge);
    } catch (error) {
      this.#sent.delete(challenge);
      app.report(error);
    }
  }

  render() {
    const asked = this.#asked;
    if (!asked) return nothing;
    const number = asked.place + 1;
    return html`<section class="challenge" role="alertdialog" aria-label=${t('challenge.title')} data-challenge=${asked.challenge}>
      <p class="challenge-title">${icon('bell-ring', 'large')} <b>${t('challenge.title')}</b> <span class="mono">${timer(asked.until - app.now())}</span></p>
      <p class="challenge-why">${pick(asked.name)}${t('colon')}${asked.rules.map((/** @type {string} */ rule) => t(`challenge.why.${rule}`)).join(t('comma'))}</p>
      <div class="challenge-places">
        ${Array.from({ length: PLACES }, (_, place) => (place === asked.place
          ? html`<button class="primary" @click=${() => this.#answer(asked.challenge)}>${t('challenge.here')} <kbd>${number}</kbd></button>`
          : html`<span></span>`))}
      </div>
    </section>`;
  }
}
customElements.define('lamproom-challenge', Challenge);
