// How the server does: what stands out first, then processes, queues, disks, links, certificates, clock, findings, troubles.
import { app } from '../app.js';
import { api } from '../api.js';
import { age, moment } from '../format.js';
import { has, pick, t } from '../i18n.js';
import { html, icon, nothing } from '../elements/part.js';
import { AdminPage } from '../elements/adminpage.js';

const EVERY_MS = 5_000;
const SHOWN_TROUBLES = 50;

/** @typedef {Record<string, any>} Body */
/** @typedef {'ok' | 'warn' | 'bad'} State */

const ICONS = /** @type {Record<State, string>} */ ({ ok: 'circle-check', warn: 'triangle-alert', bad: 'octagon-alert' });
const BADGES = /** @type {Record<State, string>} */ ({ ok: 'ok', warn: 'warning', bad: 'critical' });
const DOCTOR = /** @type {Record<string, State>} */ ({ pass: 'ok', warn: 'warn', fail: 'bad' });

/** `1.4 GB`. @param {number | null} bytes */
function size(bytes) {
  if (bytes === null) return '—';
  const [unit, by] = bytes >= 1e9 ? ['GB', 1e9] : bytes >= 1e6 ? ['MB', 1e6] : ['kB', 1e3];
  return `${(bytes / Number(by)).toFixed(bytes >= 1e9 ? 1 : 0)} ${unit}`;
}

/** Words below a stem, or the name as it is. @param {string} stem @param {string} name */
const named = (stem, name) => (has(`${stem}.${name}`) ? t(`${stem}.${name}`) : name);

/** @param {State} state @param {unknown} words */
const badge = (state, words) => html`<span class="badge ${BADGES[state]}">${icon(ICONS[state])} ${words}</span>`;

/** A process's name; of several media workers each has its number. @param {string} name */
const processName = (name) => (/^media\d+$/.test(name) ? t('system.process.media_n', { n: name.slice(5) }) : named('system.process', name));

class System extends AdminPage {
  static properties = { ...AdminPage.properties, facts: { state: true }, found: { state: true } };
  page = 'system';
  verb = 'configure';
  #timer = 0;

  constructor() {
    super();
    /** @type {Body | null} */
    this.facts = null;
    /** What the doctor found; null while it looks. @type {Body | null} */
    this.found = null;
  }

  async connectedCallback() {
    await super.connectedCallback();
    this.#timer = setInterval(() => document.visibilityState === 'visible' && this.hasContent && this.#again(), EVERY_MS);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.#timer);
  }

  get hasContent() {
    return this.facts !== null;
  }

  async load() {
    this.facts = await api.system();
    this.attempt(() => this.#examine());
  }

  async #examine() {
    this.found = null;
    this.found = await api.systemFindings();
  }

