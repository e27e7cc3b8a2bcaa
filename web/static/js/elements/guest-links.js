// Links for guests: made one by one, shown once with their QR code, revoked here.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { clock } from '../format.js';
import { t } from '../i18n.js';

class GuestLinks extends Part {
  static properties = { made: { state: true }, known: { state: true }, busy: { state: true } };

  constructor() {
    super();
    /** @type {Record<string, any> | null} */
    this.made = null;
    /** @type {Record<string, any>[]} */
    this.known = [];
    this.busy = false;
  }

  watches() {
    return [app.session];
  }

  render() {
    return html`<button class="small" @click=${this.#open}>${icon('link')} ${t('guests.title')}</button>
      <dialog class="dialog guests" aria-label=${t('guests.title')} @close=${() => (this.made = null)}>
        <header><h2>${icon('link')} ${t('guests.title')}</h2><button class="tool" @click=${this.#close} aria-label=${t('close')}>${icon('x')}</button></header>
        ${this.made ? this.#link(this.made) : this.#form()}
        ${this.known.length ? html`<ul class="guest-list">${this.known.map((one) => this.#one(one))}</ul>` : nothing}
      </dialog>`;
  }

  /** @param {Record<string, any>} made */
  #link(made) {
    return html`<div class="guest-link">
      <img src=${made.qr} alt=${t('guests.qr')} width="240" height="240" />
      <p><input readonly .value=${made.url} aria-label=${t('guests.url')} @focus=${(/** @type {Event} */ event) => /** @type {HTMLInputElement} */ (event.target).select()} /></p>
      <p class="faint">${t('guests.once', { at: clock(made.expires_at) })}</p>
      <p class="acts"><button class="primary" @click=${() => this.#copy(made.url)}>${icon('clipboard-list')} ${t('guests.copy')}</button><button @click=${() => (this.made = null)}>${icon('plus')} ${t('guests.another')}</button></p>
    </div>`;
  }

  #form() {
    return html`<form class="guest-form" @submit=${this.#make}>
      <label>${t('guests.name')} <input name="name" maxlength="60" /></label>
      <label>${t('guests.role')} <select name="role"><option value="viewer">${t('guests.viewer')}</option><option value="speaker">${t('guests.speaker')}</option></select></label>
      <label>${t('guests.life')} <select name="life"><option value="3600">${t('guests.hours', { n: 1 })}</option><option value="14400">${t('guests.hours', { n: 4 })}</option><option value="86400">${t('guests.hours', { n: 24 })}</option></select></label>
      <label class="check"><input type="checkbox" name="lobby" checked /> ${t('guests.lobby')}</label>
      <button class="primary" type="submit" ?disabled=${this.busy}>${t('guests.make')}</button>
    </form>`;
  }

  /** @param {Record<string, any>} one */
  #one(one) {
    const state = one.revoked_at ? 'revoked' : one.expires_at < app.now() ? 'expired' : one.used_at ? 'used' : 'waiting';
    return html`<li class="person"><span class="who"><b>${one.name || t('guests.nobody')}</b> <span class="chip">${t(`guests.${one.role}`)}</span></span> <span class="faint">${t(`guests.state.${state}`)}</span>
      ${state === 'used' || state === 'waiting' ? html`<button class="small" @click=${() => this.#revoke(one.guest)}>${t('guests.revoke')}</button>` : nothing}</li>`;
  }

  async #open() {
    this.made = null;
    this.querySelector('dialog')?.showModal();
    await this.#fetch();
  }

  #close() {
    this.querySelector('dialog')?.close();
  }

  async #fetch() {
    try {
      this.known = await api.guests(String(app.session.value));
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {SubmitEvent} event */
  async #make(event) {
    event.preventDefault();
    const facts = new FormData(/** @type {HTMLFormElement} */ (event.target));
    this.busy = true;
    try {
      const wanted = { name: String(facts.get('name')).trim(), role: String(facts.get('role')), lobby: facts.has('lobby'), life_s: Number(facts.get('life')) };
      this.made = await api.makeGuest(String(app.session.value), wanted);
      await this.#fetch();
    } catch (error) {
      app.report(error);
    } finally {
      this.busy = false;
    }
  }

  /** @param {string} guest */
  async #revoke(guest) {
    try {
      await api.revokeGuest(String(app.session.value), guest);
      await this.#fetch();
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string} url */
  async #copy(url) {
    try {
      await navigator.clipboard.writeText(url);
      app.toast(t('guests.copied'));
    } catch {
      app.toast(t('help.not_copied'), 'bad');
    }
  }
}
customElements.define('lamproom-guest-links', GuestLinks);
