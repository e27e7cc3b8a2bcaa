// One alert as a card: taken with one press, ended by a person with a reason, able to call a consultation.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { isOpen, lacksData, raisedAt, ruleOf, severityOf, SHAPE, titleOf } from '../alerts.js';
import { figure, moment, timer } from '../format.js';
import { has, t } from '../i18n.js';
import { alertId } from '../roomview.js';
import { Store } from '../state.js';
import { openCall } from './call-dialog.js';
import { drillChip } from './drill-strip.js';
import { escalationLine, mayCallNext } from './escalation.js';

const OUTCOMES = ['confirmed', 'false_alarm', 'explained'];

/** The alert that keys act on. @type {Store<string>} */
export const selected = new Store('');

/** @param {Record<string, any>} alert */
const stands = (alert) => ['open', 'acknowledged'].includes(alert.state);

/** How long it lasts, or lasted. @param {Record<string, any>} alert */
const lasting = (alert) => timer(alert.duration_s ?? (stands(alert) ? app.now() : alert.at) - raisedAt(alert));

/** @param {Record<string, any>} alert @param {string} comment */
export async function acknowledge(alert, comment) {
  try {
    await api.acknowledge(alertId(alert), comment);
  } catch (error) {
    app.report(error);
  }
}

/** @param {Record<string, any>} alert */
export async function callNext(alert) {
  try {
    await api.callNext(alertId(alert));
  } catch (error) {
    app.report(error);
  }
}

class AlertCard extends Part {
  static properties = { alert: { attribute: false }, whole: { type: Boolean }, closing: { state: true }, commenting: { state: true } };

  constructor() {
    super();
    /** @type {Record<string, any>} */
    this.alert = {};
    /** Stands alone, with its evidence beside it. */
    this.whole = false;
    this.closing = false;
    this.commenting = false;
  }

  watches() {
    return [app.rooms, app.tick, app.sites, selected];
  }

  render() {
    const { alert } = this;
    const id = alertId(alert);
    const severity = severityOf(alert);
    return html`<article id=${this.whole ? nothing : `alert-${id}`} class="alert ${severity} ${isOpen(alert) ? 'open' : 'taken'} ${selected.value === id ? 'selected' : ''}" @click=${() => selected.set(id)}>
      <header>
        <span class="badge ${severity}">${icon(SHAPE[severity])} ${t(`severity.${severity}`)}</span>
        <span class="site">${app.siteName(alert.site)}</span>
        ${drillChip(alert)}
        ${alert.simulated ? html`<span class="simulated">${t('simulated')}</span>` : nothing}
        <time class="mono" title=${moment(raisedAt(alert), 0)}>${moment(raisedAt(alert), app.now())}</time>
      </header>
      <p class="title">${titleOf(alert)}</p>
      <p class="facts">
        <span>${ruleOf(alert)}</span>
        <span class="mono" title=${t('alert.lasting')}>${lasting(alert)}</span>
        ${alert.occurrences > 1 ? html`<span>${t('alert.times', { n: alert.occurrences })}</span>` : nothing}
        ${lacksData(alert) ? html`<span class="nodata">${icon('link-2-off')} ${t('alert.no_data')}</span>` : nothing}
        ${alert.acknowledged ? html`<span class="ack">${icon('user-check')} ${t('alert.taken_by', { name: alert.acknowledged.name })}</span>` : nothing}
      </p>
      ${escalationLine(alert)}
      ${alert.acknowledged?.comment ? html`<p class="comment">${alert.acknowledged.comment}</p>` : nothing}
      ${this.whole ? nothing : this.#evidence(alert, id)}
      ${this.whole || selected.value === id ? this.#explain(alert) : nothing}
      ${this.#acts(alert, id)}
      ${this.closing ? this.#closeForm(id) : nothing}
      ${this.commenting ? this.#commentForm(alert) : nothing}
    </article>`;
  }

