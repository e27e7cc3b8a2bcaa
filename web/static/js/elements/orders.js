// Orders with read-back, and chat. An order that nobody has read back within a minute turns red.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { clock, timer } from '../format.js';
import { pick, t } from '../i18n.js';
import { fetchTemplates, templates } from '../templates.js';

const READ_BACK_S = 60;

class Orders extends Part {
  static properties = { mode: { type: String } };

  constructor() {
    super();
    this.mode = 'orders';
    /** How many words the chat showed last. */
    this.shown = 0;
  }

  watches() {
    return [app.rooms, app.tick, app.session, app.sites, templates];
  }

  connectedCallback() {
    super.connectedCallback();
    fetchTemplates();
  }

  get #session() {
    return app.sessionRoom?.sessions.get(app.session.value ?? '');
  }

  render() {
    return this.mode === 'chat' ? this.#chat() : this.#orders();
  }

  updated() {
    const list = this.querySelector('.chat-list');
    const length = list?.children.length ?? 0;
    if (list && length !== this.shown) list.scrollTop = list.scrollHeight;
    this.shown = length;
  }

  // --- orders ---

  #orders() {
    const orders = Object.values(this.#session?.orders ?? {}).sort((a, b) => b.given_at - a.given_at);
    return html`<div class="orders">
      <div class="scroll">${orders.length ? orders.map((order) => this.#order(order)) : html`<p class="empty">${t('order.none')}</p>`}</div>
      ${['admin', 'supervisor'].includes(app.me.role) ? this.#give() : nothing}
    </div>`;
  }

  /** @param {any} order */
  #order(order) {
    const waits = app.now() - order.given_at;
    const late = order.state === 'given' && waits >= READ_BACK_S;
    const mine = order.to_site === app.me.site;
    return html`<article class="order ${order.state} ${late ? 'late' : ''}">
      <header><b>${t('order.to', { site: app.siteName(order.to_site) })}</b><span class="mono faint">${clock(order.given_at)}</span></header>
      <p class="order-text">${order.text}</p>
      <p class="facts"><span>${t('order.by', { name: order.given_by })}</span>
        ${order.state === 'given' ? html`<span class="order-state">${icon(late ? 'triangle-alert' : 'clock')} ${late ? t('order.late') : t('order.given')} <span class="mono">${timer(waits)}</span></span>` : nothing}
        ${order.state === 'confirmed' ? html`<span class="order-state">${icon('check')} ${t('order.confirmed', { name: order.confirmed_by })}</span>` : nothing}
        ${order.state === 'done' ? html`<span class="order-state">${icon('circle-check')} ${t('order.done', { name: order.done_by })}</span>` : nothing}
      </p>
      ${mine && order.state !== 'done'
        ? html`<p class="acts">
            ${order.state === 'given' ? html`<button class="primary" @click=${() => this.#answer(order, 'confirmed')}>${icon('clipboard-check')} ${t('order.read_back')}</button>` : nothing}
            <button @click=${() => this.#answer(order, 'done')}>${icon('check')} ${t('order.report_done')}</button>
          </p>`
        : nothing}
    </article>`;
  }

  #give() {
    const session = this.#session;
    const levels = session?.invitations ?? {};
    const sites = [...new Set([session?.site, session?.started_by_site, ...Object.keys(session?.invitations ?? {})])].filter((site) => site && site !== app.me.site);
    return html`${this.#drafts(session)}<form class="say" @submit=${this.#sendOrder}>
      <select name="to" aria-label=${t('order.whom')}>${sites.map((site) => html`<option value=${site} ?selected=${site === session?.site}>${app.siteName(site, levels[site]?.level)}</option>`)}</select>
      <textarea name="text" rows="2" maxlength="500" required placeholder=${t('order.write')} aria-label=${t('order.write')} @keydown=${this.#enter}></textarea>
      <button class="primary" type="submit" ?disabled=${!sites.length}>${icon('send')} ${t('order.give')}</button>
    </form>`;
  }

  /** First orders of the template, ready to be given; one that was given is gone. @param {any} session */
  #drafts(session) {
    const template = templates.value.items.find((one) => one.key === session?.template);
    const given = new Set(Object.values(session?.orders ?? {}).map((order) => order.text));
    const to = (/** @type {string} */ level) => (level === 'mine' ? session.site : Object.values(session.invitations ?? {}).find((one) => one.level === level)?.site);
    const left = (template?.orders ?? []).filter((one) => !given.has(one.text.zh) && !given.has(one.text.en) && to(one.to) && to(one.to) !== app.me.site);
    if (!left.length) return nothing;
    return html`<div class="drafts"><p class="faint">${t('order.first')}</p>${left.map((one) => html`<button class="draft" @click=${() => this.#request({ type: 'give_order', to_site: to(one.to), text: pick(one.text) }, null)}>${icon('send')} <span>${pick(one.text)}</span></button>`)}</div>`;
  }

  /** @param {SubmitEvent} event */
  #sendOrder(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const facts = new FormData(form);
    if (!facts.get('to')) return; // the consultation is still being entered
    this.#request({ type: 'give_order', to_site: facts.get('to'), text: String(facts.get('text')).trim() }, form);
  }

  /** @param {any} order @param {'confirmed' | 'done'} state */
  #answer(order, state) {
    this.#request({ type: 'answer_order', order: order.order, state }, null);
  }

  // --- chat ---

  #chat() {
    const said = app.sessionRoom?.entries.filter((entry) => entry.kind === 'chat') ?? [];
    return html`<div class="chat">
      <div class="scroll chat-list" aria-live="polite">
        ${said.length ? nothing : html`<p class="empty">${t('chat.none')}</p>`}
        ${said.map(
          (entry) => html`<div class="said ${entry.body.from?.user === app.me.user ? 'mine' : ''}">
            <p class="said-by"><b>${entry.body.from?.name}</b> <span>${app.siteName(entry.body.from?.site, entry.body.from?.level)}</span> <span class="mono faint">${clock(entry.at)}</span></p>
            <p class="said-text">${entry.body.text}</p>
          </div>`,
        )}
      </div>
      <form class="say" @submit=${this.#sendChat}>
        <textarea name="text" rows="2" maxlength="2000" required placeholder=${t('chat.write')} aria-label=${t('chat.write')} @keydown=${this.#enter}></textarea>
        <button class="primary" type="submit" aria-label=${t('chat.send')}>${icon('send')} ${t('chat.send')}</button>
      </form>
    </div>`;
  }

  /** @param {SubmitEvent} event */
  #sendChat(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const text = String(new FormData(form).get('text')).trim();
    if (text) this.#request({ type: 'chat', text }, form);
  }

  /** Enter sends, Shift+Enter breaks the line. @param {KeyboardEvent} event */
  #enter(event) {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    /** @type {HTMLTextAreaElement} */ (event.target).form?.requestSubmit();
  }

  /** What was written stays in the field until the server has it. @param {Record<string, unknown>} message @param {HTMLFormElement | null} form */
  async #request(message, form) {
    try {
      await app.room.request({ ...message, room: `session:${app.session.value}` });
      form?.reset();
    } catch (error) {
      app.report(error);
    }
  }
}
customElements.define('lamproom-orders', Orders);
