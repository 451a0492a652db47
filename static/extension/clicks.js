/** What clicks in menus and shortcuts do. */
import * as blobs from './blobs.js'
import * as ext from './browser.js'
import * as notices from './notices.js'
import * as outbox from './outbox.js'
import * as save from './save.js'
import { allPictures, altOf, mainPicture } from './page.js'
import { connected } from './settings.js'
import { fromData } from './bytes.js'
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
  const items = await Promise.all(outbox.itemsFor(requests, how).map(inHand))
  await begin(items, how.step)
}

/** A long data: address is its own file: storage is too small for it. @param {import('./types.js').Item} item */
async function inHand(item) {
  if (!outbox.isLongData(item.request.sourceUrl)) return item
  const { type, chunks } = await fromData(item.request.sourceUrl)
  return { ...item, kept: { size: await blobs.keep(item.id, chunks), type }, request: { ...item.request, sourceUrl: '' } }
}

/** Saves files whose bytes the panel has kept. @param {{id: string, name: string, size: number, type: string}[]} files */
export const saveFiles = (files) => begin(outbox.itemsOfFiles(files))

/** @param {import('./types.js').Item[]} items @param {import('./types.js').Step} [step] */
async function begin(items, step) {
  const server = await connected()
  await save.store(items)
  if (!server) {
    await notices.notConnected(items.length)
    await ext.openOptions()
  } else if (step === 'choosing') {
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
