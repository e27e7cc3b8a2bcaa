// Alerts as people see them: which comes first, what it is called, what it sounds like.
import { pick, t, has } from './i18n.js';
import { alertId } from './roomview.js';

/** @typedef {'info' | 'warning' | 'alarm' | 'critical'} Severity */
/** @typedef {Record<string, any>} Alert */

const RANK = { info: 0, warning: 1, alarm: 2, critical: 3 };

/** Each severity has a shape of its own: colour alone is not enough. */
export const SHAPE = { info: 'info', warning: 'triangle-alert', alarm: 'diamond', critical: 'octagon-alert' };

/** @param {Alert} alert @returns {Severity} */
export function severityOf(alert) {
  return alert.severity in RANK ? alert.severity : 'warning';
}

/** @param {Alert} alert */
export function rankOf(alert) {
  return RANK[severityOf(alert)];
}

/** Red: it must be seen from across the room. @param {Alert} alert */
export function isRed(alert) {
  return rankOf(alert) >= RANK.alarm;
}

/** @param {Alert} alert */
export const isOpen = (alert) => alert.state === 'open';

/** @param {Alert} alert seconds since the epoch */
export const raisedAt = (alert) => Number(alert.opened_at ?? alert.at ?? 0);

/** Real before drill, open before acknowledged, grave before light, new before old. @param {Iterable<Alert>} alerts @returns {Alert[]} */
export function inOrder(alerts) {
  return [...alerts].sort(
    (a, b) =>
      Number(a.drill === true) - Number(b.drill === true) ||
      Number(isOpen(b)) - Number(isOpen(a)) ||
      rankOf(b) - rankOf(a) ||
      raisedAt(b) - raisedAt(a) ||
      alertId(a).localeCompare(alertId(b)),
  );
}

/** @param {Alert} alert */
export function titleOf(alert) {
  return pick(alert.title) || (has(`rule.${alert.rule}`) ? t(`rule.${alert.rule}`) : String(alert.rule ?? t('alert.unnamed')));
}

/** The rule's name where we have words for it. @param {Alert} alert */
export function ruleOf(alert) {
  return has(`rule.${alert.rule}`) ? t(`rule.${alert.rule}`) : String(alert.rule ?? '');
}

/** Whether its data are gone: nothing is known, and nothing is cured. @param {Alert} alert */
export function lacksData(alert) {
  return alert.no_data === true;
}

/** What the page sounds for these alerts: the gravest open one. @param {Iterable<Alert>} alerts @returns {Severity | null} */
export function tuneFor(alerts) {
  const open = [...alerts].filter(isOpen);
  return open.length ? severityOf(inOrder(open)[0]) : null;
}

/** Whether an alert sounds on the pages of a site: until its chain has come that far, and when somebody has it, it does
 * not. One that rings nobody sounds where it is shown. @param {Alert} alert @param {Alert | undefined} escalation @param {{site?: string, user?: string}} me */
export function soundsAt(alert, escalation, me) {
  if (!isOpen(alert)) return false;
  if (!escalation) return true;
  const named = escalation.users?.[me.site ?? ''];
  return escalation.status === 'ringing' && (escalation.reached ?? []).includes(me.site) && (!named?.length || named.includes(me.user));
}
