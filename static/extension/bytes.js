/**
 * The bytes that only this browser can see: behind a login, in a blob:, on a private network. They
 * are fetched here with the person's own session; cookies never leave the browser.
 */
import { hasSite, inPage } from './browser.js'
import { pieceSize } from './blobs.js'
import { siteName, sitePattern } from './address.js'
import { readPiece } from './page.js'

/** @typedef {import('./types.js').Item} Item */
/** @typedef {{type: string, chunks: AsyncIterable<Uint8Array|Blob>|Iterable<Uint8Array|Blob>}} Bytes a file as it comes in, never whole in memory */

const silence = 60_000 // ms without a byte after which a site is given up

/** The person must first let the extension see this site. */
export class SiteNeeded extends Error {}

/** The bytes cannot be had. problem is for people. */
export class BytesError extends Error {
  /** @param {import('./types.js').Problem} problem */
  constructor(problem) {
    super(problem.message)
    this.problem = problem
  }
}

const trouble = (code, message, advice) => new BytesError({ code, message, advice })
export const empty = () => trouble('emptyFile', 'What the browser got is empty.')

/**
 * @param {Item} item
 * @returns {Promise<Bytes>}
 * @throws {SiteNeeded|BytesError} also while the chunks are read
 */
export async function bytesOf(item) {
  const bytes = await get(item, item.request.sourceUrl)
  if (item.kind !== 'page' && /^(text\/html|application\/xhtml)/i.test(bytes.type)) {
    throw trouble('sourceNotAFile', 'A web page came instead of the file.', 'Open the site, sign in there, and try again.')
  }
  return bytes
}

async function get(item, address) {
  if (address.startsWith('data:')) return fromData(address)
  if (address.startsWith('blob:')) return fromPage(item, address)
  if (await hasSite(sitePattern(address))) return fromHere(address)
  // The page that was clicked in may read its own site without a new permission.
  if (item.from && sameOrigin(item.request.pageUrl, address)) {
    const bytes = await fromPage(item, address).catch(() => undefined)
    if (bytes) return bytes
  }
  throw new SiteNeeded(siteName(address))
}

const sameOrigin = (a, b) => !!a && new URL(a).origin === new URL(b).origin

/** @param {string} address @returns {Promise<Bytes>} */
export async function fromData(address) {
  const blob = await (await fetch(address)).blob()
  return { type: blob.type, chunks: [blob] }
}

/** @param {string} address @returns {Promise<Bytes>} */
async function fromHere(address) {
  const control = new AbortController()
  let timer
  const heard = () => { clearTimeout(timer); timer = setTimeout(() => control.abort(), silence) }
  const unavailable = () => {
    clearTimeout(timer)
    return trouble('sourceUnavailable', `The browser could not fetch it from ${siteName(address)}.`, 'Try again, or open the address in a tab to see what is wrong.')
  }
  heard()
  const res = await fetch(address, { credentials: 'include', signal: control.signal }).catch(() => { throw unavailable() })
  if (!res.ok) {
    clearTimeout(timer)
    throw trouble('sourceUnauthorized', `${siteName(address)} answered ${res.status} to the browser, too.`, 'Sign in on that site, then try again.')
  }
  async function* chunks() {
    try {
      for await (const chunk of /** @type {any} */ (res.body ?? [])) { heard(); yield chunk }
    } catch {
      throw unavailable()
    } finally {
      clearTimeout(timer)
    }
  }
  return { type: res.headers.get('Content-Type') ?? '', chunks: chunks() }
}

/** Piece by piece, since only text comes out of a page. @param {Item} item @param {string} address @returns {Promise<Bytes>} */
async function fromPage(item, address) {
  const { tabId, frameId } = item.from ?? {}
  const piece = async (at) => {
    const got = tabId === undefined ? undefined : await inPage(tabId, frameId ?? 0, readPiece, address, at, pieceSize)
    if (typeof got?.base64 !== 'string' || typeof got.size !== 'number') {
      throw trouble('pageGone', 'This picture exists only inside its page, and the page does not give it out any more.', 'Open the page again and save the picture from there.')
    }
    return { size: got.size, type: String(got.type ?? ''), bytes: Uint8Array.from(atob(got.base64), (c) => c.charCodeAt(0)) }
  }
  const first = await piece(0)
  async function* chunks() {
    yield first.bytes
    for (let at = first.bytes.length; at < first.size;) {
      const { bytes } = await piece(at)
      if (!bytes.length) throw empty() // a page that says one size and gives another
      yield bytes
      at += bytes.length
    }
  }
  return { type: first.type, chunks: chunks() }
}
