// What the server wrote into this page.

/** @returns {{page: string, language: 'zh' | 'en', language_fixed: boolean, me: Record<string, any> | null, config: Record<string, any>}} */
export function pageFacts() {
  const meta = /** @type {HTMLMetaElement | null} */ (document.querySelector('meta[name="lamproom"]'));
  return JSON.parse(meta?.content || '{"page":"","language":"zh","language_fixed":false,"me":null,"config":{}}');
}
