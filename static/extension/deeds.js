/** The small deeds that carry an item to the server. Each ends with the item stored in its next state. */
import * as api from './server.js'
import * as blobs from './blobs.js'
import * as outbox from './outbox.js'
import { bytesOf, empty } from './bytes.js'
import { failed, final, settle } from './outcome.js'
import { inTurn } from './turns.js'

/** @typedef {import('./types.js').Item} Item */
/** @typedef {import('./types.js').Server} Server */

const fresh = { attempts: 0, due: undefined, problem: undefined }

/** @type {Record<string, (server: Server, item: Item) => Promise<any>>} by what outbox.next says */
export const deeds = {
  async fetch(server, item) {
    const { type, chunks } = await bytesOf(item)
    const size = await blobs.keep(item.id, chunks, () => outbox.wanted(item.id))
    if (!size) throw empty()
    await outbox.update({ ...item, kept: { size, type } })
  },
  async create(server, item) {
    const request = item.bytes ? withBytes(item) : item.request
    const transfer = await api.create(server, request, item.bytes ? `${item.id}-bytes-${item.failedIds?.length ?? 0}` : item.id)
    await outbox.update({ ...item, ...fresh, transferId: transfer.id, step: item.bytes ? 'queued' : 'sent' })
  },
  /** Piece by piece from where the server says that it is: what it has is not sent again. */
  async upload(server, item) {
    let transfer = await api.transfer(server, item.transferId)
    for (let sent = -1; transfer.reason === 'clientBytes' || transfer.state === 'notStarted';) {
      const from = transfer.bytesTransferred ?? 0
      if (from <= sent) throw new api.ServerError('busy', { code: 'noProgress', message: 'OneDrive did not take the bytes.' })
      const piece = await blobs.from(item.id, from)
      if (!piece) return outbox.update({ ...item, kept: undefined, transferId: undefined }) // fetched anew
      sent = from
      transfer = await api.putContent(server, item.transferId, piece, { from, ...item.kept })
      if (!(await outbox.wanted(item.id))) return
    }
    await outbox.update({ ...item, ...fresh, step: 'sent' })
  },
  /** Asked once after it was sent: it may have ended before we began to wait for its event. */
  async follow(server, item) {
    const transfer = await api.transfer(server, item.transferId)
    if (final.has(transfer.state)) await settle(item, transfer)
  },
}

const onTheWeb = (address) => /^https?:/.test(address)

/** @param {Item} item @returns {import('./types.js').Request} */
function withBytes({ request, kept }) {
  const web = onTheWeb(request.sourceUrl)
  const name = request.name || (!web && (request.altText || request.pageTitle)?.slice(0, 100)) || undefined
  return { ...request, name, sourceUrl: web ? request.sourceUrl : undefined, route: 'upload', size: kept.size, contentType: kept.type || undefined }
}

const lines = 100 // of one request

/**
 * Sends the items that were chosen together by one request, as far as the server fetches them.
 * @param {Server} server @param {Item[]} items
 * @returns {Promise<boolean>} whether there were any
 */
export async function createTogether(server, items) {
  const ready = (item) => outbox.next(item, Date.now()) === 'create' && !item.bytes
  const together = items.filter((i) => i.batch && onTheWeb(i.request.sourceUrl) && ready(i))
  const any = together.length > 1
  while (together.length > 1) {
    const part = together.splice(0, lines)
    const answers = await api.createAll(server, part.map((i) => ({ request: i.request, key: i.id })))
      .catch((error) => part.map(() => error))
    await Promise.all(part.map(({ id }, n) => inTurn(id, async () => {
      const item = await outbox.get(id)
      const answer = answers[n]
      if (!item || !ready(item)) return
      if (answer instanceof Error) await failed(server, item, answer)
      else await outbox.update({ ...item, ...fresh, transferId: answer.id, step: 'sent' })
    })))
  }
  return any
}
