// The alert centre: everything that was ever raised at the own site and below, by severity, each with its evidence; what
// one has looked at oneself, what stands, what it was. Opened beside the page of the duty, or instead of it: it rings too.
import { app, bootWork } from '../app.js';
import { api } from '../api.js';
import { isOpen, raisedAt, ruleOf, severityOf, SHAPE, titleOf } from '../alerts.js';
import { moment } from '../format.js';
import { t } from '../i18n.js';
import { addShortcut, isTyping } from '../shortcuts.js';
import { addPageKeys } from '../keys.js';
import { alertId } from '../roomview.js';
import { acknowledge, selected } from '../elements/alert-card.js';
import { callNextSelected } from '../elements/alert-list.js';
import { Part, html, icon, nothing } from '../elements/part.js';
import { repeat } from 'lit/directives/repeat.js';
import { showHelp } from '../elements/help.js';
import '../elements/alert-card.js';
import '../elements/beacon.js';
import '../elements/call-dialog.js';
import '../elements/evidence.js';
import '../elements/toasts.js';
import '../elements/topbar.js';

const SEVERITIES = ['critical', 'alarm', 'warning', 'info'];
const STATES = ['open', 'acknowledged', 'cleared', 'closed'];
const COUNT_AGAIN_MS = 800;
const MAX_AT_ONCE = 100;

/** @typedef {Record<string, any>} Alert */

class AlertCentre extends Part {
  static properties = {
    started: { state: true }, severity: { state: true }, state: { state: true }, fresh: { state: true }, grouped: { state: true }, site: { state: true },
    list: { state: true }, next: { state: true }, reviewed: { state: true }, counts: { state: true }, marked: { state: true }, folded: { state: true }, other: { state: true }, busy: { state: true },
  };

  constructor() {
    super();
    this.started = false;
    this.severity = '';
    this.state = '';
    this.fresh = false;
    this.grouped = true;
    this.site = '';
    /** @type {Alert[]} */
    this.list = [];
    /** @type {string | null} */
    this.next = null;
    /** @type {Set<string>} */
    this.reviewed = new Set();
    /** @type {Record<string, {all: number, new: number, open: number}>} */
    this.counts = {};
    /** @type {Set<string>} */
    this.marked = new Set();
    /** Groups that are shown whole. @type {Set<string>} */
    this.folded = new Set();
    /** The chosen alert, where the list does not have it. @type {Alert | null} */
    this.other = null;
    this.busy = false;
    this.countAgain = 0;
    /** Which answer is the newest one asked for. */
    this.asked = 0;
  }

  watches() {
    return [app.sites, app.rooms, selected];
  }

