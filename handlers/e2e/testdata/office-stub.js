// A stub of Office.js: it stands in for Microsoft's library in tests, where there is no Office.
// It has only what the panel uses, shaped as the documentation says. What a dialog tells its pane
// goes over the server that this file comes from, since the two windows share nothing.
(() => {
  const here = new URL(document.currentScript.src).origin;
  const wanted = { picture: '$PICTURE', host: '$HOST', html: '$HTML' };
  const ok = (value) => ({ status: 'succeeded', value });
  let handlers = {};
  window.officeStub = {
    calls: [],
    deliver(messages, origin = location.origin) { for (const message of messages) handlers.dialogMessageReceived?.({ message, origin }); },
  };
  const poll = () => {
    const script = document.createElement('script');
    script.src = `${here}/poll.js?${Math.random()}`;
    script.onload = () => { script.remove(); if (handlers.dialogMessageReceived) setTimeout(poll, 200); };
    document.head.append(script);
  };
  window.Office = {
    AsyncResultStatus: { Succeeded: 'succeeded', Failed: 'failed' },
    CoercionType: { Html: 'html', Text: 'text' },
    EventType: { DialogMessageReceived: 'dialogMessageReceived', DialogEventReceived: 'dialogEventReceived' },
    HostType: { Word: 'Word', Excel: 'Excel', PowerPoint: 'PowerPoint', Outlook: 'Outlook' },
    onReady(f) { officeStub.calls.push('onReady'); f?.(); return Promise.resolve(); },
    context: {
      host: wanted.host,
      requirements: { isSetSupported: () => true },
      document: { getSelectedDataAsync: (type, done) => done(ok(type === 'html' ? wanted.html : '')) },
      mailbox: { item: {
        body: { getAsync: (type, done) => done(ok(wanted.html)) },
        attachments: wanted.picture ? [{ id: '1', name: 'photo.png', contentType: 'image/png' }, { id: '2', name: 'x.pdf', contentType: 'application/pdf' }] : [],
        getAttachmentContentAsync: (id, done) => done(ok({ content: wanted.picture, format: 'base64' })),
      } },
      ui: {
        displayDialogAsync(address, options, done) {
          if (new URL(address).origin !== location.origin || options.displayInIframe) return done({ status: 'failed', error: { code: 12004 } });
          const dialog = window.open(address, '_blank', 'popup');
          done(ok({
            addEventHandler(type, f) { handlers[type] = f; if (type === 'dialogMessageReceived') poll(); },
            close() { handlers = {}; officeStub.calls.push('close'); dialog?.close(); },
          }));
        },
        messageParent(message, options) {
          if (options.targetOrigin !== location.origin) throw new Error('a message for everybody');
          new Image().src = `${here}/tell?m=${encodeURIComponent(message)}`;
        },
      },
    },
  };
  window.Word = { run: (f) => f({
    sync: async () => {},
    document: { getSelection: () => ({ inlinePictures: { getFirstOrNullObject: () => ({
      isNullObject: !wanted.picture, altTextTitle: 'Chart', load() {}, getBase64ImageSrc: () => ({ value: wanted.picture }),
    }) } }) },
  }) };
  window.PowerPoint = { run: (f) => f({
    sync: async () => {},
    presentation: { getSelectedShapes: () => ({ load() {}, items: [
      { name: 'Title 1', type: 'TextBox', getImageAsBase64() { throw new Error('not a picture'); } },
      { name: 'Picture 4', type: 'Image', getImageAsBase64: () => ({ value: wanted.picture }) },
    ] }) },
  }) };
})();
