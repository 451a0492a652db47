/**
 * Follows the transfers that the server works on, by its event stream while the background lives and
 * by asking once each time that it comes back.
 */
import * as api from './server.js'
import * as outbox from './outbox.js'
import { session } from './browser.js'
import { connected, setRevoked } from './settings.js'
import { deleted, final, finished } from './outcome.js'
import { resume } from './save.js'
import { events } from './events.js'
import * as notices from './notices.js'

const silence = 45_000 // ms without a sign of life (one comes each 15 s) after which a stream counts as dead

let following = false
let again = false // asked for while one stream was ending: that one may not have seen the newest item

/** Follows until nothing is under way; at most one stream at a time. */
export function follow() {
  again = following
  if (following) return
  following = true
  watch().finally(() => {
    following = false
    if (again) follow()
  })
}

const underWay = async () => (await outbox.all()).filter((i) => i.step === 'sent')

async function watch() {
  for (let failures = 0; failures < 4; failures++) {
    const server = await connected()
    if (!server || server.revoked || !(await underWay()).length) return
    try {
      await stream(server, () => { failures = 0 })
    } catch (error) {
      if (error.kind === 'revoked') {
        if (await setRevoked(server.key)) await notices.revoked()
        return
      }
    }
    if ((await underWay()).length) await new Promise((r) => setTimeout(r, 500 * 4 ** failures))
  } // the alarm tries again
}

/** One stream from its opening to its end. @param {() => void} alive called for each sign of life */
async function stream(server, alive) {
  const control = new AbortController()
  let timer
  const heard = () => { clearTimeout(timer); timer = setTimeout(() => control.abort(), silence) }
  heard()
  try {
    const last = await session.get('lastEvent')
    const res = await api.send(server, '/events', { signal: control.signal, headers: last ? { 'Last-Event-ID': last } : {} })
    await catchUp(server)
    for await (const event of events(res.body)) {
      heard()
      alive()
      if (event.id) await session.set('lastEvent', event.id)
      if (event.event === 'transfer') await tell(JSON.parse(event.data))
      if (event.event === 'deleted') await deleted(JSON.parse(event.data).id)
      if (!(await underWay()).length) return
    }
  } finally {
    clearTimeout(timer)
    control.abort()
  }
}

/** Asks for what may have ended while nobody listened: the newest in one go, the others one by one. */
export async function catchUp(server) {
  const waiting = await underWay()
  const newest = waiting.length > 1 ? (await api.recent(server, 200)).value : []
  const known = new Map(newest.map((t) => [t.id, t]))
  for (const { transferId } of waiting) {
    try {
      await tell(known.get(transferId) ?? await api.transfer(server, transferId))
    } catch (error) {
      if (error.kind !== 'gone') throw error
      await deleted(transferId)
    }
  }
}

async function tell(transfer) {
  if (final.has(transfer.state) && await finished(transfer)) void resume() // not waited for: the stream is to be read on
}
