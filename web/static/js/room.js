// The room protocol's client: one WebSocket that keeps itself alive.
//
// Life: `idle` (no room wanted) → `connecting` (tokens, socket, hello) → `online` → lost → `waiting` (full jitter) →
// `connecting` … and `ended` when coming back makes no sense (logged out, revoked, replaced by another page).
//
// What is promised to the rest of the page: `joined` and `event` come in the order of `seq`, without gap and without
// repetition. A gap asks for the missing part with `since`; an answer with a snapshot starts the room anew.
// Everything is bounded: waiting requests, retries of one gap, time to open, silence.
import { Store } from './state.js';

export const VERSION = 1;
const OPEN_TIMEOUT_MS = 8_000;
const REQUEST_TIMEOUT_MS = 10_000;
const MAX_WAITING_REQUESTS = 128;
const RETRY_BASE_S = 0.2;
const RETRY_CAP_S = 3;
const TOKEN_SPARE_S = 20;
const SILENT_BEATS = 3;
const MAX_REJOINS = 3;
const FINAL_ERRORS = new Set(['revoked', 'removed', 'replaced', 'bad_version']);
const TOKEN_ERRORS = new Set(['token_invalid', 'token_expired']);
const MAX_TOKEN_REFUSALS = 4;

/** Full jitter: anything from the floor to the doubled step, so that a hundred pages do not come back at once.
 * @param {number} attempt from 0 @param {() => number} random @returns {number} seconds */
export function retryDelay(attempt, random) {
  const step = Math.min(RETRY_CAP_S, RETRY_BASE_S * 2 ** Math.min(attempt, 10));
  return RETRY_BASE_S / 2 + random() * Math.max(0, step - RETRY_BASE_S / 2);
}

export class RoomProblem extends Error {
  /** @param {string} error @param {{zh: string, en: string} | null} text @param {string} [detail] */
  constructor(error, text, detail = '') {
    super(`${error} ${detail}`.trim());
    this.error = error;
    this.text = text;
  }
}

/**
 * @typedef {object} Membership
 * @property {string} name
 * @property {string | null} epoch
 * @property {number | null} seq last number seen
 * @property {string} token
 * @property {number} expiresAt seconds since the epoch, server's clock
 * @property {'out' | 'asked' | 'in'} state
 * @property {number} rejoins asked in a row without progress
 */

export class RoomClient extends EventTarget {
  /** @type {Map<string, Membership>} */
  #rooms = new Map();
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {Map<string, {resolve: (message: any) => void, reject: (error: RoomProblem) => void, timer: number}>} */
  #waiting = new Map();
  #round = 0;
  #attempt = 0;
  #requestNumber = 0;
  #retryTimer = 0;
  #openTimer = 0;
  #beatTimer = 0;
  #heardAt = 0;
  #notBefore = 0;
  #heartbeatS = 10;
  #tokenRefusals = 0;
  #client = '';
  #key = '';

  /** @type {Store<{state: 'idle' | 'connecting' | 'online' | 'waiting' | 'ended', error: string, text: {zh: string, en: string} | null, since: number}>} */
  link = new Store(/** @type {any} */ ({ state: 'idle', error: '', text: null, since: Date.now() / 1000 }));
  /** Seconds to add to this computer's clock to get the server's. */
  clockOffset = 0;
  /** Round trip of the last heartbeat, seconds. */
  roundTrip = 0;
  /** @type {any} the last `welcome` */
  welcome = null;

