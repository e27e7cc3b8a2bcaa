// The page's one application: who I am, my link, my media, the rooms I am in, the consultation I take part in.
// Parts of the page read `app` and subscribe to its stores; they never talk to the socket themselves.
import { ApiError, api } from './api.js';
import { has, language, startLanguage, pick, pickField, t } from './i18n.js';
import { pageFacts } from './facts.js';
import { floorOf, governs } from './floor.js';
import { MediaClient } from './media.js';
import { Views } from './views.js';
import { DeviceError, openCamera, openMicrophone, openScreen } from './devices.js';
import * as ladder from './ladder.js';
import { heard, quality } from './quality.js';
import { RoomClient, RoomProblem } from './room.js';
import { RoomView, alertId } from './roomview.js';
import { Store, memory } from './state.js';
import { soundsAt, tuneFor } from './alerts.js';
import { soundFor, soundState, startSound } from './sound.js';
import { startShortcuts } from './shortcuts.js';
import { templates } from './templates.js';

const REOPEN_MS = 3_000;
const KNOCK_AGAIN_MS = 3_000;
const MAX_WATCHED_SITES = 32;
export const LEVELS = ['mine', 'county', 'city', 'province', 'nation'];

/** A name that may stand for a source: lower case, digits, `-` and `_`. @param {string} text */
function slug(text) {
  const clean = text.toLowerCase().replace(/[^a-z0-9_-]+/g, '-').replace(/^[^a-z0-9]+/, '').slice(0, 48);
  return clean || 'x';
}

class App {
  facts = pageFacts();
  /** @type {Record<string, any>} */
  me = this.facts.me ?? {};
  /** @type {Store<Record<string, any>[]>} the tree I may see */
  sites = new Store(/** @type {Record<string, any>[]} */ ([]));
  /** Touched when a room's lasting state changed. @type {Store<Map<string, RoomView>>} */
  rooms = new Store(new Map());
  /** Touched when newest values came. */
  live = new Store(0);
  /** Ticks every second. */
  tick = new Store(0);
  /** Consultation I am in, by id. @type {Store<string | null>} */
  session = new Store(/** @type {string | null} */ (null));
  /** By what this page takes part in its consultation. @type {Store<import('./ladder.js').State>} */
  ladder = new Store(ladder.begin(0));
  /** Digits by which a telephone comes into it; empty where there are no telephones. @type {Store<string>} */
  phonePin = new Store('');
  /** Short messages. @type {Store<{id: number, text: string, kind: string}[]>} */
  toasts = new Store(/** @type {{id: number, text: string, kind: string}[]} */ ([]));
  /** Why a device of ours is not there. @type {Store<Record<string, string>>} */
  deviceErrors = new Store(/** @type {Record<string, string>} */ ({}));
  /** We stand at the door of the consultation and wait to be let in. */
  lobby = new Store(false);
  /** The talk key is held. */
  talking = new Store(false);
  #hasFloorByKey = false;

  /** Called by the page: which tracks the wall shows besides the consultation. */
  #wallTracks = /** @type {string[]} */ ([]);
  /** Name our camera is published under, and the rooms that always see it. */
  #cameraName = 'desk';
  /** @type {string[]} */
  #standing = [];
  #toastNumber = 0;
  #reopenTimer = 0;

  room = new RoomClient({
    fetchToken: (name) => (this.isGuest ? api.guestToken() : api.token(name)),
    url: `${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}/api/ws`,
    language: () => language.value,
  });
  media = new MediaClient(this.room);
  views = new Views(this.room, () => this.media.wanted);

  /** Came by a link: one consultation, no log-in, no room of its own. */
  get isGuest() {
    return this.me.role === 'guest';
  }

  get ownRoom() {
    return `site:${this.me.site}`;
  }

  get own() {
    return this.rooms.value.get(this.ownRoom);
  }

  get sessionRoom() {
    return this.session.value ? this.rooms.value.get(`session:${this.session.value}`) : undefined;
  }

