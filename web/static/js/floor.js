// Who chairs, who has the floor and who may act, as the pages see it. Pure; the rules themselves are the server's
// (`server/sessions/floor.py`): here they only decide what is offered and what is said.

/** @typedef {Record<string, any>} Body */

const RANKS = /** @type {Record<string, number>} */ ({ mine: 1, county: 2, city: 3, province: 4, nation: 5 });

/** @param {string | undefined} level */
export const rank = (level) => RANKS[level ?? ''] ?? 0;

/** A floor that was never moved. @returns {Body} */
const EMPTY = () => ({ mode: 'open', chair: null, holder: null, priority: false, hands: {}, muted: {}, locked: false, lobby: {}, barred: [], spotlight: '' });

/** @param {Body | undefined} session @returns {Body} */
export const floorOf = (session) => ({ ...EMPTY(), ...(session?.floor ?? {}) });

/** Whether this person acts as the chair does. @param {Body} floor @param {Body} me */
export function governs(floor, me) {
  if (floor.chair?.user === me.user) return true;
  return ['admin', 'supervisor'].includes(me.role) && rank(me.level) >= (floor.chair ? rank(floor.chair.level) : 0);
}

/** Whether it may be ended for everybody: by who governs, or by anybody when the chair is empty. @param {Body} floor @param {Body} me @param {Set<string>} present users */
export function mayEnd(floor, me, present) {
  return governs(floor, me) || !floor.chair || !present.has(floor.chair.user);
}

/** Whether the chair may be taken. @param {Body} floor @param {Body} me @param {Set<string>} present users */
export function mayTakeChair(floor, me, present) {
  if (floor.chair?.user === me.user || !['admin', 'supervisor', 'dispatcher'].includes(me.role)) return false;
  return !floor.chair || !present.has(floor.chair.user) || (me.role !== 'dispatcher' && rank(me.level) > rank(floor.chair.level));
}

/** Whether the floor may be taken by priority. @param {Body} floor @param {Body} me */
export function mayPreempt(floor, me) {
  if (floor.holder?.user === me.user) return false;
  const chairs = floor.chair?.user === me.user;
  if (!chairs && !['admin', 'supervisor'].includes(me.role)) return false;
  if (floor.holder) return rank(me.level) > rank(floor.holder.level);
  return chairs || rank(me.level) >= rank(floor.chair?.level);
}

/** Whether somebody is heard now. @param {Body} floor @param {string} user */
export function heard(floor, user) {
  if (user in floor.muted) return false;
  const has = floor.holder?.user === user;
  if (floor.priority || floor.mode === 'talk') return has;
  return floor.mode === 'open' || has || floor.chair?.user === user;
}
