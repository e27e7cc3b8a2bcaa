// What a room shows now, folded from `joined`, `event`, `roster` and `live`. Pure: no socket, no clock, no page.

const MAX_ENTRIES = 400;

/** @typedef {Record<string, any>} Body */

/** @param {Body} alert */
export const alertId = (alert) => String(alert.id);
/** @param {Body} duty */
export const dutyKey = (duty) => `${duty.site}/${duty.post}`;
/** @param {Body} reading */
export const readingKey = (reading) => `${reading.device}/${reading.quantity}`;

export class RoomView {
  /** @param {string} name */
  constructor(name) {
    this.name = name;
    this.ready = false;
    /** @type {Body} */
    this.grants = {};
    /** @type {Body[]} */
    this.members = [];
    /** @type {Body[]} */
    this.tracks = [];
    /** @type {Map<string, Body>} open and acknowledged alerts */
    this.alerts = new Map();
    /** @type {Map<string, Body>} consultations by id; an ended one stays with `ended_at` */
    this.sessions = new Map();
    /** @type {Map<string, Body>} */
    this.duty = new Map();
    /** @type {Map<string, Body>} who is being rung about which alert */
    this.escalations = new Map();
    /** @type {Map<string, Body>} questions to desks that wait for an answer, by post */
    this.challenges = new Map();
    /** @type {Map<string, Body>} spot checks and roll calls that wait for an answer, by site */
    this.checks = new Map();
    /** @type {Map<string, Body>} */
    this.readings = new Map();
    /** @type {Map<string, Body>} */
    this.positions = new Map();
    /** @type {Map<string, Body>} musters by id, with their newest figures */
    this.musters = new Map();
    /** @type {Map<string, Body>} what is gone: telemetry, analytics */
    this.links = new Map();
    /** @type {'off' | 'on' | 'failed'} whether what is shown is being recorded */
    this.recording = 'off';
    /** @type {Body[]} the timeline, oldest first */
    this.entries = [];
  }

  /** @param {Body} message */
  joined(message) {
    this.ready = true;
    this.grants = message.grants ?? {};
    if (message.snapshot) this.#startFrom(message.snapshot);
    for (const event of message.events ?? []) this.event(event);
  }

  /** @param {Body} snapshot */
  #startFrom(snapshot) {
    this.members = snapshot.members;
    this.tracks = snapshot.tracks;
    this.recording = snapshot.recording ?? 'off';
    this.alerts = new Map(snapshot.alerts.map((/** @type {Body} */ a) => [alertId(a), a]));
    this.sessions = new Map(snapshot.sessions.map((/** @type {Body} */ s) => [String(s.session), s]));
    this.duty = new Map(snapshot.duty.map((/** @type {Body} */ d) => [dutyKey(d), d]));
    this.readings = new Map(snapshot.readings.map((/** @type {Body} */ r) => [readingKey(r), r]));
    this.positions = new Map(snapshot.positions.map((/** @type {Body} */ p) => [String(p.tag), p]));
    this.escalations = new Map((snapshot.escalations ?? []).map((/** @type {Body} */ e) => [String(e.alert), e]));
    this.challenges = new Map((snapshot.challenges ?? []).map((/** @type {Body} */ c) => [dutyKey(c), c]));
    this.checks = new Map((snapshot.checks ?? []).map((/** @type {Body} */ c) => [String(c.site), c]));
    this.links = new Map();
    this.entries = [...snapshot.recent].sort((a, b) => a.seq - b.seq);
  }

  /** @param {Body} message */
  roster(message) {
    this.members = message.members;
    this.tracks = message.tracks;
    this.recording = message.recording ?? 'off';
  }

  /** @param {Body} event */
  event(event) {
    this.entries.push(event);
    if (this.entries.length > MAX_ENTRIES) this.entries.splice(0, this.entries.length - MAX_ENTRIES);
    const body = event.body;
    if (event.kind === 'alert') this.#alert(body);
    else if (event.kind === 'duty') this.duty.set(dutyKey(body), { ...this.duty.get(dutyKey(body)), ...body });
    else if (event.kind === 'session') this.#session(body, event.at);
    else if (event.kind === 'escalation') this.#escalation(body);
    else if (event.kind === 'challenge') this.#challenge(body);
    else if (event.kind === 'check') this.#check(body);
    else if (event.kind === 'order') this.#order(body);
    else if (event.kind === 'reading') this.#reading(body);
    else if (event.kind === 'position') this.positions.set(String(body.tag), { ...this.positions.get(String(body.tag)), ...body });
    else if (event.kind === 'muster') this.musters.set(String(body.muster), { ...this.musters.get(String(body.muster)), ...body });
    else if (event.kind === 'link') this.links.set(`${body.what} ${body.link ?? ''}`, { ...body, at: event.at });
  }

  /** @param {Body} message */
  live(message) {
    const body = message.body;
    if (message.kind === 'reading') this.#reading(body);
    else if (message.kind === 'position') this.positions.set(String(body.tag), { ...this.positions.get(String(body.tag)), ...body });
    else if (message.kind === 'muster') this.musters.set(String(body.muster), { ...this.musters.get(String(body.muster)), ...body });
    else if (message.kind === 'positions') for (const one of body.items) this.positions.set(String(one.tag), { ...this.positions.get(String(one.tag)), ...one });
    else if (message.kind === 'duty') this.duty.set(dutyKey(body), { ...this.duty.get(dutyKey(body)), ...body });
  }

  /** @param {Body} body */
  #reading(body) {
    const key = readingKey(body);
    const known = this.readings.get(key);
    if (known && Number(known.source_at) > Number(body.source_at)) return; // a late sample does not turn the clock back
    this.readings.set(key, { ...known, ...body });
  }

  /** @param {Body} body */
  #alert(body) {
    const id = alertId(body);
    if (body.state === 'open' || body.state === 'acknowledged') this.alerts.set(id, { ...this.alerts.get(id), ...body });
    else this.alerts.delete(id);
  }

  /** @param {Body} body */
  #check(body) {
    if (body.change === 'called') this.checks.set(String(body.site), body);
    else if (this.checks.get(String(body.site))?.check === body.check) this.checks.delete(String(body.site));
  }

  /** @param {Body} body */
  #challenge(body) {
    if (body.change === 'asked') this.challenges.set(dutyKey(body), body);
    else this.challenges.delete(dutyKey(body));
  }

  /** @param {Body} body */
  #escalation(body) {
    if (body.status === 'stopped') this.escalations.delete(String(body.alert));
    else this.escalations.set(String(body.alert), body);
  }

  /** @param {Body} body @param {number} at */
  #session(body, at) {
    const id = String(body.session);
    const known = this.sessions.get(id) ?? { invitations: {}, participants: {}, orders: {}, started_at: at, started_by: body.by };
    const { change, invitation, participant, by, by_site: bySite, by_level: _level, about: _about, merged_from: _from, other_title: _title, ...facts } = body;
    const next = { ...known, ...facts };
    if (change === 'started') Object.assign(next, { started_by: by, started_by_site: bySite, started_at: at });
    if (invitation) next.invitations = { ...next.invitations, [invitation.site]: invitation };
    if (participant) next.participants = { ...next.participants, [participant.client]: participant };
    if (change === 'ended') Object.assign(next, { ended_at: at, ended_by: by });
    this.sessions.set(id, next);
  }

  /** @param {Body} body */
  #order(body) {
    if (!this.name.startsWith('session:')) return;
    const id = this.name.slice('session:'.length);
    const known = this.sessions.get(id);
    if (known) this.sessions.set(id, { ...known, orders: { ...known.orders, [body.order]: body } });
  }
}
