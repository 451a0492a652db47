// The end of a panel's sign-in: hands the one-time code to our own waiting window or panel and
// closes. Nobody else gets it: a BroadcastChannel and the target origin are this origin's only.
(() => {
  const { code, challenge, office } = document.querySelector('[data-handoff]').dataset;
  if (office !== undefined) {
    // Office's dialog reaches its pane by Office.js only, and the pane closes it.
    document.addEventListener('DOMContentLoaded', () => Office.onReady(() => {
      if (code) Office.context.ui.messageParent(JSON.stringify({ challenge, code }), { targetOrigin: location.origin });
    }));
    return;
  }
  if (code) {
    const message = { type: 'skylift:handoff', challenge, code };
    const channel = new BroadcastChannel('skylift-handoff');
    channel.postMessage(message);
    channel.close();
    window.opener?.postMessage(message, location.origin);
  } else {
    const channel = new BroadcastChannel('skylift-handoff');
    channel.postMessage({ type: 'skylift:done' });
    channel.close();
  }
  window.close();
})();
