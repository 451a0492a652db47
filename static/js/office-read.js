// What is selected in the document of an Office program: pictures as bytes, or addresses. Each
// program has its own way; see https://learn.microsoft.com/office/dev/add-ins/reference/overview.
(() => {
  /** @typedef {{addresses: string[], files: {base64: string, name: string}[]}} Found */
  const supports = (set, version) => Office.context.requirements.isSetSupported(set, version);
  const addressIn = (text) => text.match(/https?:\/\/[^\s"'<>]+/gi) ?? [];

  /** Turns one of Office's callbacks into a promise. @template T @param {(done: (r: any) => void) => void} call @returns {Promise<T>} */
  const asked = (call) => new Promise((resolve, reject) => call((r) => {
    if (r.status === Office.AsyncResultStatus.Succeeded) resolve(r.value);
    else reject(new Error(r.error.message));
  }));

  /** Pictures of a piece of HTML, else the addresses in it. @param {string} html @returns {string[]} */
  function addressesOf(html) {
    const page = new DOMParser().parseFromString(html, 'text/html');
    const of = (selector, name) => [...page.querySelectorAll(selector)].map((e) => e.getAttribute(name)).filter((a) => /^https?:\/\//i.test(a));
    const images = of('img[src]', 'src');
    return [...new Set(images.length ? images : of('a[href]', 'href'))];
  }

  /** @returns {Promise<Found>} */
  const inWord = () => Word.run(async (context) => {
    const picture = context.document.getSelection().inlinePictures.getFirstOrNullObject();
    picture.load('altTextTitle');
    await context.sync();
    if (picture.isNullObject) return { addresses: [], files: [] };
    const base64 = picture.getBase64ImageSrc();
    await context.sync();
    return { addresses: [], files: [{ base64: base64.value, name: picture.altTextTitle }] };
  });

  /** @returns {Promise<Found>} */
  const inPowerPoint = () => PowerPoint.run(async (context) => {
    const shapes = context.presentation.getSelectedShapes();
    shapes.load('items/name,items/type');
    await context.sync();
    const pictures = shapes.items.filter((s) => s.type === 'Image' || s.type === 'Graphic').map((s) => ({ name: s.name, base64: s.getImageAsBase64({ format: 'Png' }) }));
    await context.sync();
    return { addresses: [], files: pictures.map((p) => ({ base64: p.base64.value, name: p.name })) };
  });

  /** The selection as every program gives it. Excel has no more than this. @returns {Promise<Found>} */
  async function inDocument() {
    const selected = (type) => asked((done) => Office.context.document.getSelectedDataAsync(type, done)).catch(() => '');
    const fromHTML = addressesOf(await selected(Office.CoercionType.Html));
    return { addresses: fromHTML.length ? fromHTML : addressIn(String(await selected(Office.CoercionType.Text))), files: [] };
  }

  /** @returns {Promise<Found>} */
  async function inMail() {
    const item = Office.context.mailbox.item;
    const html = await asked((done) => item.body.getAsync(Office.CoercionType.Html, done));
    const pictures = supports('Mailbox', '1.8') ? (item.attachments ?? []).filter((a) => a.contentType?.startsWith('image/')) : [];
    const files = await Promise.all(pictures.map(async (a) => {
      const content = await asked((done) => item.getAttachmentContentAsync(a.id, done));
      return { base64: content.content, name: a.name };
    }));
    return { addresses: addressesOf(html), files };
  }

  /** @returns {Promise<Found>} */
  window.skyliftSelection = async () => {
    const { Word: word, PowerPoint: powerPoint, Outlook: outlook } = Office.HostType;
    const { host } = Office.context;
    if (host === outlook) return inMail();
    const found = host === word && supports('WordApi', '1.1') ? await inWord()
      : host === powerPoint && supports('PowerPointApi', '1.10') ? await inPowerPoint() : { addresses: [], files: [] };
    return found.files.length ? found : inDocument();
  };
})();
