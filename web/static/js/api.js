// HTTP to our own server. Every failure becomes an ApiError whose `text` can be shown to a person.
import { pick, t } from './i18n.js';

const TIMEOUT_MS = 10_000;

export class ApiError extends Error {
  /** @param {number} status 0 when the server was not reached @param {string} error stable id @param {{zh: string, en: string} | null} text */
  constructor(status, error, text) {
    super(`${status} ${error}`);
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
 * @returns {Promise<any>}
 */
async function call(method, path, body, headers = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      credentials: 'same-origin',
      signal: AbortSignal.timeout(TIMEOUT_MS),
      headers: {
        Accept: 'application/json',
        ...(method === 'GET' ? {} : { 'X-Lamproom': '1' }),
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, 'unreachable', null);
  }
  const type = answer.headers.get('Content-Type') ?? '';
  const content = type.includes('json') ? await answer.json().catch(() => null) : null;
  if (!answer.ok) throw new ApiError(answer.status, content?.error ?? 'failed', content?.text ?? null);
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
  sites: async () => items(await call('GET', '/api/sites')),
  /** @param {string} site */
  posts: async (site) => items(await call('GET', `/api/posts${query({ site })}`)),
  /** @param {string} site */
  diagnosis: async (site) => items(await call('GET', `/api/cameras/diagnosis${query({ site })}`)),
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
  /** @param {string} session @param {string} site */
  invite: (session, site) => call('POST', `/api/sessions/${id(session)}/invite`, { site }),
  /** @param {string} challenge */
  answerChallenge: (challenge) => call('POST', `/api/challenges/${id(challenge)}/answer`),
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
  /** @param {{site: string, device?: string, quantity?: string, start?: number, end?: number}} wanted */
  readings: async (wanted) => items(await call('GET', `/api/readings${query(wanted)}`)),
};
