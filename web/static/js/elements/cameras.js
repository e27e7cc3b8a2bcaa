// The cameras that the server fetches: one light for all on top of the page, and a card for each that says what to do.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { cards, followCameras, lightOf } from '../cameras.js';
import { clock } from '../format.js';
import { has, pick, t } from '../i18n.js';

const ICONS = /** @type {Record<string, string>} */ ({
  ok: 'circle-check',
  failed: 'octagon-alert',
  warning: 'triangle-alert',
  waiting: 'loader-circle',
  unknown: 'diamond',
});
const WORST_FIRST = ['bad', 'warn', 'ok'];

class Cameras extends Part {
  watches() {
    return [cards, app.sites];
  }

  connectedCallback() {
    super.connectedCallback();
    if (!app.isGuest) followCameras(app.me.site);
  }

  render() {
    const all = cards.value;
    if (!all.length) return nothing;
    const well = all.filter((card) => lightOf(card) !== 'bad').length;
    const kind = well < all.length ? 'bad' : all.every((card) => lightOf(card) === 'ok') ? 'ok' : 'warn';
    return html`<button class="light ${kind} cameras-light" data-cameras=${kind} title=${t('cameras.open')} @click=${this.#open}>
        ${icon(kind === 'bad' ? 'video-off' : 'video')}<span>${t('cameras.count', { well, all: all.length })}</span>
      </button>
      <dialog class="dialog cameras" aria-label=${t('cameras.title')}>
        <header><h2>${icon('video')} ${t('cameras.title')}</h2><button class="tool" @click=${this.#close} aria-label=${t('close')}>${icon('x')}</button></header>
        <ul>
          ${[...all].sort((a, b) => WORST_FIRST.indexOf(lightOf(a)) - WORST_FIRST.indexOf(lightOf(b))).map((card) => this.#card(card))}
        </ul>
      </dialog>`;
  }

  /** @param {Record<string, any>} card */
  #card(card) {
    const name = has(`camera.${card.name}`) ? t(`camera.${card.name}`) : card.name === 'dispatch-room' ? t('tile.dispatch_room') : card.name;
    const light = lightOf(card);
    return html`<li class="camera-card ${light}">
      <h3><b>${app.siteName(card.site)}</b> ${name}<small>${t('cameras.since', { at: clock(card.since) })}</small></h3>
      <p class="summary">${pick(card.summary)}</p>
      ${card.retry_at && light === 'bad' ? html`<p class="faint">${t('cameras.retry', { at: clock(card.retry_at) })}</p>` : nothing}
      <ol class="steps">
        ${card.steps.map(
          (/** @type {Record<string, any>} */ step) => html`<li class=${step.light}>
            ${icon(ICONS[step.light])}<span><b>${pick(step.name)}</b> <span class="sr">${t(`cameras.light.${step.light}`)}</span>${step.light !== 'ok' ? nothing : html` <small>${pick(step.text)}</small>`}</span>
          </li>`,
        )}
      </ol>
      ${card.detail ? html`<details><summary>${t('cameras.detail')}</summary><code>${card.detail}</code></details>` : nothing}
    </li>`;
  }

  #open() {
    this.querySelector('dialog')?.showModal();
  }

  #close() {
    this.querySelector('dialog')?.close();
  }
}
customElements.define('lamproom-cameras', Cameras);
