// Where everybody was at a moment, by the ways they went. Pure.

/** No fix for so long, and the place is old. */
const OLD_S = 90;

/** The last index whose time is not after `at`; -1: none. @param {number[]} times ascending @param {number} at */
export function last(times, at) {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= at) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** @param {any[]} tracks features of `GET /api/tracks` @param {number} at @returns {import('./elements/map.js').Mark[]} */
export function marksAt(tracks, at) {
  return tracks.flatMap(({ geometry, properties }) => {
    const n = last(properties.times, at);
    if (n < 0) return [];
    const zone = properties.zones.filter((/** @type {[number, string]} */ [since]) => since <= at).at(-1)?.[1] ?? '';
    const [x, y] = geometry.coordinates[n];
    return [{ ...properties, x, y, zone, source_at: properties.times[n], stale: at - properties.times[n] > OLD_S }];
  });
}
