// The panel inside Word, PowerPoint, Excel and Outlook: signs in by Office's dialog and takes what
// is selected. Office.js itself comes from Microsoft and has run once the page is parsed.
(() => {
  const words = {
    12004: 'Office does not trust this address. Load the manifest again.', 12005: 'Office takes add-ins by https only.',
    12007: 'Another window of Office is open. Close it first.', 12009: 'Office was not allowed to open a window.', 12011: 'The browser opened no window.',
  };

  /** Signs in by Office's dialog. @param {string} challenge @returns {Promise<string>} the one-time code, "" if it was closed */
  window.skyliftDialog = (challenge) => new Promise((resolve, reject) => {
    const address = `${location.origin}/auth/office?c=${challenge}`;
    Office.context.ui.displayDialogAsync(address, { height: 65, width: 30, displayInIframe: false }, (result) => {
      if (result.status !== Office.AsyncResultStatus.Succeeded) {
        return reject(new Error(words[result.error.code] ?? `Office opened no window (${result.error.code}).`));
      }
      const dialog = result.value;
      dialog.addEventHandler(Office.EventType.DialogMessageReceived, (e) => {
        if (e.origin && e.origin !== location.origin) return;
        const message = JSON.parse(e.message);
        if (message.challenge !== challenge) return;
        dialog.close();
        resolve(message.code);
      });
      dialog.addEventHandler(Office.EventType.DialogEventReceived, () => resolve(''));
    });
  });

  const say = (text) => document.dispatchEvent(new CustomEvent('skylift:say', { detail: text }));
  const types = { iVBOR: 'image/png', '/9j/': 'image/jpeg', R0lG: 'image/gif', UklG: 'image/webp', PHN2: 'image/svg+xml' };

  /** @param {{base64: string, name: string}} picture @returns {File} */
  function fileOf({ base64, name }) {
    const plain = base64.replace(/^data:[^,]*,/, '');
    const start = Object.keys(types).find((t) => plain.startsWith(t));
    const type = types[start] ?? 'application/octet-stream';
    const bytes = Uint8Array.from(atob(plain), (c) => c.charCodeAt(0));
    const ending = '.' + (type === 'image/jpeg' ? 'jpg' : type.replace(/^image\//, '').replace(/\+.*|^app.*/, '') || 'bin');
    return new File([bytes], !name || /\.\w{2,5}$/.test(name) ? name ?? '' : name + ending, { type });
  }

  document.addEventListener('click', async (e) => {
    if (!e.target.closest?.('[data-take]')) return;
    try {
      const found = await window.skyliftSelection();
      const tell = (name, detail) => { if (detail.length) document.dispatchEvent(new CustomEvent(name, { detail })); };
      tell('skylift:addresses', found.addresses);
      tell('skylift:files', found.files.map(fileOf));
      if (!found.addresses.length && !found.files.length) say('Select a picture or a link in the document first.');
    } catch (error) {
      say(`Office did not hand it over: ${error.message}`);
    }
  });

  document.addEventListener('DOMContentLoaded', () => window.Office?.onReady());
})();
