import test from 'node:test'
import assert from 'node:assert/strict'
import { World, problem } from './fake.js'

const tab = { id: 7, windowId: 1, title: 'Cats', url: 'https://cats.test/page' }
const click = (more = {}) => ({ menuItemId: 'save-image', mediaType: 'image', srcUrl: 'https://cats.test/cat.jpg', pageUrl: tab.url, frameId: 0, ...more })
const idle = (w) => () => w.items().length === 0 && w.badges.at(-1) !== '1'

test('a click on a picture is saved and said so', async () => {
  const w = new World()
  w.page = async (name) => (name === 'altOf' ? 'a tabby' : undefined)
  const { clicks } = await w.live()
  await clicks.menu(click(), tab)
  await w.until(idle(w))
  const [t] = w.server.saved()
  assert.deepEqual([t.sourceUrl, t.pageUrl, t.pageTitle, t.altText], ['https://cats.test/cat.jpg', tab.url, 'Cats', 'a tabby'])
  assert.equal(w.notifications.get(`saved:${t.id}`).title, 'Saved to OneDrive')
  await w.until(() => w.badges.at(-1) === '✓')
  assert.equal(w.alarms.size, 0)
})

test('the key is kept from scripts in pages, at each start, where the browser can', async () => {
  for (const firefox of [false, true]) {
    const w = Object.assign(new World(), { firefox })
    await w.live()
    assert.deepEqual(w.levels, firefox ? {} : { local: 'TRUSTED_CONTEXTS' })
    w.levels = {}
    const { clicks } = await w.live()
    assert.deepEqual(w.levels, firefox ? {} : { local: 'TRUSTED_CONTEXTS' })
    await clicks.menu(click(), tab)
    await w.until(idle(w))
    assert.equal(w.server.saved().length, 1)
  }
})

test('the background may die before or after each of its deeds: nothing is lost, nothing is twice', async (t) => {
  const ways = {
    'by its address': { info: click(), prepare: () => {} },
    'with bytes after the server was refused': { info: click(), prepare: (w) => {
      w.server.verdict = () => ({ state: 'failed', error: { code: 'sourceUnauthorized', message: 'no' } })
      w.sites.add('https://cats.test/*')
      w.server.sources.set('https://cats.test/cat.jpg', () => new Response('MEOW', { headers: { 'Content-Type': 'image/jpeg' } }))
    } },
    'a picture that exists in the page only': { info: click({ srcUrl: 'blob:https://cats.test/1' }), prepare: (w) => {
      w.page = async (name) => (name === 'readPiece' ? { type: 'image/png', size: 4, base64: btoa('MEOW') } : undefined)
    } },
    'three chosen together': { count: 3, prepare: () => {}, start: (clicks) => clicks.saveAll(['a', 'b', 'c'].map((n) => ({ sourceUrl: `https://cats.test/${n}.jpg` })), { kind: 'image' }) },
  }
  for (const [name, { info, prepare, count = 1, start = (clicks) => clicks.menu(info, tab) }] of Object.entries(ways)) {
    for (const dieAfterDeed of [false, true]) {
      await t.test(`${name}, dying ${dieAfterDeed ? 'after' : 'before'} the deed`, async () => {
        let deaths = 0
        for (let n = 0, more = true; more; n++) {
          const w = new World()
          prepare(w)
          const { clicks } = await w.live()
          await new Promise((r) => setTimeout(r, 5)) // the start's own deeds
          Object.assign(w, { deedsLeft: n, dieAfterDeed })
          const dead = new Promise((r) => { w.onDeath = () => r(true) })
          const done = start(clicks).then(() => w.until(idle(w))).then(() => false)
          more = await Promise.race([dead, done])
          if (!more) break
          deaths++
          const stored = Math.min(count, Math.max(w.items().length, w.server.transfers.size))
          w.deedsLeft = Infinity
          const { save } = await w.live() // as an alarm does
          await save.resume({ impatient: true })
          await w.until(idle(w), `the end after death ${n}`)
          // A death before the click was even stored loses only what the person sees did not start.
          const want = count === 1 ? Number(stored || dieAfterDeed) : dieAfterDeed && stored < count ? [stored, stored + 1] : stored
          assert.ok([want].flat().includes(w.server.saved().length), `saved ${w.server.saved().length} after death ${n}, want ${want}`)
          for (const text of await w.server.texts()) assert.equal(text, 'MEOW')
          assert.equal(w.blobs.size, 0, `bytes left behind after death ${n}`)
        }
        assert.ok(deaths > 8, `only ${deaths} places to die were tried`)
      })
    }
  }
})

