// The plan of a mine: pictures, roadways and zones as SVG in the mine's own metres, everybody who moves on a canvas above.
// Wheel, drag and two fingers move it. Draws what it is given; where the facts come from is the page's business.
import { Part, html, svg, nothing } from './part.js';
import { pickField, t } from '../i18n.js';

const NEAR_PX = 12;
const MIN_SPAN_M = 5;

/** @typedef {{tag: string, kind: string, x: number, y: number, label: string, zone: string, stale: boolean, state?: string, power?: string, level?: string}} Mark */

class MineMap extends Part {
  static properties = {
    plan: { attribute: false },
    level: { type: String },
    counts: { attribute: false },
    chosen: { type: String },
    drawing: { attribute: false },
    danger: { attribute: false },
  };

  constructor() {
    super();
    /** @type {any} GeoJSON of `GET /api/plan` */
    this.plan = null;
    this.level = '';
    /** @type {Map<string, any>} zone → its count */
    this.counts = new Map();
    this.chosen = '';
    /** @type {number[][] | null} corners of a zone that is being drawn */
    this.drawing = null;
    /** @type {Mark[]} */
    this.marks = [];
    /** @type {number[][][]} lines of a replay */
    this.trails = [];
    this.view = { x: 0, y: 0, w: 100, h: 100 };
    this.fitted = false;
    /** @type {Map<number, {x: number, y: number}>} */
    this.fingers = new Map();
    this.hover = '';
  }

  firstUpdated() {
    new ResizeObserver(() => this.#resized()).observe(/** @type {Element} */ (this.querySelector('.map')));
    this.querySelector('.map')?.addEventListener('wheel', (event) => this.#wheel(/** @type {WheelEvent} */ (event)), { passive: false });
  }

  /** @param {Map<string, unknown>} changed */
  updated(changed) {
    if (changed.has('plan') && this.plan && !this.fitted) this.fit();
    this.draw();
  }

  /** Everything in sight. */
  fit() {
    const points = [...(this.plan?.features ?? [])].flatMap((one) => this.#points(one)).concat(this.marks.map((one) => [one.x, one.y]));
    if (!points.length) return;
    const xs = points.map((one) => one[0]);
    const ys = points.map((one) => one[1]);
    const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    const margin = Math.max(MIN_SPAN_M, 0.06 * Math.max(x1 - x0, y1 - y0));
    this.view = { x: x0 - margin, y: y0 - margin, w: x1 - x0 + 2 * margin, h: y1 - y0 + 2 * margin };
    this.fitted = true;
    this.#resized();
  }

  /** @param {any} feature @returns {number[][]} */
  #points(feature) {
    const { geometry, properties } = feature;
    if (properties.what === 'plan') return [properties.origin, [properties.origin[0] + properties.width_m, properties.origin[1] + properties.height_m]];
    if (!geometry) return [];
    if (geometry.type === 'Point') return [geometry.coordinates];
    return geometry.type === 'Polygon' ? geometry.coordinates[0] : geometry.coordinates;
  }

  // --- moving about ---

  #box() {
    const box = this.querySelector('.map')?.getBoundingClientRect();
    return { left: box?.left ?? 0, top: box?.top ?? 0, width: box?.width || 1, height: box?.height || 1 };
  }

  /** Metres for one pixel: the larger of both ways, so that all of the view is seen. */
  #scale() {
    const box = this.#box();
    return Math.max(this.view.w / box.width, this.view.h / box.height);
  }

