// Walls that people lay out themselves: named groups of pictures on a grid of 24 by 14, where none covers another. Pure.

/** @typedef {{camera: string, x: number, y: number, w: number, h: number}} Cell `camera`: `{site}/{source}` */
/** @typedef {{id: string, name: string, cells: Cell[]}} Group */

export const COLUMNS = 24;
export const ROWS = 14;
const LEAST = 2;
/** Sizes in which a new picture is tried, the largest first. */
const SIZES = [[8, 5], [6, 4], [4, 3], [3, 2], [2, 2]];

/** @param {number} value @param {number} low @param {number} high */
const within = (value, low, high) => Math.min(high, Math.max(low, value));

/** @param {Cell} a @param {Cell} b */
const overlap = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;

/** Moved or resized by so much, kept on the grid; as it was where another picture is in the way.
 * @param {Cell[]} cells @param {string} camera @param {{dx?: number, dy?: number, dw?: number, dh?: number}} by @returns {Cell[]} */
export function changed(cells, camera, { dx = 0, dy = 0, dw = 0, dh = 0 }) {
  const cell = cells.find((one) => one.camera === camera);
  if (!cell) return cells;
  const w = within(cell.w + dw, LEAST, COLUMNS - cell.x);
  const h = within(cell.h + dh, LEAST, ROWS - cell.y);
  const next = { ...cell, w, h, x: within(cell.x + dx, 0, COLUMNS - w), y: within(cell.y + dy, 0, ROWS - h) };
  if (cells.some((one) => one !== cell && overlap(one, next))) return cells;
  return cells.map((one) => (one === cell ? next : one));
}

/** With one more picture, in the first free place; the same when it is there already or nothing is free.
 * @param {Cell[]} cells @param {string} camera @returns {Cell[]} */
export function withCamera(cells, camera) {
  if (cells.some((one) => one.camera === camera)) return cells;
  for (const [w, h] of SIZES)
    for (let y = 0; y + h <= ROWS; y += 1)
      for (let x = 0; x + w <= COLUMNS; x += 1) {
        const next = { camera, x, y, w, h };
        if (!cells.some((one) => overlap(one, next))) return [...cells, next];
      }
  return cells;
}

/** All alike, row by row. @param {string[]} cameras at most 48 @returns {Cell[]} */
export function tidy(cameras) {
  const columns = Math.max(1, Math.ceil(Math.sqrt(cameras.length)));
  const rows = Math.max(1, Math.ceil(cameras.length / columns));
  const [w, h] = [Math.floor(COLUMNS / columns), Math.floor(ROWS / rows)];
  return cameras.slice(0, 48).map((camera, n) => ({ camera, x: (n % columns) * w, y: Math.floor(n / columns) * h, w, h }));
}

/** A name for a group that no other one has. @param {Group[]} groups */
export function freshId(groups) {
  let number = groups.length + 1;
  while (groups.some((one) => one.id === `g${number}`)) number += 1;
  return `g${number}`;
}
