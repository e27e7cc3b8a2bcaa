// The cameras that the server fetches, and a new one step by step: address, a look at it, place and use, done.
import { app } from '../app.js';
import { ApiError, api } from '../api.js';
import { bitrate, figure } from '../format.js';
import { askForCameras, cardOf, cards, followCameras, lightOf } from '../cameras.js';
import { has, pick, t } from '../i18n.js';
import { html, icon, nothing } from '../elements/part.js';
import { AdminPage, fieldsOf } from '../elements/adminpage.js';

/** @typedef {Record<string, any>} Body */

const STEPS = ['address', 'look', 'use', 'done'];
/** Where makers keep the pictures of a channel: main and smaller stream. @type {Record<string, [string, string]>} */
const MAKERS = {
  hikvision: ['/Streaming/Channels/{n}01', '/Streaming/Channels/{n}02'],
  dahua: ['/cam/realmonitor?channel={n}&subtype=0', '/cam/realmonitor?channel={n}&subtype=1'],
  uniview: ['/media/video1', '/media/video2'],
  tiandy: ['/{n}/1', '/{n}/2'],
};
const NAMES = ['dispatch-room', 'shaft-mouth', 'winch-room', 'main-fan', 'pump-room', 'belt-head'];
const ICONS = /** @type {Record<string, string>} */ ({ ok: 'circle-check', failed: 'octagon-alert', warning: 'triangle-alert', waiting: 'loader-circle', unknown: 'diamond' });
const BADGES = /** @type {Record<string, string>} */ ({ ok: 'ok', warn: 'warning', bad: 'critical' });

const fresh = () => ({ maker: 'hikvision', host: '', port: '554', channel: '1', user: '', password: '', own_url: '', own_sub: '', transport: 'tcp', site: '', name: '', audio: true });

class CamerasPage extends AdminPage {
  static properties = {
    ...AdminPage.properties, items: { state: true }, writable: { state: true }, step: { state: true }, camera: { state: true }, main: { state: true }, sub: { state: true }, looking: { state: true }, problem: { state: true }, restart: { state: true }, useSub: { state: true }, found: { state: true }, searching: { state: true },
  };
  page = 'cameras';
  verb = 'configure';

  constructor() {
    super();
    /** @type {Body[] | null} */
    this.items = null;
    this.writable = false;
    /** Of the wizard; -1: closed. */
    this.step = -1;
    /** @type {Body} */
    this.camera = fresh();
    /** What a look found. @type {Body | null} */
    this.main = null;
    /** @type {Body | null} */
    this.sub = null;
    this.looking = false;
    this.problem = '';
    this.restart = false;
    this.useSub = true;
    /** Cameras that answered a search of the network. @type {Body[] | null} */
    this.found = null;
    this.searching = false;
  }

  watches() {
    return [app.sites, cards];
  }

