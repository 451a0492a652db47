/** The background: sets its listeners at once, so that no event that wakes it is lost, and goes on where it stopped. */
import * as ext from './browser.js'
import * as blobs from './blobs.js'
import * as buttons from './buttons.js'
import * as clicks from './clicks.js'
import * as notices from './notices.js'
import * as outbox from './outbox.js'
import * as save from './save.js'
import { connected } from './settings.js'
import { discard } from './outcome.js'
import { menus } from './targets.js'

ext.keepFromPages().catch(() => {}) // from the first moment on, at each start

ext.listen({
  async installed({ reason }) {
    await ext.setMenus(menus)
    if (reason === 'install' && !(await connected())) await ext.openOptions()
  },
  async started() {
    await blobs.sweep(new Set((await outbox.all()).map((i) => i.id)))
    await save.resume()
  },
  menu: clicks.menu,
  command: clicks.command,
  alarmed: (name) => name === 'resume' && save.resume(),
  notification: buttons.notification,
})

/** What our own pages ask for. Web pages cannot reach this: there are no content scripts and no external connections. */
const answers = {
  save: ({ requests, kind, from, step, folder }) => clicks.saveAll(requests.map((r) => ({ ...r, ...folder })), { kind, from, step }),
  files: ({ files }) => clicks.saveFiles(files),
  chosen,
  again: ({ id }) => buttons.again(id),
  granted: ({ site }) => save.granted(site),
  connected: () => save.newServer(),
  discard: ({ id }) => discard(id),
  retry: ({ id }) => buttons.retry(id),
  undo: ({ id }) => buttons.undo(id),
  pictures: ({ tab }) => clicks.pictures(tab),
  seen: () => notices.seen(),
  resume: () => save.resume({ impatient: true }),
}

/** The folder and more that the person chose for items that wait for that. */
function chosen({ ids, change: { folderId, driveId, name, conflictBehavior } }) {
  const wishes = Object.fromEntries(Object.entries({ folderId, driveId, name, conflictBehavior }).filter(([, v]) => v))
  return save.change(ids, (item) => ({ step: 'queued', request: { ...item.request, ...wishes } }))
}

ext.onMessage(async (message) => answers[message?.do]?.(message))
globalThis.addEventListener?.('online', () => void save.resume({ impatient: true }))
void save.resume()
