/** What people see without asking: the badge and notifications. */
import * as ext from './browser.js'
import * as outbox from './outbox.js'
import { connected, notifying } from './settings.js'

/** @typedef {import('./types.js').Item} Item */

/** Shows how many are under way, "!" for what needs the person, nothing when all is done. */
export async function badge() {
  const items = await outbox.all()
  const server = await connected()
  const calls = server?.revoked || items.some((i) => i.step === 'site' || i.step === 'stuck')
  const running = items.filter((i) => i.step === 'queued' || i.step === 'sent').length
  if (calls) return ext.badge('!', '#b3261e', 'Skylift: something needs you')
  if (running && !server) return ext.badge(String(running), '#8a5a00', `Skylift: ${running} waiting until this browser is connected`)
  if (running) return ext.badge(running > 99 ? '99+' : String(running), '#2f5be0', `Skylift: saving ${running}`)
  const done = await ext.session.get('done')
  return done ? ext.badge('✓', '#1a7f4b', `Skylift: saved ${done}`) : ext.badge('', '#2f5be0', 'Skylift: save to OneDrive')
}

/** Forgets the tick of the last success: once the popup was seen. */
export async function seen() {
  await ext.session.remove('done')
  await badge()
}

/** What a name in a notification is when there is none yet. */
export const nameOf = (item) => fileName(item) || 'this file'
/** The name that the address ends in, or the given one; "" if neither says anything. @param {Item} item */
export const fileName = (item) => item.request.name || decodeURIComponent(safe(item.request.sourceUrl))
const safe = (address = '') => {
  const last = /^https?:/.test(address) ? new URL(address).pathname.split('/').pop() : ''
  return /^([^%]|%[0-9a-f]{2})*$/i.test(last) && !/%[89a-f]/i.test(last) ? last.slice(0, 80) : ''
}

/** A folder as people call it: the top of the drive is OneDrive, not "/". */
export const placeOf = (folder) => (folder?.path && folder.path !== '/' ? folder.path : folder?.name || 'OneDrive')

const worth = async (problem) => {
  const { level } = await notifying()
  return level === 'all' || (problem && level === 'problems')
}

/** @param {Item} item @param {import('./types.js').Transfer} transfer completed or failed */
export async function ended(item, transfer) {
  const good = transfer.state === 'completed'
  if (good) await ext.session.set('done', transfer.item?.name ?? transfer.name)
  if (item.batch) return endedInBatch(item, good)
  if (!(await worth(!good))) return
  if (good) {
    const where = placeOf(transfer.folder)
    return ext.notify(`saved:${transfer.id}`, { title: 'Saved to OneDrive', message: `${transfer.item?.name ?? transfer.name}\nin ${where}`, buttons: ['Open', 'Undo'] })
  }
  const { message, advice } = transfer.error ?? { message: 'It could not be saved.' }
  return ext.notify(`failed:${transfer.id}`, { title: `Not saved: ${transfer.name || nameOf(item)}`, message: [message, advice].filter(Boolean).join(' '), buttons: ['Retry', 'Show all'] })
}

/** One notification for all that was chosen together, when the last of them has ended. */
async function endedInBatch(item, good) {
  const key = `batch:${item.batch}`
  const tally = (await ext.local.get(key)) ?? { saved: 0, failed: 0 }
  tally[good ? 'saved' : 'failed']++
  await ext.local.set(key, tally)
  const left = (await outbox.all()).some((i) => i.batch === item.batch && i.id !== item.id && !['stuck', 'site'].includes(i.step))
  if (left) return
  await ext.local.remove(key)
  if (!(await worth(tally.failed > 0))) return
  const message = tally.failed ? `${tally.failed} could not be saved; the list says why.` : 'All are in OneDrive.'
  await ext.notify(key, { title: `Saved ${tally.saved} of ${tally.saved + tally.failed}`, message, buttons: ['Show all'] })
}

/** One question for a site, however many of its files wait. @param {string} site host name */
export const askForSite = (site) => ext.notify(`site:${site}`, {
  title: `May Skylift fetch from ${site}?`, sticky: true, buttons: ['Allow…', 'Not now'],
  message: 'OneDrive cannot see this file, but your browser can. It is fetched here, with your own sign-in, and sent on.',
})

/** @param {Item} item */
export async function stuck(item) {
  if (item.batch) return endedInBatch(item, false)
  if (!(await worth(true))) return
  await ext.notify(`stuck:${item.id}`, { title: `Not saved: ${nameOf(item)}`, message: [item.problem?.message, item.problem?.advice].filter(Boolean).join(' '), buttons: ['Retry', 'Remove'] })
}

/** Told once for a key; what was clicked waits. */
export const revoked = () => ext.notify('revoked', {
  title: 'Skylift: connect again', sticky: true, buttons: ['Connect'],
  message: 'The server does not know this browser any more. Nothing is lost: what you saved meanwhile is sent once it is connected again.',
})

export const nothingThere = () => ext.notify('nothing', { title: 'Nothing to save there', message: 'There is no web address in what was clicked.' })
export const undone = (name) => ext.notify('undone', { title: 'Undone', message: `${name} was moved to OneDrive’s recycle bin.` })
export const notUndone = (message) => ext.notify('undone', { title: 'Not undone', message })
export const notConnected = (count) => ext.notify('connect', {
  title: 'Connect Skylift first', message: `${count === 1 ? 'It is' : `All ${count} are`} kept and saved as soon as this browser is connected.`, buttons: ['Connect'],
})
