/** The background: sets its listeners at once, so that no event that wakes it is lost, and goes on where it stopped. */
import * as ext from './browser.js'
import * as clicks from './clicks.js'
import * as notices from './notices.js'
import * as outbox from './outbox.js'
import * as save from './save.js'
import { menus } from './targets.js'
import { connected } from './settings.js'

ext.listen({
  async installed({ reason }) {
    await ext.setMenus(menus)
    if (reason === 'install' && !(await connected())) await ext.openOptions()
  },
  started: () => save.resume(),
  menu: clicks.menu,
  command: clicks.command,
  alarmed: (name) => name === 'resume' && save.resume(),
  notification: clicks.notification,
})

/** What our own pages ask for. Web pages cannot reach this: there are no content scripts and no external connections. */
const answers = {
  save: ({ requests, kind, from, step, folder }) => clicks.saveAll(requests.map((r) => ({ ...r, ...folder })), { kind, from, step }),
  chosen: async ({ ids, change }) => { for (const id of ids) await chosen(id, change) },
  again: ({ id }) => clicks.again(id),
  granted: ({ site }) => save.granted(site),
  connected: () => save.newServer(),
  discard: ({ id }) => save.discard(id),
  retry: ({ id }) => clicks.retry(id),
  undo: ({ id }) => clicks.undo(id),
  pictures: ({ tab }) => clicks.pictures(tab),
  seen: () => notices.seen(),
  resume: () => save.resume({ impatient: true }),
}

async function chosen(id, { folderId, driveId, name, conflictBehavior }) {
  const item = await outbox.get(id)
  if (!item) return
  const wishes = Object.fromEntries(Object.entries({ folderId, driveId, name, conflictBehavior }).filter(([, v]) => v))
  await save.change(id, { step: 'queued', request: { ...item.request, ...wishes } })
}

ext.onMessage(async (message) => answers[message?.do]?.(message))
globalThis.addEventListener?.('online', () => void save.resume({ impatient: true }))
void save.resume()
