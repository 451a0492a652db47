// Skylift's save button for any page:
//   <script src="https://skylift.example/embed.js" async></script>
//   <a data-skylift-url="https://site.example/photo.jpg" data-skylift-filename="photo.jpg">Save to OneDrive</a>
// A click opens a window in which the person confirms. The link gets the events skylift:progress,
// skylift:success, skylift:cancel and skylift:error; Skylift.save({url, filename, on}) does the same by script.
(() => {
  const server = new URL(document.currentScript.src).origin;

  /** @param {{url: string, filename?: string, on?: (event: string, detail: object) => void}} what */
  function save({ url, filename = '', on = () => {} }) {
    const address = new URL(url, location.href).href;
    const query = new URLSearchParams({ url: address, name: filename, origin: location.origin });
    const popup = window.open(`${server}/save/button?${query}`, '_blank', 'popup,width=480,height=560');
    if (!popup) return on('error', { url: address, code: 'blocked' });
    const end = (event, detail) => {
      clearInterval(watch);
      removeEventListener('message', hear);
      on(event, detail);
    };
    const hear = (e) => {
      if (e.origin !== server || e.source !== popup) return;
      if (e.data?.type === 'skylift:who') popup.postMessage({ type: 'skylift:here' }, server);
      if (e.data?.type !== 'skylift:button') return;
      if (e.data.event === 'progress') on('progress', e.data.detail);
      else end(e.data.event, e.data.detail);
    };
    const watch = setInterval(() => { if (popup.closed) end('cancel', { url: address }); }, 500);
    addEventListener('message', hear);
  }

  document.addEventListener('click', (e) => {
    const link = e.target.closest?.('[data-skylift-url]');
    if (!link) return;
    e.preventDefault();
    const { skyliftUrl: url, skyliftFilename: filename } = link.dataset;
    save({ url, filename, on: (event, detail) => {
      link.dataset.skyliftState = event;
      link.dispatchEvent(new CustomEvent('skylift:' + event, { bubbles: true, detail }));
    } });
  });

  // A link without an address is none for the keyboard.
  const lend = () => document.querySelectorAll('a[data-skylift-url]:not([href])').forEach((a) => {
    a.href = `${server}/save?url=${encodeURIComponent(new URL(a.dataset.skyliftUrl, location.href).href)}`;
  });
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', lend);
  else lend();
  window.Skylift = { save };
})();
