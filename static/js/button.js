// The window of another site's save button: saves when the person says so, and tells that site,
// and nobody else, what became of it.
(() => {
  document.documentElement.classList.add('scripted');
  const box = document.querySelector('[data-save-button]');
  const { url, name, origin } = box.dataset;
  const part = (n) => box.querySelector(`[data-${n}]`);
  const say = (text) => { part('say').textContent = text; };
  const tell = (event, detail = {}) => { if (origin) window.opener?.postMessage({ type: 'skylift:button', event, detail: { url, ...detail } }, origin); };

  // The address of this window names a site by the asker's word. What is drawn is where the opener
  // answers from.
  addEventListener('message', (e) => {
    if (e.source !== window.opener || e.data?.type !== 'skylift:here') return;
    part('host').textContent = new URL(e.origin).host;
  });
  if (origin) window.opener?.postMessage({ type: 'skylift:who' }, origin);

  part('close').addEventListener('click', () => {
    if (!box.dataset.final) tell('cancel');
    window.close();
  });

  // Signing in happens in a window of its own: Microsoft's pages would cut the tie to the site.
  new BroadcastChannel('skylift-handoff').onmessage = (e) => {
    if (e.data?.type === 'skylift:done' && part('login')) location.reload();
  };
  part('login')?.addEventListener('click', (e) => {
    if (window.open(e.currentTarget.href, '_blank', 'popup,width=520,height=680')) e.preventDefault();
  });

  const form = /** @type {HTMLFormElement|null} */ (part('form'));
  if (!form) return;
  const save = form.querySelector('button');
  // Who opened this window could make a double click fall on the button: it takes no early one.
  save.disabled = true;
  setTimeout(() => { save.disabled = false; }, 600);

  form.addEventListener('submit', async (e) => {
    e.preventDefault();
    save.disabled = true;
    const [driveId, folderId] = form.folder.value.split('|');
    // The site gives the name: it replaces no file of that name, whatever the person has set.
    const order = { sourceUrl: url, name: name || undefined, driveId, folderId, conflictBehavior: 'rename' };
    const answer = await fetch('/api/v1/transfers', {
      method: 'POST', headers: { 'Content-Type': 'application/json', 'Idempotency-Key': form.key.value, 'Skylift-Account': form.who.value }, body: JSON.stringify(order),
    }).catch(() => null);
    const body = await answer?.json().catch(() => null);
    if (!answer?.ok) return end('error', { code: body?.code ?? 'offline' }, body ? [body.title, body.advice].join(' ') : 'The server cannot be reached.');
    form.hidden = true;
    follow(body.id);
  });

  /** Shows and tells how the transfer goes on. @param {string} id */
  function follow(id) {
    const source = new EventSource('/api/v1/events');
    const show = (t) => {
      if (t.id !== id) return;
      const percent = t.percentageComplete;
      if (t.state === 'completed') finish('success', { name: t.name }, `Saved: ${t.name}`);
      else if (t.state === 'failed' || t.state === 'cancelled') finish('error', { code: t.error?.code ?? t.state }, [t.error?.message, t.error?.advice].filter(Boolean).join(' ') || 'It was cancelled.');
      else {
        part('progress').hidden = false;
        if (percent !== null) part('progress').value = percent;
        say(t.state === 'waiting' ? 'Waiting; it goes on by itself.' : 'On the way…');
        tell('progress', { percentageComplete: percent });
      }
    };
    const finish = (...with_) => { source.close(); end(...with_); };
    source.addEventListener('transfer', (e) => show(JSON.parse(e.data)));
    // It may be over before the stream is open: the stream begins with what is still under way.
    source.addEventListener('open', async () => show(await (await fetch('/api/v1/transfers/' + id)).json()));
  }

  /** @param {'success'|'error'} event @param {object} detail @param {string} words */
  function end(event, detail, words) {
    box.dataset.final = event;
    part('progress').hidden = true;
    part('close').textContent = 'Close';
    save.disabled = event === 'success';
    say(words);
    tell(event, detail);
  }
})();