  /** The line on top says when the server is away; what was known stays. */
  async #again() {
    try {
      this.facts = await api.system();
    } catch {
      // the next time
    }
  }

  content() {
    const facts = /** @type {Body} */ (this.facts);
    return html`${this.#verdict(facts)}
      <div class="system-grid">${this.#processes(facts)} ${this.#disks(facts)} ${this.#links(facts)} ${this.#queues(facts)}<div class="stack">${this.#records(facts)} ${this.#about(facts)}</div></div>
      ${this.#findings()} ${this.#troubles()}`;
  }

  /** What is wrong, in words, worst first. @param {Body} facts @returns {{state: State, words: string}[]} */
  #wrong(facts) {
    /** @type {{state: State, words: string}[]} */
    const found = [];
    const add = (/** @type {State} */ state, /** @type {string} */ words) => found.push({ state, words });
    for (const one of facts.failing) add('bad', t('system.wrong.unit', { unit: one.unit, why: one.why }));
    for (const one of facts.processes) if (one.pid === null) add('bad', t('system.wrong.process', { name: processName(one.name) }));
    for (const one of facts.disks) if (one.state !== 'ok') add(one.state, one.full_in_s ? t('system.wrong.disk_soon', { path: one.path, in: age(one.full_in_s) }) : t('system.wrong.disk', { path: one.path, free: size(one.free_bytes) }));
    for (const one of facts.links) if (!one.up) add('bad', t('system.wrong.link', { name: named('system.link', one.link) }));
    if (facts.cameras_down.length) add('warn', t('system.wrong.cameras', { n: facts.cameras_down.length }));
    for (const one of facts.certificates) if (one.state !== 'ok') add(one.state, one.why || (one.days < 0 ? t('system.wrong.expired') : t('system.wrong.expires', { n: one.days })));
    if (facts.clock.synchronised === false) add('warn', t('system.wrong.clock'));
    if (facts.chain && !facts.chain.holds) add('bad', t('system.wrong.chain'));
    for (const one of this.found?.findings ?? []) if (one.state === 'fail') add('bad', `${pick(one.what)}: ${pick(one.result)}`);
    return found.sort((a, b) => Number(b.state === 'bad') - Number(a.state === 'bad'));
  }

  /** @param {Body} facts */
  #verdict(facts) {
    const wrong = this.#wrong(facts);
    const state = wrong[0]?.state ?? 'ok';
    return html`<section class="panel system-verdict ${state}" data-state=${state} role="status">
      ${icon(ICONS[state], 'large')}<div><h1>${state === 'ok' ? t('system.well') : t(`system.${state}`, { n: wrong.length })}</h1>
      ${wrong.length ? html`<ul>${wrong.map((one) => html`<li class=${one.state}>${icon(ICONS[one.state])} ${one.words}</li>`)}</ul>` : nothing}</div>
      <a class="button" href="/api/system/bundle" download>${icon('download')} ${t('system.bundle')}</a>
    </section>`;
  }

  /** @param {Body} facts */
  #processes(facts) {
    return html`<section class="panel wide" data-part="processes"><h2>${icon('activity')} ${t('system.processes')}</h2>
      <div class="scroll"><table class="cards"><thead><tr><th>${t('system.process')}</th><th>${t('system.state')}</th><th class="num">${t('system.up')}</th><th class="num">${t('system.restarts')}</th><th class="num">${t('system.memory')}</th><th class="num">${t('system.cpu')}</th></tr></thead>
      <tbody>${facts.processes.map((/** @type {Body} */ one) => html`<tr data-process=${one.name}><td><b>${processName(one.name)}</b>${one.pid ? html` <span class="faint mono">${one.pid}</span>` : nothing}</td>
        <td data-label=${t('system.state')}>${one.pid ? badge('ok', t('system.runs')) : badge('bad', t('system.gone'))}</td>
        <td data-label=${t('system.up')} class="num">${one.up_s === null ? '—' : age(one.up_s)}</td>
        <td data-label=${t('system.restarts')} class="num">${one.restarts}</td>
        <td data-label=${t('system.memory')} class="num">${size(one.memory_bytes)}</td>
        <td data-label=${t('system.cpu')} class="num">${one.up_s ? `${((100 * one.cpu_s) / one.up_s).toFixed(0)} %` : '—'}</td></tr>`)}</tbody></table></div></section>`;
  }

  /** @param {Body} facts */
  #disks(facts) {
    return html`<section class="panel" data-part="disks"><h2>${icon('disk')} ${t('system.disks')}</h2><div class="figures">
      ${facts.disks.map((/** @type {Body} */ one) => {
        const used = Math.round(100 * (1 - one.free_bytes / one.total_bytes));
        return html`<div><b>${named('system.disk', one.name)}</b> <span class="faint mono wrap">${one.path}</span>
          <meter min="0" max="100" low="80" high="92" optimum="0" value=${used} aria-label=${t('system.used', { used })}>${used} %</meter>
          <p>${t('system.free', { free: size(one.free_bytes), total: size(one.total_bytes) })} ${badge(one.state, one.full_in_s ? t('system.full_in', { in: age(one.full_in_s) }) : t('system.not_filling'))}</p></div>`;
      })}
      <dl class="explain"><dt>${t('system.database')}</dt><dd>${facts.store.kind === 'sqlite' ? 'SQLite' : 'PostgreSQL'} · <b>${size(facts.store.size_bytes)}</b><br /><span class="faint mono wrap">${facts.store.where}</span></dd></dl></div></section>`;
  }

  /** @param {Body} facts */
  #links(facts) {
    return html`<section class="panel" data-part="links"><h2>${icon('wifi')} ${t('system.links')}</h2><ul class="plain">
      ${facts.links.map((/** @type {Body} */ one) => html`<li><b>${named('system.link', one.link)}</b> ${badge(one.up ? 'ok' : 'bad', one.up ? t('system.up_now') : t('system.down_now'))}${one.since ? html` <span class="faint">${moment(one.since, app.now())}</span>` : nothing}${one.why ? html`<br /><small class="faint">${one.why}</small>` : nothing}</li>`)}
      <li><b>${t('system.cameras')}</b> ${facts.cameras ? badge(facts.cameras_down.length ? 'warn' : 'ok', t('cameras.count', { well: facts.cameras - facts.cameras_down.length, all: facts.cameras })) : html`<span class="faint">${t('system.none_fetched')}</span>`}
        ${facts.cameras_down.length ? html`<ul class="inner">${facts.cameras_down.map((/** @type {Body} */ one) => html`<li>${app.siteName(one.site)} · <b>${one.name}</b><br /><small>${pick(one.summary)}</small></li>`)}</ul>` : nothing}</li>
      ${facts.mines.map((/** @type {Body} */ one) => html`<li><b>${app.siteName(one.site)}</b> ${badge(one.completeness < 0.5 ? 'bad' : one.score < 90 ? 'warn' : 'ok', t('system.quality', { score: Math.round(one.score), share: Math.round(100 * one.completeness) }))}</li>`)}
      ${facts.links.length || facts.mines.length ? nothing : html`<li class="faint">${t('system.no_links')}</li>`}</ul></section>`;
  }

  /** @param {Body} facts */
  #queues(facts) {
    return html`<section class="panel" data-part="queues"><h2>${icon('layout-grid')} ${t('system.queues')}</h2>
      <div class="scroll"><table><thead><tr><th>${t('system.queue')}</th><th class="num">${t('system.now')}</th><th class="num">${t('system.dropped')}</th></tr></thead>
      <tbody>${facts.queues.map((/** @type {Body} */ one) => html`<tr><td>${named('system.queue', one.queue)}</td><td class="num">${one.value ?? '—'}</td><td class="num ${one.dropped ? 'hot' : ''}">${one.dropped ?? '—'}</td></tr>`)}</tbody></table></div></section>`;
  }

  /** @param {Body} facts */
  #records(facts) {
    const { clock, chain } = facts;
    return html`<section class="panel" data-part="records"><h2>${icon('shield')} ${t('system.records')}</h2><dl class="explain figures">
      <dt>${t('system.checkpoint')}</dt><dd>${facts.checkpoint_at ? moment(facts.checkpoint_at, app.now()) : t('system.not_yet')}</dd>
      <dt>${t('audit.chain')}</dt><dd>${chain ? badge(chain.holds ? 'ok' : 'bad', chain.holds ? t('audit.holds') : t('audit.broken')) : html`<span class="faint">${t('audit.not_checked')}</span>`}</dd>
      <dt>${t('system.backup')}</dt><dd>${t('system.no_backup')}</dd>
      <dt>${t('system.certificates')}</dt><dd>${facts.certificates.length ? facts.certificates.map((/** @type {Body} */ one) => html`${badge(one.state, one.why || t('system.days_left', { n: one.days }))} <span class="faint mono wrap">${one.name}</span>`) : t('system.no_tls')}</dd>
      <dt>${t('system.clock')}</dt><dd>${clock.synchronised === null ? t('system.clock_unknown') : clock.synchronised ? badge('ok', t('system.clock_good', { ms: Math.round(1000 * clock.error_s) })) : badge('warn', t('system.clock_alone'))}</dd></dl></section>`;
  }

  /** @param {Body} facts */
  #about(facts) {
    return html`<section class="panel" data-part="about"><h2>${icon('info')} ${t('system.about')}</h2><dl class="explain figures">
      <dt>${t('app.name')}</dt><dd class="mono">${facts.version}</dd><dt>Python</dt><dd class="mono">${facts.python}</dd>
      <dt>${t('system.machine')}</dt><dd>${facts.machine}</dd><dt>${t('system.started')}</dt><dd>${moment(facts.started_at, app.now())} (${age(facts.at - facts.started_at)})</dd></dl></section>`;
  }

  #findings() {
    const found = this.found;
    return html`<section class="panel" data-part="findings"><h2>${icon('clipboard-check')} ${t('system.findings')}<span class="grow"></span>
        <button class="small" ?disabled=${!found} @click=${() => this.attempt(() => this.#examine())}>${icon('refresh-cw')} ${t('system.again')}</button></h2>
      ${found ? html`<ul class="plain findings">${found.findings.map((/** @type {Body} */ one) => html`<li>${badge(DOCTOR[one.state], pick(one.what))} ${pick(one.result)}</li>`)}</ul>` : html`<p class="empty">${t('system.examining')}</p>`}</section>`;
  }

  #troubles() {
    const troubles = this.found?.troubles;
    if (!troubles) return nothing;
    return html`<section class="panel" data-part="troubles"><h2>${icon('triangle-alert')} ${t('system.troubles')} <span class="count">${troubles.length}</span></h2>
      ${troubles.length
        ? html`<ul class="plain troubles">${troubles.slice(0, SHOWN_TROUBLES).map((/** @type {Body} */ one) => html`<li><details><summary><span class="mono faint">${one.at.slice(0, 19).replace('T', ' ')}</span> <b class="mono">${one.event}</b> ${one.fields.reason ?? one.fields.unit ?? ''}</summary><pre>${Object.entries(one.fields).map(([key, value]) => `${key}: ${value}`).join('\n')}</pre></details></li>`)}</ul>`
        : html`<p class="empty">${t('system.no_troubles')}</p>`}</section>`;
  }
}
customElements.define('lamproom-system', System);