  /** @param {Record<string, any>} alert @param {string} id */
  #evidence(alert, id) {
    const pictures = (alert.evidence ?? []).slice(-3);
    if (!pictures.length) return nothing;
    return html`<p class="evidence">${pictures.map((/** @type {any} */ one) => {
      const address = `/api/alerts/${encodeURIComponent(id)}/evidence/${encodeURIComponent(one.name)}`;
      return html`<a href="/alerts?alert=${encodeURIComponent(id)}" target="_blank" rel="noopener"><img src=${address} loading="lazy" alt=${t('alert.evidence', { time: moment(one.at, app.now()) })} /></a>`;
    })}</p>`;
  }

  /** @param {Record<string, any>} alert */
  #explain(alert) {
    const explain = alert.explain ?? {};
    const given = explain.inputs && typeof explain.inputs === 'object' ? explain.inputs : {};
    const facts = Object.entries({ ...given, ...explain }).filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value));
    if (!facts.length) return nothing;
    return html`${this.#evidenceOf(given.evidence)}<dl class="explain">${facts.slice(0, 12).map(
      ([key, value]) => html`<dt>${has(`explain.${key}`) ? t(`explain.${key}`) : has(`quantity.${key}`) ? t(`quantity.${key}`) : key}</dt><dd class="mono">${this.#fact(key, value)}</dd>`,
    )}</dl>`;
  }

  /** What each source says, where a rule weighs several. @param {unknown} evidence */
  #evidenceOf(evidence) {
    if (!Array.isArray(evidence) || !evidence.length) return nothing;
    return html`<ul class="items">${evidence.slice(0, 12).map((/** @type {any} */ one) => html`<li>
      ${has(`evidence.${one.item}`) ? t(`evidence.${one.item}`) : one.item}${t('colon')}${one.subject}
      <span class="faint">${has(`incident.source.${one.source}`) ? t(`incident.source.${one.source}`) : one.source} · ${t('evidence.strength', { n: one.strength })} · ${moment(one.since, app.now())}${one.explained ? ` · ${t('evidence.explained')}` : ''}</span></li>`)}</ul>`;
  }

  /** @param {string} key @param {unknown} value */
  #fact(key, value) {
    if (typeof value !== 'number') return String(value);
    return value > 1e9 && /(at|since|until)$/.test(key) ? moment(value, app.now()) : figure(value);
  }

  /** @param {Record<string, any>} alert @param {string} id */
  #acts(alert, id) {
    return html`<p class="acts">
      ${app.mayAcknowledge && isOpen(alert)
        ? html`<button class="primary" @click=${() => acknowledge(alert, '')}>${icon('check')} ${t('alert.acknowledge')}</button>
            <button @click=${() => (this.commenting = !this.commenting)} aria-label=${t('alert.with_comment')} title=${t('alert.with_comment')}>${icon('message-square')}</button>`
        : nothing}
      ${app.mayCall && !app.session.value ? html`<button @click=${() => openCall(alert)}>${icon('phone')} ${t('call.short')}</button>` : nothing}
      ${mayCallNext(alert) ? html`<button @click=${() => callNext(alert)}>${icon('bell-ring')} ${t('escalation.call_next')}</button>` : nothing}
      ${app.mayClose && alert.site !== app.me.site && !alert.drill ? html`<a class="button" href=${`/duty?${new URLSearchParams({ site: alert.site, origin: `alert:${id}`, text: titleOf(alert) })}#hazards`}>${icon('clipboard-list')} ${t('hazard.record')}</a>` : nothing}
      ${app.mayClose && stands(alert) ? html`<button @click=${() => (this.closing = !this.closing)}>${icon('x')} ${t('alert.close')}</button>` : nothing}
    </p>`;
  }

  /** @param {Record<string, any>} alert */
  #commentForm(alert) {
    const send = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
      this.commenting = false;
      await acknowledge(alert, String(form.get('comment') ?? ''));
    };
    return html`<form class="inline" @submit=${send}>
      <input name="comment" maxlength="500" autocomplete="off" placeholder=${t('alert.comment')} aria-label=${t('alert.comment')} />
      <button class="primary" type="submit">${t('alert.acknowledge')}</button>
    </form>`;
  }

  /** @param {string} id */
  #closeForm(id) {
    const send = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const form = new FormData(/** @type {HTMLFormElement} */ (event.target));
      try {
        await api.close(id, String(form.get('outcome')), String(form.get('reason') ?? ''), String(form.get('comment') ?? ''));
        this.closing = false;
      } catch (error) {
        app.report(error);
      }
    };
    return html`<form class="close-form" @submit=${send}>
      <fieldset>
        <legend>${t('alert.outcome')}</legend>
        ${OUTCOMES.map((one, index) => html`<label><input type="radio" name="outcome" value=${one} ?checked=${index === 0} required /> ${t(`outcome.${one}`)}</label>`)}
      </fieldset>
      <input name="reason" maxlength="200" autocomplete="off" placeholder=${t('alert.reason')} aria-label=${t('alert.reason')} />
      <input name="comment" maxlength="500" autocomplete="off" placeholder=${t('alert.comment')} aria-label=${t('alert.comment')} />
      <p class="acts"><button class="primary" type="submit">${t('alert.close_now')}</button><button type="button" @click=${() => (this.closing = false)}>${t('cancel')}</button></p>
    </form>`;
  }
}
customElements.define('lamproom-alert', AlertCard);
