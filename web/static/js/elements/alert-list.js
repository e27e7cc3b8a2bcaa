// The alerts that stand, as cards: what needs somebody first.
import { Part, html, icon } from './part.js';
import { repeat } from 'lit/directives/repeat.js';
import { app } from '../app.js';
import { inOrder, isOpen } from '../alerts.js';
import { t } from '../i18n.js';
import { alertId } from '../roomview.js';
import { acknowledge, callNext, selected } from './alert-card.js';
import { mayCallNext } from './escalation.js';

const SHOWN = 60;

/** The chosen alert's ring is cut short, or the first one's that rings. */
export function callNextSelected() {
  const list = all().filter(mayCallNext);
  const alert = list.find((one) => alertId(one) === selected.value) ?? list[0];
  if (alert) callNext(alert);
}

const all = () => inOrder(app.own?.alerts.values() ?? []).slice(0, SHOWN);

/** @param {1 | -1} step */
export function selectNext(step) {
  const list = all();
  if (!list.length) return;
  const at = list.findIndex((alert) => alertId(alert) === selected.value);
  const next = list[Math.min(list.length - 1, Math.max(0, at + step))];
  selected.set(alertId(next));
  document.getElementById(`alert-${alertId(next)}`)?.scrollIntoView({ block: 'nearest' });
}

export function acknowledgeSelected() {
  const list = all().filter(isOpen);
  const alert = list.find((one) => alertId(one) === selected.value) ?? list[0];
  if (alert && app.mayAcknowledge) acknowledge(alert, '');
}

class AlertList extends Part {
  watches() {
    return [app.rooms, app.sites];
  }

  render() {
    const list = all();
    const open = list.filter(isOpen).length;
    return html`<section class="panel alerts" aria-label=${t('alert.title')}>
      <h2>${icon('bell')} ${t('alert.title')} <span class="count ${open ? 'hot' : ''}">${open}</span><span class="faint">${t('alert.open_of', { n: list.length })}</span><span class="grow"></span><a class="small button" href="/alerts" target="_blank" rel="noopener">${t('page.alerts')}</a></h2>
      <div class="scroll">
        ${list.length
          ? repeat(list, alertId, (alert) => html`<lamproom-alert .alert=${alert}></lamproom-alert>`)
          : html`<p class="empty">${icon('circle-check')} ${app.own?.ready ? t('alert.none') : t('loading')}</p>`}
      </div>
    </section>`;
  }
}
customElements.define('lamproom-alerts', AlertList);