  async connectedCallback() {
    super.connectedCallback();
    await bootWork();
    const wanted = new URLSearchParams(location.search);
    this.site = wanted.get('site') ?? app.me.site;
    if (SEVERITIES.includes(wanted.get('severity') ?? '')) this.severity = wanted.get('severity') ?? '';
    this.started = true;
    this.#keys();
    app.room.addEventListener('event', (event) => this.#heard(/** @type {CustomEvent} */ (event).detail));
    selected.subscribe(() => this.#follow());
    await this.#load();
    selected.set(wanted.get('alert') ?? (this.list[0] ? alertId(this.list[0]) : ''));
  }

  #keys() {
    addShortcut({ keys: 'jk', label: 'key.next', run: (key) => this.#step(key === 'j' ? 1 : -1) });
    addShortcut({ keys: 'a', label: 'key.acknowledge', run: () => this.#take() });
    addShortcut({ keys: 'e', label: 'key.escalate', run: callNextSelected });
    addShortcut({ keys: 'r', label: 'key.reviewed', run: () => this.#look(this.#targets(), !this.reviewed.has(selected.value)) });
    addShortcut({ keys: 'x', label: 'key.mark', run: () => selected.value && this.#mark([selected.value], !this.marked.has(selected.value)) });
    addShortcut({ keys: '', shown: 'Ctrl A', label: 'key.mark_all', run: () => {} });
    addPageKeys();
    addShortcut({ keys: '?', label: 'key.help', run: showHelp });
    addEventListener('keydown', (event) => {
      if (document.querySelector('dialog[open]')) return;
      if (event.key === 'Escape') this.marked = new Set();
      if ((event.ctrlKey || event.metaKey) && event.key === 'a' && !isTyping(event.target)) {
        event.preventDefault();
        this.#mark(this.list.map(alertId), true);
      }
    });
  }

  // --- what the server has ---

  get #wish() {
    return { site: this.site, severity: this.severity || undefined, state: this.state || undefined, unreviewed: this.fresh ? 'true' : undefined };
  }

  /** @param {string} [after] */
  async #load(after) {
    const asked = ++this.asked;
    this.busy = true;
    try {
      const [page] = await Promise.all([api.alerts({ ...this.#wish, after }), this.#count()]);
      if (asked !== this.asked) return; // somebody has chosen another tab meanwhile
      this.list = after ? [...this.list, ...page.items] : page.items;
      this.reviewed = new Set([...(after ? this.reviewed : []), ...page.reviewed]);
      this.next = page.next;
      if (!after) this.marked = new Set();
    } catch (error) {
      app.report(error);
    } finally {
      this.busy = false;
    }
  }

  async #count() {
    this.counts = await api.alertCounts(this.site);
  }

  #countSoon() {
    clearTimeout(this.countAgain);
    this.countAgain = setTimeout(() => this.#count().catch((error) => app.report(error)), COUNT_AGAIN_MS);
  }

  /** An alert came or changed. @param {{room: string, kind: string, body: Alert}} event */
  #heard(event) {
    if (event.kind !== 'alert' || event.room !== app.ownRoom) return;
    const { body } = event;
    const id = alertId(body);
    this.#countSoon();
    if (this.list.some((one) => alertId(one) === id)) this.list = this.list.map((one) => (alertId(one) === id ? { ...one, ...body } : one));
    else if (this.#fits(body)) this.list = [body, ...this.list];
    if (this.other && alertId(this.other) === id) this.other = { ...this.other, ...body };
  }

  /** @param {Alert} alert */
  #fits(alert) {
    const below = app.below(this.site).some((one) => one.site === alert.site);
    return below && (!this.severity || severityOf(alert) === this.severity) && (!this.state || alert.state === this.state);
  }

  // --- the chosen one ---

  get #chosen() {
    return this.list.find((one) => alertId(one) === selected.value) ?? (this.other && alertId(this.other) === selected.value ? this.other : null);
  }

  /** The address names it, so that it can be sent to somebody. */
  async #follow() {
    const id = selected.value;
    const address = new URL(location.href);
    if (id) address.searchParams.set('alert', id);
    else address.searchParams.delete('alert');
    history.replaceState(null, '', address);
    if (!id || this.#chosen) return;
    try {
      this.other = await api.alert(id);
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {1 | -1} step */
  #step(step) {
    const rows = this.#rows().flatMap(([, shown]) => shown.map(alertId));
    if (!rows.length) return;
    const at = rows.indexOf(selected.value);
    selected.set(rows[Math.min(rows.length - 1, Math.max(0, at + step))]);
    this.updateComplete.then(() => this.querySelector('.alert-row.current')?.scrollIntoView({ block: 'nearest' }));
  }

  // --- what one does ---

  /** What keys and buttons act on: what is marked, else the chosen one. */
  #targets() {
    return this.marked.size ? [...this.marked] : selected.value ? [selected.value] : [];
  }

  async #take() {
    if (!app.mayAcknowledge) return;
    if (this.marked.size) await this.#takeAll([...this.marked]);
    else if (this.#chosen && isOpen(this.#chosen)) {
      await acknowledge(this.#chosen, '');
      await this.#look([selected.value], true);
    }
  }

  /** @param {string[]} ids */
  async #takeAll(ids) {
    const open = ids.filter((id) => this.list.some((one) => alertId(one) === id && isOpen(one)));
    try {
      for (let from = 0; from < open.length; from += MAX_AT_ONCE) await api.acknowledgeAll(open.slice(from, from + MAX_AT_ONCE));
      if (open.length) app.toast(t('alerts.taken', { n: open.length }));
      await this.#look(ids, true);
      this.marked = new Set();
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string[]} ids @param {boolean} looked */
  async #look(ids, looked) {
    try {
      for (let from = 0; from < ids.length; from += MAX_AT_ONCE) await api.review(ids.slice(from, from + MAX_AT_ONCE), looked);
      const next = new Set(this.reviewed);
      for (const id of ids) looked ? next.add(id) : next.delete(id);
      this.reviewed = next;
      this.#countSoon();
    } catch (error) {
      app.report(error);
    }
  }

  /** @param {string[]} ids @param {boolean} on */
  #mark(ids, on) {
    const next = new Set(this.marked);
    for (const id of ids) on ? next.add(id) : next.delete(id);
    this.marked = next;
  }

  /** @param {Partial<AlertCentre>} change */
  #want(change) {
    Object.assign(this, change);
    this.#load();
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(`${location.origin}/alerts?alert=${encodeURIComponent(selected.value)}`);
      app.toast(t('help.copied'));
    } catch {
      app.toast(t('help.not_copied'), 'bad');
    }
  }

  // --- drawing ---

  /** Alerts of one rule at one site stand together: name, those that are shown, all. @returns {Array<[string, Alert[], Alert[]]>} */
  #rows() {
    /** @type {Map<string, Alert[]>} */
    const groups = new Map();
    for (const one of this.list) {
      const key = this.grouped ? `${one.site}/${one.rule}` : alertId(one);
      groups.set(key, [...(groups.get(key) ?? []), one]);
    }
    return [...groups].map(([key, all]) => [key, all.length < 3 || this.folded.has(key) ? all : all.slice(0, 1), all]);
  }

  render() {
    if (!this.started) return nothing;
    return html`
      <lamproom-topbar heading=${t('page.alerts')}></lamproom-topbar>
      <lamproom-beacon></lamproom-beacon>
      <main class="alert-centre">
        <section class="panel alert-index" aria-label=${t('page.alerts')}>${this.#head()}${this.#index()}</section>
        ${this.#detail()}
      </main>
      <lamproom-call></lamproom-call><lamproom-incoming></lamproom-incoming><lamproom-help></lamproom-help><lamproom-toasts></lamproom-toasts>`;
  }

  #head() {
    const sum = (/** @type {'all' | 'new'} */ what) => Object.values(this.counts).reduce((total, one) => total + one[what], 0);
    const tab = (/** @type {string} */ severity, /** @type {unknown} */ name, /** @type {number} */ fresh, /** @type {number} */ all) => html`<button role="tab" class="severity-tab ${severity}" aria-selected=${this.severity === severity} @click=${() => this.#want({ severity })}>${name} <b>${fresh}</b><span class="faint">/${all}</span></button>`;
    const sites = app.below(app.me.site);
    return html`<div class="severity-tabs" role="tablist" aria-label=${t('alerts.by_severity')}>
        ${tab('', t('alerts.all'), sum('new'), sum('all'))}
        ${SEVERITIES.map((one) => tab(one, html`${icon(SHAPE[/** @type {import('../alerts.js').Severity} */ (one)])} ${t(`severity.${one}`)}`, this.counts[one]?.new ?? 0, this.counts[one]?.all ?? 0))}
      </div>
      <div class="alert-filters">
        ${sites.length > 1 ? html`<select aria-label=${t('review.site')} @change=${(/** @type {Event} */ event) => this.#want({ site: /** @type {HTMLSelectElement} */ (event.target).value })}>${sites.map((one) => html`<option value=${one.site} ?selected=${one.site === this.site}>${app.siteName(one.site)}</option>`)}</select>` : nothing}
        <select aria-label=${t('alerts.state')} @change=${(/** @type {Event} */ event) => this.#want({ state: /** @type {HTMLSelectElement} */ (event.target).value })}><option value="">${t('alerts.any_state')}</option>${STATES.map((one) => html`<option value=${one} ?selected=${one === this.state}>${t(`alert.state.${one}`)}</option>`)}</select>
        <label><input type="checkbox" .checked=${this.fresh} @change=${(/** @type {Event} */ event) => this.#want({ fresh: /** @type {HTMLInputElement} */ (event.target).checked })} /> ${t('alerts.fresh')}</label>
        <label><input type="checkbox" .checked=${this.grouped} @change=${(/** @type {Event} */ event) => (this.grouped = /** @type {HTMLInputElement} */ (event.target).checked)} /> ${t('alerts.grouped')}</label>
      </div>
      ${this.marked.size ? html`<div class="alert-marked" role="status"><b>${t('alerts.marked', { n: this.marked.size })}</b>
        ${app.mayAcknowledge ? html`<button class="small primary" @click=${() => this.#takeAll([...this.marked])}>${icon('check')} ${t('alert.acknowledge')}</button>` : nothing}
        <button class="small" @click=${() => this.#look([...this.marked], true)}>${icon('eye')} ${t('alerts.reviewed')}</button>
        <button class="small" @click=${() => (this.marked = new Set())}>${t('cancel')}</button></div>` : nothing}`;
  }

  #index() {
    const groups = this.#rows();
    return html`<div class="scroll">
      ${groups.length ? nothing : html`<p class="empty">${icon('circle-check')} ${this.busy ? t('loading') : t('alerts.none')}</p>`}
      ${repeat(groups, ([key]) => key, ([key, shown, all]) => html`${all.length > 2 ? this.#group(key, all) : nothing}${repeat(shown, alertId, (one) => this.#row(one))}`)}
      ${this.next ? html`<p class="more"><button class="small" ?disabled=${this.busy} @click=${() => this.#load(this.next ?? undefined)}>${t('review.more')}</button></p>` : nothing}
    </div>`;
  }

  /** @param {string} key @param {Alert[]} all */
  #group(key, all) {
    const open = all.filter(isOpen);
    const whole = this.folded.has(key);
    return html`<div class="alert-group">
      <button class="tool" aria-expanded=${whole} @click=${() => { const next = new Set(this.folded); whole ? next.delete(key) : next.add(key); this.folded = next; }}>${icon('chevron-down')} <b>${ruleOf(all[0])}</b> · ${app.siteName(all[0].site)} <span class="count ${open.length ? 'hot' : ''}">${all.length}</span></button>
      ${app.mayAcknowledge && open.length ? html`<button class="small" @click=${() => this.#takeAll(open.map(alertId))}>${icon('check')} ${t('alerts.take_group', { n: open.length })}</button>` : nothing}
    </div>`;
  }

  /** @param {Alert} alert */
  #row(alert) {
    const id = alertId(alert);
    const severity = severityOf(alert);
    const looked = this.reviewed.has(id);
    return html`<div class="alert-row ${severity} ${isOpen(alert) ? 'open' : ''} ${looked ? 'looked' : ''} ${selected.value === id ? 'current' : ''}" data-alert=${id}>
      <input type="checkbox" aria-label="${t('key.mark')} ${titleOf(alert)}" .checked=${this.marked.has(id)} @change=${(/** @type {Event} */ event) => this.#mark([id], /** @type {HTMLInputElement} */ (event.target).checked)} />
      <button class="alert-pick" aria-current=${selected.value === id} @click=${() => selected.set(id)}>
        <span class="badge ${severity}" title=${t(`severity.${severity}`)}>${icon(SHAPE[severity])}</span>
        <span class="alert-words"><b>${titleOf(alert)}</b><small>${app.siteName(alert.site)} · ${t(`alert.state.${alert.state}`)}${alert.outcome ? ` · ${t(`outcome.${alert.outcome}`)}` : ''}</small></span>
        <time class="mono">${moment(raisedAt(alert), app.now())}</time>
      </button>
      <button class="tool" aria-pressed=${looked} title=${t('alerts.reviewed')} aria-label="${t('alerts.reviewed')} ${titleOf(alert)}" @click=${() => this.#look([id], !looked)}>${icon(looked ? 'check' : 'eye')}</button>
    </div>`;
  }

  #detail() {
    const alert = this.#chosen;
    if (!alert) return html`<section class="panel"><p class="empty tall">${icon('bell', 'large')}<span>${t('alerts.choose')}</span></p></section>`;
    const { closed } = alert;
    return html`<section class="panel alert-detail" aria-label=${titleOf(alert)}>
      <div class="scroll" tabindex="0">
        <lamproom-evidence .alert=${alert}></lamproom-evidence>
        <lamproom-alert .alert=${alert} whole></lamproom-alert>
        ${closed ? html`<p class="comment closed">${t('alert.change.closed')}${t('colon')}${closed.name} ${moment(closed.at, app.now())} · ${t(`outcome.${alert.outcome}`)}${closed.reason ? ` · ${closed.reason}` : ''}${closed.comment ? ` · ${closed.comment}` : ''}</p>` : nothing}
        <p class="acts alert-more"><button class="small" @click=${this.#copy}>${icon('clipboard-list')} ${t('alerts.link')}</button>
          <button class="small" aria-pressed=${this.reviewed.has(alertId(alert))} @click=${() => this.#look([alertId(alert)], !this.reviewed.has(alertId(alert)))}>${icon('eye')} ${t('alerts.reviewed')} <kbd>r</kbd></button></p>
      </div>
    </section>`;
  }
}
customElements.define('lamproom-alert-centre', AlertCentre);
