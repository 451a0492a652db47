// A panel in a browser that keeps no cookie in frames: a short bearer in memory takes its place.
// fetch, htmx and the event stream carry it, so the rest of the page is the same as everywhere.
(() => {
  let bearer = '';
  const plain = window.fetch.bind(window);
  const own = (address) => new URL(address, location.href).origin === location.origin;

  /** @param {string|URL|Request} address @param {RequestInit} [options] */
  function withBearer(address, options = {}) {
    if (!own(address.url ?? address)) return plain(address, options);
    const headers = new Headers(options.headers);
    headers.set('Authorization', 'Bearer ' + bearer);
    return plain(address, { ...options, headers });
  }

  /** EventSource cannot send a header; this reads the stream by fetch, as far as live.js needs it. */
  class Stream extends EventTarget {
    static CLOSED = 2;
    readyState = 0;
    #stop = new AbortController();

    constructor(address) {
      super();
      this.#read(address);
    }

    close() {
      this.readyState = 2;
      this.#stop.abort();
    }

    async #read(address) {
      try {
        const answer = await withBearer(address, { headers: { Accept: 'text/event-stream' }, signal: this.#stop.signal });
        if (!answer.ok) throw new Error(answer.statusText);
        this.readyState = 1;
        this.dispatchEvent(new Event('open'));
        let text = '';
        const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
        for (let { value, done } = await reader.read(); !done; { value, done } = await reader.read()) {
          const parts = (text + value).split('\n\n');
          text = parts.pop();
          parts.forEach((part) => this.#pass(part));
        }
      } catch { /* the reader begins again */ }
      if (this.#stop.signal.aborted) return;
      this.readyState = 2;
      this.dispatchEvent(new Event('error'));
    }

    /** @param {string} part one event of the stream */
    #pass(part) {
      const of = (name) => part.split('\n').filter((l) => l.startsWith(name + ':')).map((l) => l.slice(name.length + 1).replace(/^ /, '')).join('\n');
      const [type, data] = [of('event') || 'message', of('data')];
      if (!data || type === 'bye') return; // the stream ends by itself then, and is begun again
      this.dispatchEvent(new MessageEvent(type, { data, lastEventId: of('id') }));
    }
  }

  /** @param {{access_token: string, expires_in: number}} token */
  function keep(token) {
    bearer = token.access_token;
    setTimeout(async () => {
      const answer = await withBearer('/panel/renew', { method: 'POST' }).catch(() => null);
      if (answer?.ok) keep(await answer.json());
      else location.reload();
    }, token.expires_in * 800);
  }

  /** Signs this page in: draws the panel and starts its scripts with the bearer. @param {{access_token: string, expires_in: number}} token */
  window.skyliftBearer = async (token) => {
    keep(token);
    window.fetch = withBearer;
    window.EventSource = Stream;
    delete window.BroadcastChannel; // other panels of this site may be somebody else's
    const page = new DOMParser().parseFromString(await (await withBearer(location.pathname)).text(), 'text/html');
    document.head.append(page.querySelector('meta[name="htmx-config"]'));
    document.querySelector('main').replaceWith(page.querySelector('main'));
    document.addEventListener('htmx:configRequest', (e) => { e.detail.headers.Authorization = 'Bearer ' + bearer; });
    document.addEventListener('submit', async (e) => {
      if (!e.target.matches('[data-sign-out]')) return;
      e.preventDefault();
      await withBearer('/panel/sign-out', { method: 'POST' });
      location.reload();
    });
    const loaded = new Set([...document.scripts].map((s) => s.src));
    for (const { src } of page.querySelectorAll('script[src]')) {
      if (loaded.has(new URL(src, location.href).href)) continue;
      const script = document.createElement('script');
      script.async = false;
      script.src = src;
      document.head.append(script);
    }
    document.dispatchEvent(new CustomEvent('skylift:signed-in'));
  };
})();
