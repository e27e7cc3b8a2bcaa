// One setting as a field of a form: a switch, a choice, a number, a text, a list of lines, or JSON. Secrets are only ever replaced.
import { language, pick, t } from '../i18n.js';
import { html, icon, nothing } from './part.js';

/** @typedef {Record<string, any>} Body */

const JSON_ROWS = 4;

/** What is not shown as it is: typed anew, or left as it is. @param {Body} field */
const isHidden = (field) => field.secret || field.hides;

/** A value as the text of its field. @param {Body} field @param {any} value */
export function textOf(field, value) {
  if (value === null || value === undefined) return '';
  if (field.kind === 'list' && !field.choices) return value.join('\n');
  return field.kind === 'json' ? JSON.stringify(value) : String(value);
}

/** What stands in a field, as a value; throws where it is none. @param {Body} field @param {string} text @returns {any} */
export function valueOf(field, text) {
  if (field.kind === 'list') return text.split('\n').map((line) => line.trim()).filter(Boolean);
  if (text === '' && (field.optional || field.kind === 'json')) return null;
  if (field.kind === 'integer' || field.kind === 'number') {
    const number = Number(text);
    if (text.trim() === '' || !Number.isFinite(number)) throw new Error(t('settings.no_number'));
    return number;
  }
  return field.kind === 'json' ? JSON.parse(text) : text;
}

/** A value in words. @param {any} value */
export function shownValue(value) {
  if (value === null || value === undefined || value === '') return t('settings.none');
  if (value === true || value === false) return value ? t('settings.on') : t('settings.off');
  return typeof value === 'object' ? JSON.stringify(value, null, 1).slice(0, 2000) : String(value);
}

/** Limits in signs. @param {Body} field */
function limits(field) {
  const signs = [['ge', '≥'], ['gt', '>'], ['le', '≤'], ['lt', '<']];
  return signs.filter(([name]) => field[name] !== undefined).map(([name, sign]) => `${sign} ${field[name]}`).join(', ');
}

/**
 * @param {Body} field as the server describes it
 * @param {{value: any, drafted: boolean, problem: string, disabled: boolean, change: (value: any) => void, wrong: (why: string) => void, reset: (() => void) | null}} now
 */
export function settingField(field, now) {
  const id = `set-${field.path}`;
  const about = `${id}-help`;
  const read = (/** @type {Event} */ event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    try {
      now.change(valueOf(field, input.value));
    } catch (error) {
      now.wrong(field.kind === 'json' ? t('settings.no_json') : /** @type {Error} */ (error).message);
    }
  };
  const source = field.source.from;
  return html`<div class="setting ${now.drafted ? 'drafted' : ''} ${now.problem ? 'bad' : ''}" data-path=${field.path}>
    <div class="setting-name"><label for=${id} class="mono">${field.key}</label>
      ${now.drafted ? html`<span class="badge warning">${t('settings.pending')}</span>` : nothing}
      ${field.changed && !now.drafted ? html`<span class="badge info">${t('settings.after_restart')}</span>` : nothing}
      ${field.dangerous ? html`<span class="lock" title=${t('settings.dangerous')}>${icon('lock')}<span class="sr">${t('settings.dangerous')}</span></span>` : nothing}</div>
    <div class="setting-value">${input(field, now, id, about, read)}
      ${now.problem ? html`<p class="problem" role="alert">${now.problem}</p>` : nothing}</div>
    <p class="setting-help" id=${about}><span lang=${field.help[language.value] === field.help.en ? 'en' : nothing}>${pick(field.help)}</span> <span class="faint">${limits(field)}</span>
      <span class="faint">${source === 'environment' ? t('settings.by_environment', { name: field.source.name }) : source === 'file' ? t('settings.by_file') : t('settings.by_default')}${field.required || field.secret || source === 'default' ? nothing : html` · ${t('settings.default', { value: shownValue(field.default).slice(0, 80) })}`}</span>
      ${now.reset ? html`<button class="small" type="button" @click=${now.reset}>${now.drafted ? t('settings.undo') : t('settings.to_default')}</button>` : nothing}</p>
  </div>`;
}

/** @param {Body} field @param {any} now @param {string} id @param {string} about @param {(event: Event) => void} read */
function input(field, now, id, about, read) {
  if (isHidden(field)) {
    const shown = now.drafted ? t('settings.replaced') : field.set ? (field.secret ? t('settings.is_set') : String(field.value)) : t('settings.not_set');
    return html`<input id=${id} type=${field.secret ? 'password' : 'text'} autocomplete="off" spellcheck="false" placeholder=${shown} ?disabled=${now.disabled} aria-describedby=${about} @change=${read} />`;
  }
  if (field.kind === 'switch') return html`<input id=${id} type="checkbox" role="switch" .checked=${Boolean(now.value)} ?disabled=${now.disabled} aria-describedby=${about} @change=${(/** @type {Event} */ event) => now.change(/** @type {HTMLInputElement} */ (event.target).checked)} />`;
  if (field.kind === 'choice') {
    const wanted = now.value ?? '';
    return html`<select id=${id} ?disabled=${now.disabled} aria-describedby=${about} @change=${read}>${field.optional || wanted === '' ? html`<option value="">${t('settings.none')}</option>` : nothing}${field.choices.map((/** @type {string} */ one) => html`<option value=${one} ?selected=${one === wanted}>${one}</option>`)}</select>`;
  }
  if (field.kind === 'list' && field.choices) {
    const chosen = new Set(now.value ?? []);
    return html`<fieldset id=${id} class="choices" aria-describedby=${about} aria-label=${field.key}>${field.choices.map((/** @type {string} */ one) => html`<label><input type="checkbox" ?disabled=${now.disabled} .checked=${chosen.has(one)}
      @change=${(/** @type {Event} */ event) => now.change(field.choices.filter((/** @type {string} */ two) => (two === one ? /** @type {HTMLInputElement} */ (event.target).checked : chosen.has(two))))} /> ${one}</label>`)}</fieldset>`;
  }
  const text = textOf(field, now.value);
  if (field.kind === 'list' || field.kind === 'json') return html`<textarea id=${id} rows=${field.kind === 'json' ? Math.min(JSON_ROWS, 1 + text.length / 60) : Math.max(1, Math.min(6, (now.value ?? []).length))} spellcheck="false" ?disabled=${now.disabled} aria-describedby=${about} .value=${text} @change=${read}></textarea>`;
  const number = field.kind === 'integer' || field.kind === 'number';
  return html`<input id=${id} type=${number ? 'number' : 'text'} step=${number ? (field.kind === 'integer' ? '1' : 'any') : nothing} min=${field.ge ?? nothing} max=${field.le ?? nothing} maxlength=${field.max_length ?? nothing} autocomplete="off" spellcheck="false" ?disabled=${now.disabled} aria-describedby=${about} .value=${text} @change=${read} />`;
}
