// Window A of a panel's sign-in: it keeps the tie to the panel that Microsoft's pages would cut,
// opens window B for them, and hands B's code on.
(() => {
  const relay = document.querySelector('[data-relay-challenge]');
  const challenge = relay.dataset.relayChallenge;
  const say = (text) => { relay.querySelector('[data-say]').textContent = text; };

  // Only a panel of ours can be looked into: another page that opened this window names no site.
  try {
    const host = new URL(window.opener.document.querySelector('[data-panel]').dataset.host).host;
    const named = relay.querySelector('[data-host]');
    named.querySelector('strong').textContent = host;
    named.hidden = false;
  } catch { /* it stays "a panel" */ }

  const channel = new BroadcastChannel('skylift-handoff');
  channel.onmessage = (e) => {
    if (e.data?.challenge !== challenge || !e.data.code) return;
    if (!window.opener) return say('The panel that asked is gone. Nothing was handed over.');
    window.opener.postMessage({ type: 'skylift:handoff', challenge, code: e.data.code }, location.origin);
    say('Done. You can close this window.');
    window.close();
  };

  relay.querySelector('[data-start]').addEventListener('click', (e) => {
    const popup = window.open(e.currentTarget.href, '_blank', 'popup,width=520,height=680');
    if (!popup) return; // blocked: this window goes itself, and the panel is asked once more afterwards
    e.preventDefault();
    say('Go on in the window that opened. If you closed it, press the button again.');
  });
})();
