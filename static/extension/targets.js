/** What a click means: which addresses are to be saved, and what is known about them. */

/** @typedef {import('./types.js').Request} Request */

const saveable = /^(https?:\/\/|data:|blob:)/i

/** Which menu entry each kind of thing has. Order is the order in the menu. */
export const menus = [
  { id: 'save-image', title: 'Save picture to OneDrive', contexts: ['image'] },
  { id: 'save-media', title: 'Save video or sound to OneDrive', contexts: ['video', 'audio'] },
  { id: 'save-link', title: 'Save linked file to OneDrive', contexts: ['link'], targetUrlPatterns: ['http://*/*', 'https://*/*'] },
  { id: 'save-selection', title: 'Save selected address to OneDrive', contexts: ['selection'] },
  { id: 'save-page', title: 'Save this page’s address to OneDrive', contexts: ['page'], documentUrlPatterns: ['http://*/*', 'https://*/*'] },
  { id: 'choose', title: 'Save to…', contexts: ['image', 'video', 'audio', 'link', 'selection', 'page'] },
  { id: 'pictures', title: 'Choose from all pictures here…', contexts: ['page', 'image', 'link', 'selection'], documentUrlPatterns: ['http://*/*', 'https://*/*', 'file://*/*'] },
]

/**
 * The kind and the addresses that a click in the menu is about.
 * @param {{menuItemId: string, srcUrl?: string, mediaType?: string, linkUrl?: string, selectionText?: string, pageUrl?: string}} info
 * @returns {{kind: string, addresses: string[]}} no address: nothing there can be saved
 */
export function targetsOf(info) {
  const media = info.mediaType === 'video' || info.mediaType === 'audio' ? 'media' : 'image'
  const choices = {
    'save-image': () => ({ kind: 'image', addresses: [info.srcUrl] }),
    'save-media': () => ({ kind: 'media', addresses: [info.srcUrl] }),
    'save-link': () => ({ kind: 'link', addresses: [info.linkUrl] }),
    'save-selection': () => ({ kind: 'selection', addresses: addressesIn(info.selectionText ?? '') }),
    'save-page': () => ({ kind: 'page', addresses: [info.pageUrl] }),
    choose: () => {
      if (info.srcUrl) return { kind: media, addresses: [info.srcUrl] }
      if (info.linkUrl) return { kind: 'link', addresses: [info.linkUrl] }
      if (info.selectionText) return { kind: 'selection', addresses: addressesIn(info.selectionText) }
      return { kind: 'page', addresses: [info.pageUrl] }
    },
  }
  const { kind, addresses } = choices[info.menuItemId]()
  return { kind, addresses: addresses.filter((a) => saveable.test(a ?? '')) }
}

/** The web addresses in a text, each once, without the punctuation of the sentence around them. */
export function addressesIn(text) {
  const found = text.match(/\b(?:https?:\/\/|www\.)[^\s<>"'`]+/gi) ?? []
  return [...new Set(found.map((a) => {
    let address = a.replace(/[.,;:!?*]+$/, '')
    while (/[)\]}]$/.test(address) && !balanced(address)) address = address.slice(0, -1).replace(/[.,;:!?*]+$/, '')
    return /^www\./i.test(address) ? `https://${address}` : address
  }))].slice(0, 200)
}

const balanced = (s) => [['(', ')'], ['[', ']'], ['{', '}']].every(([a, b]) => s.split(a).length >= s.split(b).length)

/**
 * The request for one address, with where it was found.
 * @param {string} address
 * @param {{pageUrl?: string, pageTitle?: string, altText?: string, name?: string}} about
 * @returns {Request}
 */
export function requestFor(address, { pageUrl, pageTitle, altText, name } = {}) {
  const page = /^https?:/i.test(pageUrl ?? '') ? pageUrl : undefined
  return Object.fromEntries(Object.entries({
    sourceUrl: address, name, pageUrl: page, pageTitle: pageTitle?.slice(0, 500), altText: altText?.slice(0, 500),
  }).filter(([, value]) => value))
}

/**
 * What was dropped, best first: for a picture inside a link, uri-list holds the link and only the
 * HTML holds the picture; the bytes come last, for when there is no address.
 * @param {{html: string, uriList: string, text: string, files: File[]}} drop
 * @param {(html: string) => string[]} pictureAddresses reads the src of each img
 * @returns {{addresses: string[], files: File[]}} files only if no address is of use
 */
export function dropped({ html, uriList, text, files }, pictureAddresses) {
  const lists = [pictureAddresses(html), uriList.split(/\r?\n/).filter((l) => l && !l.startsWith('#')), addressesIn(text)]
  const addresses = lists.map((l) => [...new Set(l.filter((a) => saveable.test(a)))]).find((l) => l.length) ?? []
  const usable = addresses.filter((a) => !a.startsWith('blob:'))
  return usable.length ? { addresses: usable, files: [] } : { addresses: [], files }
}
