import test from 'node:test'
import assert from 'node:assert/strict'
import { World } from './fake.js'

const tab = { id: 7, windowId: 1, title: 'Cats', url: 'https://cats.test/page' }
const click = (more = {}) => ({ menuItemId: 'save-media', mediaType: 'video', srcUrl: 'https://cats.test/long.mp4', pageUrl: tab.url, frameId: 0, ...more })
const idle = (w) => () => w.items().length === 0
const MiB = 1 << 20
const puts = (w) => w.server.requests.filter((r) => r.method === 'PUT').map((r) => r.headers.get('Content-Range'))

/** A video that only the browser can see: 25 MiB, each byte telling its place, in chunks of a site. */
const video = Uint8Array.from({ length: 25 * MiB }, (_, i) => (i >> 12) % 251)
function behindLogin(w, chunks = () => Array.from({ length: 50 }, (_, i) => video.slice(i * MiB / 2, (i + 1) * MiB / 2))) {
  w.server.verdict = () => ({ state: 'failed', error: { code: 'sourceUnauthorized', message: 'no' } })
  w.sites.add('https://cats.test/*')
  w.server.sources.set('https://cats.test/long.mp4', () => new Response(ReadableStream.from(chunks()), { headers: { 'Content-Type': 'video/mp4' } }))
}
async function arrived(w) {
  const [pieces] = [...w.server.contents.values()].slice(-1)
  assert.deepEqual(Buffer.compare(Buffer.from(await new Blob(pieces).arrayBuffer()), Buffer.from(video)), 0, 'what arrived is not what was sent')
}

test('a long file goes by pieces', async () => {
  const w = new World()
  behindLogin(w)
  const { clicks } = await w.live()
  await clicks.menu(click(), tab)
  await w.until(idle(w))
  assert.deepEqual(puts(w), ['bytes 0-10485759/26214400', 'bytes 10485760-20971519/26214400', 'bytes 20971520-26214399/26214400'])
  await arrived(w)
  assert.equal(w.blobs.size, 0)
})

test('pieces that have arrived are not sent again after the background died', async () => {
  const w = new World()
  behindLogin(w)
  const { clicks } = await w.live()
  w.server.refuse = (method) => { // dies while the second piece is under way
    if (method === 'PUT' && puts(w).length === 2) w.died = true
  }
  void clicks.menu(click(), tab)
  await w.until(() => w.died)
  w.server.refuse = () => undefined
  const { save } = await w.live()
  await save.resume({ impatient: true })
  await w.until(idle(w))
  assert.deepEqual(puts(w), ['bytes 0-10485759/26214400', 'bytes 10485760-20971519/26214400', 'bytes 20971520-26214399/26214400'])
  await arrived(w)
})

test('a server that kept half a piece gets the other half', async () => {
  const w = new World()
  behindLogin(w)
  const { clicks } = await w.live()
  let once = true
  w.server.refuse = (method, path, body) => {
    if (method !== 'PUT' || !w.server.contents.size || !once) return undefined
    once = false
    const [[id, pieces]] = w.server.contents
    pieces.push(body.slice(0, 1234)) // then the line broke
    w.server.transfers.get(id).bytesTransferred = 10 * MiB + 1234
    throw new TypeError('Failed to fetch')
  }
  await clicks.menu(click(), tab)
  await w.until(() => w.items()[0]?.attempts === 1)
  await (await w.live()).save.resume({ impatient: true })
  await w.until(idle(w))
  assert.equal(puts(w)[2], 'bytes 10486994-20971519/26214400')
  await arrived(w)
})

test('a long file inside a page comes out piece by piece', async () => {
  const w = new World()
  const asked = []
  w.page = async (name, address, from, length) => {
    if (name !== 'readPiece') return undefined
    asked.push([address, from])
    return { type: 'video/mp4', size: video.length, base64: Buffer.from(video.slice(from, from + length)).toString('base64') }
  }
  const { clicks } = await w.live()
  await clicks.menu(click({ srcUrl: 'blob:https://cats.test/1' }), tab)
  await w.until(idle(w))
  assert.deepEqual(asked, [0, 10 * MiB, 20 * MiB].map((at) => ['blob:https://cats.test/1', at]))
  await arrived(w)
})

test('what a page says is no reason to read for ever', async () => {
  const w = new World()
  w.page = async (name, address, from) => (name === 'readPiece' ? { type: 'video/mp4', size: 1e15, base64: from ? '' : 'AAAA' } : undefined)
  const { clicks } = await w.live()
  await clicks.menu(click({ srcUrl: 'blob:https://cats.test/1' }), tab)
  await w.until(() => w.items()[0]?.step === 'stuck')
})

