// Runs before anything is drawn, in every browser, so it is written in the oldest words: chooses the theme (no flash of
// the wrong one) and shows the "browser too old" page where a module would stay silent.
(function () {
  'use strict';
  var root = document.documentElement;
  var theme = null;
  try { theme = localStorage.getItem('lamproom.theme'); } catch (error) { theme = null; }
  if (theme !== 'dark' && theme !== 'light' && theme !== 'contrast') {
    theme = window.matchMedia && window.matchMedia('(prefers-contrast: more)').matches ? 'contrast' : window.matchMedia && window.matchMedia('(prefers-color-scheme: light)').matches ? 'light' : 'dark';
  }
  root.setAttribute('data-theme', theme);

  function missing() {
    var list = [];
    if (!(window.HTMLScriptElement && HTMLScriptElement.supports && HTMLScriptElement.supports('importmap'))) list.push('import maps');
    if (!('replaceChildren' in document)) list.push('replaceChildren');
    if (!(window.CSS && CSS.supports && CSS.supports('selector(:has(a))'))) list.push(':has()');
    if (!('RTCPeerConnection' in window)) list.push('WebRTC');
    if (!('WebSocket' in window)) list.push('WebSocket');
    return list;
  }
  var lacking = missing();
  if (lacking.length === 0) return;
  root.className += ' too-old';
  document.addEventListener('DOMContentLoaded', function () {
    var page = document.getElementById('too-old');
    var list = document.getElementById('too-old-missing');
    if (page) page.removeAttribute('hidden');
    if (list) list.textContent = lacking.join(', ');
  });
})();
