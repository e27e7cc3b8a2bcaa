// Keeps the screen awake on duty and wall screens, as long as the page is in sight.

/** @type {WakeLockSentinel | null} */
let lock = null;

async function take() {
  if (document.visibilityState !== 'visible' || (lock && !lock.released)) return;
  try {
    lock = await navigator.wakeLock.request('screen');
  } catch {
    lock = null; // low battery or not allowed: the screen may sleep, nothing else changes
  }
}

export function keepAwake() {
  if (!('wakeLock' in navigator)) return;
  document.addEventListener('visibilitychange', take);
  take();
}
