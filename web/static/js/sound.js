// Tones made on the spot: no file, no network. A browser keeps a page silent until somebody has pressed something, so the
// state is shown as a light: `armed` (will sound), `off` (must be armed by hand). Alarms cannot be muted, only acknowledged.
import { Store } from './state.js';

/** @typedef {'info' | 'warning' | 'alarm' | 'critical' | 'ring' | 'challenge' | 'test'} Tune */

/** Frequency (Hz), start (s), length (s), peak gain. @type {Record<Tune, Array<[number, number, number, number]>>} */
const TUNES = {
  info: [[880, 0, 0.12, 0.12]],
  warning: [[660, 0, 0.18, 0.25], [660, 0.3, 0.18, 0.25]],
  alarm: [[880, 0, 0.25, 0.4], [587, 0.28, 0.25, 0.4], [880, 0.56, 0.25, 0.4], [587, 0.84, 0.25, 0.4]],
  critical: [[1047, 0, 0.14, 0.6], [1047, 0.2, 0.14, 0.6], [1047, 0.4, 0.14, 0.6], [784, 0.62, 0.4, 0.6]],
  ring: [[523, 0, 0.35, 0.45], [659, 0.35, 0.35, 0.45], [784, 0.7, 0.5, 0.45]],
  challenge: [[784, 0, 0.2, 0.3], [784, 0.35, 0.2, 0.4], [1047, 0.7, 0.35, 0.5]],
  test: [[587, 0, 0.15, 0.35], [880, 0.18, 0.25, 0.35]],
};

/** Seconds between repetitions while the cause lasts. @type {Partial<Record<Tune, number>>} */
const REPEAT_S = { alarm: 4, critical: 2, ring: 2.2, challenge: 2.5 };

/** @type {Store<'off' | 'armed'>} */
export const soundState = new Store(/** @type {'off' | 'armed'} */ ('off'));

/** @type {AudioContext | null} */
let context = null;
/** @type {Map<string, {tune: Tune, timer: number}>} */
const loops = new Map();
/** @type {Set<HTMLMediaElement>} elements that the browser would not let play */
const waiting = new Set();

function refresh() {
  soundState.set(context?.state === 'running' && waiting.size === 0 ? 'armed' : 'off');
}

/** Makes the page able to sound; works only from a key or a button. */
export async function armSound() {
  if (!context) {
    context = new AudioContext();
    context.onstatechange = refresh;
  }
  try {
    await context.resume();
  } catch {
    // no sound device: the light stays off
  }
  for (const element of [...waiting]) {
    try {
      await element.play();
      waiting.delete(element);
    } catch {
      // still not allowed
    }
  }
  refresh();
}

/** Arms at once where the browser allows it, else at the first press anywhere on the page. */
export function startSound() {
  const press = () => {
    if (soundState.value !== 'armed') armSound();
  };
  addEventListener('pointerdown', press, { capture: true });
  addEventListener('keydown', press, { capture: true });
  // Asking may leave a promise that only a press settles, so it is not awaited.
  try {
    context = new AudioContext();
    context.onstatechange = refresh;
  } catch {
    context = null;
  }
  refresh();
}

/** Plays an audio element, or remembers it until sound is armed. @param {HTMLMediaElement} element */
export async function playElement(element) {
  try {
    await element.play();
    waiting.delete(element);
  } catch (error) {
    if (/** @type {any} */ (error)?.name === 'NotAllowedError') waiting.add(element);
  }
  refresh();
}

/** @param {HTMLMediaElement} element */
export function forgetElement(element) {
  waiting.delete(element);
  refresh();
}

/** @param {Tune} tune */
export function play(tune) {
  if (context?.state !== 'running') return;
  const start = context.currentTime + 0.02;
  for (const [frequency, at, length, peak] of TUNES[tune]) {
    const oscillator = context.createOscillator();
    const gain = context.createGain();
    oscillator.type = tune === 'critical' ? 'square' : 'triangle';
    oscillator.frequency.value = frequency;
    gain.gain.setValueAtTime(0, start + at);
    gain.gain.linearRampToValueAtTime(peak, start + at + 0.015);
    gain.gain.setValueAtTime(peak, start + at + length - 0.03);
    gain.gain.linearRampToValueAtTime(0, start + at + length);
    oscillator.connect(gain).connect(context.destination);
    oscillator.start(start + at);
    oscillator.stop(start + at + length);
  }
}

/** Sounds for as long as a cause lasts: `key` names the cause. @param {string} key @param {Tune | null} tune null: quiet */
export function soundFor(key, tune) {
  const running = loops.get(key);
  if (running?.tune === tune) return;
  if (running) {
    clearInterval(running.timer);
    loops.delete(key);
  }
  if (!tune) return;
  play(tune);
  const every = REPEAT_S[tune];
  if (every) loops.set(key, { tune, timer: setInterval(() => play(tune), every * 1000) });
}

/** What sounds again and again now, as `cause:tune`. */
export function sounding() {
  return [...loops].map(([key, running]) => `${key}:${running.tune}`);
}
