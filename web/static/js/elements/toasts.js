// Short messages in a corner; they never push the page.
import { Part, html } from './part.js';
import { app } from '../app.js';

class Toasts extends Part {
  watches() {
    return [app.toasts];
  }

  render() {
    return html`<div class="toasts" aria-live="polite">${app.toasts.value.map((one) => html`<p class="toast ${one.kind}">${one.text}</p>`)}</div>`;
  }
}
customElements.define('lamproom-toasts', Toasts);
