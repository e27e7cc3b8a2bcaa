// One line on every page while a drill goes on, so that nobody takes it for real; and in red when something real comes.
import { Part, html, icon, nothing } from './part.js';
import { isOpen, isRed, titleOf } from '../alerts.js';
import { app } from '../app.js';
import { t } from '../i18n.js';

/** @typedef {Record<string, any>} Body */

/** Drills that this page hears of: alerts of drills, and consultations that are one. */
export function drills() {
  const alerts = [...(app.own?.alerts.values() ?? [])].filter((one) => one.drill);
  /** @type {Map<string, Body>} */
  const known = new Map(app.own?.sessions ?? []);
  if (app.currentSession) known.set(String(app.currentSession.session), app.currentSession);
  const sessions = [...known.values()].filter((/** @type {Body} */ one) => one.drill && !one.ended_at);
  return { alerts, sessions };
}

/** A mark for whatever is a drill. @param {Body | undefined} one */
export const drillChip = (one) => (one?.drill ? html`<span class="badge drillmark">${t('drill.mark')}</span>` : nothing);

class DrillStrip extends Part {
  watches() {
    return [app.rooms, app.session, app.sites];
  }

  render() {
    const { alerts, sessions } = drills();
    if (!alerts.length && !sessions.length) return nothing;
    const real = sessions.find((one) => one.interrupted);
    const alert = real && app.own?.alerts.get(String(real.interrupted));
    const red = [...(app.own?.alerts.values() ?? [])].find((one) => isOpen(one) && isRed(one) && !one.drill);
    const names = [...alerts.map((one) => app.siteName(one.site)), ...sessions.map((one) => app.sessionName(one))];
    return html`<div class="drill-strip ${real ? 'interrupted' : ''}" role="status" data-drill=${real ? 'interrupted' : 'on'}>
      ${icon(real ? 'octagon-alert' : 'bell-ring')} <b>${real ? t('drill.interrupted') : t('drill.on')}</b>
      <span>${real ? titleOf(real.real ?? alert ?? red ?? {}) : [...new Set(names)].join(t('comma'))}</span></div>`;
  }
}
customElements.define('lamproom-drill-strip', DrillStrip);
