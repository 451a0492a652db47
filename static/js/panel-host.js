// The panel's postMessage API for the page that frames it. Only origins that the server's embed
// list names one by one are listened to; README describes the messages.
(() => {
  const panel = () => document.querySelector('[data-panel]');
  if (!panel() || window.self === window.top) return;
  const hosts = JSON.parse(panel().dataset.hosts);
  const followed = new Map(); // source address: transfer id, "" until it has one
  let host = ''; // the origin that we answer

  /** @param {object} message */
  const tell = (message) => { if (host) window.parent.postMessage(message, host); };
  const hello = () => tell({ type: 'skylift:ready', signedIn: !('signedOut' in panel().dataset) });

  addEventListener('message', (e) => {
    if (e.source !== window.parent || !hosts.includes(e.origin)) return;
    host = e.origin;
    if (e.data?.type === 'skylift:hello') hello();
    if (e.data?.type === 'skylift:add' && Array.isArray(e.data.urls)) add(e.data.urls.filter((u) => typeof u === 'string' && /^https?:\/\//i.test(u)).slice(0, 100));
  });

  /** Puts addresses into the field. The person saves: a page cannot press the button. @param {string[]} urls */
  function add(urls) {
    const field = /** @type {HTMLTextAreaElement|null} */ (document.getElementById('urls'));
    if (!field) return tell({ type: 'skylift:refused', reason: 'signedOut' });
    const there = field.value.split('\n').map((l) => l.trim()).filter(Boolean);
    field.value = [...new Set([...there, ...urls])].join('\n');
    urls.forEach((u) => { if (!followed.has(u)) followed.set(u, ''); });
    tell({ type: 'skylift:added', count: urls.length });
  }

  /** Reads what became of the followed addresses and tells the page. */
  async function report() {
    const who = /** @type {HTMLInputElement} */ (document.querySelector('#save [name="who"]')).value;
    const answer = await fetch('/api/v1/transfers?top=50', { headers: { 'Skylift-Account': who } });
    if (!answer.ok) return;
    for (const t of (await answer.json()).value.reverse()) {
      if (!followed.has(t.sourceUrl) || followed.get(t.sourceUrl) === t.id + t.state) continue;
      followed.set(t.sourceUrl, t.id + t.state);
      tell({ type: 'skylift:transfer', transfer: { id: t.id, sourceUrl: t.sourceUrl, name: t.name, state: t.state, error: t.error?.code ?? null } });
    }
  }

  let asked = 0;
  new MutationObserver((changes) => {
    if (!followed.size || !changes.some((c) => document.getElementById('rows')?.contains(c.target))) return;
    clearTimeout(asked);
    asked = setTimeout(report, 250);
  }).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-state'] });

  document.addEventListener('skylift:signed-in', hello);
  // Which of them frames us is not always known; a hello to the wrong one would be an error.
  const origin = location.ancestorOrigins?.[0] ?? (document.referrer ? new URL(document.referrer).origin : '');
  if (hosts.includes(origin)) {
    host = origin;
    hello();
  }
})();
