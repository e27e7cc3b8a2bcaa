// The line on top of every work page: where I am, how my link is, whether the page can sound, what time it is.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { clock, day } from '../format.js';
import { pick, has, t } from '../i18n.js';
import { armSound, play, soundState } from '../sound.js';
import { theme } from '../theme.js';
import { firstAdminPage } from './adminnav.js';
import { showHelp } from './help.js';
import { brand, looks } from './tools.js';
import './cameras.js';
import './drill-strip.js';

class Topbar extends Part {
  static properties = { quiet: { type: Boolean }, still: { type: Boolean }, heading: { type: String } };

  constructor() {
    super();
    /** Stands beside a page of the duty, and leads to no other one. */
    this.quiet = false;
    /** The page rings nobody and holds no link: no lights. */
    this.still = false;
    /** What the page is, where that is not plain. */
    this.heading = '';
  }

  watches() {
    return [app.room.link, app.media.publishState, app.media.watchState, app.tick, app.rooms, soundState, theme];
  }

  render() {
    return html`<header class="topbar">
      ${brand()}
      <span class="where">
        ${this.heading ? html`<b class="page-name">${this.heading}</b>` : nothing}
        <b>${app.siteName(app.me.site)}</b>
        <span class="chip">${has(`level.${app.me.level}`) ? t(`level.${app.me.level}`) : ''}</span>
        <span class="who">${app.me.name} · ${has(`role.${app.me.role}`) ? t(`role.${app.me.role}`) : ''}</span>
      </span>
      ${app.simulated ? html`<span class="simulated" title=${t('simulated.explain')}>${t('simulated')}</span>` : nothing}
      <span class="grow"></span>
      ${this.still ? nothing : html`<lamproom-cameras></lamproom-cameras> ${this.#link()} ${this.#media()} ${this.#sound()}`}
      <time class="now" title=${day(app.now())}>${clock(app.now())}</time>
      <nav class="tools">
        ${this.quiet || this.heading ? nothing : html`<a class="tool" href="/alerts" target="_blank" rel="noopener" aria-label=${t('page.alerts')} title=${t('page.alerts')}>${icon('bell')}</a>`}
        ${this.quiet ? nothing : html`<a class="tool" href="/plan" target="_blank" rel="noopener" aria-label=${t('page.plan')} title=${t('page.plan')}>${icon('map-pin')}</a><a class="tool" href="/muster" target="_blank" rel="noopener" aria-label=${t('page.muster')} title=${t('page.muster')}>${icon('users')}</a>`}
        ${this.quiet ? nothing : html`<a class="tool" href="/review" target="_blank" rel="noopener" aria-label=${t('page.review')} title=${t('page.review')}>${icon('history')}</a>`}
        ${this.quiet ? nothing : html`<a class="tool" href="/duty" target="_blank" rel="noopener" aria-label=${t('page.duty')} title=${t('page.duty')}>${icon('clipboard-list')}</a>`}
        ${this.quiet || !firstAdminPage() ? nothing : html`<a class="tool" href="/${firstAdminPage()}" target="_blank" rel="noopener" aria-label=${t('top.admin')} title=${t('top.admin')}>${icon('gear')}</a>`}
        ${looks()}
        ${this.still ? nothing : html`<button class="tool" @click=${showHelp} aria-label=${t('top.help')} title="${t('top.help')} ?">${icon('keyboard')}</button>`}
        ${app.isGuest ? nothing : html`<button class="tool" @click=${this.#logOut} aria-label=${t('top.logout')} title=${t('top.logout')}>${icon('log-out')}</button>`}
      </nav>
    </header><lamproom-drill-strip></lamproom-drill-strip>`;
  }

  #link() {
    const link = app.room.link.value;
    const kind = link.state === 'online' ? 'ok' : link.state === 'ended' ? 'bad' : 'warn';
    const reason = link.state === 'online' ? '' : pick(link.text) || (has(`link.why.${link.error}`) ? t(`link.why.${link.error}`) : '');
    return html`<span class="light ${kind}" role="status" data-link=${link.state} title=${reason}>
      ${icon(kind === 'ok' ? 'wifi' : 'wifi-off')}<span>${t(`link.${link.state}`)}</span>
      ${link.state === 'ended' ? html`<button class="small" @click=${() => location.reload()}>${t('link.reload')}</button>` : nothing}
    </span>`;
  }

  #media() {
    const states = [app.media.publishState.value, app.media.watchState.value].filter((one) => one.state !== 'none');
    const worst = states.find((one) => one.state !== 'connected');
    if (!states.length || !app.room.online) return nothing;
    const words = worst && (pick(worst.text) || (has(`reason.${worst.error}`) ? t(`reason.${worst.error}`) : ''));
    return html`<span class="light ${worst ? 'warn' : 'ok'}" role="status" title=${words || ''}>
      ${icon(worst ? 'video-off' : 'video')}<span>${worst ? t('media.trouble') : t('media.ok')}</span>
    </span>`;
  }

  #sound() {
    const armed = soundState.value === 'armed';
    return html`<button class="light ${armed ? 'ok' : 'bad'} sound" data-armed=${armed} title=${armed ? t('sound.test') : t('sound.explain')} @click=${this.#test}>
      ${icon(armed ? 'volume-2' : 'volume-x')}<span>${armed ? t('sound.armed') : t('sound.off')}</span><span class="sub">${armed ? t('sound.test') : t('sound.arm')}</span>
    </button>`;
  }

  async #test() {
    await armSound();
    play('test');
  }

  async #logOut() {
    if (app.session.value && !confirm(t('session.leave_sure'))) return;
    app.session.set(null);
    try {
      await api.logout();
    } finally {
      location.assign('/login');
    }
  }
}
customElements.define('lamproom-topbar', Topbar);
