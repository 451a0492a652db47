/** What becomes of an item: what an error means for it, and what the server's last word does. */
import * as api from './server.js'
import * as blobs from './blobs.js'
import * as notices from './notices.js'
import * as outbox from './outbox.js'
import { BytesError, SiteNeeded } from './bytes.js'
import { connected, setRevoked } from './settings.js'
import { inTurn } from './turns.js'

/** @typedef {import('./types.js').Item} Item */

/** The states in which a transfer stays. */
export const final = new Set(['completed', 'failed', 'cancelled'])

/** The end of an item. @param {string} id */
export async function gone(id) {
  await blobs.drop(id) // first: nobody would find the bytes without the item
  await outbox.remove(id)
}

/** Takes an item off the list, with its bytes, and tells the server that they do not come. @param {string} id */
export async function discard(id) {
  const item = await outbox.get(id)
  await outbox.remove(id) // at once: what runs for it sees that and stops
  await inTurn(id, () => gone(id))
  const server = await connected()
  const begun = [...item?.failedIds ?? [], item?.bytes && item.step !== 'sent' && item.transferId].filter(Boolean)
  if (server) for (const transferId of begun) await api.forget(server, transferId).catch(() => {})
  await notices.badge()
}

/**
 * Decides what a failed deed means for its item.
 * @param {import('./types.js').Server} server @param {Item} item @param {any} error
 */
export async function failed(server, item, error) {
  if (error instanceof SiteNeeded) {
    await outbox.update({ ...item, step: 'site' })
    return notices.askForSite(error.message)
  }
  if (error.kind === 'revoked') {
    if (await setRevoked(server.key)) await notices.revoked()
    return
  }
  if (item.step === 'sent' && error.kind !== 'gone') return // its events, or the next start, will tell
  const attempts = (item.attempts ?? 0) + 1
  if (error.kind === 'offline' || error.kind === 'busy') {
    return outbox.update({ ...item, attempts, problem: error.problem, due: Date.now() + outbox.pause(attempts, error.wait) })
  }
  if (movedOn.has(error.problem?.code) && item.transferId && attempts <= 5) {
    return outbox.update({ ...item, attempts, due: Date.now() + 500 }) // looked at anew
  }
  if (error.kind === 'gone' && item.transferId) return gone(item.id) // taken off the list elsewhere
  if (error.kind === 'refused' && outbox.browserCanHelp(item, { error: error.problem })) {
    return outbox.update({ ...item, bytes: true })
  }
  await giveUp({ ...item, problem: problemOf(error) })
}

/** The server says that a transfer is not where we took it to be. */
const movedOn = new Set(['conflict', 'rangeInvalid'])

function problemOf(error) {
  if (error instanceof BytesError || error.kind) return error.problem
  if (error.name === 'QuotaExceededError') return { code: 'noRoom', message: 'This browser has no room left to keep the file until it is sent.', advice: 'Make room on this computer and try again.' }
  return { code: 'internal', message: 'The extension stumbled over this one.', advice: 'Try again.' }
}

/** @param {Item} item with its problem: it waits for the person now */
async function giveUp(item) {
  await outbox.update({ ...item, step: 'stuck' })
  await notices.stuck(item)
}

/**
 * The server has finished a transfer: what that means for the item that waits for it.
 * @param {import('./types.js').Transfer} transfer
 * @returns {Promise<boolean>} whether one did
 */
export async function finished(transfer) {
  const waiting = (await outbox.all()).find((i) => i.transferId === transfer.id && i.step === 'sent')
  if (!waiting) return false
  await inTurn(waiting.id, async () => {
    const item = await outbox.get(waiting.id)
    if (item?.transferId === transfer.id && item.step === 'sent') await settle(item, transfer)
  })
  return true
}

/** @param {Item} item @param {import('./types.js').Transfer} transfer final */
export async function settle(item, transfer) {
  if (transfer.state === 'failed' && outbox.browserCanHelp(item, transfer)) {
    return outbox.update({ ...item, bytes: true, failedIds: [transfer.id], transferId: undefined, step: 'queued' })
  }
  if (transfer.state === 'failed' && item.bytes) {
    return giveUp({ ...item, failedIds: [...item.failedIds ?? [], transfer.id], transferId: undefined, problem: transfer.error })
  }
  const server = await connected()
  if (transfer.state === 'completed' && server) for (const id of item.failedIds ?? []) await api.forget(server, id).catch(() => {})
  if (transfer.state !== 'cancelled') await notices.ended(item, transfer)
  await gone(item.id)
}

/** A transfer was deleted on the server: nothing is left to wait for. @param {string} transferId */
export async function deleted(transferId) {
  const item = (await outbox.all()).find((i) => i.transferId === transferId)
  if (item) await discard(item.id)
}
