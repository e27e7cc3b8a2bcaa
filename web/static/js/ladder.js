// By what this page takes part in a consultation: picture, sound, telephone, words. Pure: facts and a clock in, rung out.
//
// | rung  | goes down to       | when, for so long                                   | comes back up to, when, for so long     |
// |-------|--------------------|-----------------------------------------------------|-----------------------------------------|
// | video | audio              | loss ≥ 15 %, or round trip ≥ 1.5 s, or no picture   | -                                       |
// |       |                    | fits: 6 s                                           |                                         |
// | video | phone (text)       | no media though the link stands: 12 s               | -                                       |
// | audio | phone (text)       | no media, or loss ≥ 45 %: 12 s                      | video: loss ≤ 5 % and ≤ 0.6 s: 20 s     |
// | phone | text               | there are no telephones: at once                    | audio: media flows, loss < 30 %: 5 s    |
// | text  | -                  | -                                                   | audio: as above; phone: they are back   |
//
// What lies between both limits changes nothing. Who falls again within half a minute of having come up waits twice as
// long the next time, at most five minutes. While the link to the server is away nothing is decided: nothing is known.

/** @typedef {'video' | 'audio' | 'phone' | 'text'} Rung */
/** @typedef {{online: boolean, media: 'none' | 'waiting' | 'flows', loss: number, rtt: number, squeezed: boolean, phones: boolean}} Facts
 * `loss` 0 to 1, `rtt` in seconds, `squeezed`: every picture is held back for want of bandwidth */
/** @typedef {{rung: Rung, reason: string, since: number, toward: string, towardSince: number, patience: number, cameUp: number, held: boolean}} State
 * `held`: a person wants pictures whatever is measured */

/** @type {Rung[]} */
export const RUNGS = ['video', 'audio', 'phone', 'text'];
export const LIMITS = { lossHigh: 0.15, lossLow: 0.05, lossDeaf: 0.45, lossHeard: 0.3, rttHigh: 1.5, rttLow: 0.6 };
const DOWN_S = { audio: 6, phone: 12, text: 12 };
const UP_S = { video: 20, audio: 5 };
const RELAPSE_S = 30;
const MAX_PATIENCE = 15;

/** @param {number} now @returns {State} */
export const begin = (now) => ({ rung: 'video', reason: '', since: now, toward: '', towardSince: now, patience: 1, cameUp: -Infinity, held: false });

/** Where the facts point from this rung, and why; nowhere when they fit it. @param {State} state @param {Facts} facts @returns {[Rung, string] | null} */
function points(state, facts) {
  const { rung } = state;
  const away = facts.phones ? 'phone' : 'text';
  if (rung === 'video' || rung === 'audio') {
    if (facts.media === 'waiting') return [away, 'no_media'];
    if (rung === 'audio' && facts.loss >= LIMITS.lossDeaf) return [away, 'loss'];
    if (rung === 'video' && !state.held) {
      if (facts.loss >= LIMITS.lossHigh) return ['audio', 'loss'];
      if (facts.rtt >= LIMITS.rttHigh) return ['audio', 'slow'];
      if (facts.squeezed) return ['audio', 'narrow'];
    }
    if (rung === 'audio' && facts.loss <= LIMITS.lossLow && facts.rtt <= LIMITS.rttLow) return ['video', ''];
    return null;
  }
  if (facts.media === 'flows' && facts.loss < LIMITS.lossHeard) return ['audio', ''];
  return rung === away ? null : [away, state.reason];
}

/** @param {State} state @param {Rung} to */
function waits(state, to) {
  if (RUNGS.indexOf(to) < RUNGS.indexOf(state.rung)) return to === 'phone' ? 0 : UP_S[/** @type {'video' | 'audio'} */ (to)] * (to === 'video' ? state.patience : 1);
  return state.rung === 'phone' ? 0 : DOWN_S[/** @type {'audio' | 'phone' | 'text'} */ (to)];
}

/** @param {State} state @param {Facts} facts @param {number} now seconds, of any clock that only goes on @returns {State} the same one when nothing changes */
export function step(state, facts, now) {
  const found = facts.online ? points(state, facts) : null;
  if (!found) return state.toward === '' ? state : { ...state, toward: '' };
  const [to, reason] = found;
  if (to !== state.toward) state = { ...state, toward: to, towardSince: now };
  if (now - state.towardSince < waits(state, to)) return state;
  const up = RUNGS.indexOf(to) < RUNGS.indexOf(state.rung);
  const relapsed = !up && now - state.cameUp < RELAPSE_S;
  const patience = relapsed ? Math.min(MAX_PATIENCE, state.patience * 2) : state.patience;
  return { ...state, rung: to, reason: up && to !== 'phone' ? '' : reason, since: now, toward: '', towardSince: now, patience, cameUp: up ? now : state.cameUp };
}

/** A person asks for pictures, or lets the line decide again. @param {State} state @param {boolean} held @param {number} now @returns {State} */
export function hold(state, held, now) {
  const back = held && state.rung === 'audio';
  return { ...state, held, toward: '', ...(back ? { rung: /** @type {Rung} */ ('video'), reason: '', since: now } : {}) };
}