test('a site that breaks off in the middle is said so, and tried again on demand', async () => {
  const w = new World()
  behindLogin(w, function* () { yield video.slice(0, 11 * MiB); throw new TypeError('network error') })
  const { clicks, buttons } = await w.live()
  await clicks.menu(click(), tab)
  await w.until(() => w.items()[0]?.step === 'stuck')
  assert.equal(w.items()[0].problem.code, 'sourceUnavailable')
  behindLogin(w)
  await buttons.again(w.items()[0].id)
  await w.until(idle(w))
  await arrived(w)
})

test('what is taken off the list is fetched no further and leaves nothing behind', async () => {
  const w = new World()
  let given = 0
  let away
  behindLogin(w, function* () {
    for (; given < 60; given++) {
      if (given === 12) away = buttons.notification(`stuck:${w.items()[0].id}`, 1)
      yield video.slice(0, MiB)
    }
  })
  const { clicks, buttons } = await w.live()
  await clicks.menu(click(), tab)
  await w.until(() => away && w.items().length === 0)
  await away
  assert.ok(given < 25, `${given} MiB were fetched for nobody`)
  assert.deepEqual([w.items().length, w.blobs.size, puts(w).length, w.server.transfers.size], [0, 0, 0, 0])
})

test('a file that the server could not save is sent as a new transfer when it is tried again', async () => {
  const w = new World()
  w.page = async (name) => (name === 'readPiece' ? { type: 'image/png', size: 4, base64: btoa('MEOW') } : undefined)
  w.server.uploadVerdict = () => ({ state: 'failed', error: { code: 'quotaLimitReached', message: 'OneDrive is full.' } })
  const { clicks, buttons } = await w.live()
  await clicks.menu(click({ srcUrl: 'blob:https://cats.test/1' }), tab)
  await w.until(() => w.items()[0]?.step === 'stuck')
  w.server.uploadVerdict = () => ({ state: 'completed' })
  await buttons.again(w.items()[0].id)
  await w.until(idle(w))
  assert.equal(w.server.saved().length, 1)
  assert.equal(w.server.transfers.size, 1, 'the failed one is taken off the list')
})

test('dropped files are sent from where the panel kept them', async () => {
  const w = new World()
  const { clicks, blobs } = await w.live()
  const size = await blobs.keep('f1', [new Blob([video])])
  assert.equal(w.blobs.size, 3)
  await clicks.saveFiles([{ id: 'f1', name: 'cats.mp4', size, type: 'video/mp4' }])
  await w.until(idle(w))
  const [saved] = w.server.saved()
  assert.deepEqual([saved.name, saved.size, saved.route, saved.sourceUrl], ['cats.mp4', 25 * MiB, 'upload', undefined])
  await arrived(w)
})

test('a long data: address is kept as a file and not in storage', async () => {
  const w = new World()
  const { clicks } = await w.live()
  w.server.down = true
  await clicks.menu(click({ menuItemId: 'save-image', mediaType: 'image', srcUrl: `data:image/png;base64,${Buffer.from(video.slice(0, 2 * MiB)).toString('base64')}` }), tab)
  assert.ok(JSON.stringify(w.storage).length < 5000)
  w.server.down = false
  await (await w.live()).save.resume({ impatient: true })
  await w.until(idle(w))
  assert.deepEqual(w.server.saved().map((t) => [t.size, t.contentType]), [[2 * MiB, 'image/png']])
})

test('bytes that no item waits with are swept away when the browser starts', async () => {
  const w = new World()
  const { blobs } = await w.live()
  await blobs.keep('orphan', [new Blob(['x'])])
  await w.live()
  await w.listeners.started()
  assert.equal(w.blobs.size, 0)
})

test('pictures chosen together go in one request for each hundred', async () => {
  const w = new World()
  const { clicks } = await w.live()
  w.server.refuse = (method, path, body) => (body?.sourceUrl?.endsWith('/7.jpg') ? new Response('', { status: 400 }) : undefined)
  await clicks.saveAll(Array.from({ length: 250 }, (_, i) => ({ sourceUrl: `https://cats.test/${i}.jpg` })), { kind: 'image' })
  await w.until(() => w.items().length === 1)
  assert.equal(w.items()[0].step, 'stuck')
  assert.equal(w.server.saved().length, 249)
  assert.ok(w.server.requests.length < 15, `${w.server.requests.length} requests: ${w.server.requests.map((r) => r.method + r.path)}`)
})
