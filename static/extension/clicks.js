/** What clicks in menus, shortcuts and notifications do. */
import * as api from './server.js'
import * as ext from './browser.js'
import * as notices from './notices.js'
import * as outbox from './outbox.js'
import * as save from './save.js'
import { allPictures, altOf, mainPicture } from './page.js'
import { connected } from './settings.js'
import { requestFor, targetsOf } from './targets.js'

/** @param {object} info @param {{id: number, title?: string, windowId: number}} tab */
export async function menu(info, tab) {
  if (info.menuItemId === 'pictures') return pictures(tab)
  const { kind, addresses } = targetsOf(info)
  if (!addresses.length) return notices.nothingThere()
  const from = tab?.id >= 0 ? { tabId: tab.id, frameId: info.frameId ?? 0 } : undefined
  const altText = kind === 'image' && from ? await ext.inPage(from.tabId, from.frameId, altOf, info.srcUrl) : undefined
  const about = { pageUrl: info.pageUrl, pageTitle: tab?.title, altText: typeof altText === 'string' ? altText : undefined }
  await saveAll(addresses.map((a) => requestFor(a, about)), { kind, from, step: info.menuItemId === 'choose' ? 'choosing' : 'queued' })
}

/**
 * Stores what is to be saved and starts, or asks for the folder first.
 * @param {import('./types.js').Request[]} requests
 */
export async function saveAll(requests, how) {
  const items = outbox.itemsFor(requests, how)
  const server = await connected()
  await save.store(items)
  if (!server) {
    await notices.notConnected(items.length)
    await ext.openOptions()
  } else if (how.step === 'choosing') {
    await ext.openWindow(`choose.html?items=${items.map((i) => i.id).join(',')}`, 460, 620)
  }
  await save.resume()
}

/** @param {string} name @param {object} tab */
export async function command(name, tab) {
  if (name === 'panel') return ext.openPanel(tab.windowId) // first of all: the gesture ends with the first await
  if (name === 'pictures') return pictures(tab)
  if (name === 'save-main') return saveMain(tab)
}

async function saveMain(tab) {
  const found = await ext.inPage(tab.id, 0, mainPicture)
  if (typeof found?.address !== 'string') return notices.nothingThere()
  const { kind, addresses } = targetsOf({ menuItemId: 'save-image', srcUrl: found.address })
  if (!addresses.length) return notices.nothingThere()
  const request = requestFor(addresses[0], { pageUrl: tab.url, pageTitle: tab.title, altText: String(found.alt ?? '') })
  await saveAll([request], { kind, from: { tabId: tab.id, frameId: 0 } })
}

/** Gathers the page's pictures while the click still allows it, then shows them to choose from. */
export async function pictures(tab) {
  const frames = (await ext.inPage(tab.id, undefined, allPictures)) ?? []
  const found = { tabId: tab.id, page: tab.url, title: tab.title, pictures: merge(frames), readable: frames.length > 0 }
  const key = crypto.randomUUID()
  await ext.session.set(`pictures:${key}`, found)
  await ext.openTab(ext.url(`pictures.html?of=${key}`))
}

const merge = (frames) => {
  const all = new Map()
  for (const frame of frames) for (const p of frame.pictures ?? []) if (typeof p.address === 'string' && !all.has(p.address)) all.set(p.address, p)
  return [...all.values()].slice(0, 2000)
}

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
  if (button === 1) return save.discard(itemId)
  await again(itemId)
}

/** @param {string} itemId */
export const again = (itemId) => save.change(itemId, { step: 'queued', attempts: 0, due: undefined, problem: undefined })
