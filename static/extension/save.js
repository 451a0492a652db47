/**
 * Carries what was clicked to its end, one small deed at a time. After each the item is stored, so
 * that the background may die between any two and go on later: nothing lost, nothing twice.
 */
import * as notices from './notices.js'
import * as outbox from './outbox.js'
import { alarm, awake, noAlarm } from './browser.js'
import { connected, defaultFolder } from './settings.js'
import { createTogether, deeds } from './deeds.js'
import { discard, failed } from './outcome.js'
import { catchUp, follow } from './follow.js'
import { inTurn } from './turns.js'
import { siteName } from './address.js'

/** @typedef {import('./types.js').Item} Item */

/** Stores new items; resume starts on them. From here on nothing can lose them. @param {Item[]} items */
export async function store(items) {
  const folder = await defaultFolder()
  for (const item of items) {
    if (folder && !item.request.folderId) Object.assign(item.request, { folderId: folder.id, driveId: folder.driveId })
    await outbox.put(item)
  }
}

/**
 * Changes items and goes on with them.
 * @param {string[]} ids @param {(item: Item) => Partial<Item>} f
 */
export async function change(ids, f) {
  for (const id of ids) await edit(id, f)
  await resume()
}

const edit = (id, f) => inTurn(id, async () => {
  const item = await outbox.get(id)
  if (item) await outbox.put({ ...item, ...f(item) })
})

const lanes = 4 // items that are worked on at once

/** Goes on with everything: after a click, a start of the background, an alarm. */
export async function resume({ impatient = false } = {}) {
  const server = await connected()
  await notices.badge()
  if (!(await outbox.all()).length) return noAlarm('resume')
  await alarm('resume', 0.5) // wakes the background again should it die on the way
  if (!server || server.revoked) return
  if (impatient) for (const { id } of (await outbox.all()).filter((i) => i.due)) await edit(id, () => ({ due: undefined }))
  await awake(carryAll(server))
  await notices.badge()
  follow()
}

/** @param {import('./types.js').Server} server */
async function carryAll(server) {
  if (await createTogether(server, await outbox.all())) await catchUp(server).catch(() => {}) // else the stream tells
  const ids = (await outbox.all()).map((i) => i.id)
  const lane = async () => { for (let id = ids.shift(); id; id = ids.shift()) await inTurn(id, carrier(id)) }
  await Promise.all(Array.from({ length: lanes }, lane))
}

/** The deeds of one item until there is nothing to do now. @param {string} id */
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

/** The person let us see a site: all that waited for it goes on. @param {string} site host name */
export async function granted(site) {
  for (const item of await outbox.all()) {
    if (item.step === 'site' && siteName(item.request.sourceUrl) === site) await edit(item.id, () => ({ step: 'queued' }))
  }
  await resume()
}

/** Another server was connected: what the old one had begun with our bytes begins anew. */
export async function newServer() {
  for (const item of await outbox.all()) {
    if (item.step === 'sent') await discard(item.id)
    else if (item.transferId) await edit(item.id, () => ({ transferId: undefined }))
  }
  await resume({ impatient: true })
}
