// One picture with its name, level and quality; where there is no picture, the reason in words.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { cardOf, cards, lightOf } from '../cameras.js';
import { heard } from '../floor.js';
import { bars, describe, levelOf, quality } from '../quality.js';
import { has, pick, t } from '../i18n.js';
import { forgetElement, playElement } from '../sound.js';
import { ofPerson } from '../tiles.js';

class TileElement extends Part {
  static properties = { tile: { attribute: false }, number: { type: Number }, focused: { type: Boolean }, own: { type: Boolean }, plays: { state: true } };

  constructor() {
    super();
    /** @type {import('../tiles.js').Tile | null} */
    this.tile = null;
    this.number = 0;
    this.focused = false;
    this.own = false;
    this.plays = false;
    /** @type {MediaStream | null} our own camera as a stream */
    this.ownStream = null;
  }

  watches() {
    return this.own
      ? [app.media.own, app.media.publishState, app.deviceErrors, app.room.link, app.rooms, quality]
      : [app.media.streams, app.media.speaker, app.media.watchState, app.rooms, app.room.link, quality, app.sites, cards];
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    for (const element of this.querySelectorAll('audio')) forgetElement(element);
    app.views.forget(this);
  }

  updated() {
    const video = this.querySelector('video');
    const stream = this.#picture();
    if (video && video.srcObject !== stream) {
      video.srcObject = stream;
      this.plays = false;
      if (stream) video.play().catch(() => {}); // a muted picture may always play; a change of source interrupts it
    }
    if (!this.own && this.tile?.video) app.views.show(this, this.tile.video.track, this.focused || this.tile.screen || this.#speaks());
    else app.views.forget(this);
    const audio = this.querySelector('audio');
    const sound = this.#sound();
    if (audio && audio.srcObject !== sound) {
      audio.srcObject = sound;
      if (sound) playElement(audio);
    }
  }

  /** @returns {MediaStream | null} */
  #picture() {
    if (this.own) {
      const track = app.media.published.get('camera')?.track;
      if (!track) this.ownStream = null;
      else if (this.ownStream?.getTracks()[0] !== track) this.ownStream = new MediaStream([track]);
      return this.ownStream ?? null;
    }
    return (this.tile?.video && app.media.streams.value.get(this.tile.video.track)) ?? null;
  }

