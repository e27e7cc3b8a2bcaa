// What a moderator does with a telephone of the consultation: hold, transfer, hang up. Muting and removing are the chair's, as with everybody.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { t } from '../i18n.js';
import { target } from './dial.js';

/** @typedef {Record<string, any>} Body */

class PhoneActs extends Part {
  static properties = { client: { type: String }, call: { state: true }, others: { state: true }, moving: { state: true } };

  constructor() {
    super();
    /** In the roster. */
    this.client = '';
    /** @type {Body | null} */
    this.call = null;
    /** Other desk phones that are on a call here. @type {Body[]} */
    this.others = [];
    this.moving = false;
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (changed.has('client')) this.#load();
  }

  async #load() {
    try {
      const calls = (await api.phoneCalls()).filter((/** @type {Body} */ one) => one.state !== 'ended');
      this.call = calls.find((/** @type {Body} */ one) => one.client === this.client) ?? null;
      this.others = calls.filter((/** @type {Body} */ one) => one.call !== this.call?.call && one.peer.startsWith('phone:') && one.answered_at);
    } catch {
      this.call = null; // not for this visitor: there is nothing to do
    }
  }

  /** @param {() => Promise<unknown>} run */
  #do(run) {
    return app.attempt(async () => {
      await run();
      await this.#load();
    });
  }

  render() {
    const { call } = this;
    if (!call || !app.me.verbs?.includes('moderate')) return nothing;
    return html`<button class="small" data-act="hold" @click=${() => this.#do(() => api.holdCall(call.call, !call.held))}>${icon('phone')} ${call.held ? t('call.resume') : t('call.hold')}</button>
      <button class="small" data-act="transfer" aria-expanded=${this.moving} @click=${() => (this.moving = !this.moving)}>${icon('send')} ${t('call.transfer')}</button>
      <button class="small" data-act="hangup" @click=${() => this.#do(() => api.hangUp(call.call))}>${icon('phone-off')} ${t('call.hang_up')}</button>
      ${this.moving ? this.#form(call) : nothing}`;
  }

  /** @param {Body} call */
  #form(call) {
    const desk = call.peer.startsWith('phone:');
    return html`<form class="invite" @submit=${(/** @type {SubmitEvent} */ event) => this.#transfer(event, call)}>
      <input name="number" maxlength="40" placeholder=${t('call.transfer_to')} aria-label=${t('call.transfer_to')} autocomplete="off" />
      ${desk && this.others.length
        ? html`<select name="other" aria-label=${t('call.join_with')}><option value="">${t('call.join_with')}</option>${this.others.map((one) => html`<option value=${one.call}>${one.name}</option>`)}</select>`
        : nothing}
      <button class="small" type="submit">${t('call.transfer')}</button>
    </form>`;
  }

  /** @param {SubmitEvent} event @param {Body} call */
  #transfer(event, call) {
    event.preventDefault();
    const facts = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const [other, whom] = [String(facts.get('other') ?? ''), String(facts.get('number') ?? '').trim()];
    if (!other && !whom) return;
    this.#do(async () => {
      await api.transferCall(call.call, other ? `call:${other}` : target(whom));
      this.moving = false;
    });
  }
}
customElements.define('lamproom-phone-acts', PhoneActs);
