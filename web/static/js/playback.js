// Recordings of a consultation on one time axis: lanes, what plays at a moment, where something begins. Pure.

/** @typedef {Record<string, any>} Body */
/**
 * @typedef {object} Run one file
 * @property {number} start UTC seconds
 * @property {number} end
 * @property {string} url
 */
/**
 * @typedef {object} Lane what one source of one participant recorded
 * @property {string} key
 * @property {'audio' | 'video'} kind
 * @property {string} person
 * @property {string} name of the source
 * @property {boolean} simulated
 * @property {Run[]} runs in order, none over another
 */

/** Segments that are finished, by source. @param {Body[]} recordings @returns {Lane[]} */
export function lanesOf(recordings) {
  /** @type {Map<string, Lane>} */
  const lanes = new Map();
  for (const one of recordings) {
    const key = `${one.kind}/${one.person}/${one.name}`;
    /** @type {Lane} */
    const lane = lanes.get(key) ?? { key, kind: one.kind, person: one.person, name: one.name, simulated: false, runs: [] };
    lane.simulated ||= Boolean(one.simulated);
    for (const segment of one.segments) {
      if (!segment.sha256 || !(segment.duration_s > 0)) continue;
      const url = `/api/recordings/${encodeURIComponent(one.id)}/segments/${segment.segment}`;
      lane.runs.push({ start: segment.started_at, end: segment.started_at + segment.duration_s, url });
    }
    if (lane.runs.length) lanes.set(key, lane);
  }
  for (const lane of lanes.values()) lane.runs.sort((a, b) => a.start - b.start);
  return [...lanes.values()].sort((a, b) => b.kind.localeCompare(a.kind) || a.person.localeCompare(b.person) || a.name.localeCompare(b.name));
}

/** The file that plays at a moment; the later one where two meet. @param {Lane} lane @param {number} at @returns {Run | undefined} */
export function runAt(lane, at) {
  return lane.runs.findLast((run) => run.start <= at && at < run.end);
}

/** From where to where there is something to see. @param {Lane[]} lanes @param {Body} session @returns {[number, number]} */
export function spanOf(lanes, session) {
  const runs = lanes.flatMap((lane) => lane.runs);
  const start = Math.min(session.started_at, ...runs.map((run) => run.start));
  const end = Math.max(session.ended_at ?? session.started_at, ...runs.map((run) => run.end), start + 1);
  return [start, end];
}

/** The next moment at which any lane has something, from `at` on. @param {Lane[]} lanes @param {number} at @returns {number | undefined} */
export function nextStart(lanes, at) {
  const starts = lanes.flatMap((lane) => lane.runs.map((run) => run.start)).filter((start) => start > at);
  return starts.length ? Math.min(...starts) : undefined;
}

const SHOWN = new Set(['alert', 'order', 'session', 'chat', 'link', 'duty', 'escalation']);
const QUIET = new Set(['hand_raised', 'hand_lowered', 'ringing', 'spotlight']);

/** Entries that stand on the axis. @param {Body[]} entries @returns {Body[]} */
export function marksOf(entries) {
  return entries.filter((entry) => SHOWN.has(entry.kind) && !QUIET.has(entry.body?.change));
}