  async connectedCallback() {
    // Whoever finds cameras in the network names one here: its address, and perhaps its streams.
    this.addEventListener('camera-found', (event) => this.#begin(/** @type {CustomEvent} */ (event).detail));
    await super.connectedCallback();
  }

  get hasContent() {
    return this.items !== null;
  }

  async load() {
    const found = await api.cameraSettings(app.me.site);
    this.items = found.items;
    this.writable = found.writable;
    followCameras(app.me.site);
    askForCameras();
  }

  // --- what is there ---

  content() {
    return html`${this.step >= 0 ? this.#wizard() : nothing}
      <section class="panel" data-part="cameras"><h2>${icon('video')} ${t('cams.title')}<span class="grow"></span>
        ${this.step < 0 && this.writable ? html`<button class="primary small" @click=${() => this.#begin({})}>${icon('plus')} ${t('cams.add')}</button>` : nothing}</h2>
      ${this.writable ? nothing : html`<p class="hint">${icon('lock')} ${t('cams.look_only')}</p>`}
      ${this.items?.length
        ? html`<div class="scroll"><table class="cards"><thead><tr><th>${t('cams.name')}</th><th>${t('users.site')}</th><th>${t('cams.state')}</th><th>${t('cams.address')}</th><th>${t('cams.sub')}</th><th><span class="sr">${t('cams.remove')}</span></th></tr></thead>
            <tbody>${this.items.map((one) => this.#row(one))}</tbody></table></div>`
        : html`<p class="empty">${t('cams.none')}</p>`}</section>`;
  }

  /** @param {Body} one */
  #row(one) {
    return html`<tr data-camera="${one.site}/${one.name}"><td><b>${cameraName(one.name)}</b> <span class="faint mono">${one.name}</span></td>
      <td data-label=${t('users.site')}>${app.siteName(one.site)}</td>
      <td data-label=${t('cams.state')}>${this.#state(one)}</td>
      <td data-label=${t('cams.address')} class="mono wrap">${one.url}</td>
      <td data-label=${t('cams.sub')} class=${one.sub_url ? 'mono wrap' : 'none'}>${one.sub_url}</td>
      <td class="acts">${this.writable ? html`<button class="small" aria-label="${t('cams.remove')}: ${one.name}" @click=${() => confirm(t('cams.remove_sure', { name: one.name })) && this.attempt(async () => { await api.removeCamera(one.site, one.name); await this.load(); })}>${t('cams.remove')}</button>` : nothing}</td></tr>`;
  }

  /** @param {Body} one */
  #state(one) {
    if (!one.runs) return html`<span class="badge info">${t('settings.after_restart')}</span>`;
    const card = cardOf(one.site, one.name);
    if (!card) return html`<span class="faint">…</span>`;
    const light = lightOf(card);
    return html`<span class="badge ${BADGES[light]}">${icon(light === 'ok' ? 'circle-check' : light === 'warn' ? 'triangle-alert' : 'octagon-alert')} ${light === 'bad' ? t('cams.no_picture') : light === 'ok' ? t('cams.live') : t('cams.warned')}</span> ${light === 'ok' ? nothing : html`<small>${pick(card.summary)}</small>`}`;
  }

  // --- the wizard ---

  /** @param {Body} known */
  #begin(known) {
    this.camera = { ...fresh(), site: mines()[0]?.site ?? app.me.site, ...known, ...(known.url ? { maker: 'own', own_url: known.url, own_sub: known.sub_url ?? '' } : {}) };
    this.main = this.sub = this.found = null;
    this.#go(0);
  }

  /** @param {number} step */
  async #go(step) {
    this.step = step;
    this.problem = '';
    await this.updateComplete;
    /** @type {HTMLElement | null} */ (this.querySelector('.wizard h3'))?.focus();
  }

  #wizard() {
    return html`<section class="panel wizard" data-step=${STEPS[this.step]} aria-label=${t('cams.add')}><h2>${icon('video')} ${t('cams.add')}<span class="grow"></span>
        <button class="tool" @click=${() => (this.step = -1)} aria-label=${t('close')}>${icon('x')}</button></h2>
      <ol class="wizard-steps">${STEPS.map((name, number) => html`<li class=${number < this.step ? 'past' : number === this.step ? 'now' : ''} aria-current=${number === this.step ? 'step' : nothing}><span>${number < this.step ? icon('check') : number + 1}</span> ${t(`cams.step.${name}`)}</li>`)}</ol>
      <div class="wizard-body"><h3 tabindex="-1">${t(`cams.step.${STEPS[this.step]}`)}</h3>
        ${[() => this.#address(), () => this.#look(), () => this.#use(), () => this.#done()][this.step]()}
        ${this.problem ? html`<p class="problem" role="alert">${icon('octagon-alert')} ${this.problem}</p>` : nothing}</div></section>`;
  }

  #address() {
    const camera = this.camera;
    const own = camera.maker === 'own';
    return html`<div class="search-line"><button type="button" ?disabled=${this.searching} @click=${this.#search}>${icon('search')} ${this.searching ? t('cams.searching') : t('cams.search')}</button>
        <span role="status">${this.found && !this.found.length ? t('cams.none_found') : nothing}</span>
        ${this.found?.map((one) => html`<button type="button" class="small" data-found=${one.addresses[0]} aria-pressed=${camera.host === one.addresses[0]} @click=${() => (this.camera = { ...camera, maker: 'onvif', host: one.addresses[0] })}><span class="mono">${one.addresses[0]}</span> ${one.name} <span class="faint">${one.hardware}</span></button>`)}</div>
      <form class="fields columns" @submit=${this.#addressed}>
      <label>${t('cams.maker')} <select name="maker" @change=${(/** @type {Event} */ event) => (this.camera = { ...camera, maker: /** @type {HTMLSelectElement} */ (event.target).value })}>${[...Object.keys(MAKERS), 'onvif', 'own'].map((one) => html`<option value=${one} ?selected=${one === camera.maker}>${t(`cams.maker.${one}`)}</option>`)}</select></label>
      ${own
        ? html`<label class="wide">${t('cams.own_url')} <input name="own_url" required pattern="rtsps?://.+" maxlength="1024" placeholder="rtsp://10.20.1.31/stream1" autocomplete="off" spellcheck="false" .value=${camera.own_url} /></label>
            <label class="wide">${t('cams.own_sub')} <input name="own_sub" pattern="rtsps?://.+" maxlength="1024" autocomplete="off" spellcheck="false" .value=${camera.own_sub} /></label>`
        : html`<label>${t('cams.host')} <input name="host" required maxlength="253" pattern="[^\\s\\/@:]+" placeholder="10.20.1.31" autocomplete="off" spellcheck="false" .value=${camera.host} /></label>
            <label ?hidden=${camera.maker === 'onvif'}>${t('cams.port')} <input name="port" type="number" min="1" max="65535" required .value=${camera.port} /></label>
            ${MAKERS[camera.maker]?.[0].includes('{n}') ? html`<label>${t('cams.channel')} <input name="channel" type="number" min="1" max="999" required .value=${camera.channel} /></label>` : nothing}`}
      <label>${t('cams.user')} <input name="user" maxlength="100" autocomplete="off" spellcheck="false" .value=${camera.user} /></label>
      <label>${t('cams.password')} <input name="password" type="password" maxlength="200" autocomplete="new-password" .value=${camera.password} /></label>
      <label>${t('cams.transport')} <select name="transport"><option value="tcp" ?selected=${camera.transport === 'tcp'}>TCP</option><option value="udp" ?selected=${camera.transport === 'udp'}>UDP</option></select></label>
      <p class="hint wide">${t('cams.address_hint')}</p>
      <div class="acts wide"><button class="primary" type="submit" ?disabled=${this.searching}>${t('cams.look')}</button></div></form>`;
  }

  /** @param {SubmitEvent} event */
  #addressed(event) {
    const field = fieldsOf(event);
    this.camera = { ...this.camera, ...Object.fromEntries(['host', 'port', 'channel', 'own_url', 'own_sub', 'user', 'password', 'transport'].map((name) => [name, field(name)]).filter(([name, value]) => value !== '' || ['user', 'password', 'own_sub'].includes(name))) };
    this.#onwards();
  }

  async #onwards() {
    if (this.camera.maker === 'onvif' && !(await this.#askStreams())) return;
    this.#go(1);
    this.#probe();
  }

  async #search() {
    this.searching = true;
    this.problem = '';
    try {
      this.found = await api.discoverCameras(this.camera.site);
    } catch (error) {
      this.problem = error instanceof ApiError ? error.words : t('error.unknown');
    } finally {
      this.searching = false;
    }
  }

  /** Ask the camera itself for its streams; whether it named one that fits. */
  async #askStreams() {
    const { site, host, user, password } = this.camera;
    this.problem = '';
    this.searching = true;
    try {
      const answer = await api.askCamera({ site, address: host, user, password });
      const url = (/** @type {string} */ use) => answer.streams.find((/** @type {Body} */ one) => one.use === use && one.url)?.url ?? '';
      if (url('main')) {
        this.camera = { ...this.camera, maker: 'own', own_url: url('main'), own_sub: url('sub') };
        return true;
      }
      this.problem = `${t(answer.state === 'ok' ? 'cams.onvif.no_stream' : `cams.onvif.${answer.state}`)} ${answer.detail}`;
    } catch (error) {
      this.problem = error instanceof ApiError ? error.words : t('error.unknown');
    } finally {
      this.searching = false;
    }
    return false;
  }

  /** Addresses of the main and the smaller stream, with name and password. @returns {[string, string]} */
  get #urls() {
    const camera = this.camera;
    const who = camera.user ? `${encodeURIComponent(camera.user)}${camera.password ? `:${encodeURIComponent(camera.password)}` : ''}@` : '';
    const withWho = (/** @type {string} */ url) => (url && who && !/^rtsps?:\/\/[^/]*@/.test(url) ? url.replace('://', `://${who}`) : url);
    if (camera.maker === 'own') return [withWho(camera.own_url), withWho(camera.own_sub)];
    const [main, sub] = MAKERS[camera.maker].map((path) => `rtsp://${who}${camera.host}:${camera.port}${path.replace('{n}', camera.channel)}`);
    return [main, sub];
  }

  async #probe() {
    const [url, sub] = this.#urls;
    const { site, transport } = this.camera;
    this.main = this.sub = null;
    this.looking = true;
    this.problem = '';
    try {
      this.main = await api.probeCamera({ site, url, transport });
      if (this.main?.well && sub) this.sub = await api.probeCamera({ site, url: sub, transport });
      this.useSub = Boolean(this.sub?.well);
    } catch (error) {
      this.problem = error instanceof ApiError ? error.words : t('error.unknown');
    } finally {
      this.looking = false;
    }
  }

  #look() {
    return html`<div class="looks" role="status" aria-busy=${this.looking}>${this.#found(this.main, t('cams.main'))}${this.main?.well && this.#urls[1] ? this.#found(this.sub, t('cams.sub')) : nothing}</div>
      ${this.sub?.well ? html`<label class="check"><input type="checkbox" .checked=${this.useSub} @change=${(/** @type {Event} */ event) => (this.useSub = /** @type {HTMLInputElement} */ (event.target).checked)} /> ${t('cams.use_sub')}</label>` : nothing}
      <div class="acts"><button @click=${() => this.#go(0)}>${t('cams.back')}</button><button ?disabled=${this.looking} @click=${() => this.#probe()}>${icon('refresh-cw')} ${t('cams.again')}</button>
        <button class="primary" ?disabled=${!this.main?.well || this.looking} @click=${() => this.#go(2)}>${t('cams.next')}</button></div>`;
  }

  /** What a look found of a stream. @param {Body | null} found @param {string} name */
  #found(found, name) {
    if (!found) return this.looking ? html`<article class="look"><h4>${name}</h4><p class="empty">${icon('loader-circle')} ${t('cams.looking')}</p></article>` : nothing;
    return html`<article class="look ${found.well ? '' : 'bad'}" data-look=${found.well}><h4>${name}</h4>
      ${found.picture ? html`<img src="data:image/jpeg;base64,${found.picture}" alt=${t('cams.picture_alt', { name })} />` : nothing}
      <p class="summary">${icon(found.well ? 'circle-check' : 'octagon-alert')} ${pick(found.summary)}</p>
      ${found.width ? html`<p class="faint">H.264 ${found.width}×${found.height} · ${figure(found.frames_per_s)} ${t('cams.per_s')} · ${bitrate(found.bitrate_bps)}${found.audio ? ` · ${found.audio}` : ''}</p>` : nothing}
      <ol class="look-steps">${found.steps.map((/** @type {Body} */ step) => html`<li class=${step.light}>${icon(ICONS[step.light])} ${pick(step.name)}<span class="sr"> ${t(`cameras.light.${step.light}`)}</span></li>`)}</ol>
      ${found.detail ? html`<details><summary>${t('cameras.detail')}</summary><code>${found.detail}</code></details>` : nothing}</article>`;
  }

  #use() {
    const camera = this.camera;
    return html`<form class="fields columns" @submit=${this.#save}>
      <label>${t('users.site')} <select name="site">${mines().map((one) => html`<option value=${one.site} ?selected=${one.site === camera.site}>${app.siteName(one.site)}</option>`)}</select></label>
      <label>${t('cams.name')} <input name="name" required pattern="[a-z0-9][a-z0-9_\\-]{0,58}" maxlength="59" list="camera-names" autocomplete="off" spellcheck="false" aria-describedby="camera-name-hint" .value=${camera.name} /><small id="camera-name-hint">${t('cams.name_hint')}</small></label>
      <datalist id="camera-names">${NAMES.map((name) => html`<option value=${name}>${cameraName(name)}</option>`)}</datalist>
      <label>${t('cams.title_zh')} <input name="name_zh" maxlength="60" /></label>
      <label>${t('cams.title_en')} <input name="name_en" maxlength="60" /></label>
      <fieldset class="wide"><legend>${t('cams.watch')}</legend>
        <label><input type="checkbox" name="audio" checked /> ${t('cams.audio')}</label>
        <label><input type="checkbox" name="routine" /> ${t('cams.routine')}</label>
        <label><input type="checkbox" name="post" /> ${t('cams.post')}</label></fieldset>
      <p class="hint wide">${t('cams.use_hint')}</p>
      <div class="acts wide"><button type="button" @click=${() => this.#go(1)}>${t('cams.back')}</button><button class="primary" type="submit">${t('cams.save')}</button></div></form>`;
  }

  /** @param {SubmitEvent} event */
  async #save(event) {
    const field = fieldsOf(event);
    const [url, sub] = this.#urls;
    const [site, name] = [field('site'), field('name')];
    const titles = { name_zh: field('name_zh') || cameraName(name), name_en: field('name_en') || cameraName(name) };
    const post = field('post') ? { post: name, ...titles } : null;
    this.camera = { ...this.camera, site, name };
    this.problem = '';
    try {
      const made = await api.addCamera({ site, name, url, sub_url: this.useSub && sub ? sub : null, transport: this.camera.transport, audio: Boolean(field('audio')), routine: Boolean(field('routine')), post });
      this.restart = made.restart_needed;
      if (field('name_zh') || field('name_en')) await api.putFact(site, 'cameras', name, { camera: name, ...titles });
      this.camera = { ...this.camera, password: '', own_url: '', own_sub: '' };
      await this.load();
      this.#go(3);
    } catch (error) {
      this.problem = error instanceof ApiError ? [error.words, ...error.fields.map((one) => `${one.where}: ${one.why}`)].join(' ') : t('error.unknown');
    }
  }

  #done() {
    const { site, name } = this.camera;
    const card = cardOf(site, name);
    return html`<p class="done-line" role="status">${icon('circle-check', 'large')} ${t('cams.added', { site: app.siteName(site), name: cameraName(name) })}</p>
      <p>${card ? pick(card.summary) : t('cams.connecting')}</p>
      ${this.restart ? html`<p class="settings-notice warn">${icon('refresh-cw')} ${t('cams.restart')}</p>` : nothing}
      <div class="acts"><button class="primary" @click=${() => this.#begin({})}>${t('cams.another')}</button><button @click=${() => (this.step = -1)}>${t('close')}</button></div>`;
  }
}
customElements.define('lamproom-cameras-page', CamerasPage);

/** Mines that I look after. */
function mines() {
  return app.below(app.me.site).filter((one) => one.level === 'mine');
}

/** @param {string} name */
function cameraName(name) {
  if (has(`camera.${name}`)) return t(`camera.${name}`);
  return name === 'dispatch-room' ? t('tile.dispatch_room') : name;
}