  #resized() {
    const canvas = /** @type {HTMLCanvasElement | null} */ (this.querySelector('canvas'));
    const box = this.#box();
    if (canvas) {
      canvas.width = Math.round(box.width * devicePixelRatio);
      canvas.height = Math.round(box.height * devicePixelRatio);
    }
    this.requestUpdate();
  }

  /** Pixels of the map → metres. @param {number} px @param {number} py */
  #place(px, py) {
    const box = this.#box();
    const scale = this.#scale();
    const [cx, cy] = [this.view.x + this.view.w / 2, this.view.y + this.view.h / 2];
    return [cx + (px - box.width / 2) * scale, cy - (py - box.height / 2) * scale];
  }

  /** @param {number} x @param {number} y */
  #pixel(x, y) {
    const box = this.#box();
    const scale = this.#scale();
    return [box.width / 2 + (x - this.view.x - this.view.w / 2) / scale, box.height / 2 - (y - this.view.y - this.view.h / 2) / scale];
  }

  /** @param {number} factor @param {number} px @param {number} py the point that stays where it is */
  #zoom(factor, px, py) {
    const [x, y] = this.#place(px, py);
    const { view } = this;
    if (Math.max(view.w, view.h) * factor < MIN_SPAN_M) return;
    this.view = { x: x + (view.x - x) * factor, y: y + (view.y - y) * factor, w: view.w * factor, h: view.h * factor };
    this.requestUpdate();
  }

  /** @param {WheelEvent} event */
  #wheel(event) {
    event.preventDefault();
    const box = this.#box();
    this.#zoom(Math.exp(event.deltaY * 0.0015), event.clientX - box.left, event.clientY - box.top);
  }

  /** @param {PointerEvent} event */
  #down(event) {
    /** @type {Element} */ (event.currentTarget).setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.moved = false;
  }

  /** @param {PointerEvent} event */
  #move(event) {
    const box = this.#box();
    const before = this.fingers.get(event.pointerId);
    if (!before) {
      this.#point(event.clientX - box.left, event.clientY - box.top);
      return;
    }
    const others = [...this.fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
    if (others.length === 1) {
      const span = (/** @type {{x: number, y: number}} */ at) => Math.hypot(at.x - others[0].x, at.y - others[0].y) || 1;
      this.#zoom(span(before) / span({ x: event.clientX, y: event.clientY }), others[0].x - box.left, others[0].y - box.top);
    } else {
      const scale = this.#scale();
      this.view = { ...this.view, x: this.view.x - (event.clientX - before.x) * scale, y: this.view.y + (event.clientY - before.y) * scale };
    }
    if (Math.hypot(event.clientX - before.x, event.clientY - before.y) > 2) this.moved = true;
    this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    this.requestUpdate();
  }

  /** @param {PointerEvent} event */
  #up(event) {
    const was = this.fingers.delete(event.pointerId);
    if (!was || this.moved || event.type === 'pointercancel') return;
    const box = this.#box();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    if (this.drawing) {
      this.#tell('corner', this.#place(px, py).map((one) => Math.round(one * 10) / 10));
      return;
    }
    const mark = this.#near(px, py);
    const [x, y] = this.#place(px, py);
    this.#tell('choose', mark ? { tag: mark.tag } : { zone: this.#zoneAt(x, y) });
  }

  /** @param {string} name @param {unknown} detail */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** @param {number} px @param {number} py @returns {Mark | undefined} */
  #near(px, py) {
    let best;
    let distance = NEAR_PX;
    for (const one of this.marks) {
      const [x, y] = this.#pixel(one.x, one.y);
      const off = Math.hypot(x - px, y - py);
      if (off < distance && this.#shown(one.level)) [best, distance] = [one, off];
    }
    return best;
  }

  /** @param {number} px @param {number} py */
  #point(px, py) {
    const mark = this.#near(px, py);
    const words = mark ? `${mark.label || mark.tag} ${mark.label ? mark.tag : ''}` : '';
    if (words !== this.hover) {
      this.hover = words;
      this.hoverAt = [px, py];
      this.draw();
    }
  }

  /** @param {number} x @param {number} y */
  #zoneAt(x, y) {
    let best = '';
    let size = Infinity;
    for (const one of this.#zones()) {
      const ring = one.geometry?.coordinates[0] ?? [];
      const area = Math.abs(ring.reduce((/** @type {number} */ sum, /** @type {number[]} */ at, /** @type {number} */ n) => sum + at[0] * ring[(n + 1) % ring.length][1] - at[1] * ring[(n + 1) % ring.length][0], 0));
      if (area < size && inside(ring, x, y)) [best, size] = [one.properties.id, area];
    }
    return best;
  }

  // --- drawing ---

  /** @param {string | undefined} level */
  #shown(level) {
    return !this.level || !level || level === this.level;
  }

  /** @param {string} what */
  #of(what) {
    return (this.plan?.features ?? []).filter((/** @type {any} */ one) => one.properties.what === what && this.#shown(one.properties.level));
  }

  #zones() {
    return this.#of('zone').filter((/** @type {any} */ one) => one.geometry);
  }

  /** Everybody, above the drawing. Called at each change of the marks. */
  draw() {
    const canvas = /** @type {HTMLCanvasElement | null} */ (this.querySelector('canvas'));
    const pen = canvas?.getContext('2d');
    if (!canvas || !pen) return;
    const style = getComputedStyle(this);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const [person, vehicle, warn, text, halo] = ['--accent', '--lamp', '--warning', '--text', '--bg'].map(colour);
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, canvas.width, canvas.height);
    pen.lineWidth = 2;
    pen.strokeStyle = person;
    for (const line of this.trails) {
      pen.beginPath();
      for (const [n, at] of line.entries()) {
        const [x, y] = this.#pixel(at[0], at[1]);
        n ? pen.lineTo(x, y) : pen.moveTo(x, y);
      }
      pen.stroke();
    }
    for (const one of this.marks) {
      if (!this.#shown(one.level)) continue;
      const [x, y] = this.#pixel(one.x, one.y);
      const r = one.tag === this.chosen ? 8 : one.kind === 'vehicle' ? 5.5 : 4.5;
      pen.beginPath();
      if (one.kind === 'vehicle') pen.rect(x - r, y - r, 2 * r, 2 * r);
      else pen.arc(x, y, r, 0, 2 * Math.PI);
      pen.fillStyle = one.stale ? halo : one.kind === 'vehicle' ? vehicle : person;
      pen.strokeStyle = one.stale ? warn : halo;
      pen.lineWidth = one.stale ? 2 : 1.2;
      pen.fill();
      pen.stroke();
      if (one.tag === this.chosen) {
        pen.font = '600 13px sans-serif';
        pen.lineWidth = 4;
        pen.strokeStyle = halo;
        pen.fillStyle = text;
        const words = `${one.label || ''} ${one.tag}`.trim();
        pen.strokeText(words, x + 12, y + 4);
        pen.fillText(words, x + 12, y + 4);
      }
    }
    if (this.hover && this.hoverAt) {
      pen.font = '13px sans-serif';
      pen.lineWidth = 4;
      pen.strokeStyle = halo;
      pen.fillStyle = text;
      pen.strokeText(this.hover, this.hoverAt[0] + 12, this.hoverAt[1] - 8);
      pen.fillText(this.hover, this.hoverAt[0] + 12, this.hoverAt[1] - 8);
    }
  }

  render() {
    const box = this.#box();
    const scale = this.#scale();
    const [w, h] = [box.width * scale, box.height * scale];
    const [x, y] = [this.view.x + this.view.w / 2 - w / 2, -(this.view.y + this.view.h / 2) - h / 2];
    const site = this.plan?.properties.site;
    return html`<div class="map ${this.drawing ? 'drawing' : ''}" @pointerdown=${this.#down} @pointermove=${this.#move} @pointerup=${this.#up} @pointercancel=${this.#up}>
      <svg viewBox="${x} ${y} ${w} ${h}" role="img" aria-label=${t('plan.title')}>
        ${this.#of('plan').map((/** @type {any} */ { properties: one }) => one.picture ? svg`<image href="/api/registry/plans/${encodeURIComponent(one.id)}/picture?site=${encodeURIComponent(site)}&v=${one.content}" x=${one.origin[0]} y=${-one.origin[1] - one.height_m} width=${one.width_m} height=${one.height_m} preserveAspectRatio="none"></image>` : nothing)}
        ${this.#of('drift').map((/** @type {any} */ one) => svg`<polyline class="drift ${one.properties.closed ? 'closed' : ''}" stroke-width=${one.properties.width_m} points=${points(one.geometry.coordinates)}></polyline>`)}
        ${this.#zones().map((/** @type {any} */ one) => this.#zone(one, scale))}
        ${this.#of('camera').filter((/** @type {any} */ one) => one.geometry).map((/** @type {any} */ one) => svg`<rect class="camera" x=${one.geometry.coordinates[0] - 5 * scale} y=${-one.geometry.coordinates[1] - 5 * scale} width=${10 * scale} height=${10 * scale}><title>${pickField(one.properties, 'name') || one.properties.id}</title></rect>`)}
        ${this.drawing?.length ? svg`<polygon class="draft" stroke-width=${2 * scale} points=${points(this.drawing)}></polygon>${this.drawing.map((at) => svg`<circle class="corner" cx=${at[0]} cy=${-at[1]} r=${5 * scale}></circle>`)}` : nothing}
      </svg>
      <canvas></canvas>
    </div>`;
  }

  /** @param {any} one @param {number} scale */
  #zone(one, scale) {
    const { id, zone_kind: kind, quota } = one.properties;
    const ring = one.geometry.coordinates[0];
    const count = this.counts.get(id);
    const over = quota !== null && count && count.people > quota;
    const middle = [0, 1].map((axis) => (Math.min(...ring.map((/** @type {number[]} */ at) => at[axis])) + Math.max(...ring.map((/** @type {number[]} */ at) => at[axis]))) / 2);
    const top = -Math.max(...ring.map((/** @type {number[]} */ at) => at[1]));
    return svg`<g class="zone ${kind} ${id === this.chosen ? 'chosen' : ''} ${over ? 'over' : ''} ${count?.silent ? 'silent' : ''}">
      <polygon stroke-width=${(id === this.chosen ? 3 : 1.3) * scale} points=${points(ring)}></polygon>
      <text x=${middle[0]} y=${top - 4 * scale} font-size=${12 * scale} text-anchor="middle">${pickField(one.properties, 'name') || id}${count ? ` · ${count.people}${quota !== null ? `/${quota}` : ''}` : ''}</text>
    </g>`;
  }
}
customElements.define('lamproom-map', MineMap);

/** @param {number[][]} line */
const points = (line) => line.map((at) => `${at[0]},${-at[1]}`).join(' ');

/** @param {number[][]} ring @param {number} x @param {number} y */
function inside(ring, x, y) {
  let found = false;
  for (let n = 0, before = ring.length - 1; n < ring.length; before = n++) {
    const [[x0, y0], [x1, y1]] = [ring[before], ring[n]];
    if (y0 > y !== y1 > y && x < x0 + ((y - y0) * (x1 - x0)) / (y1 - y0)) found = !found;
  }
  return found;
}
