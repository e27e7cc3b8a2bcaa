// How large this page shows each watched picture, told to the server: it sends no larger ones than are seen, and none
// that are not.
//
// A tile names its element and track; the observers do the rest. A picture whose tile is gone is not visible; one that
// never had a tile is left out, and comes in full. A page in the background keeps its pictures for a few seconds.

const SETTLE_MS = 200;
const HIDDEN_MS = 5_000;

/** @typedef {{track: string, first: boolean, height: number, visible: boolean}} Seen */

export class Views {
  /** @type {Map<Element, Seen>} */
  #tiles = new Map();
  /** Tracks that have had a tile. @type {Set<string>} */
  #known = new Set();
  #timer = 0;
  #hiddenTimer = 0;
  #hidden = false;
  #told = '';

  /** @param {import('./room.js').RoomClient} room @param {() => Iterable<string>} wanted the tracks that are watched now */
  constructor(room, wanted) {
    this.room = room;
    this.wanted = wanted;
    this.sizes = new ResizeObserver((entries) => {
      for (const { target, contentRect } of entries) this.#saw(target, { height: contentRect.height });
    });
    this.sight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.#saw(target, { visible: isIntersecting });
    });
    document.addEventListener('visibilitychange', () => this.#pageTurned());
    room.addEventListener('welcome', () => {
      this.#told = '';
      this.changed();
    });
  }

  /** This element shows this track from now on. @param {Element} element @param {string} track @param {boolean} first */
  show(element, track, first) {
    const before = this.#tiles.get(element);
    if (before?.track === track && before.first === first) return;
    this.#known.add(track);
    if (this.#known.size > 512) this.#known = new Set([...this.#tiles.values()].map((seen) => seen.track));
    this.#tiles.set(element, { height: element.clientHeight, visible: before?.visible ?? true, track, first });
    if (!before) {
      this.sizes.observe(element);
      this.sight.observe(element);
    }
    this.changed();
  }

  /** @param {Element} element */
  forget(element) {
    if (!this.#tiles.delete(element)) return;
    this.sizes.unobserve(element);
    this.sight.unobserve(element);
    this.changed();
  }

  /** What is watched or seen changed. */
  changed() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), SETTLE_MS);
  }

  /** @param {Element} element @param {Partial<Seen>} what */
  #saw(element, what) {
    const seen = this.#tiles.get(element);
    if (!seen) return;
    Object.assign(seen, what);
    this.changed();
  }

  #pageTurned() {
    clearTimeout(this.#hiddenTimer);
    const turn = (/** @type {boolean} */ hidden) => {
      this.#hidden = hidden;
      this.changed();
    };
    if (document.hidden) this.#hiddenTimer = setTimeout(() => turn(true), HIDDEN_MS);
    else turn(false);
  }

  #tell() {
    /** @type {Record<string, {height: number, first: boolean}>} */
    const views = {};
    for (const track of this.wanted()) if (this.#known.has(track)) views[track] = { height: 0, first: false };
    for (const { track, first, height, visible } of this.#tiles.values()) {
      if (!(track in views)) continue;
      const lines = visible && !this.#hidden ? Math.max(1, Math.round((height * devicePixelRatio) / 20) * 20) : 0;
      views[track] = { height: Math.min(8192, Math.max(lines, views[track].height)), first: first || views[track].first };
    }
    const words = JSON.stringify(views);
    if (!this.room.online || words === this.#told) return;
    this.#told = words;
    this.room.tell({ type: 'views', views });
  }
}
