/** What clicks on notifications and on their buttons do, and those of the popup that mean the same. */
import * as api from './server.js'
import * as ext from './browser.js'
import * as notices from './notices.js'
import * as outbox from './outbox.js'
import * as save from './save.js'
import { connected } from './settings.js'
import { discard } from './outcome.js'

/** The id says what a notification was about, so this works after the background has died, too. */
export async function notification(id, button) {
  await ext.dropNotification(id)
  const [about, of] = id.split(/:(.*)/)
  const act = { saved, failed, site, stuck, revoked: () => ext.openOptions(), connect: () => ext.openOptions(), batch: openServer }[about]
  await act?.(of, button)
}

async function openServer() {
  const server = await connected()
  if (server) await ext.openTab(`${server.address}/transfers`)
}

async function saved(transferId, button) {
  const server = await connected()
  if (!server) return
  if (button === 1) return undo(transferId)
  const transfer = await api.transfer(server, transferId).catch(() => undefined)
  if (/^https?:/.test(transfer?.item?.webUrl ?? '')) await ext.openTab(transfer.item.webUrl)
}

/** @param {string} transferId */
export async function undo(transferId) {
  try {
    const transfer = await api.undo(await connected(), transferId)
    await notices.undone(transfer?.name ?? 'The file')
  } catch (error) {
    await notices.notUndone(error.problem?.message ?? 'Try again from the list.')
  }
}

async function failed(transferId, button) {
  if (button !== 0) return openServer()
  await retry(transferId)
}

/** Tries a transfer again on the server and follows it. @param {string} transferId */
export async function retry(transferId) {
  const transfer = await api.retry(await connected(), transferId)
  const [item] = outbox.itemsFor([{ sourceUrl: transfer.sourceUrl ?? '', name: transfer.name }])
  await save.store([{ ...item, step: 'sent', transferId }])
  await save.resume()
}

async function site(name, button) {
  if (button !== 1) await ext.openWindow(`grant.html?site=${encodeURIComponent(name)}`, 460, 380)
}

async function stuck(itemId, button) {
  if (button === 1) return discard(itemId)
  await again(itemId)
}

/** @param {string} itemId */
export const again = (itemId) => save.change([itemId], () => ({ step: 'queued', attempts: 0, due: undefined, problem: undefined }))