test('what is clicked while the server is away is kept and sent later, and one bad entry blocks nothing', async () => {
  const w = new World()
  w.server.down = true
  w.server.refuse = (method, path, body) => (body?.sourceUrl?.includes('bad') ? problem(400, 'invalidRequest') : undefined)
  const { clicks, save } = await w.live()
  for (const name of ['a', 'bad', 'c']) await clicks.menu(click({ srcUrl: `https://cats.test/${name}.jpg` }), tab)
  assert.equal(w.items().length, 3)
  assert.equal(w.badges.at(-1), '3')
  assert.deepEqual([...w.alarms], ['resume'])
  w.server.down = false
  await save.resume({ impatient: true })
  await w.until(() => w.items().length === 1)
  assert.deepEqual(w.server.saved().map((t) => t.sourceUrl).sort(), ['https://cats.test/a.jpg', 'https://cats.test/c.jpg'])
  assert.equal(w.items()[0].step, 'stuck')
  assert.ok(w.notifications.has(`stuck:${w.items()[0].id}`))
  await w.until(() => w.badges.at(-1) === '!')
})

test('a revoked key is told once, and nothing is lost', async () => {
  const w = new World()
  const { clicks, save } = await w.live()
  w.server.key = 'another'
  let told = 0
  const notes = w.notifications.set.bind(w.notifications)
  w.notifications.set = (id, n) => { if (id === 'revoked') told++; return notes(id, n) }
  for (const name of ['a', 'b', 'c']) await clicks.menu(click({ srcUrl: `https://cats.test/${name}.jpg` }), tab)
  assert.equal(told, 1)
  assert.equal(w.items().length, 3)
  w.storage.local.server = { ...w.storage.local.server, key: 'another', revoked: undefined }
  await save.resume({ impatient: true })
  await w.until(idle(w))
  assert.equal(w.server.saved().length, 3)
})

test('a browser that is not connected keeps what is clicked and shows the way', async () => {
  const w = new World()
  const server = w.storage.local.server
  delete w.storage.local.server
  const { clicks, save } = await w.live()
  await clicks.menu(click(), tab)
  assert.deepEqual(w.windows, ['options'])
  assert.equal(w.items().length, 1)
  w.storage.local.server = server
  await save.newServer()
  await w.until(idle(w))
  assert.equal(w.server.saved().length, 1)
})

test('a site is asked for once, and all that waits for it goes on', async () => {
  const w = new World()
  w.server.verdict = () => ({ state: 'failed', error: { code: 'sourceUnauthorized', message: 'no' } })
  const { clicks, save } = await w.live()
  for (const name of ['a', 'b']) {
    w.server.sources.set(`https://img.cats.test/${name}.jpg`, (init) => new Response(init.credentials === 'include' ? name : 'no', { headers: { 'Content-Type': 'image/jpeg' } }))
    await clicks.menu(click({ srcUrl: `https://img.cats.test/${name}.jpg` }), tab)
  }
  await w.until(() => w.items().every((i) => i.step === 'site'))
  assert.deepEqual([...w.notifications.keys()], ['site:img.cats.test'])
  w.sites.add('https://img.cats.test/*')
  await save.granted('img.cats.test')
  await w.until(idle(w))
  assert.deepEqual((await w.server.texts()).sort(), ['a', 'b'])
  assert.equal(w.server.transfers.size, 2, 'the transfers that failed by address are taken off the list')
})

test('a login page is not saved as a picture', async () => {
  const w = new World()
  w.server.verdict = () => ({ state: 'failed', error: { code: 'sourceUnauthorized', message: 'no' } })
  w.sites.add('https://cats.test/*')
  w.server.sources.set('https://cats.test/cat.jpg', () => new Response('<h1>Sign in', { headers: { 'Content-Type': 'text/html; charset=utf-8' } }))
  const { clicks } = await w.live()
  await clicks.menu(click(), tab)
  await w.until(() => w.items()[0]?.step === 'stuck')
  assert.equal(w.items()[0].problem.code, 'sourceNotAFile')
  assert.equal(w.server.contents.size, 0)
})

