// HTTP to our own server. Every failure becomes an ApiError whose `text` can be shown to a person.
import { pick, t } from './i18n.js';

const TIMEOUT_MS = 10_000;
const UPLOAD_TIMEOUT_MS = 60_000;
const LOOK_TIMEOUT_MS = 45_000;

export class ApiError extends Error {
  /** @param {number} status 0 when the server was not reached @param {string} error stable id @param {{zh: string, en: string} | null} text @param {any[]} [fields] which values are not valid */
  constructor(status, error, text, fields = []) {
    super(`${status} ${error}`);
    this.fields = fields;
    this.status = status;
    this.error = error;
    this.text = text;
  }

  /** In the language of the page. */
  get words() {
    if (this.text) return pick(this.text);
    return this.status === 0 ? t('api.unreachable') : t('api.failed', { status: this.status });
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @param {Record<string, string>} [headers]
 * @param {number} [timeout] milliseconds
 * @returns {Promise<any>}
 */
async function call(method, path, body, headers = {}, timeout = body instanceof Blob ? UPLOAD_TIMEOUT_MS : TIMEOUT_MS) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      credentials: 'same-origin',
      signal: AbortSignal.timeout(timeout),
      headers: {
        Accept: 'application/json',
        ...(method === 'GET' ? {} : { 'X-Lamproom': '1' }),
        ...(body === undefined || body instanceof Blob ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, 'unreachable', null);
  }
  const type = answer.headers.get('Content-Type') ?? '';
  const content = type.includes('json') ? await answer.json().catch(() => null) : null;
  if (!answer.ok) throw new ApiError(answer.status, content?.error ?? 'failed', content?.text ?? null, content?.fields ?? []);
  return content;
}

/** A list that may be answered as such or as a page of `{items, next}`. @param {any} answer @returns {any[]} */
export function items(answer) {
  return Array.isArray(answer) ? answer : (answer?.items ?? []);
}

/** @param {Record<string, string | number | undefined>} values */
function query(values) {
  const known = Object.entries(values).filter(([, value]) => value !== undefined && value !== '');
  return known.length ? `?${new URLSearchParams(known.map(([key, value]) => [key, String(value)]))}` : '';
}

const id = encodeURIComponent;

export const api = {
  /** @param {string} login @param {string} password */
  login: (login, password) => call('POST', '/api/login', { login, password }),
  logout: () => call('DELETE', '/api/login'),
  me: () => call('GET', '/api/me'),
  /** @param {string} room @returns {Promise<{token: string, room: string, expires_at: number, grants: object}>} */
  token: (room) => call('POST', '/api/token', { room }),
  /** For the guest of this browser: always of the one consultation. @returns {Promise<{token: string, room: string, expires_at: number, grants: object}>} */
  guestToken: () => call('POST', '/api/guest/token'),
  /** @param {Record<string, string | undefined>} wish @returns {Promise<{items: any[], next: string | null, reviewed: string[]}>} */
  alerts: (wish) => call('GET', `/api/alerts${query(wish)}`),
  /** @param {string} alert */
  alert: (alert) => call('GET', `/api/alerts/${id(alert)}`),
  /** @param {string} site */
  alertCounts: async (site) => (await call('GET', `/api/alerts/counts${query({ site })}`)).counts,
  /** @param {string[]} alerts @param {boolean} reviewed */
  review: (alerts, reviewed) => call('POST', '/api/alerts/reviewed', { alerts, reviewed }),
  /** @param {string[]} alerts */
  acknowledgeAll: (alerts) => call('POST', '/api/alerts/ack', { alerts }),
  /** What was recorded at a site between two moments. @param {string} site @param {number} start @param {number} end */
  recordingsOf: async (site, start, end) => items(await call('GET', `/api/recordings${query({ site, start, end, limit: 200 })}`)),
  keepLogin: () => call('POST', '/api/login/keep'),
  wall: () => call('GET', '/api/me/wall'),
  /** @param {unknown} value @param {number} version */
  keepWall: (value, version) => call('PUT', '/api/me/wall', { value, version }),
  sites: async () => items(await call('GET', '/api/sites')),
  /** @param {string} site */
  posts: async (site) => items(await call('GET', `/api/posts${query({ site })}`)),
  /** @param {string} site */
  diagnosis: async (site) => items(await call('GET', `/api/cameras/diagnosis${query({ site })}`)),
  /** The view of a camera is right as it is now. @param {string} site @param {string} name */
  renewReference: (site, name) => call('POST', '/api/cameras/reference', { site, name }),
  /** @param {string} alert @param {string} comment */
  acknowledge: (alert, comment) => call('POST', `/api/alerts/${id(alert)}/ack`, { comment }),
  /** Do not wait for the rest of this ring. @param {string} alert */
  callNext: (alert) => call('POST', `/api/alerts/${id(alert)}/next`),
  /** @param {string} alert @param {string} outcome @param {string} reason @param {string} comment */
  close: (alert, outcome, reason, comment) => call('POST', `/api/alerts/${id(alert)}/close`, { outcome, reason, comment }),
  incidents: async () => items(await call('GET', '/api/incidents?state=open')),
  /** @param {string} incident */
  incident: (incident) => call('GET', `/api/incidents/${id(incident)}`),
  /** @param {string} incident @param {string} into */
  mergeIncident: (incident, into) => call('POST', `/api/incidents/${id(incident)}/merge`, { into }),
  /** @param {string} incident @param {string[]} alerts */
  splitIncident: (incident, alerts) => call('POST', `/api/incidents/${id(incident)}/split`, { alerts }),
  /** @param {string} incident @param {string} outcome */
  closeIncident: (incident, outcome) => call('POST', `/api/incidents/${id(incident)}/close`, { outcome }),
  /** @param {{site: string, levels: string[], alert?: string, title?: string, template?: string}} wanted @param {string} key the same press gives the same consultation */
  startSession: (wanted, key) => call('POST', '/api/sessions', wanted, { 'Idempotency-Key': key }),
  /** @param {string} session */
  session: (session) => call('GET', `/api/sessions/${id(session)}`),
  /** @param {string} session */
  answer: (session) => call('POST', `/api/sessions/${id(session)}/answer`, {}),
  /** @param {string} session */
  decline: (session) => call('POST', `/api/sessions/${id(session)}/decline`, {}),
  /** @param {string} session */
  end: (session) => call('POST', `/api/sessions/${id(session)}/end`, {}),
  /** @param {string} session @param {{site?: string, level?: string, role?: string}} whom */
  invite: (session, whom) => call('POST', `/api/sessions/${id(session)}/invite`, whom),
  /** @param {string} site @param {number} [before] @returns {Promise<{items: any[], next: number | null}>} */
  sessions: (site, before) => call('GET', `/api/sessions${query({ site, before })}`),
  /** None at all is no error. @param {string} session @returns {Promise<any[]>} */
  recordings: async (session) => {
    try {
      return items(await call('GET', `/api/recordings${query({ session })}`));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return [];
      throw error;
    }
  },
  /** @param {string} room @param {number} after @returns {Promise<{items: any[], next: number | null}>} */
  timeline: (room, after) => call('GET', `/api/rooms/${id(room)}/timeline${query({ after, limit: 500 })}`),
  /** @param {string} session @param {boolean} held @param {string} reason */
  hold: (session, held, reason) => call('POST', `/api/sessions/${id(session)}/hold`, { held, reason }),
  /** @param {string} session @param {string} into */
  merge: (session, into) => call('POST', `/api/sessions/${id(session)}/merge`, { into }),
  /** @param {string} session @param {string} text */
  summary: (session, text) => call('POST', `/api/sessions/${id(session)}/summary`, { text }),
  templates: () => call('GET', '/api/consultation/templates'),
  /** @param {string} session @param {{name: string, role: string, lobby: boolean, life_s: number}} wanted */
  makeGuest: (session, wanted) => call('POST', `/api/sessions/${id(session)}/guests`, wanted),
  /** @param {string} session */
  guests: async (session) => items(await call('GET', `/api/sessions/${id(session)}/guests`)),
  /** @param {string} session @param {string} guest */
  revokeGuest: (session, guest) => call('POST', `/api/sessions/${id(session)}/guests/${id(guest)}/revoke`),
  /** @param {string} challenge */
  answerChallenge: (challenge) => call('POST', `/api/challenges/${id(challenge)}/answer`),
  /** @param {string} site */
  handovers: (site) => call('GET', `/api/handovers${query({ site })}`),
  /** @param {string} site */
  openHandover: (site) => call('POST', '/api/handovers', { site }),
  /** @param {string} handover @param {string} name @param {string} notes */
  signHandover: (handover, name, notes) => call('POST', `/api/handovers/${id(handover)}/sign`, { name, notes }),
  /** @param {{site: string, q?: string, kinds?: string, start?: number, end?: number, before?: number}} wanted */
  log: (wanted) => call('GET', `/api/log${query(wanted)}`),
  /** @param {string} site @param {string} text */
  writeLog: (site, text) => call('POST', '/api/log', { site, text }),
  /** @param {string} site */
  checks: (site) => call('GET', `/api/checks${query({ site })}`),
  /** @param {string} site @param {'one' | 'draw' | 'roll'} mode */
  callCheck: (site, mode) => call('POST', '/api/checks', { site, mode }),
  /** @param {string} check @param {string} officer */
  answerCheck: (check, officer) => call('POST', `/api/checks/${id(check)}/answer`, { officer }),
  /** @param {string} check @param {boolean} confirmed @param {string} note */
  confirmCheck: (check, confirmed, note) => call('POST', `/api/checks/${id(check)}/confirm`, { confirmed, note }),
  /** @param {string} site */
  rota: (site) => call('GET', `/api/rota${query({ site })}`),
  /** @param {object} person */
  addPerson: (person) => call('POST', '/api/rota/people', person),
  /** @param {string} person @param {object} change */
  changePerson: (person, change) => call('PATCH', `/api/rota/people/${id(person)}`, change),
  /** @param {string} person @param {'answered' | 'no_answer' | 'wrong_number'} result */
  personTested: (person, result) => call('POST', `/api/rota/people/${id(person)}/tested`, { result }),
  /** @param {object} plan */
  addPlan: (plan) => call('POST', '/api/rota/plans', plan),
  /** @param {string} plan */
  removePlan: (plan) => call('DELETE', `/api/rota/plans/${id(plan)}`),
  /** @param {object} override */
  addOverride: (override) => call('POST', '/api/rota/overrides', override),
  /** @param {string} override */
  removeOverride: (override) => call('DELETE', `/api/rota/overrides/${id(override)}`),
  /** @param {string} site */
  drill: (site) => call('POST', '/api/rota/drill', { site }),
  /** @param {string} site */
  plan: (site) => call('GET', `/api/plan${query({ site })}`),
  /** @param {string} site */
  planTags: (site) => call('GET', `/api/plan/tags${query({ site })}`),
  /** @param {string} site @param {number} start @param {number} end @param {number} step */
  tracks: (site, start, end, step) => call('GET', `/api/tracks${query({ site, start, end, step_s: step })}`),
  /** @param {string} site */
  musters: async (site) => items(await call('GET', `/api/musters${query({ site })}`)),
  /** @param {string} muster */
  muster: (muster) => call('GET', `/api/musters/${id(muster)}`),
  /** @param {string} muster @param {boolean} names */
  musterPeople: async (muster, names) => items(await call('GET', `/api/musters/${id(muster)}/people${query({ names: String(names) })}`)),
  /** @param {{site: string, reason: string, drill: boolean, session?: string}} wanted */
  startMuster: (wanted) => call('POST', '/api/musters', wanted),
  /** @param {string} muster @param {string} reason */
  endMuster: (muster, reason) => call('POST', `/api/musters/${id(muster)}/end`, { reason }),
  /** @param {string} muster @param {string} card @param {boolean} out @param {string} note */
  markPerson: (muster, card, out, note) => call('POST', `/api/musters/${id(muster)}/people/${id(card)}`, { out, note }),
  /** @param {string} muster @param {number} number @param {string} sha256 */
  signList: (muster, number, sha256) => call('POST', `/api/musters/${id(muster)}/lists/${number}/sign`, { sha256 }),
  /** @param {string} site */
  registry: (site) => call('GET', `/api/registry${query({ site })}`),
  registryForms: () => call('GET', '/api/registry/forms'),
  /** @param {string} site @param {string} kind @param {string} after @param {number} [at] */
  facts: (site, kind, after, at) => call('GET', `/api/registry/${id(kind)}${query({ site, after, at })}`),
  /** @param {string} site @param {string} kind @param {string} fact */
  factHistory: async (site, kind, fact) => items(await call('GET', `/api/registry/${id(kind)}/${id(fact)}/history${query({ site })}`)),
  /** @param {string} site */
  registryChanges: async (site) => items(await call('GET', `/api/registry/changes${query({ site })}`)),
  /** @param {string} site @param {string} kind @param {string} fact @param {object} data @param {number} [expect] */
  putFact: (site, kind, fact, data, expect) => call('PUT', `/api/registry/${id(kind)}/${id(fact)}${query({ site })}`, { data, expect: expect ?? null }),
  /** @param {string} site @param {string} kind @param {string} fact */
  removeFact: (site, kind, fact) => call('DELETE', `/api/registry/${id(kind)}/${id(fact)}${query({ site })}`),
  /** @param {string} site @param {string} card @param {string} reason */
  unmask: (site, card, reason) => call('POST', `/api/registry/people/${id(card)}/unmask${query({ site })}`, { reason }),
  /** @param {Record<string, string>} how @param {Blob} file */
  importFacts: (how, file) => call('POST', `/api/registry/import${query(how)}`, file),
  /** @param {string} site @param {string} plan @param {Blob} file */
  planPicture: (site, plan, file) => call('PUT', `/api/registry/plans/${id(plan)}/picture${query({ site })}`, file),
  /** @param {Record<string, string>} wish @returns {Promise<Record<string, any>>} */
  hazards: (wish) => call('GET', `/api/hazards${query(wish)}`),
  /** @param {string} hazard */
  hazard: (hazard) => call('GET', `/api/hazards/${id(hazard)}`),
  /** @param {Blob} file */
  hazardPicture: (file) => call('POST', '/api/hazards/pictures', file),
  /** @param {Record<string, unknown>} hazard */
  recordHazard: (hazard) => call('POST', '/api/hazards', hazard),
  /** @param {string} hazard @param {string} step @param {Record<string, unknown>} body */
  hazardStep: (hazard, step, body) => call('POST', `/api/hazards/${id(hazard)}/${step}`, body),
  /** @param {Record<string, string | number | undefined>} wanted @returns {Promise<{items: any[], next: string | null}>} */
  users: (wanted) => call('GET', `/api/users${query(wanted)}`),
  roles: () => call('GET', '/api/roles'),
  /** @param {Record<string, string | number | undefined>} wanted @returns {Promise<{items: any[], next: number | null}>} */
  audit: (wanted) => call('GET', `/api/audit${query(wanted)}`),
  system: () => call('GET', '/api/system'),
  systemFindings: () => call('GET', '/api/system/findings'),
  settings: () => call('GET', '/api/settings'),
  /** What changes would do; nothing is changed. @param {object} wanted */
  trySettings: (wanted) => call('POST', '/api/settings/try', wanted),
  /** @param {object} wanted */
  changeSettings: (wanted) => call('POST', '/api/settings', wanted),
  /** @param {string} site @returns {Promise<{items: any[], writable: boolean}>} */
  cameraSettings: (site) => call('GET', `/api/cameras/settings${query({ site })}`),
  /** Cameras that answer in the network; a search lasts some seconds. @param {string} site @returns {Promise<any[]>} */
  discoverCameras: async (site) => items(await call('POST', '/api/cameras/discover', { site }, {}, LOOK_TIMEOUT_MS)),
  /** A camera's streams, by ONVIF. @param {{site: string, address: string, user: string, password: string}} wanted */
  askCamera: (wanted) => call('POST', '/api/cameras/probe', wanted, {}, LOOK_TIMEOUT_MS),
  /** A look at a camera lasts some seconds. @param {{site: string, url: string, transport: string}} wanted */
  probeCamera: (wanted) => call('POST', '/api/cameras/look', wanted, {}, LOOK_TIMEOUT_MS),
  /** @param {object} camera */
  addCamera: (camera) => call('POST', '/api/cameras/settings', camera),
  /** @param {string} site @param {string} name */
  removeCamera: (site, name) => call('DELETE', `/api/cameras/settings/${id(site)}/${id(name)}`),
  auditKinds: () => call('GET', '/api/audit/kinds'),
  /** An address to download from. @param {Record<string, string | number | undefined>} wanted */
  auditExport: (wanted) => `/api/audit/export${query(wanted)}`,
  auditCheck: () => call('GET', '/api/audit/check'),
  checkAudit: () => call('POST', '/api/audit/check'),
  /** @param {object} user */
  addUser: (user) => call('POST', '/api/users', user),
  /** @param {string} user @param {object} change */
  changeUser: (user, change) => call('PATCH', `/api/users/${id(user)}`, change),
  /** @param {string} user */
  revokeUser: (user) => call('POST', `/api/users/${id(user)}/revoke`),
  /** @param {string} user */
  resetPassword: (user) => call('POST', `/api/users/${id(user)}/password`),
  /** @param {string} user */
  userLogins: async (user) => items(await call('GET', `/api/users/${id(user)}/logins`)),
  /** @param {string} user @param {string} login */
  endLogin: (user, login) => call('POST', `/api/users/${id(user)}/logins/${id(login)}/revoke`),
  /** @param {string} user */
  loginLink: (user) => call('POST', '/api/links', { user }),
  /** @param {string} old @param {string} fresh */
  changePassword: (old, fresh) => call('PUT', '/api/me/password', { old, new: fresh }),
  /** @param {string} site @returns {Promise<Record<string, any>[]>} */
  drills: async (site) => items(await call('GET', `/api/drills${query({ site })}`)),
  /** @param {{site: string, severity: string, like: string, words: string, numbers: boolean}} wish */
  startDrill: (wish) => call('POST', '/api/drills', wish),
  /** @param {string} alert */
  endDrill: (alert) => call('POST', `/api/drills/${id(alert)}/end`),
  phones: () => call('GET', '/api/phones'),
  /** @param {{phone: string, site: string, name: string, networks: string[]}} phone */
  addPhone: (phone) => call('POST', '/api/phones', phone),
  /** @param {string} phone @param {object} change */
  changePhone: (phone, change) => call('PATCH', `/api/phones/${id(phone)}`, change),
  /** @param {string} phone */
  phoneSecret: (phone) => call('POST', `/api/phones/${id(phone)}/secret`),
  /** @param {string} phone */
  removePhone: (phone) => call('DELETE', `/api/phones/${id(phone)}`),
  /** How telephones come into a consultation. @param {string} session */
  sessionPhone: (session) => call('GET', `/api/sessions/${id(session)}/phone`),
  /** @param {string} session @param {{targets: string[], mode: string, timeout_s: number | null}} wish */
  ringPhones: (session, wish) => call('POST', `/api/sessions/${id(session)}/ring`, wish),
  /** @param {string} one @param {string} target */
  transferCall: (one, target) => call('POST', `/api/phones/calls/${id(one)}/transfer`, { target }),
  trunks: async () => items(await call('GET', '/api/phones/trunks')),
  phoneCalls: async () => items(await call('GET', '/api/phones/calls')),
  /** @param {string} one */
  callTrace: (one) => call('GET', `/api/phones/calls/${id(one)}/trace`),
  /** @param {string} one */
  hangUp: (one) => call('POST', `/api/phones/calls/${id(one)}/hangup`),
  /** @param {string} one @param {boolean} held */
  holdCall: (one, held) => call('POST', `/api/phones/calls/${id(one)}/hold`, { held }),
  refusedCalls: () => call('GET', '/api/phones/refused'),
  /** @param {string} address */
  liftBan: (address) => call('DELETE', `/api/phones/bans/${id(address)}`),
  /** @param {{source: string, called: string, caller: string}} wanted */
  explainCall: (wanted) => call('POST', '/api/phones/explain', wanted),
  /** A curve by the minute. @param {{site: string, device: string, quantity: string, start: number, end: number}} wanted */
  readingMinutes: async (wanted) => items(await call('GET', `/api/readings/minutes${query(wanted)}`)),
  /** @param {{site: string, device?: string, quantity?: string, start?: number, end?: number}} wanted */
  readings: async (wanted) => items(await call('GET', `/api/readings${query(wanted)}`)),
};
