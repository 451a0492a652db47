// Live rows. All tabs of a browser share one event stream: on HTTP/1.1 the seventh connection
// to a server would hang. Whoever holds the lock reads it and passes each event on to the rest.
(() => {
  const rows = document.querySelector('[data-live]');
  if (!rows || !window.EventSource) return;
  const tell = (event, text) => document.dispatchEvent(new CustomEvent(event, { detail: text }));
  // The address names the account: tabs of two accounts share nothing.
  const channel = 'BroadcastChannel' in window ? new BroadcastChannel('skylift ' + rows.dataset.live) : null;
  const recent = []; // what the reader of the stream has passed on, for tabs that open later
  let last = Number(rows.dataset.since) || 0;

  /** @typedef {{type: string, id: number, data: string}} Message */

  const rowOf = (html) => new DOMParser().parseFromString(html, 'text/html').querySelector('.row');
  /** Answers and events overtake each other. @param {Element|null} row @param {Element|null} old */
  const stale = (row, old) => Number(row?.getAttribute('data-event')) < Number(old?.getAttribute('data-event'));

  /** Shows one event. @param {Message} m */
  function apply(m) {
    if (m.id) last = Math.max(last, m.id);
    if (m.type === 'deleted') {
      drop(document.getElementById('t-' + JSON.parse(m.data).id));
      return;
    }
    const row = rowOf(m.data);
    if (!row) return;
    if (m.id) row.setAttribute('data-event', String(m.id));
    const old = document.getElementById(row.id);
    if (stale(row, old)) return;
    if (old) patch(old, row);
    else if (!('fixed' in rows.dataset)) insert(row);
  }

  /** The button that retries all failed ones is there as long as there are any. */
  function offerRetry() {
    const form = document.querySelector('[data-retry-failed]');
    if (form) form.hidden = !rows.querySelector('[data-state="failed"]');
  }

  /** Takes a row out; the focus moves on to its neighbour. @param {HTMLElement|null} row */
  function drop(row) {
    if (!row) return;
    const focused = row.contains(document.activeElement);
    const next = /** @type {HTMLElement} */ (row.nextElementSibling ?? row.previousElementSibling ?? document.getElementById('main'));
    row.remove();
    if (focused) next.focus({ preventScroll: true });
    offerRetry();
  }

  // A row's own buttons: one that is removed comes back empty, another as it is now. Its button may
  // be gone then, and with it the focus.
  rows.addEventListener('htmx:beforeSwap', (e) => {
    if (e.detail.xhr.status !== 200) return;
    const row = rowOf(e.detail.serverResponse);
    const old = e.detail.target.closest('.row');
    if (row && !stale(row, old)) return;
    e.detail.shouldSwap = false;
    if (!row) drop(old);
  });
  rows.addEventListener('htmx:afterSettle', (e) => {
    offerRetry();
    if (document.activeElement === document.body) document.getElementById(e.detail.target.id)?.focus({ preventScroll: true });
  });

  /** Morphs a row in place, so that focus stays where it is. @param {Element} old @param {Element} row */
  function patch(old, row) {
    const changed = old.getAttribute('data-say') !== row.getAttribute('data-say');
    const focused = old.contains(document.activeElement);
    const picture = old.querySelector('img.broken');
    Idiomorph.morph(old, row.outerHTML);
    const now = document.getElementById(row.id);
    if (picture) now.querySelector('img')?.classList.add('broken');
    window.htmx?.process(now);
    if (focused && !now.contains(document.activeElement)) now.focus();
    if (changed) tell('skylift:announce', now.getAttribute('data-say'));
    offerRetry();
  }

  /** Puts a row that came in from elsewhere where its age belongs; ids grow with time. @param {Element} row */
  function insert(row) {
    const next = [...rows.children].find((r) => r.id < row.id);
    if (!next && rows.children.length >= 25) return;
    row.classList.add('arrived');
    rows.insertBefore(row, next ?? null);
    window.htmx?.process(row);
    tell('skylift:announce', row.getAttribute('data-say'));
    offerRetry();
  }

  /** @param {MessageEvent} e */
  function pass(e) {
    const m = { type: e.type, id: Number(e.lastEventId) || 0, data: e.data };
    apply(m);
    recent.push(m);
    if (recent.length > 200) recent.shift();
    channel?.postMessage(m);
  }

  /** The session has ended: what belongs to it goes, but for what was typed and not sent. */
  function leave(text) {
    rows.replaceChildren();
    document.querySelector('details.who')?.remove();
    if (!document.getElementById('urls')?.value) location.reload();
    else tell('skylift:say', text);
  }
  const out = 'You are signed out. Press Save to sign in again: your lines are kept.';

  let wait = 1000;
  /** Reads the stream for all tabs, and begins again by itself. */
  function read() {
    const source = new EventSource(rows.dataset.live + '&since=' + last);
    source.addEventListener('transfer', pass);
    source.addEventListener('deleted', pass);
    source.addEventListener('open', () => { wait = 1000; });
    source.addEventListener('bye', (e) => {
      if (e.data === 'drain' || e.data === 'signedIn') return; // the browser comes back by itself
      source.close();
      if (e.data !== 'signedOut') return;
      channel?.postMessage({ type: 'signedOut' });
      leave(out);
    });
    source.addEventListener('error', async () => {
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      if (await signedOut()) {
        leave('You are signed out, or somebody else has signed in here. Your lines are kept: load the page again.');
        return;
      }
      setTimeout(read, wait * (0.75 + Math.random() / 2));
      wait = Math.min(wait * 2, 60000);
    });
  }

  /** EventSource does not tell why it was refused: a fetch of the same address does. */
  async function signedOut() {
    const stop = new AbortController();
    try {
      const { status } = await fetch(rows.dataset.live, { signal: stop.signal });
      return status === 401;
    } catch {
      return false;
    } finally {
      stop.abort();
    }
  }

  if (!channel || !navigator.locks) {
    read();
    return;
  }
  channel.onmessage = (e) => {
    const m = e.data;
    if (m.type === 'signedOut') {
      leave(out);
    } else if (m.type === 'hello') {
      for (const r of recent) if (r.id > m.since) channel.postMessage(r);
    } else if (!m.id || m.id > last) {
      apply(m);
    }
  };
  channel.postMessage({ type: 'hello', since: last });
  navigator.locks.request('skylift-events ' + rows.dataset.live, () => new Promise(() => read()));
})();
