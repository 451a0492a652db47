// The save form: pictures and links that are pasted or dropped, and the folder dialog. The form
// works without it. Everything is delegated, because the form is replaced after each sending.
(() => {
  const tell = (event, text) => document.dispatchEvent(new CustomEvent(event, { detail: text }));
  const say = (text) => tell('skylift:say', text);
  const field = () => /** @type {HTMLTextAreaElement} */ (document.getElementById('urls'));
  const isWeb = (s) => /^https?:\/\//i.test(s);

  /** Adds lines to the field. @param {string[]} lines */
  function addLines(lines) {
    const text = field();
    const before = text.value.replace(/\s+$/, '');
    text.value = (before ? before + '\n' : '') + lines.join('\n');
    text.focus();
    text.setSelectionRange(text.value.length, text.value.length);
  }

  /** The addresses in what was dropped or pasted: for a picture inside a link, text/uri-list is
   * the link, and only text/html knows the picture. @param {DataTransfer} data */
  function addresses(data) {
    const page = new DOMParser().parseFromString(data.getData('text/html'), 'text/html');
    const images = [...page.querySelectorAll('img[src]')].map((i) => i.getAttribute('src'));
    if (images.length) return images;
    const list = data.getData('text/uri-list').split(/\r?\n/).filter((l) => l && !l.startsWith('#'));
    if (list.length) return list;
    return data.getData('text/plain').split(/\r?\n/).map((l) => l.trim()).filter(isWeb);
  }

  /** @param {string} url a data: or blob: address @returns {Promise<File|null>} */
  async function fileOf(url) {
    const m = /^data:([^;,]*)((?:;[^;,]*)*),(.*)$/s.exec(url);
    if (!m) return null;
    const text = /;base64$/i.test(m[2]) ? atob(decodeURIComponent(m[3])) : decodeURIComponent(m[3]);
    const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
    return new File([bytes], '', { type: m[1] || 'application/octet-stream' });
  }

  /** @param {File} file */
  function nameOf(file) {
    if (file.name && file.name !== 'image.png') return file.name;
    const ending = { 'image/jpeg': 'jpg', 'image/svg+xml': 'svg', 'text/plain': 'txt' }[file.type] ?? file.type.split('/')[1] ?? 'bin';
    const now = new Date();
    const two = (n) => String(n).padStart(2, '0');
    return `Picture ${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())} ${two(now.getHours())}-${two(now.getMinutes())}-${two(now.getSeconds())}.${ending}`;
  }

  /** Hands a file over: the order first, then its bytes. The row shows how it goes on. @param {File} file */
  async function hand(file) {
    const form = field().form;
    const [driveId, folderId] = form.folder.value.split('|');
    const order = { route: 'upload', name: nameOf(file), size: file.size, contentType: file.type, driveId, folderId, conflictBehavior: form.conflict.value };
    const headers = { 'Content-Type': 'application/json', 'Skylift-Account': form.who.value };
    const answer = await fetch('/api/v1/transfers', { method: 'POST', headers, body: JSON.stringify(order) });
    const body = await answer.json();
    if (!answer.ok) throw new Error([body.title, body.detail, body.advice].filter(Boolean).join(' '));
    await send(answer.headers.get('Location'), file);
  }

  /** Sends the bytes until the server has them all. OneDrive may ask for a pause, a line may break:
   * then what is missing is sent again, for as long as the page is open. @param {string} transfer its address @param {File} file */
  async function send(transfer, file) {
    for (let at = 0, wait = 1; ; wait = Math.min(2 * wait, 60)) {
      const sent = await put(transfer, file, at);
      const now = sent.now ?? await look(transfer);
      if (now && (now.state !== 'waiting' || now.reason !== 'clientBytes')) return;
      const next = now?.bytesTransferred ?? at;
      if (next > at) wait = 1;
      at = next;
      await new Promise((resolve) => setTimeout(resolve, 1000 * Math.max(wait, sent.pause)));
    }
  }

  /** now is the transfer as it is after the bytes from at on, null when they did not get through;
   * pause the seconds that OneDrive or the server asks for.
   * @param {string} transfer @param {File} file @param {number} at */
  async function put(transfer, file, at) {
    const headers = { 'Content-Type': file.type || 'application/octet-stream' };
    if (at > 0) headers['Content-Range'] = `bytes ${at}-${file.size - 1}/${file.size}`;
    try {
      const answer = await fetch(transfer + '/content', { method: 'PUT', headers, body: file.slice(at) });
      const pause = Math.min(Number(answer.headers.get('Retry-After')) || 0, 60); // then it looks whether it is still wanted
      if (answer.ok) return { now: await answer.json(), pause };
      if ([409, 416, 429].includes(answer.status) || answer.status >= 500) return { now: null, pause };
      throw Object.assign(new Error((await answer.json()).title), { final: true });
    } catch (e) {
      if (e.final) throw e;
      return { now: null, pause: 0 };
    }
  }

  /** The transfer as the server has it; null when it cannot be asked. One that is gone is over.
   * @param {string} transfer */
  async function look(transfer) {
    try {
      const answer = await fetch(transfer);
      if (answer.status === 404) return { state: 'cancelled' };
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  let inHand = 0; // files whose bytes only this page has
  addEventListener('beforeunload', (e) => { if (inHand) e.preventDefault(); }); // the browser asks whether to leave

  /** @param {File[]} files */
  async function handAll(files) {
    tell('skylift:announce', files.length === 1 ? 'Handing over 1 file.' : `Handing over ${files.length} files.`);
    inHand += files.length;
    for (const file of files) {
      try {
        await hand(file);
      } catch (e) {
        say(`${nameOf(file)}: ${e.message}`);
      } finally {
        inHand--;
      }
    }
  }

  /** @param {DataTransfer} data @returns {Promise<void>} */
  async function take(data) {
    const files = [...data.files]; // before anything is awaited: the browser empties data then
    const found = addresses(data);
    const web = found.filter(isWeb);
    if (web.length) return addLines(web);
    const inline = (await Promise.all(found.filter((s) => s.startsWith('data:')).map(fileOf))).filter(Boolean);
    const all = inline.length ? inline : files.filter((f) => f.size > 0);
    const empty = inline.length ? [] : files.filter((f) => f.size === 0);
    if (empty.length) say(empty.map((f) => f.name).join(', ') + (empty.length > 1 ? ' are empty: not saved.' : ' is empty: not saved.'));
    else if (!all.length) say('There is no picture and no link in that.');
    if (all.length) await handAll(all);
  }

  document.addEventListener('paste', (e) => {
    if (!field() || !e.clipboardData || document.querySelector('dialog[open]')) return;
    const other = e.target.closest?.('input, select, textarea:not(#urls)');
    const text = e.clipboardData.getData('text/plain').trim();
    if (other || text && !(text.startsWith('data:') && text.length > 300000)) return;
    if (!e.clipboardData.files.length && !text) return;
    e.preventDefault();
    if (text) fileOf(text).then((f) => f && handAll([f]));
    else take(e.clipboardData);
  });

  let depth = 0;
  const mark = (on) => document.getElementById('save')?.classList.toggle('over', on);
  document.addEventListener('dragenter', (e) => { if (field()) { depth++; mark(true); e.preventDefault(); } });
  document.addEventListener('dragleave', () => { depth = Math.max(0, depth - 1); if (!depth) mark(false); });
  document.addEventListener('dragover', (e) => { if (field()) e.preventDefault(); });
  document.addEventListener('drop', (e) => {
    depth = 0;
    mark(false);
    if (!field() || !e.dataTransfer) return;
    e.preventDefault();
    take(e.dataTransfer);
  });

  // What a script of the panel found: addresses go into the field, files are handed over.
  document.addEventListener('skylift:addresses', (e) => addLines(/** @type {CustomEvent} */ (e).detail));
  document.addEventListener('skylift:files', (e) => handAll(/** @type {CustomEvent} */ (e).detail));

  // Ctrl+Enter sends from the field.
  document.addEventListener('keydown', (e) => {
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey) && e.target === field()) {
      e.preventDefault();
      field().form.requestSubmit(field().form.querySelector('.primary'));
    }
  });

  // Whoever has to sign in first, or to allow something, finds their lines again.
  const kept = 'skylift-lines';
  document.addEventListener('htmx:beforeOnLoad', (e) => {
    if (e.detail.xhr.status === 401 && field() && e.detail.elt.closest('#save')) sessionStorage.setItem(kept, field().value);
  });
  document.addEventListener('click', (e) => {
    if (e.target.closest('a[href^="/auth/login"]') && field()?.value) sessionStorage.setItem(kept, field().value);
  });
  if (field() && !field().value && sessionStorage.getItem(kept)) {
    field().value = sessionStorage.getItem(kept);
    sessionStorage.removeItem(kept);
  }

  // The form comes back new after each sending, and the dialog with each folder. What became of the lines, or
  // was found, is said; whoever works by keyboard stays where they were, in the dialog on the folder's name.
  const stays = { save: '#save button.primary', picker: '#picker [aria-current="location"]' };
  document.addEventListener('htmx:afterSettle', (e) => {
    const id = [e.detail.target?.id, e.detail.elt?.id].find((i) => i in stays);
    if (!id) return;
    const said = document.querySelector(`#${id} [data-say]`);
    if (said) tell('skylift:announce', said.getAttribute('data-say'));
    if (document.activeElement !== document.body) return;
    /** @type {HTMLElement|null} */ (document.querySelector(stays[id]))?.focus({ preventScroll: true });
  });

  // The folder picker opens in a dialog; its links and forms stay inside (hx-boost).
  document.addEventListener('click', async (e) => {
    const dialog = /** @type {HTMLDialogElement} */ (document.getElementById('picker'));
    const open = e.target.closest('[data-picker]');
    if (open && dialog && window.htmx && !e.ctrlKey && !e.metaKey) {
      e.preventDefault();
      open.setAttribute('aria-busy', 'true'); // OneDrive may take its time
      await htmx.ajax('GET', open.href, { target: '#picker', swap: 'innerHTML' }).finally(() => open.removeAttribute('aria-busy'));
      if (dialog.firstElementChild) dialog.showModal();
      return;
    }
    const use = e.target.closest('[data-use]');
    if (use && dialog?.open) {
      e.preventDefault();
      choose(use.getAttribute('data-use'), use.getAttribute('data-path'));
      dialog.close();
    } else if (e.target === dialog) {
      dialog.close();
    }
  });

  /** Two folders of one name could not be told apart: the one that was just chosen takes the place of
   * the other. The top is one, which the form knows without its id. @param {string} value @param {string} path */
  function choose(value, path) {
    const select = /** @type {HTMLSelectElement} */ (document.getElementById('folder'));
    const options = [...select.options];
    const same = options.find((o) => o.value === value) ?? options.find((o) => o.text === path);
    if (same) same.value = value;
    else select.add(new Option(path, value), 0);
    select.value = value;
    select.focus();
  }
})();
