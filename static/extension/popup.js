/** The popup: what is under way, live, and the ways to save more. */
import * as api from './server.js'
import * as ext from './browser.js'
import * as outbox from './outbox.js'
import { connected, defaultFolder } from './settings.js'
import { el, find, notice } from './ui.js'
import { events } from './events.js'
import { itemRow, transferRow } from './rows.js'
import { placeOf } from './notices.js'
import { sitePattern } from './address.js'

/** @type {Map<string, import('./types.js').Transfer>} the server's newest transfers */
const transfers = new Map()
let server
let trouble // why the list cannot be had
let chosen // the folder for silent saves, if this browser has one of its own

async function draw() {
  const all = await outbox.all()
  const items = all.filter((i) => i.step !== 'sent')
  const replaced = new Set(all.flatMap((i) => i.failedIds ?? [])) // the browser is doing better at these
  const newest = [...transfers.values()].filter((t) => !replaced.has(t.id)).sort((a, b) => (a.createdDateTime < b.createdDateTime ? 1 : -1)).slice(0, 20)
  const rows = [...items.reverse().map((i) => itemRow(i, actOnItem)), ...newest.map((t) => transferRow(t, actOnTransfer))]
  keepFocus(() => find('rows').replaceChildren(...rows.length ? rows : [empty()]))
  find('recent').hidden = !server && !items.length
  find('notices').replaceChildren(...notices(items))
}

/** Redraws without taking the focus from a button that is still there. */
function keepFocus(change) {
  const active = /** @type {HTMLElement|null} */ (document.activeElement)
  const row = active?.closest('.row')?.id
  const button = active?.dataset.testid
  change()
  if (row && button) /** @type {HTMLElement|null} */ (document.getElementById(row)?.querySelector(`[data-testid="${button}"]`))?.focus()
}

const empty = () => el('li', { class: 'empty quiet' }, 'Nothing saved yet. Right-click a picture, a link or a video on any page.')

function notices(items) {
  const button = (text, id, onclick) => el('p', {}, el('button', { type: 'button', class: 'primary', 'data-testid': id, onclick }, text))
  if (!server) return [notice('', 'Connect this browser to your Skylift server.', items.length ? `${items.length} waiting: saved as soon as you are connected.` : 'It takes one click on the next page.', button('Connect', 'connect', ext.openOptions))]
  if (server.revoked) return [notice('bad', 'The server does not know this browser any more.', 'Nothing is lost: what waits is sent once it is connected again.', button('Connect again', 'connect', ext.openOptions))]
  if (trouble) return [notice('bad', trouble.message, 'What you save is kept and sent later.', button('Try now', 'try', () => { trouble = undefined; void ext.tell({ do: 'resume' }); void load() }))]
  return []
}

async function actOnItem(deed, item) {
  if (deed === 'choose') return ext.openWindow(`choose.html?items=${item.id}`, 460, 620)
  if (deed === 'allow') return ext.openWindow(`grant.html?site=${encodeURIComponent(new URL(sitePattern(item.request.sourceUrl).slice(0, -1)).hostname)}`, 460, 380)
  await ext.tell({ do: deed, id: item.id })
}

async function actOnTransfer(deed, transfer) {
  if (deed === 'open') return ext.openTab(transfer.item.webUrl)
  try {
    if (deed === 'retry') await ext.tell({ do: 'retry', id: transfer.id })
    if (deed === 'cancel') await api.cancel(server, transfer.id)
    if (deed === 'undo') await api.undo(server, transfer.id)
    if (deed === 'remove' || deed === 'undo') await api.forget(server, transfer.id).catch(() => {})
    if (deed === 'remove' || deed === 'undo') transfers.delete(transfer.id)
    find('announce').textContent = { retry: 'Trying again', cancel: 'Cancelled', undo: `${transfer.name} was moved to the recycle bin`, remove: 'Taken off the list' }[deed]
  } catch (error) {
    find('announce').textContent = error.message
  }
  await draw()
}

async function load() {
  try {
    const [me, list] = await Promise.all([api.me(server), api.recent(server)])
    find('account').textContent = me.displayName ?? ''
    if (!chosen && me.folder) find('folder').textContent = placeOf(me.folder) + (me.rules ? ', or by your rules' : '')
    for (const t of list.value) transfers.set(t.id, t)
    await draw()
    await live()
  } catch (error) {
    if (error.kind === 'revoked') server.revoked = true
    else trouble = error
    await draw()
  }
}

async function live() {
  const res = await api.send(server, '/events', { signal: new AbortController().signal })
  for await (const event of events(res.body)) {
    if (!event.data) continue
    const data = JSON.parse(event.data)
    if (event.event === 'deleted') transfers.delete(data.id)
    else if (event.event === 'transfer') announce(data)
    await draw()
  }
  throw new api.ServerError('offline', { code: 'offline', message: 'The connection to the server ended.' })
}

function announce(transfer) {
  const before = transfers.get(transfer.id)
  transfers.set(transfer.id, transfer)
  if (before?.state !== transfer.state && transfer.state === 'completed') find('announce').textContent = `${transfer.name} saved`
}

async function start() {
  server = await connected()
  chosen = await defaultFolder()
  find('folder').textContent = chosen ? placeOf(chosen) : 'your usual folder'
  for (const id of ['actions', 'folder-line', 'server-line']) find(id).hidden = !server
  if (server) find('server').href = server.address
  find('settings').onclick = () => ext.openOptions()
  find('pictures').onclick = async () => { await ext.tell({ do: 'pictures', tab: await ext.activeTab() }); close() }
  find('change-folder').onclick = () => ext.openWindow('choose.html?default', 460, 560)
  const tab = await ext.activeTab()
  find('panel').onclick = () => { ext.openPanel(tab?.windowId).then(() => close(), () => {}) } // at once: the gesture must not end
  ext.local.onChange(() => void draw())
  await draw()
  await ext.tell({ do: 'seen' })
  if (server && !server.revoked) await load()
}
void start()