  get simulated() {
    return Boolean(this.facts.config?.simulated || this.me.simulated || this.room.welcome?.simulated);
  }

  get mayAcknowledge() {
    return ['admin', 'supervisor', 'dispatcher'].includes(this.me.role);
  }

  /** A dispatcher takes alerts but does not close them: many are about the dispatch room itself. */
  get mayClose() {
    return ['admin', 'supervisor'].includes(this.me.role);
  }

  get mayCall() {
    return ['admin', 'supervisor', 'dispatcher'].includes(this.me.role);
  }

  /** Server's clock, seconds. */
  now() {
    return this.room.now();
  }

  // --- start ---

  async start() {
    this.#listen();
    navigator.mediaDevices?.addEventListener('devicechange', () => this.#missingAgain());
    if (this.isGuest) {
      this.sites.set(this.facts.config?.sites ?? []);
      this.enterSession(String(this.facts.config?.session));
      return;
    }
    this.room.join(this.ownRoom);
    try {
      this.sites.set(await api.sites());
    } catch (error) {
      this.report(error);
    }
  }

  #listen() {
    const on = (/** @type {string} */ name, /** @type {(detail: any) => void} */ run) =>
      this.room.addEventListener(name, (event) => run(/** @type {CustomEvent} */ (event).detail));
    on('joined', (message) => message.room === `session:${this.session.value}` && this.lobby.set(false));
    on('joined', (message) => this.#change(message.room, (view) => view.joined(message)));
    on('event', (message) => {
      this.#change(message.room, (view) => view.event(message));
      this.#react(message);
    });
    on('roster', (message) => this.#change(message.room, (view) => view.roster(message)));
    on('live', (message) => {
      this.rooms.value.get(message.room)?.live(message);
      this.live.set(this.live.value + 1);
    });
    on('quality', heard);
    on('refused', (detail) => this.#refused(detail));
    on('problem', (message) => message.text && message.error !== 'locked' && this.toast(pick(message.text), 'bad'));
    // The server rings a telephone at once where nobody would hear the pages.
    const sayReach = () => this.room.online && this.room.tell({ type: 'reach', reach: this.ladder.value.rung });
    this.room.link.subscribe(sayReach);
    this.ladder.subscribe(sayReach);
    this.tick.subscribe(() => this.#climb());
    this.session.subscribe(() => this.#newLadder());
    const sayArmed = () => this.room.online && this.room.tell({ type: 'screen', armed: soundState.value === 'armed' });
    this.room.link.subscribe(sayArmed);
    soundState.subscribe(sayArmed);
    this.room.link.subscribe((link) => {
      if (link.state === 'ended' && link.error === 'login_lost') location.assign(this.isGuest ? '/guest' : `/login?next=${encodeURIComponent(location.pathname + location.search)}`);
    });
  }

  /** @param {string} name @param {(view: RoomView) => void} apply */
  #change(name, apply) {
    const rooms = this.rooms.value;
    const view = rooms.get(name) ?? new RoomView(name);
    rooms.set(name, view);
    apply(view);
    this.rooms.touch();
    this.#sounds();
    this.#wantTracks();
    if (name === this.ownRoom || name.startsWith('session:')) this.#checkSession();
  }

  /** @param {{room: string, error: string, text: any}} detail */
  #refused({ room, error, text }) {
    if (error === 'locked' && room === `session:${this.session.value}`) {
      // The server has knocked for us: ask again until somebody opens, or we go.
      this.lobby.set(true);
      setTimeout(() => room === `session:${this.session.value}` && this.lobby.value && this.room.join(room), KNOCK_AGAIN_MS);
      return;
    }
    this.rooms.value.delete(room);
    if (room === `session:${this.session.value}`) this.#leftSession();
    this.rooms.touch();
    this.toast(pick(text) || t('room.refused', { room: this.siteName(room.split(':')[1]) }), 'bad');
  }

  /** @param {any} event */
  #react(event) {
    if (event.kind !== 'session' || event.room !== `session:${this.session.value}`) return;
    const { change, participant, invitation, about, floor } = event.body;
    const me = about?.user === this.me.user;
    if (change === 'muted' && me) this.toast(t('floor.you_muted', { name: event.body.by ?? '' }), 'bad');
    if (change === 'unmuted' && me) this.toast(t('floor.you_unmuted'));
    if (change === 'floor' && me && floor.mode !== 'talk') this.toast(t('floor.you_have_it'));
    if (change === 'chair') this.toast(me ? t('floor.you_chair') : t('floor.chairs', { name: about?.name ?? '' }));
    if (change === 'preempted' && !me) this.toast(t('floor.preempted', { name: about?.name ?? '', site: this.siteName(about?.site, about?.level) }), 'bad');
    if (change === 'knocked' && governs(floorOf(event.body), this.me)) this.toast(t('floor.knocks', { name: about?.name ?? '' }));
    if (change === 'mode') {
      this.toast(t(`floor.mode.${floor.mode}.told`));
      if (floor.mode === 'talk') this.media.setMuted('microphone', true);
    }
    if (change === 'ended' && event.body.merged_into) {
      this.#follow(String(event.body.merged_into));
      return;
    }
    if (change === 'joined' && participant.client !== this.room.client) this.toast(t('session.toast_joined', { name: participant.name }));
    if (change === 'declined') this.toast(t('session.toast_declined', { site: this.siteName(invitation?.site) }), 'bad');
    if (change === 'unreachable') this.toast(t('session.toast_unreachable', { site: this.siteName(invitation?.site) }), 'bad');
  }

  /** Our consultation goes on in another one. @param {string} into */
  #follow(into) {
    this.toast(t('session.merged'));
    this.enterSession(into);
  }

  #sounds() {
    const own = this.own;
    const mine = [...(own?.alerts.values() ?? [])].filter((alert) => soundsAt(alert, own?.escalations.get(alertId(alert)), this.me));
    const tune = tuneFor(mine);
    soundFor('alerts', tune);
    soundFor('ring', this.ringing().length ? 'ring' : null);
  }

