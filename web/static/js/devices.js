// Cameras, microphones and screens of this computer, and why one of them is not there.

export class DeviceError extends Error {
  /** @param {'insecure' | 'denied' | 'none' | 'busy' | 'failed'} reason `device.{reason}` is in the language table */
  constructor(reason) {
    super(reason);
    this.reason = reason;
  }
}

/** @param {any} error */
function reasonOf(error) {
  const reasons = /** @type {Record<string, 'denied' | 'none' | 'busy'>} */ ({
    NotAllowedError: 'denied',
    SecurityError: 'denied',
    NotFoundError: 'none',
    OverconstrainedError: 'none',
    NotReadableError: 'busy',
    AbortError: 'busy',
  });
  return new DeviceError(reasons[error?.name] ?? 'failed');
}

/** @param {() => Promise<MediaStream>} open @param {'audio' | 'video'} kind */
async function first(open, kind) {
  if (!navigator.mediaDevices?.getUserMedia) throw new DeviceError('insecure');
  try {
    const stream = await open();
    const track = kind === 'video' ? stream.getVideoTracks()[0] : stream.getAudioTracks()[0];
    if (!track) throw new DeviceError('none');
    return track;
  } catch (error) {
    throw error instanceof DeviceError ? error : reasonOf(error);
  }
}

/** @param {string} [deviceId] @returns {Promise<MediaStreamTrack>} throws a DeviceError */
export async function openCamera(deviceId) {
  const size = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 25, max: 30 } };
  const video = deviceId ? { ...size, deviceId: { ideal: deviceId } } : size;
  const track = await first(() => navigator.mediaDevices.getUserMedia({ video }), 'video');
  track.contentHint = 'motion';
  return track;
}

/** @param {string} [deviceId] @returns {Promise<MediaStreamTrack>} throws a DeviceError */
export function openMicrophone(deviceId) {
  const audio = {
    echoCancellation: true,
    noiseSuppression: true,
    autoGainControl: true,
    ...(deviceId ? { deviceId: { ideal: deviceId } } : {}),
  };
  return first(() => navigator.mediaDevices.getUserMedia({ audio }), 'audio');
}

/** @returns {Promise<MediaStreamTrack>} throws a DeviceError */
export async function openScreen() {
  if (!navigator.mediaDevices?.getDisplayMedia) throw new DeviceError('insecure');
  const track = await first(() => navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { max: 15 } } }), 'video');
  track.contentHint = 'detail';
  return track;
}

/** @param {'videoinput' | 'audioinput'} kind */
export async function listDevices(kind) {
  if (!navigator.mediaDevices?.enumerateDevices) return [];
  return (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === kind);
}
