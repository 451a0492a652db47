/**
 * What was clicked and is not finished, in storage: each item under a key of its own, so that one
 * never waits for or spoils another, and so that a background that dies at any moment loses nothing.
 */
import { local } from './browser.js'

/** @typedef {import('./types.js').Item} Item */

const prefix = 'item:'

/** @param {string} id @returns {Promise<Item|undefined>} */
export const get = (id) => local.get(prefix + id)
/** @param {Item} item */
export const put = (item) => local.set(prefix + item.id, item)
/** @param {string} id */
export const remove = (id) => local.remove(prefix + id)

/** Whether an item is still wanted: nobody took it off the list. @param {string} id */
export const wanted = async (id) => !!(await get(id))

/** Stores what has become of an item, unless it was taken off the list meanwhile. @param {Item} item */
export async function update(item) {
  if (await wanted(item.id)) await put(item)
}

/** @returns {Promise<Item[]>} oldest first */
export async function all() {
  const everything = await local.all()
  return Object.keys(everything)
    .filter((key) => key.startsWith(prefix))
    .map((key) => everything[key])
    .sort((a, b) => a.created - b.created || (a.id < b.id ? -1 : 1))
}

/**
 * What is to be done for an item next. Each deed ends with the item stored in its next state, and
 * can be done again if that was not reached.
 * @param {Item} item
 * @param {number} now ms since 1970
 * @returns {'wait'|'follow'|'fetch'|'create'|'upload'}
 */
export function next(item, now) {
  if (item.step === 'sent') return 'follow'
  if (item.step !== 'queued' || (item.due ?? 0) > now) return 'wait'
  if (item.bytes && !item.kept) return 'fetch'
  return item.transferId ? 'upload' : 'create'
}

/** ms until another attempt: 5 s, doubling to 10 minutes; a server that asks for more gets it. */
export const pause = (attempts, asked = 0) => Math.max(asked, Math.min(5_000 * 2 ** Math.min(attempts, 10), 600_000))

/** Failures of the server that the browser may do better at, since it is signed in where the person is. */
const seenByBrowser = new Set(['sourceUnauthorized', 'sourceHotlinkRefused', 'sourceNotAFile', 'sourceRefused', 'sourceUnavailable', 'sourceNotFound', 'accessDenied',
  'sourceUnreachable', 'sourceInsecure', 'sourceTooManyRedirects', 'sourceTooManyRequests', 'sourceIncomplete'])

/**
 * Whether the browser should fetch the bytes after the server failed to.
 * @param {Item} item @param {{error: import('./types.js').Problem|null}} transfer
 */
export const browserCanHelp = (item, transfer) =>
  !item.bytes && seenByBrowser.has(transfer.error?.code ?? '') && (item.kind !== 'link' || transfer.error?.code !== 'sourceNotFound')

/**
 * The items of one click.
 * @param {import('./types.js').Request[]} requests
 * @param {{kind?: string, from?: Item['from'], step?: import('./types.js').Step}} how
 * @returns {Item[]}
 */
export function itemsFor(requests, { kind, from, step = 'queued' } = {}) {
  const batch = requests.length > 1 ? crypto.randomUUID() : undefined
  return requests.map((request, i) => ({
    id: crypto.randomUUID(), created: Date.now() + i, step, request, kind, from, batch,
    bytes: needsBytes(request.sourceUrl) || undefined,
  }))
}

/**
 * The items of files whose bytes are kept already: what was dropped without an address.
 * @param {{id: string, name: string, size: number, type: string}[]} files
 * @returns {Item[]}
 */
export const itemsOfFiles = (files) => itemsFor(files.map(({ name }) => ({ sourceUrl: '', name })), { kind: 'drop' })
  .map((item, i) => ({ ...item, id: files[i].id, bytes: true, kept: { size: files[i].size, type: files[i].type } }))

/** blob: exists in the page only; a long data: address is sent as a file. */
const needsBytes = (address) => address.startsWith('blob:') || isLongData(address)
/** @param {string} address */
export const isLongData = (address) => address.startsWith('data:') && address.length > 60_000