  /**
   * @param {object} options
   * @param {(room: string) => Promise<{token: string, expires_at: number}>} options.fetchToken
   * @param {string} options.url
   * @param {() => string} options.language
   * @param {() => number} [options.random]
   */
  constructor({ fetchToken, url, language, random = Math.random }) {
    super();
    this.fetchToken = fetchToken;
    this.url = url;
    this.language = language;
    this.random = random;
    addEventListener('online', () => this.#hurry());
    document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && this.#hurry());
  }

  get online() {
    return this.link.value.state === 'online';
  }

  get client() {
    return this.#client;
  }

  /** Server's clock, seconds since the Unix epoch. */
  now() {
    return Date.now() / 1000 + this.clockOffset;
  }

  /** @param {string} name */
  isIn(name) {
    return this.#rooms.get(name)?.state === 'in';
  }

  // --- rooms ---

  /** Wants to be in a room from now on; `joined` tells when it is so. @param {string} name */
  join(name) {
    if (this.#rooms.has(name)) return;
    this.#rooms.set(name, { name, epoch: null, seq: null, token: '', expiresAt: 0, state: 'out', rejoins: 0 });
    if (this.online) this.#enter(name);
    else if (this.link.value.state === 'idle') this.#connect();
  }

  /** @param {string} name */
  leave(name) {
    if (!this.#rooms.delete(name)) return;
    if (this.online) this.#send({ type: 'leave', room: name });
    this.#tell('left', { room: name });
  }

  stop() {
    this.#end('stopped', null);
  }

  // --- asking ---

  /**
   * Sends a message that is answered. Not kept over a lost socket: the caller decides what is still true then.
   * @param {Record<string, unknown>} message @param {number} [timeoutMs] @returns {Promise<any>} rejects with a RoomProblem
   */
  request(message, timeoutMs = REQUEST_TIMEOUT_MS) {
    if (!this.online) return Promise.reject(new RoomProblem('offline', null));
    return this.#ask(message, `r${++this.#requestNumber}`, timeoutMs);
  }

  /** Sends a message that has no answer; lost when the socket is. @param {Record<string, unknown>} message */
  tell(message) {
    if (this.online) this.#send(message);
  }

  /** @param {Record<string, unknown>} message @param {string} id @param {number} timeoutMs */
  #ask(message, id, timeoutMs) {
    if (this.#waiting.size >= MAX_WAITING_REQUESTS) return Promise.reject(new RoomProblem('too_fast', null));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new RoomProblem('timeout', null));
      }, timeoutMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#send({ ...message, id });
    });
  }

