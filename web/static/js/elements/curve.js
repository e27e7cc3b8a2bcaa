// One curve over time, drawn by uPlot. A hole in the data is a hole in the line.
import { Part, html, nothing } from './part.js';
import uPlot from 'uplot';
import { language, t } from '../i18n.js';
import { theme } from '../theme.js';

const HEIGHT = 132;
const GAP_S = 20;

/** Puts a null where nothing came for a while. @param {number[]} times @param {number[]} values @returns {[number[], (number | null)[]]} */
export function withGaps(times, values) {
  /** @type {[number[], (number | null)[]]} */
  const data = [[], []];
  times.forEach((time, index) => {
    if (index && time - times[index - 1] > GAP_S) {
      data[0].push(times[index - 1] + 0.001);
      data[1].push(null);
    }
    data[0].push(time);
    data[1].push(values[index]);
  });
  return data;
}

class Curve extends Part {
  static properties = { label: { type: String }, history: { attribute: false } };
  /** @type {any} */
  #plot = null;
  #drawn = '';
  /** @type {ResizeObserver | null} */
  #observer = null;

  constructor() {
    super();
    this.label = '';
    /** @type {any} */
    this.history = null;
  }

  watches() {
    return [theme];
  }

  render() {
    const empty = !this.history?.times.length;
    return html`<figure class="curve"><figcaption>${this.label}<span class="faint">${t('curve.span')}</span></figcaption><div class="plot"></div>
      ${empty ? html`<p class="curve-empty">${this.history?.state === 'loading' ? t('loading') : t('curve.none')}</p>` : nothing}</figure>`;
  }

  firstUpdated() {
    this.#observer = new ResizeObserver(() => this.#resize());
    this.#observer.observe(/** @type {Element} */ (this.querySelector('.plot')));
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.#observer?.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
  }

  updated() {
    const wanted = `${theme.value} ${this.label} ${language.value}`;
    if (this.#plot && this.#drawn !== wanted) {
      this.#plot.destroy();
      this.#plot = null;
    }
    this.#drawn = wanted;
    const data = withGaps(this.history?.times ?? [], this.history?.values ?? []);
    if (this.#plot) this.#plot.setData(data);
    else if (data[0].length) this.#draw(data);
  }

  /** @param {any} data */
  #draw(data) {
    const place = /** @type {HTMLElement} */ (this.querySelector('.plot'));
    const style = getComputedStyle(document.documentElement);
    const colour = (/** @type {string} */ name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour('--faint'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui, sans-serif' };
    this.#plot = new uPlot(
      {
        width: Math.max(160, place.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        cursor: { y: false, points: { size: 6 } },
        padding: [8, 8, 0, 0],
        axes: [
          { ...axis, size: 24, space: 70, values: (/** @type {any} */ _plot, /** @type {number[]} */ ticks) => ticks.map((at) => new Date(at * 1000).toTimeString().slice(0, 5)) },
          { ...axis, size: 46 },
        ],
        series: [{}, { stroke: colour('--accent'), width: 1.6, points: { show: false }, spanGaps: false }],
      },
      data,
      place,
    );
  }

  #resize() {
    const place = this.querySelector('.plot');
    if (place && this.#plot && place.clientWidth > 0) this.#plot.setSize({ width: place.clientWidth, height: HEIGHT });
  }
}
customElements.define('lamproom-curve', Curve);