  // --- sites ---

  /** @param {string} site */
  siteOf(site) {
    return this.sites.value.find((one) => one.site === site);
  }

  /** A mine may not see the tree above itself: then the level stands for the name.
   * @param {string | undefined} site @param {string} [level] */
  siteName(site, level) {
    if (!site) return '';
    const known = this.siteOf(site);
    if (known) return pickField(known, 'name') || site;
    return level && has(`authority.${level}`) ? t(`authority.${level}`) : site;
  }

  /** Its title, unless that only names the site: then in the page's language. @param {Record<string, any> | undefined} session */
  sessionName(session) {
    if (!session) return '';
    const site = this.siteOf(session.site);
    session = { ...session, title: String(session.title ?? '').replace(/^【演练】/, '') };
    const template = templates.value.items.find((one) => one.key === session.template);
    if (template && session.title === template.title.zh) return `${pick(template.title)} · ${this.siteName(session.site)}`;
    const plain = !session.title || [site?.name_zh, site?.name_en].includes(session.title);
    return plain ? this.siteName(session.site) : session.title;
  }

  /** @param {string} site @returns {Record<string, any>[]} parent first */
  ancestors(site) {
    const found = [];
    let next = this.siteOf(site)?.parent;
    while (next && found.length < 8) {
      const one = this.siteOf(next);
      if (!one) break;
      found.push(one);
      next = one.parent;
    }
    return found;
  }

  /** The site and everything below it. @param {string} site @returns {Record<string, any>[]} */
  below(site) {
    const self = this.siteOf(site);
    const children = this.sites.value.filter((one) => one.parent === site);
    return [...(self ? [self] : []), ...children.flatMap((child) => this.below(child.site))];
  }