  /** @returns {MediaStream | null} */
  #sound() {
    return (!this.own && this.tile?.audio && app.media.streams.value.get(this.tile.audio.track)) || null;
  }

  render() {
    const why = this.#why();
    const tile = this.tile;
    const simulated = this.own ? app.simulated : tile?.simulated;
    const name = this.own ? t('tile.self') : this.#name();
    return html`<figure class="tile ${why ? 'blank' : ''} ${this.focused ? 'focused' : ''} ${tile?.screen ? 'screen' : ''} ${this.#speaks() ? 'speaking' : ''}">
      <video muted playsinline autoplay class=${this.own && !tile?.screen ? 'mirror' : ''} @resize=${this.#draws} @playing=${this.#draws} @emptied=${() => (this.plays = false)}></video>
      <audio autoplay></audio>
      ${why ? html`<div class="why" role="status">${icon(why.icon, 'large')}<p>${why.text}</p></div>` : nothing}
      ${why ? nothing : this.#frozen()}
      ${simulated ? html`<span class="simulated corner">${t('simulated')}</span>` : nothing}
      <figcaption>
        ${this.number > 0 && this.number < 10 ? html`<kbd>${this.number}</kbd>` : nothing}
        ${this.#levelChip()}
        <span class="name">${name}</span>
        ${this.#speaks() ? html`<span class="speaks" role="img" aria-label=${t('tile.speaks')} title=${t('tile.speaks')}>${icon('volume-2')}</span>` : nothing}
        ${this.#floor()}
        ${this.#muted() ? html`<span class="mute" title=${t('tile.muted')}>${icon('mic-off')}</span>` : nothing}
        ${this.#quality()}
      </figcaption>
    </figure>`;
  }

  /** A picture that stands still must not pass for a live one. */
  #frozen() {
    const { state } = app.media.watchState.value;
    const lost = this.tile?.video && quality.value.get(this.tile.video.track)?.level === 'lost';
    if (this.own || !this.plays || (state !== 'disconnected' && state !== 'closed' && !lost)) return nothing;
    return html`<p class="frozen" role="status">${icon('circle-alert')} ${t('tile.frozen')}</p>`;
  }

  #draws() {
    const video = this.querySelector('video');
    this.plays = Boolean(video && video.videoWidth > 0);
  }

  #name() {
    const tile = this.tile;
    if (!tile) return '';
    if (tile.level === 'guest') return tile.name;
    const site = app.siteName(tile.site, tile.level);
    if (tile.screen) return `${t('tile.screen')} · ${tile.name || site}`;
    if (tile.source === 'dispatch-room') return `${site} · ${t('tile.dispatch_room')}`;
    if (tile.source && !ofPerson(tile.source)) return `${site} · ${has(`camera.${tile.source}`) ? t(`camera.${tile.source}`) : tile.source}`;
    return tile.name ? `${site} · ${tile.name}` : site;
  }

  #levelChip() {
    const level = this.own ? app.me.level : this.tile?.level;
    return level && has(`level.${level}`) ? html`<span class="chip level-${level}">${t(`level.${level}`)}</span>` : nothing;
  }

  /** Chair, floor and hand of whoever is in the picture. */
  #floor() {
    const user = this.own ? app.me.user : this.tile?.user;
    if (!app.session.value || !user || this.tile?.screen) return nothing;
    const floor = app.floor;
    return html`${floor.chair?.user === user ? html`<span class="tile-mark" title=${t('floor.chair')} role="img" aria-label=${t('floor.chair')}>${icon('chair')}</span>` : nothing}
      ${floor.holder?.user === user ? html`<span class="tile-mark ${floor.priority ? 'bad' : 'ok'}" title=${t('floor.holder')} role="img" aria-label=${t('floor.holder')}>${icon(floor.priority ? 'octagon-alert' : 'mic')}</span>` : nothing}
      ${user in floor.hands ? html`<span class="tile-mark raised" title=${t('people.hand')} role="img" aria-label=${t('people.hand')}>${icon('hand')}</span>` : nothing}`;
  }

  #muted() {
    if (this.own && app.session.value && !heard(app.floor, app.me.user)) return true;
    if (this.own) return app.media.published.get('microphone')?.muted;
    return this.tile?.audio?.muted || this.tile?.audio?.silenced;
  }

  #speaks() {
    return !this.own && Boolean(this.tile?.speaking || app.media.speaks(this.tile?.audio));
  }

  /** Why there is no picture. @returns {{icon: string, text: string} | null} */
  #why() {
    return this.own ? this.#whyOwn() : this.#whyOther();
  }

  #whyOwn() {
    const error = app.deviceErrors.value.camera;
    if (error) return { icon: 'video-off', text: t(`device.camera.${error}`) };
    const camera = app.media.published.get('camera');
    if (!camera) return { icon: 'loader-circle', text: t('device.opening') };
    if (camera.muted) return { icon: 'video-off', text: t('tile.own_off') };
    return null;
  }

  #whyOther() {
    const tile = this.tile;
    const video = tile?.video;
    if (!app.room.online && !this.plays) return { icon: 'wifi-off', text: t('tile.no_link') };
    if (!video) return { icon: tile?.audio ? 'headset' : 'user', text: tile?.audio ? t('tile.voice_only') : t('tile.no_camera') };
    const refused = app.media.refused.get(video.track);
    if (refused) return { icon: 'circle-alert', text: pick(refused) };
    if (video.silenced) return { icon: 'video-off', text: t('tile.silenced') };
    if (video.muted) return { icon: 'video-off', text: t('tile.off') };
    if (video.state === 'stalled') {
      const card = cardOf(tile.site, tile.source);
      return { icon: 'circle-alert', text: card && lightOf(card) === 'bad' ? pick(card.summary) : t('reason.no_packets') };
    }
    if (this.plays) return null;
    const watch = app.media.watchState.value;
    if (watch.error) return { icon: 'circle-alert', text: pick(watch.text) || (has(`reason.${watch.error}`) ? t(`reason.${watch.error}`) : t('media.trouble')) };
    const reason = quality.value.get(video.track)?.reason;
    if (reason && has(`reason.${reason}`)) return { icon: 'circle-alert', text: t(`reason.${reason}`) };
    if (video.state === 'starting') return { icon: 'loader-circle', text: t('tile.starting') };
    return { icon: 'loader-circle', text: t('tile.connecting') };
  }

  #quality() {
    const id = this.own ? app.media.published.get('camera')?.id : (this.tile?.video ?? this.tile?.audio)?.track;
    const body = id ? quality.value.get(id) : undefined;
    const level = levelOf(body);
    if (!level || !body) return nothing;
    const words = describe(level, body);
    const lit = bars(level);
    return html`<span class="quality ${level}" role="img" aria-label=${words} title=${words}>
      ${[1, 2, 3].map((n) => html`<i class="bar-${n} ${n <= lit ? 'lit' : ''}"></i>`)}
    </span>`;
  }
}
customElements.define('lamproom-tile', TileElement);
