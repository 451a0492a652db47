// The panel: signing in inside somebody else's page, and what may not be done in a frame. The way
// of a sign-in is drawn in handlers/handoff.go.
(() => {
  const panel = document.querySelector('[data-panel]');
  if (!panel) return;
  const framed = window.self !== window.top;
  const part = (name) => panel.querySelector(`[data-${name}]`);
  const say = (text) => { part('say').textContent = text; };
  const base64url = (bytes) => btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

  /** Hides the way in where a sandbox gives this page no origin of its own: no cookie, no server. */
  const sealed = () => self.origin === 'null' || window.credentialless === true;

  /** The site that the panel stands in, or "". */
  function hostOrigin() {
    try {
      return location.ancestorOrigins?.[0] ?? (document.referrer && new URL(document.referrer).origin) ?? '';
    } catch {
      return '';
    }
  }

  /** Waits for the window's code. @param {Window|null} popup null: a tab that a link opened @param {string} challenge @returns {Promise<string>} "" if the window was closed */
  function codeFrom(popup, challenge) {
    return new Promise((resolve) => {
      const closed = popup && setInterval(() => { if (popup.closed) end(''); }, 400);
      const onMessage = (e) => {
        if (e.origin !== location.origin || popup && e.source !== popup) return;
        if (e.data?.type === 'skylift:handoff' && e.data.challenge === challenge) end(e.data.code);
      };
      const end = (code) => {
        clearInterval(closed);
        removeEventListener('message', onMessage);
        resolve(code);
      };
      addEventListener('message', onMessage);
    });
  }

  /** Changes the code for a session: a cookie of this frame, or a bearer. @param {string} code @param {string} verifier */
  async function redeem(code, verifier) {
    const { kept } = await (await fetch('/panel/cookies')).json();
    const answer = await fetch('/panel/redeem', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ code, code_verifier: verifier, bearer: !kept }),
    });
    if (!answer.ok) throw new Error('The sign-in was too late or used already. Press the button again.');
    if (kept) location.reload();
    else await window.skyliftBearer(await answer.json());
  }

  /** The verifier must be ready before the click: a window may be opened only right in it. */
  async function signInPart() {
    if (sealed()) {
      part('sealed').hidden = false;
      part('sign-in').hidden = true;
      return;
    }
    if (!framed && !window.skyliftDialog) return part('sign-in').removeAttribute('target');
    const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
    const challenge = base64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))));
    const address = `/auth/panel?c=${challenge}`;
    panel.dataset.host = hostOrigin(); // for the window, which reads it here
    part('relay').href = address;
    part('relay').addEventListener('click', () => wait(codeFrom(null, challenge)));
    part('sign-in').addEventListener('click', (e) => {
      e.preventDefault();
      if (window.skyliftDialog && window.Office?.context?.ui) return wait(window.skyliftDialog(challenge));
      const popup = window.open(address, 'skylift-signin', 'popup,width=520,height=640');
      part('blocked').hidden = popup !== null;
      if (popup) wait(codeFrom(popup, challenge));
    });

    /** @param {Promise<string>} coming */
    async function wait(coming) {
      say('Go on in the other window.');
      try {
        const code = await coming;
        if (!code) {
          part('blocked').hidden = !window.skyliftDialog; // Office loses its dialog where Microsoft cuts the tie
          return say('The window was closed before you were signed in.');
        }
        say('One moment…');
        await redeem(code, verifier);
      } catch (e) {
        say(e.message);
      }
    }
    panel.dataset.ready = '';
  }

  // Whoever frames the panel could have laid something over a button. What destroys something is
  // asked for in a window of its own; the server refuses it to the panel, whoever is signed in.
  document.addEventListener('click', (e) => {
    const form = e.target.closest?.('button')?.form;
    const act = form && /^\/transfers\/([^/]+)\/(undo|remove)$/.exec(form.getAttribute('action'));
    if (!act) return;
    e.preventDefault();
    e.stopImmediatePropagation();
    const at = `/transfers/${act[1]}/confirm?do=${act[2]}`;
    if (window.open(at, '_blank', 'popup,width=480,height=460') === null) {
      document.dispatchEvent(new CustomEvent('skylift:say', { detail: 'The browser opened no window. Open Skylift in a tab and do it there.' }));
    }
  }, true);

  if ('signedOut' in panel.dataset) signInPart();
})();