  /** @param {Record<string, unknown>} message */
  #send(message) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(message));
  }

  /** @param {string} name @param {unknown} detail */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  // --- opening ---

  /** @param {'idle' | 'connecting' | 'online' | 'waiting' | 'ended'} state @param {string} [error] @param {{zh: string, en: string} | null} [text] */
  #become(state, error = '', text = null) {
    const before = this.link.value;
    const since = before.state === state ? before.since : Date.now() / 1000;
    this.link.set({ state, error, text, since });
  }

  async #connect() {
    const round = ++this.#round;
    clearTimeout(this.#retryTimer);
    this.#become('connecting', this.link.value.error, this.link.value.text);
    const usable = await this.#gatherTokens();
    if (round !== this.#round) return;
    if (usable === null) return this.#retry('unreachable', null);
    if (usable.length === 0) return this.#become('idle', this.link.value.error, this.link.value.text);
    const socket = new WebSocket(this.url);
    this.#socket = socket;
    this.#openTimer = setTimeout(() => socket === this.#socket && this.#lose('timeout', null), OPEN_TIMEOUT_MS);
    socket.onopen = () => this.#sayHello(usable);
    socket.onmessage = (message) => socket === this.#socket && this.#hear(message.data);
    socket.onclose = () => socket === this.#socket && this.#lose(this.link.value.error || 'unreachable', this.link.value.text);
  }

  /** Tokens for all rooms. @returns {Promise<Membership[] | null>} null: the server was not reached */
  async #gatherTokens() {
    let unreachable = false;
    await Promise.all(
      [...this.#rooms.values()].map(async (room) => {
        try {
          await this.#tokenFor(room);
        } catch (error) {
          unreachable = this.#tokenFailed(room, error) || unreachable;
        }
      }),
    );
    if (this.link.value.state === 'ended') return [];
    const usable = [...this.#rooms.values()].filter((room) => room.token);
    return unreachable && usable.length < this.#rooms.size ? null : usable;
  }

  /** @param {Membership} room @param {boolean} [renew] */
  async #tokenFor(room, renew = false) {
    if (!renew && room.token && room.expiresAt - this.now() > TOKEN_SPARE_S) return room.token;
    room.token = '';
    const fresh = await this.fetchToken(room.name);
    room.token = fresh.token;
    room.expiresAt = fresh.expires_at;
    return room.token;
  }

  /** @param {Membership} room @param {any} error @returns {boolean} whether trying again may help */
  #tokenFailed(room, error) {
    if (error?.status === 401) {
      this.#end('login_lost', error.text ?? null);
      return false;
    }
    if (error?.status >= 400 && error.status < 500 && error.status !== 429) {
      this.#rooms.delete(room.name);
      this.#tell('refused', { room: room.name, error: error.error, text: error.text });
      return false;
    }
    return true;
  }

  /** @param {Membership[]} rooms */
  #sayHello(rooms) {
    const joins = rooms.filter((room) => this.#rooms.has(room.name)).slice(0, 64).map((room) => this.#joinOf(room));
    const again = this.#key ? { client: this.#client, key: this.#key } : {};
    this.#send({ type: 'hello', version: VERSION, lang: this.language(), joins, ...again });
    for (const room of rooms) room.state = 'asked';
  }

  /** @param {Membership} room */
  #joinOf(room) {
    const since = room.epoch === null ? {} : { since: room.seq, epoch: room.epoch };
    return { type: 'join', id: `join ${room.name}`.slice(0, 128), token: room.token, ...since };
  }

  /** @param {string} name */
  async #enter(name) {
    const room = this.#rooms.get(name);
    if (!room || room.state === 'asked') return;
    room.state = 'asked';
    try {
      await this.#tokenFor(room);
    } catch (error) {
      if (this.#tokenFailed(room, error)) this.#laterEnter(name);
      return;
    }
    if (this.online && this.#rooms.get(name) === room) this.#send(this.#joinOf(room));
  }

  /** @param {string} name */
  #laterEnter(name) {
    const room = this.#rooms.get(name);
    if (!room) return;
    room.state = 'out';
    const round = this.#round;
    setTimeout(() => round === this.#round && this.online && this.#enter(name), 1000 * RETRY_CAP_S);
  }

  // --- losing ---

  /** @param {string} error @param {{zh: string, en: string} | null} text */
  #lose(error, text) {
    this.#drop();
    if (this.link.value.state !== 'ended') this.#retry(error, text);
  }

  #drop() {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#openTimer);
    clearInterval(this.#beatTimer);
    if (socket) socket.close();
    for (const room of this.#rooms.values()) room.state = 'out';
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new RoomProblem('offline', null));
    }
    this.#waiting.clear();
  }

  /** @param {string} error @param {{zh: string, en: string} | null} text */
  #retry(error, text) {
    this.#round++;
    this.#become('waiting', error, text);
    const wait = Math.max(1000 * retryDelay(this.#attempt++, this.random), this.#notBefore - Date.now());
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#connect(), wait);
  }

  #hurry() {
    if (this.link.value.state !== 'waiting' || Date.now() < this.#notBefore) return;
    this.#attempt = 0;
    this.#connect();
  }

  /** @param {string} error @param {{zh: string, en: string} | null} text */
  #end(error, text) {
    this.#round++;
    clearTimeout(this.#retryTimer);
    this.#become('ended', error, text);
    this.#drop();
  }

  // --- hearing ---

  /** @param {unknown} data */
  #hear(data) {
    this.#heardAt = Date.now();
    let message;
    try {
      message = JSON.parse(String(data));
    } catch {
      console.debug('A message that is not JSON was dropped.');
      return;
    }
    const handler = this.#handlers[message?.type];
    if (handler) handler(message);
    else console.debug('A message of an unknown type was dropped.');
  }

  /** @type {Record<string, (message: any) => void>} */
  #handlers = {
    welcome: (message) => this.#welcomed(message),
    joined: (message) => this.#joined(message),
    event: (message) => this.#event(message),
    expiring: (message) => this.#renew(message.room, message.expires_at),
    closing: (message) => this.#closing(message),
    pong: (message) => this.#ponged(message),
    problem: (message) => this.#problem(message),
    published: (message) => this.#answered(message),
    watched: (message) => this.#answered(message),
    done: (message) => this.#answered(message),
    roster: (message) => this.#tell('roster', message),
    live: (message) => this.#tell('live', message),
    offer: (message) => this.#tell('offer', message),
    encodings: (message) => this.#tell('encodings', message),
    speaker: (message) => this.#tell('speaker', message),
    media_state: (message) => this.#tell('media_state', message),
    quality: (message) => this.#tell('quality', message),
  };

  /** @param {any} message */
  #welcomed(message) {
    clearTimeout(this.#openTimer);
    this.#attempt = 0;
    this.#notBefore = 0;
    this.#tokenRefusals = 0;
    this.#client = message.client;
    this.#key = message.key;
    this.#heartbeatS = message.heartbeat_s > 0 ? message.heartbeat_s : 10;
    this.welcome = message;
    this.#become('online');
    this.#beatTimer = setInterval(() => this.#beat(), this.#heartbeatS * 1000);
    this.#beat();
    this.#tell('welcome', message);
    for (const room of this.#rooms.values()) if (room.state === 'out') this.#enter(room.name);
  }

  #beat() {
    if (Date.now() - this.#heardAt > SILENT_BEATS * this.#heartbeatS * 1000) {
      this.#lose('silent', null);
      return;
    }
    this.#send({ type: 'ping', t: performance.now() });
  }

  /** @param {any} message */
  #ponged(message) {
    this.roundTrip = Math.max(0, performance.now() - message.t) / 1000;
    if (message.at > 0) this.clockOffset = message.at + this.roundTrip / 2 - Date.now() / 1000;
  }

  /** @param {any} message */
  #joined(message) {
    const room = this.#rooms.get(message.room);
    if (!room) return;
    const progressed = room.epoch !== message.epoch || room.seq === null || message.seq > room.seq;
    room.state = 'in';
    room.epoch = message.epoch;
    room.rejoins = progressed ? 0 : room.rejoins;
    const known = room.seq ?? 0;
    const events = message.snapshot ? message.events : message.events.filter((/** @type {any} */ e) => e.seq > known);
    room.seq = message.seq;
    room.expiresAt = message.expires_at || room.expiresAt;
    this.#tell('joined', { ...message, events });
  }

  /** @param {any} message */
  #event(message) {
    const room = this.#rooms.get(message.room);
    if (!room || room.state !== 'in' || room.seq === null) return;
    if (message.seq <= room.seq) return;
    if (message.seq > room.seq + 1) {
      this.#fillGap(room);
      return;
    }
    room.seq = message.seq;
    room.rejoins = 0;
    this.#tell('event', message);
  }

  /** Something between is missing: ask for it, and for the whole room when asking does not help. @param {Membership} room */
  #fillGap(room) {
    room.rejoins += 1;
    if (room.rejoins > MAX_REJOINS) {
      room.epoch = null;
      room.seq = null;
      room.rejoins = 0;
    }
    room.state = 'out';
    this.#tell('gap', { room: room.name });
    this.#enter(room.name);
  }

  /** @param {string} name @param {number} expiresAt @param {number} [attempt] */
  async #renew(name, expiresAt, attempt = 0) {
    const room = this.#rooms.get(name);
    if (!room || this.now() > expiresAt) return;
    try {
      const token = await this.#tokenFor(room, true);
      await this.request({ type: 'refresh', token });
      this.#tell('refreshed', { room: name });
    } catch (error) {
      if (error instanceof RoomProblem && error.error === 'offline') return;
      if (error instanceof RoomProblem || this.#tokenFailed(room, error)) {
        setTimeout(() => this.#renew(name, expiresAt, attempt + 1), 1000 * (1 + retryDelay(attempt, this.random)));
      }
    }
  }

  /** @param {any} message */
  #answered(message) {
    const waiting = this.#waiting.get(message.id);
    if (!waiting) {
      if (message.type === 'watched') this.#tell('tracks_refused', message); // refused only after our answer
      return;
    }
    this.#waiting.delete(message.id);
    clearTimeout(waiting.timer);
    waiting.resolve(message);
  }

  /** @param {any} message */
  #problem(message) {
    const waiting = message.id === null ? undefined : this.#waiting.get(message.id);
    if (waiting) {
      this.#waiting.delete(message.id);
      clearTimeout(waiting.timer);
      waiting.reject(new RoomProblem(message.error, message.text, message.detail));
      return;
    }
    const room = [...this.#rooms.values()].find((one) => message.id === this.#joinOf(one).id);
    if (message.room && this.#rooms.has(message.room)) this.#putOut(message);
    if (TOKEN_ERRORS.has(message.error)) {
      for (const one of room ? [room] : this.#rooms.values()) one.token = '';
      if (room && this.online) this.#laterEnter(room.name);
    } else if (room) {
      this.#rooms.delete(room.name);
      this.#tell('refused', { room: room.name, error: message.error, text: message.text });
    }
    this.link.set({ ...this.link.value, error: message.error, text: message.text });
    if (!this.online && FINAL_ERRORS.has(message.error)) this.#end(message.error, message.text);
    this.#tell('problem', message);
  }

  /** The server took us out of a room: for good, or because our token ran out. @param {any} message */
  #putOut(message) {
    const room = /** @type {Membership} */ (this.#rooms.get(message.room));
    if (TOKEN_ERRORS.has(message.error)) {
      room.token = '';
      this.#laterEnter(room.name);
      return;
    }
    this.#rooms.delete(message.room);
    this.#tell('refused', { room: message.room, error: message.error, text: message.text });
  }

  /** @param {any} message */
  #closing(message) {
    const tokens = TOKEN_ERRORS.has(message.error) && ++this.#tokenRefusals <= MAX_TOKEN_REFUSALS;
    if (FINAL_ERRORS.has(message.error) || (message.final && !tokens && message.error !== 'hello_first')) {
      this.#end(message.error, message.text);
      return;
    }
    this.#notBefore = Date.now() + 1000 * (message.after_s || 0);
    if (tokens) for (const room of this.#rooms.values()) room.token = '';
    this.link.set({ ...this.link.value, error: message.error, text: message.text });
  }
}
