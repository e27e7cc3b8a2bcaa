// A group of the wall as its owner has laid it out: moved and resized by the pointer or by keys while it is arranged.
import { Part, html, icon, nothing } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { app } from '../app.js';
import { has, t } from '../i18n.js';
import { changeGroup, wall } from '../wallstore.js';
import { COLUMNS, ROWS, changed } from '../walls.js';
import './tile.js';

/** @type {Record<string, [number, number]>} */
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What a camera is called where it sends nothing. @param {string} camera */
export function cameraName(camera) {
  const [site, ...rest] = camera.split('/');
  const source = rest.join('/');
  return `${app.siteName(site)} · ${source === 'dispatch-room' ? t('tile.dispatch_room') : has(`camera.${source}`) ? t(`camera.${source}`) : source}`;
}

class Layout extends Part {
  static properties = { group: { attribute: false }, tiles: { attribute: false }, arranging: { type: Boolean } };

  constructor() {
    super();
    /** @type {import('../walls.js').Group | null} */
    this.group = null;
    /** Pictures by camera. @type {Map<string, import('../tiles.js').Tile>} */
    this.tiles = new Map();
    this.arranging = false;
    /** @type {{camera: string, resizes: boolean, x: number, y: number, cells: import('../walls.js').Cell[]} | null} */
    this.drag = null;
  }

  watches() {
    return [app.sites, wall];
  }

  // Places are set by script: the page's policy allows no style in the markup.
  updated() {
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll('.cell'))) {
      const cell = this.group?.cells.find((one) => one.camera === element.dataset.camera);
      if (cell) element.style.gridArea = `${cell.y + 1} / ${cell.x + 1} / span ${cell.h} / span ${cell.w}`;
    }
  }

  /** @param {import('../walls.js').Cell[]} cells */
  #set(cells) {
    const group = this.group;
    if (group && cells !== group.cells) changeGroup(group.id, (one) => ({ ...one, cells }));
  }

  /** @param {PointerEvent} event @param {string} camera */
  #grab(event, camera) {
    if (!this.arranging || event.button !== 0 || !this.group) return;
    const resizes = /** @type {HTMLElement} */ (event.target).classList.contains('cell-size');
    this.drag = { camera, resizes, x: event.clientX, y: event.clientY, cells: this.group.cells };
    /** @type {HTMLElement} */ (event.currentTarget).setPointerCapture(event.pointerId);
  }

  /** @param {PointerEvent} event */
  #drags(event) {
    if (!this.drag) return;
    const box = /** @type {Element} */ (this.querySelector('.layout')).getBoundingClientRect();
    const dx = Math.round(((event.clientX - this.drag.x) / box.width) * COLUMNS);
    const dy = Math.round(((event.clientY - this.drag.y) / box.height) * ROWS);
    const { camera, cells, resizes } = this.drag;
    const next = changed(cells, camera, resizes ? { dw: dx, dh: dy } : { dx, dy });
    if (next !== cells || (!dx && !dy)) this.#set(next); // over another picture it stays where it was last free
  }

  /** @param {KeyboardEvent} event @param {string} camera */
  #key(event, camera) {
    if (!this.arranging || !this.group || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    if (arrow) {
      const [dx, dy] = arrow;
      this.#set(changed(this.group.cells, camera, event.shiftKey ? { dw: dx, dh: dy } : { dx, dy }));
    } else if (event.key === 'Delete') this.#remove(camera);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** @param {string} camera */
  #remove(camera) {
    if (this.group) this.#set(this.group.cells.filter((one) => one.camera !== camera));
  }

  render() {
    const cells = this.group?.cells ?? [];
    return html`<div class="layout ${this.arranging ? 'arranging' : ''}">
      ${repeat(cells, (cell) => cell.camera, (cell) => this.#cell(cell))}
      ${cells.length ? nothing : html`<p class="empty tall">${icon('layout-grid', 'large')}<span>${t('wall.empty_group')}</span></p>`}
    </div>`;
  }

  /** @param {import('../walls.js').Cell} cell */
  #cell(cell) {
    const tile = this.tiles.get(cell.camera);
    const name = cameraName(cell.camera);
    return html`<div class="cell" data-camera=${cell.camera} role="group" tabindex=${this.arranging ? 0 : -1} aria-label=${this.arranging ? t('wall.cell', { name, x: cell.x + 1, y: cell.y + 1, w: cell.w, h: cell.h }) : name}
      @pointerdown=${(/** @type {PointerEvent} */ event) => this.#grab(event, cell.camera)} @pointermove=${this.#drags} @pointerup=${() => (this.drag = null)} @pointercancel=${() => (this.drag = null)}
      @keydown=${(/** @type {KeyboardEvent} */ event) => this.#key(event, cell.camera)}>
      ${tile ? html`<lamproom-tile .tile=${tile} @click=${() => this.arranging || this.dispatchEvent(new CustomEvent('chosen', { detail: tile.key }))}></lamproom-tile>` : html`<div class="tile blank"><div class="why">${icon('video-off', 'large')}<p>${name}<br />${t('wall.no_picture')}</p></div></div>`}
      ${this.arranging ? html`<button class="small cell-remove" @click=${() => this.#remove(cell.camera)} aria-label="${t('wall.remove')} ${name}" title=${t('wall.remove')}>${icon('x')}</button><span class="cell-size" aria-hidden="true"></span>` : nothing}
    </div>`;
  }
}
customElements.define('lamproom-layout', Layout);