test('a failure of the server is told with a retry that works', async () => {
  const w = new World()
  w.server.verdict = () => ({ state: 'failed', error: { code: 'quotaLimitReached', message: 'OneDrive is full.', advice: 'Make room.' } })
  const { clicks, buttons } = await w.live()
  await clicks.menu(click(), tab)
  await w.until(idle(w))
  const [id, note] = [...w.notifications][0]
  assert.match(note.message, /OneDrive is full. Make room./)
  w.server.verdict = () => ({ state: 'completed' })
  await buttons.notification(id, 0)
  await w.until(() => w.notifications.has(id.replace('failed', 'saved')))
})

test('many pictures chosen together are told together', async () => {
  const w = new World()
  w.server.verdict = (t) => (t.sourceUrl.endsWith('3.jpg') ? { state: 'failed', error: { code: 'sourceTooLarge', message: 'no' } } : { state: 'completed' })
  const { clicks } = await w.live()
  await clicks.saveAll(Array.from({ length: 12 }, (_, i) => ({ sourceUrl: `https://cats.test/${i}.jpg` })), { kind: 'image' })
  await w.until(idle(w))
  assert.equal(w.server.saved().length, 11)
  assert.deepEqual([...w.notifications.values()].map((n) => n.title), ['Saved 11 of 12'])
})

test('a transfer that is deleted elsewhere is not waited for', async () => {
  const w = new World()
  w.server.verdict = () => undefined
  const { clicks } = await w.live()
  await clicks.menu(click(), tab)
  await w.until(() => w.server.streams.size === 1 && w.items()[0]?.step === 'sent')
  const [id] = w.server.transfers.keys()
  for (const s of w.server.streams) s.enqueue(new TextEncoder().encode(`event: deleted\ndata: {"id":"${id}"}\n\n`))
  await w.until(() => w.items().length === 0)
})

test('messages of anybody but our own pages are not heard', async () => {
  const w = new World()
  await w.live()
  const save = { do: 'save', requests: [{ sourceUrl: 'https://evil.test/x' }], kind: 'image' }
  for (const sender of [{}, { id: 'self' }, { id: 'self', url: 'https://evil.test/' }, { id: 'other', url: 'chrome-extension://other/' }, { id: 'self', url: 'https://evil.test/chrome-extension://self/' }]) {
    assert.equal(w.listeners.message(save, sender, () => {}), false)
  }
  await new Promise((r) => setTimeout(r, 20))
  assert.equal(w.items().length + w.server.requests.length, 0)
})

test('a transfer that ends before the answer arrives is not waited for in vain', async () => {
  const w = new World()
  const { clicks } = await w.live()
  w.server.verdict = () => undefined
  await clicks.menu(click({ srcUrl: 'https://cats.test/slow.jpg' }), tab) // keeps the stream open
  await w.until(() => w.server.streams.size === 1)
  Object.assign(w.server, { hasty: true, verdict: () => ({ state: 'completed' }) })
  await clicks.menu(click(), tab)
  await w.until(() => w.items().length === 1)
  w.page = async (name) => (name === 'readPiece' ? { type: 'image/png', size: 4, base64: btoa('MEOW') } : undefined)
  await clicks.menu(click({ srcUrl: 'blob:https://cats.test/1' }), tab)
  await w.until(() => w.items().length === 1)
  assert.equal(w.server.saved().length, 2)
})

test('a transfer that fails before the answer arrives is sent with the browser’s bytes at once', async () => {
  const w = new World()
  Object.assign(w.server, { hasty: true, verdict: () => ({ state: 'failed', error: { code: 'sourceUnauthorized', message: 'no' } }) })
  w.sites.add('https://cats.test/*')
  w.server.sources.set('https://cats.test/cat.jpg', () => new Response('MEOW', { headers: { 'Content-Type': 'image/jpeg' } }))
  const { clicks } = await w.live()
  await clicks.menu(click(), tab)
  await w.until(idle(w))
  assert.deepEqual(await w.server.texts(), ['MEOW'])
})

test('a server that goes away after it took a save is not asked again and again', async () => {
  const w = new World()
  let asked = 0
  w.server.verdict = () => undefined
  w.server.refuse = (method, path) => (method === 'GET' && path.startsWith('/transfers/') && ++asked < 200 ? problem(503, 'serviceNotAvailable') : undefined)
  const { clicks } = await w.live()
  await clicks.menu(click(), tab)
  assert.ok(asked < 5, `asked ${asked} times`)
  w.server.refuse = () => undefined
  for (const t of w.server.transfers.values()) w.server.end(t, { state: 'completed' })
  await w.until(idle(w))
})
