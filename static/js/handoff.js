// The end of a panel's sign-in: hands the one-time code to our own waiting window or panel and
// closes. Nobody else gets it: a BroadcastChannel and the target origin are this origin's only.
(() => {
  const { code, challenge } = document.querySelector('[data-handoff]').dataset;
  if (code) {
    const message = { type: 'skylift:handoff', challenge, code };
    const channel = new BroadcastChannel('skylift-handoff');
    channel.postMessage(message);
    channel.close();
    window.opener?.postMessage(message, location.origin);
  }
  window.close();
})();
