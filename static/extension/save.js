/**
 * Carries what was clicked to its end, one small deed at a time. After each the item is stored, so
 * that the background may die between any two and go on later: nothing lost, nothing twice.
 */
import * as api from './server.js'
import * as blobs from './blobs.js'
import * as notices from './notices.js'
import * as outbox from './outbox.js'
import { alarm, noAlarm } from './browser.js'
import { BytesError, SiteNeeded, bytesOf } from './bytes.js'
import { connected, defaultFolder, setRevoked } from './settings.js'
import { follow } from './follow.js'
import { siteName } from './address.js'

/** @typedef {import('./types.js').Item} Item */

/** @type {Map<string, Promise<any>>} the last deed of each item: they run one after the other */
const turns = new Map()

/** Runs a deed when no other of the same item runs. */
function inTurn(id, deed) {
  const turn = (turns.get(id) ?? Promise.resolve()).then(deed, deed)
  turns.set(id, turn)
  const done = () => turns.get(id) === turn && turns.delete(id)
  turn.then(done, done)
  return turn
}

/** Stores new items; resume starts on them. From here on nothing can lose them. @param {Item[]} items */
export async function store(items) {
  const folder = await defaultFolder()
  for (const item of items) {
    if (folder && !item.request.folderId) Object.assign(item.request, { folderId: folder.id, driveId: folder.driveId })
    await outbox.put(item)
  }
}

/**
 * Changes an item and goes on with it.
 * @param {string} id @param {Partial<Item>} change
 */
export async function change(id, change) {
  await edit(id, change)
  await resume()
}

const edit = (id, change) => inTurn(id, async () => {
  const item = await outbox.get(id)
  if (item) await outbox.put({ ...item, ...change })
})

/** Takes an item off the list, with its bytes. */
export async function discard(id) {
  await inTurn(id, () => gone(id))
  await notices.badge()
}

async function gone(id) {
  await blobs.drop(id) // first: nobody would find the bytes without the item
  await outbox.remove(id)
}

const lanes = 4 // items that are worked on at once

/** Goes on with everything: after a click, a start of the background, an alarm. */
export async function resume({ impatient = false } = {}) {
  const server = await connected()
  const items = await outbox.all()
  await notices.badge()
  if (!items.length) return noAlarm('resume')
  await alarm('resume', 0.5) // wakes the background again should it die on the way
  if (!server || server.revoked) return
  if (impatient) for (const { id } of items.filter((i) => i.due)) await edit(id, { due: undefined })
  const ids = items.map((i) => i.id)
  const lane = async () => { for (let id = ids.shift(); id; id = ids.shift()) await inTurn(id, carrier(id)) }
  await Promise.all(Array.from({ length: lanes }, lane))
  await notices.badge()
  follow()
}

/** The deeds of one item until there is nothing to do now. */
const carrier = (id) => async () => {
  for (let sent = false; ;) {
    const item = await outbox.get(id)
    const server = await connected()
    if (!item || !server || server.revoked) return
    const next = outbox.next(item, Date.now())
    if (!deeds[next] || (next === 'follow' && !sent)) return
    sent = next !== 'follow' // asked once for each sending; what that settled to may need more deeds
    try {
      await deeds[next](server, item)
    } catch (error) {
      await failed(server, item, error)
    }
  }
}

const deeds = {
  async fetch(server, item) {
    await blobs.keep(item.id, await bytesOf(item))
    await outbox.put({ ...item, kept: true })
  },
  async create(server, item) {
    const request = item.bytes ? await withBytes(item) : item.request
    const transfer = await api.create(server, request, item.bytes ? `${item.id}-bytes` : item.id)
    await outbox.put({ ...item, transferId: transfer.id, step: item.bytes ? 'queued' : 'sent', attempts: 0, due: undefined, problem: undefined })
  },
  async upload(server, item) {
    const transfer = await api.transfer(server, item.transferId)
    const wanted = transfer.reason === 'clientBytes' || transfer.state === 'notStarted'
    if (wanted) await api.putContent(server, item.transferId, await blobs.kept(item.id))
    await outbox.put({ ...item, step: 'sent', attempts: 0, due: undefined, problem: undefined })
  },
  /** Asked once after it was sent: it may have ended before we began to wait for its event. */
  async follow(server, item) {
    const transfer = await api.transfer(server, item.transferId)
    if (final.has(transfer.state)) await settle(item, transfer)
  },
}

