// What must be seen from three metres at night: a call that rings, and a red alert that nobody has taken.
import { Part, html, icon, nothing } from './part.js';
import { app } from '../app.js';
import { inOrder, isOpen, isRed, severityOf, SHAPE, raisedAt, titleOf } from '../alerts.js';
import { timer } from '../format.js';
import { t } from '../i18n.js';
import { acknowledge } from './alert-card.js';
import { openCall } from './call-dialog.js';
import { drillChip } from './drill-strip.js';
import { escalationLine } from './escalation.js';

class Beacon extends Part {
  watches() {
    return [app.rooms, app.tick, app.session, app.sites];
  }

  updated() {
    document.body.classList.toggle('red', this.#red().some((one) => !one.drill));
  }

  #red() {
    return inOrder(app.own?.alerts.values() ?? []).filter((alert) => isOpen(alert) && isRed(alert));
  }

  render() {
    const red = this.#red();
    if (!red.length) return nothing;
    const alert = red[0];
    return html`<section class="beacon ${severityOf(alert)} ${alert.drill ? 'is-drill' : ''} ${app.session.value ? 'compact' : ''}" role="alert">
      ${icon(SHAPE[severityOf(alert)], 'huge')}
      <div class="beacon-words">
        <p class="beacon-kind">${drillChip(alert)} ${t(`severity.${severityOf(alert)}`)} · ${app.siteName(alert.site)}${alert.simulated ? ` · ${t('simulated')}` : ''}</p>
        <p class="beacon-title">${titleOf(alert)}</p>
        <p class="beacon-more"><span class="mono">${timer(app.now() - raisedAt(alert))}</span>${red.length > 1 ? html` · ${t('beacon.more', { n: red.length - 1 })}` : nothing}</p>
        ${escalationLine(alert)}
      </div>
      <div class="beacon-acts">
        ${app.mayAcknowledge ? html`<button class="big" @click=${() => acknowledge(alert, '')}>${icon('check')} ${t('alert.acknowledge')} <kbd>a</kbd></button>` : nothing}
        ${app.mayCall && !app.session.value ? html`<button class="big call" @click=${() => openCall(alert)}>${icon('phone')} ${t('call.one_click')}</button>` : nothing}
      </div>
    </section>`;
  }
}
customElements.define('lamproom-beacon', Beacon);

class Incoming extends Part {
  watches() {
    return [app.rooms, app.session, app.tick, app.sites];
  }

  updated() {
    const dialog = this.querySelector('dialog');
    if (dialog && !dialog.open) {
      for (const other of document.querySelectorAll('dialog[open]')) /** @type {HTMLDialogElement} */ (other).close();
      dialog.showModal();
      /** @type {HTMLElement | null} */ (dialog.querySelector('.answer'))?.focus();
    }
  }

  render() {
    const call = app.ringing()[0];
    if (!call) return nothing;
    const ring = call.invitations[app.me.site];
    const caller = app.siteName(call.started_by_site || call.site, call.started_by_site ? app.me.level === 'mine' ? 'above' : '' : 'mine');
    const about = app.sessionName(call);
    const alert = call.alert ? app.own?.alerts.get(String(call.alert)) : undefined;
    return html`<dialog class="incoming" aria-label=${t('ring.title')} @cancel=${(/** @type {Event} */ event) => event.preventDefault()}>
      <div class="incoming-ring">${icon('phone-incoming', 'huge')}</div>
      <p class="incoming-kind">${drillChip(call)} ${t('ring.title')}${call.simulated ? ` · ${t('simulated')}` : ''}</p>
      <h1>${caller}</h1>
      ${about && about !== caller ? html`<p class="incoming-what">${about}</p>` : nothing}
      ${alert ? html`<p class="incoming-alert">${icon(SHAPE[severityOf(alert)])} ${titleOf(alert)}</p>` : nothing}
      <p class="incoming-by">${t('ring.by', { name: ring.invited_by || call.started_by || '' })} · <span class="mono">${timer(app.now() - ring.invited_at)}</span></p>
      <div class="incoming-acts">
        <button class="answer" autofocus @click=${() => app.answer(String(call.session))}>${icon('phone')} ${t('ring.answer')}</button>
        <button class="decline" @click=${() => app.decline(String(call.session))}>${icon('phone-off')} ${t('ring.decline')}</button>
      </div>
      <p class="faint">${app.session.value ? t('ring.leaves_other') : t('ring.hint')}</p>
    </dialog>`;
  }
}
customElements.define('lamproom-incoming', Incoming);
