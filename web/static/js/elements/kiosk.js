// All that stands over the pictures of a screen on a wall: the time, and what is wrong with the page itself.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { api } from '../api.js';
import { clock } from '../format.js';
import { t } from '../i18n.js';
import { armSound, play, soundState } from '../sound.js';
import { kiosk } from '../wallstore.js';

const KEEP_MS = 6 * 3600 * 1000;

class Kiosk extends Part {
  watches() {
    return [app.tick, app.room.link, soundState, kiosk];
  }

  connectedCallback() {
    super.connectedCallback();
    // The log-in lives on as long as the screen runs: its cookie is renewed, and no script ever sees it.
    const keep = () => void api.keepLogin().catch(() => {}); // not now: the next time, long before it ends
    keep();
    this.keeps = setInterval(keep, KEEP_MS);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.keeps);
  }

  render() {
    const link = app.room.link.value.state;
    return html`<div class="kiosk-bar">
      ${link === 'online' ? nothing : html`<span class="light bad" role="status">${icon('wifi-off')} ${t(`link.${link}`)}</span>`}
      ${soundState.value === 'armed' ? nothing : html`<button class="light bad sound" data-armed="false" title=${t('sound.explain')} @click=${() => armSound().then(() => play('test'))}>${icon('volume-x')} ${t('sound.off')}</button>`}
      ${app.simulated ? html`<span class="simulated">${t('simulated')}</span>` : nothing}
      <time>${clock(app.now())}</time>
    </div>`;
  }
}
customElements.define('lamproom-kiosk', Kiosk);