/** The states in which a transfer stays. */
export const final = new Set(['completed', 'failed', 'cancelled'])

async function withBytes(item) {
  const blob = await blobs.kept(item.id)
  const inside = /^(blob|data):/.test(item.request.sourceUrl)
  const name = item.request.name || (inside && (item.request.altText || item.request.pageTitle)?.slice(0, 100)) || undefined
  return { ...item.request, name, sourceUrl: inside ? undefined : item.request.sourceUrl, route: 'upload', size: blob.size, contentType: blob.type || undefined }
}

/** Decides what a failed deed means for its item. */
async function failed(server, item, error) {
  if (error instanceof SiteNeeded) {
    await outbox.put({ ...item, step: 'site' })
    return item.step === 'site' ? undefined : notices.askForSite(error.message)
  }
  if (error.kind === 'revoked') {
    if (await setRevoked(server.key)) await notices.revoked()
    return
  }
  if (item.step === 'sent' && error.kind !== 'gone') return // its events, or the next start, will tell
  if (error.kind === 'offline' || error.kind === 'busy') {
    const attempts = (item.attempts ?? 0) + 1
    return outbox.put({ ...item, attempts, problem: error.problem, due: Date.now() + outbox.pause(attempts, error.wait) })
  }
  if (error.kind === 'refused' && error.problem.code === 'conflict' && item.transferId && (item.attempts ?? 0) < 5) {
    return outbox.put({ ...item, attempts: (item.attempts ?? 0) + 1, due: Date.now() + 500 }) // changed meanwhile: looked at anew
  }
  if (error.kind === 'gone' && item.transferId) return gone(item.id) // taken off the list elsewhere
  if (error.kind === 'refused' && outbox.browserCanHelp(item, { error: error.problem })) {
    return outbox.put({ ...item, bytes: true })
  }
  const known = error instanceof BytesError || error.kind
  const problem = known ? error.problem : { code: 'internal', message: 'The extension stumbled over this one.', advice: 'Try again.' }
  const stuck = { ...item, step: 'stuck', problem }
  await outbox.put(stuck)
  await notices.stuck(stuck)
}

/**
 * The server has finished a transfer: what that means for the item that waits for it.
 * @param {import('./types.js').Transfer} transfer
 */
export async function finished(transfer) {
  const waiting = (await outbox.all()).find((i) => i.transferId === transfer.id && i.step === 'sent')
  if (!waiting) return
  await inTurn(waiting.id, async () => {
    const item = await outbox.get(waiting.id)
    if (item?.transferId === transfer.id && item.step === 'sent') await settle(item, transfer)
  })
  void resume() // not waited for: who follows the stream must go on reading it
}

/** The person let us see a site: all that waited for it goes on. @param {string} site host name */
export async function granted(site) {
  for (const item of await outbox.all()) {
    if (item.step === 'site' && siteName(item.request.sourceUrl) === site) await edit(item.id, { step: 'queued' })
  }
  await resume()
}

/** Another server was connected: what the old one had begun with our bytes begins anew. */
export async function newServer() {
  for (const item of await outbox.all()) {
    if (item.step === 'sent') await discard(item.id)
    else if (item.transferId) await edit(item.id, { transferId: undefined })
  }
  await resume({ impatient: true })
}

async function settle(item, transfer) {
  if (transfer.state === 'failed' && outbox.browserCanHelp(item, transfer)) {
    return outbox.put({ ...item, bytes: true, failedId: transfer.id, transferId: undefined, step: 'queued' })
  }
  if (transfer.state === 'failed' && item.bytes) {
    const stuck = { ...item, step: 'stuck', transferId: undefined, problem: transfer.error }
    await outbox.put(stuck)
    return notices.stuck(stuck)
  }
  const server = await connected()
  if (transfer.state === 'completed' && item.failedId && server) await api.forget(server, item.failedId).catch(() => {})
  if (transfer.state !== 'cancelled') await notices.ended(item, transfer)
  await gone(item.id)
}

/** A transfer was deleted on the server: nothing is left to wait for. */
export async function deleted(transferId) {
  const item = (await outbox.all()).find((i) => i.transferId === transferId)
  if (item) await discard(item.id)
}
