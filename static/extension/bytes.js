/**
 * The bytes that only this browser can see: behind a login, in a blob:, on a private network. They
 * are fetched here with the person's own session; cookies never leave the browser.
 */
import { hasSite, inPage } from './browser.js'
import { siteName, sitePattern } from './address.js'
import { readBytes } from './page.js'

/** @typedef {import('./types.js').Item} Item */

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

/**
 * @param {Item} item
 * @returns {Promise<Blob>}
 * @throws {SiteNeeded|BytesError}
 */
export async function bytesOf(item) {
  const address = item.request.sourceUrl
  const blob = await get(item, address)
  if (blob.size === 0) throw trouble('emptyFile', 'What the browser got is empty.')
  if (item.kind !== 'page' && /^(text\/html|application\/xhtml)/.test(blob.type)) {
    throw trouble('sourceNotAFile', 'A web page came instead of the file.', 'Open the site, sign in there, and try again.')
  }
  return blob
}

async function get(item, address) {
  if (address.startsWith('data:')) return (await fetch(address)).blob()
  if (address.startsWith('blob:')) return fromPage(item, address)
  if (await hasSite(sitePattern(address))) return fromHere(address)
  // The page that was clicked in may read its own site without a new permission.
  if (item.from && sameOrigin(item.request.pageUrl, address)) {
    const blob = await fromPage(item, address).catch(() => undefined)
    if (blob) return blob
  }
  throw new SiteNeeded(siteName(address))
}

const sameOrigin = (a, b) => !!a && new URL(a).origin === new URL(b).origin

async function fromHere(address) {
  let res
  try {
    res = await fetch(address, { credentials: 'include', signal: AbortSignal.timeout(120_000) })
  } catch {
    throw trouble('sourceUnavailable', `The browser could not fetch it from ${siteName(address)}.`, 'Try again, or open the address in a tab to see what is wrong.')
  }
  if (!res.ok) {
    throw trouble('sourceUnauthorized', `${siteName(address)} answered ${res.status} to the browser, too.`, 'Sign in on that site, then try again.')
  }
  return res.blob()
}

async function fromPage(item, address) {
  const { tabId, frameId } = item.from ?? {}
  const got = tabId === undefined ? undefined : await inPage(tabId, frameId ?? 0, readBytes, address)
  if (got?.tooLarge) throw trouble('sourceTooLarge', 'A picture that exists only inside a page can have at most 48 MB.')
  if (!got?.base64) {
    throw trouble('pageGone', 'This picture exists only inside its page, and the page does not give it out any more.', 'Open the page again and save the picture from there.')
  }
  const binary = atob(got.base64)
  return new Blob([Uint8Array.from(binary, (c) => c.charCodeAt(0))], { type: got.type })
}