  /** Joins the rooms of these mines so that their cameras are known. @param {string[]} sites */
  visit(sites) {
    const wanted = new Set(sites.slice(0, MAX_WATCHED_SITES).map((site) => `site:${site}`));
    for (const name of wanted) this.room.join(name);
    for (const name of [...this.rooms.value.keys()]) {
      const discussed = name === this.#sessionSiteRoom();
      if (name.startsWith('site:') && name !== this.ownRoom && !wanted.has(name) && !discussed) {
        this.room.leave(name);
        this.rooms.value.delete(name);
      }
    }
    this.rooms.touch();
  }

  /** The room of the mine that the consultation is about: its readings and positions are shown beside the faces. */
  #sessionSiteRoom() {
    const site = this.isGuest ? '' : this.sessionRoom?.sessions.get(this.session.value ?? '')?.site;
    return site && this.siteOf(site) ? `site:${site}` : '';
  }

  // --- consultations ---

  /** Calls that wait for me. */
  ringing() {
    return [...(this.own?.sessions.values() ?? [])].filter(
      (one) => !one.ended_at && this.#ringsMe(one.invitations?.[this.me.site]) && String(one.session) !== this.session.value,
    );
  }

  /** Whether this invitation is for me: some are for one role only. @param {Record<string, any> | undefined} one */
  #ringsMe(one) {
    return one?.state === 'ringing' && (!one.role || one.role === this.me.role);
  }

  /** Open consultations that concern my site. */
  openSessions() {
    return [...(this.own?.sessions.values() ?? [])].filter((one) => !one.ended_at);
  }

  /** @param {{site: string, levels: string[], alert?: string, title?: string, template?: string}} wanted @param {string} key */
  async call(wanted, key) {
    const started = await api.startSession(wanted, key);
    this.enterSession(String(started.session));
  }

  /** @param {string} session */
  async answer(session) {
    this.enterSession(session); // pictures and the room come up while the answer travels
    try {
      await api.answer(session);
    } catch (error) {
      this.report(error);
    }
  }

  /** @param {string} session */
  async decline(session) {
    try {
      await api.decline(session);
    } catch (error) {
      this.report(error);
    }
  }

  /** @param {string} session */
  enterSession(session) {
    if (this.session.value === session) return;
    if (this.session.value) this.leaveSession();
    this.session.set(session);
    this.room.join(`session:${session}`);
    this.#sounds();
    this.openOwnMedia();
  }

  leaveSession() {
    const session = this.session.value;
    if (!session) return;
    this.room.leave(`session:${session}`);
    this.rooms.value.delete(`session:${session}`);
    this.#leftSession();
    this.rooms.touch();
  }

  #leftSession() {
    this.session.set(null);
    this.lobby.set(false);
    this.media.unpublish('microphone');
    this.media.unpublish('screen');
    if (this.#standing.length === 0) this.media.unpublish('camera');
    else this.media.setRooms('camera', this.#standing);
    this.#wantTracks();
    this.#sounds();
  }

  #checkSession() {
    const session = this.session.value;
    if (!session) return;
    const ended = (/** @type {RoomView | undefined} */ view) => Boolean(view?.sessions.get(session)?.ended_at);
    const into = this.sessionRoom?.sessions.get(session)?.merged_into || this.own?.sessions.get(session)?.merged_into;
    if (into) {
      this.#follow(String(into));
      return;
    }
    if (ended(this.own) || ended(this.sessionRoom)) {
      this.toast(t('session.ended'));
      this.leaveSession();
      return;
    }
    const about = this.#sessionSiteRoom();
    if (about) this.room.join(about);
    if (this.room.isIn(`session:${session}`)) this.#showOwn();
  }

  /** The consultation I am in, as far as it is known. @returns {Record<string, any> | undefined} */
  get currentSession() {
    const id = this.session.value ?? '';
    return this.sessionRoom?.sessions.get(id) ?? this.own?.sessions.get(id);
  }

  get floor() {
    return floorOf(this.currentSession);
  }

  /** Whether I act as the chair does. */
  get governs() {
    return governs(this.floor, this.me);
  }

  /** About chair, floor, mutes and the door. @param {string} action @param {string} [target] @param {string} [value] @returns {Promise<boolean>} */
  async act(action, target = '', value = '') {
    try {
      await this.room.request({ type: 'floor', room: `session:${this.session.value}`, action, target, value });
      return true;
    } catch (error) {
      this.report(error);
      return false;
    }
  }

  toggleHand() {
    if (this.session.value) this.act(this.me.user in this.floor.hands ? 'lower_hand' : 'raise_hand');
  }

  /** The talk key, held or let go. In a consultation without talk key it opens a closed microphone while it is held.
   * @param {boolean} on */
  async talk(on) {
    if (!this.session.value || on === this.talking.value) return;
    this.talking.set(on);
    const byKey = this.floor.mode === 'talk' && !this.floor.priority;
    if (!on) {
      this.media.setMuted('microphone', true);
      if (this.#hasFloorByKey) {
        this.#hasFloorByKey = false;
        await this.act('release');
      }
      return;
    }
    if (byKey) {
      if (!(await this.act('talk'))) return;
      this.#hasFloorByKey = true;
      if (!this.talking.value) {
        this.#hasFloorByKey = false; // let go while the floor was asked for
        await this.act('release');
        return;
      }
    }
    this.media.setMuted('microphone', false);
  }

  // --- own media ---

  /** This page's camera always shows in these rooms. @param {string} name @param {string[]} rooms */
  standing(name, rooms) {
    this.#cameraName = name;
    this.#standing = rooms;
    this.openCamera();
  }

  /** Another device shows this room already: our camera is for consultations only. */
  endStanding() {
    this.#standing = [];
    if (this.session.value) {
      this.#cameraName = this.#deskName();
      const camera = this.media.published.get('camera');
      if (camera) this.media.publish('camera', camera.track, this.#cameraName, this.#roomsOf('camera'));
    } else this.media.unpublish('camera');
  }

  /** Tracks of a fixed camera in the mine's dispatch room: of a client that is nobody's page. @param {string} site */
  fixedCamera(site) {
    const view = this.rooms.value.get(`site:${site}`);
    const pages = new Set([this.room.client, ...(view?.members ?? []).map((member) => member.client)]);
    return view?.tracks.filter((track) => track.name === 'dispatch-room' && track.source === 'camera' && !pages.has(track.client)) ?? [];
  }

  #deskName() {
    return `desk-${slug(String(this.me.user ?? this.me.login ?? 'x'))}`;
  }

  get isStanding() {
    return this.#standing.length > 0;
  }

  /** Camera and microphone for a consultation. */
  async openOwnMedia() {
    if (!this.isStanding) this.#cameraName = this.#deskName();
    if (this.isGuest && !this.facts.config?.speaks) return; // listens only
    await Promise.all([this.openCamera(), this.openMicrophone()]);
  }

  /** @param {string} [deviceId] */
  openCamera(deviceId) {
    return this.#open('camera', () => openCamera(deviceId ?? memory.get('camera')), Boolean(deviceId));
  }

  /** @param {string} [deviceId] */
  openMicrophone(deviceId) {
    return this.#open('microphone', () => openMicrophone(deviceId ?? memory.get('microphone')), Boolean(deviceId));
  }

  async toggleScreen() {
    if (this.media.published.has('screen')) this.media.unpublish('screen');
    else await this.#open('screen', openScreen, false);
  }

  /** @param {import('./media.js').Slot} slot @param {() => Promise<MediaStreamTrack>} open @param {boolean} change */
  async #open(slot, open, change) {
    const before = this.media.published.get(slot);
    if (before && before.track.readyState === 'live' && !change) {
      this.#showOwn();
      return;
    }
    try {
      const track = await open();
      const { [slot]: _gone, ...others } = this.deviceErrors.value;
      this.deviceErrors.set(others);
      before?.track.stop();
      track.addEventListener('ended', () => this.#lostDevice(slot, track));
      this.media.publish(slot, track, this.#nameOf(slot), this.#roomsOf(slot));
      if (slot === 'microphone' && this.floor.mode === 'talk') this.media.setMuted('microphone', true); // heard while the key is held
    } catch (error) {
      const reason = error instanceof DeviceError ? error.reason : 'failed';
      if (slot === 'screen' && reason === 'denied') return; // somebody changed their mind
      this.deviceErrors.set({ ...this.deviceErrors.value, [slot]: reason });
    }
  }

  /** @param {import('./media.js').Slot} slot @param {MediaStreamTrack} track */
  #lostDevice(slot, track) {
    if (this.media.published.get(slot)?.track !== track) return;
    if (slot === 'screen') {
      this.media.unpublish('screen');
      return;
    }
    this.deviceErrors.set({ ...this.deviceErrors.value, [slot]: 'gone' });
    clearTimeout(this.#reopenTimer);
    this.#reopenTimer = setTimeout(() => this.#missingAgain(), REOPEN_MS);
  }

  /** A device came: use it where one of ours is missing. */
  #missingAgain() {
    const lacking = (/** @type {import('./media.js').Slot} */ slot) => this.media.published.get(slot)?.track.readyState !== 'live';
    if ((this.isStanding || this.session.value) && lacking('camera')) this.openCamera();
    if (this.session.value && lacking('microphone')) this.openMicrophone();
  }

  /** @param {string} slot */
  #nameOf(slot) {
    return slot === 'screen' ? `${this.#cameraName}-screen`.slice(0, 60) : this.#cameraName;
  }

  /** @param {string} slot @returns {string[]} a room is named only once we are in it */
  #roomsOf(slot) {
    const room = `session:${this.session.value}`;
    const carried = slot === 'microphone' || this.#pictures;
    const session = this.session.value && this.room.isIn(room) && carried ? [room] : [];
    const standing = slot === 'camera' ? this.#standing : [];
    return [...standing, ...session];
  }

  /** Our tracks follow us into the consultation. */
  #showOwn() {
    for (const slot of this.media.published.keys()) this.media.setRooms(slot, this.#roomsOf(slot));
  }

  /** @param {'camera' | 'microphone'} slot */
  toggleMute(slot) {
    const one = this.media.published.get(slot);
    if (one) this.media.setMuted(slot, !one.muted);
    else if (this.session.value) slot === 'camera' ? this.openCamera() : this.openMicrophone();
  }

  // --- watching ---

  /** @param {string[]} tracks what the wall shows */
  showOnWall(tracks) {
    this.#wallTracks = tracks;
    this.#wantTracks();
  }

  /** The fixed camera of the mine that the consultation is about, where I may see it. */
  sessionCamera() {
    const site = this.#sessionSiteRoom().slice('site:'.length);
    return site ? this.fixedCamera(site).filter((track) => track.kind === 'video').slice(0, 2) : [];
  }

  #wantTracks() {
    const pictures = this.#pictures;
    const session = this.sessionRoom?.tracks.filter((track) => track.client !== this.room.client && (pictures || track.kind === 'audio')).map((track) => track.track) ?? [];
    const beside = pictures ? [...this.sessionCamera().map((track) => track.track), ...this.#wallTracks] : [];
    this.media.want([...session, ...beside]);
    this.views.changed();
  }

  // --- by what this page takes part ---

  /** Whether the line carries pictures; outside of a consultation nobody asks. */
  get #pictures() {
    return !this.session.value || this.ladder.value.rung === 'video';
  }

  async #newLadder() {
    this.ladder.set(ladder.begin(performance.now() / 1000));
    this.phonePin.set('');
    const session = this.session.value;
    if (!session || this.isGuest) return;
    try {
      const facts = await api.sessionPhone(session);
      if (session === this.session.value && facts?.available) this.phonePin.set(String(facts.pin));
    } catch {
      // no telephones for this visitor
    }
  }

  /** What is measured now, for the ladder. @returns {ladder.Facts} */
  #lineFacts() {
    const states = [this.media.publishState.value.state, this.media.watchState.value.state].filter((one) => one !== 'none');
    const flows = states.length > 0 && states.every((one) => one === 'connected');
    const known = [...(this.sessionRoom?.tracks ?? []).map((track) => track.track)].map((track) => quality.value.get(track)).filter((one) => one !== undefined);
    const mean = (/** @type {number[]} */ all) => (all.length ? all.reduce((sum, one) => sum + one, 0) / all.length : 0);
    const pictures = (this.sessionRoom?.tracks ?? []).filter((track) => track.kind === 'video' && track.client !== this.room.client).map((track) => quality.value.get(track.track));
    return {
      online: this.room.online && this.room.isIn(`session:${this.session.value}`),
      media: states.length === 0 ? 'none' : flows ? 'flows' : 'waiting',
      loss: mean(known.map((one) => Number(one.loss)).filter(Number.isFinite)),
      rtt: Math.max(0, ...known.map((one) => Number(one.rtt_ms) / 1000).filter(Number.isFinite)),
      squeezed: pictures.length > 0 && pictures.every((one) => one?.reason === 'bandwidth'),
      phones: this.phonePin.value !== '',
    };
  }

  #climb() {
    if (!this.session.value) return;
    const before = this.ladder.value;
    const after = ladder.step(before, this.#lineFacts(), performance.now() / 1000);
    if (after !== before) this.#onRung(before, after);
  }

  /** @param {ladder.State} before @param {ladder.State} after */
  #onRung(before, after) {
    this.ladder.set(after);
    if (before.rung === after.rung) return;
    const worse = ladder.RUNGS.indexOf(after.rung) > ladder.RUNGS.indexOf(before.rung);
    this.toast(worse ? t(`ladder.${after.rung}`) : t(`ladder.back.${after.rung}`), worse ? 'bad' : 'plain');
    this.#showOwn();
    this.#wantTracks();
  }

  /** A person wants pictures whatever the line carries, or lets it decide again. @param {boolean} held */
  holdPictures(held) {
    this.#onRung(this.ladder.value, ladder.hold(this.ladder.value, held, performance.now() / 1000));
  }

  // --- saying things ---

  /** @param {string} text @param {string} [kind] */
  toast(text, kind = 'plain') {
    const id = ++this.#toastNumber;
    this.toasts.set([...this.toasts.value.slice(-3), { id, text, kind }]);
    setTimeout(() => this.toasts.set(this.toasts.value.filter((one) => one.id !== id)), kind === 'bad' ? 9000 : 5000);
  }

  /** Do it and say in words what went wrong; whether it went well. @param {() => Promise<unknown>} run @returns {Promise<boolean>} */
  async attempt(run) {
    try {
      await run();
      return true;
    } catch (error) {
      this.report(error);
      return false;
    }
  }

  /** @param {unknown} error */
  report(error) {
    if (error instanceof ApiError) {
      if (error.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname)}`);
      this.toast(error.words, 'bad');
    } else if (error instanceof RoomProblem) {
      this.toast(pick(error.text) || t(error.error === 'offline' ? 'link.not_now' : 'api.no_answer'), 'bad');
    } else {
      console.error(error);
      this.toast(t('error.unknown'), 'bad');
    }
  }
}

export const app = new App();

/** Words first, then the page. */
export async function boot() {
  await startLanguage(app.facts.language, app.facts.language_fixed);
  setInterval(() => app.tick.set(app.tick.value + 1), 1000);
}

/** For pages that stay open: sound, keys, link. */
export async function bootWork() {
  await boot();
  startSound();
  startShortcuts();
  addEventListener('beforeunload', (event) => {
    if (app.session.value) event.preventDefault();
  });
  await app.start();
}
