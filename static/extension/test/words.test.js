import test from 'node:test'
import assert from 'node:assert/strict'
import { addressesIn, dropped, menus, requestFor, targetsOf } from '../targets.js'
import { parseAddress, reasons, sitePattern } from '../address.js'
import { parseHeaders } from '../settings.js'
import { events } from '../events.js'
import { itemsFor, next, pause } from '../outbox.js'
import { saysOf } from '../rows.js'

test('addresses of servers are made whole or refused with a reason', () => {
  const good = {
    'skylift.example.org': 'https://skylift.example.org', ' https://skylift.example.org/ ': 'https://skylift.example.org',
    'HTTPS://Skylift.Example.org:8443/settings?x#y': 'https://skylift.example.org:8443', 'localhost:8080': 'http://localhost:8080',
    '127.0.0.1:9/': 'http://127.0.0.1:9', 'http://[::1]:8080': 'http://[::1]:8080', 'https://10.0.0.5': 'https://10.0.0.5', 'bücher.example': 'https://xn--bcher-kva.example',
  }
  for (const [typed, address] of Object.entries(good)) assert.deepEqual(parseAddress(typed), { address }, typed)
  const bad = {
    '': 'empty', '   ': 'empty', 'ftp://skylift.example.org': 'malformed', 'javascript://x': 'malformed', 'https://': 'malformed', 'a b': 'malformed', 'https://me:secret@skylift.example.org': 'userinfo',
  }
  for (const [typed, reason] of Object.entries(bad)) {
    assert.deepEqual(parseAddress(typed), { reason }, typed)
    assert.ok(reasons[reason].length > 20)
  }
  const insecure = { 'http://skylift.example.org/x': 'https://skylift.example.org', 'http://192.168.1.5:8080': 'https://192.168.1.5:8080', 'http://localhost.evil.org': 'https://localhost.evil.org' }
  for (const [typed, instead] of Object.entries(insecure)) assert.deepEqual(parseAddress(typed), { reason: 'insecure', instead }, typed)
})

test('a site’s pattern has no port, since Firefox would match nothing', () => {
  assert.equal(sitePattern('http://localhost:8080'), 'http://localhost/*')
  assert.equal(sitePattern('https://a.example:8443/x.jpg?y'), 'https://a.example/*')
})

test('extra headers are read, and those that would break things are refused', () => {
  assert.deepEqual(parseHeaders('X-Token: a b \n\nCF-Access-Client-Id:1'), { headers: [{ name: 'X-Token', value: 'a b' }, { name: 'CF-Access-Client-Id', value: '1' }], wrong: [] })
  for (const line of ['Authorization: Basic x', 'cookie: a=b', 'no colon', 'Bad Name: x', 'X: é', 'Sec-Fetch-Site: none', 'Host: x']) {
    assert.equal(parseHeaders(line).headers.length, 0, line)
    assert.equal(parseHeaders(line).wrong.length, 1, line)
  }
})

test('addresses are found in a selected text', () => {
  const cases = {
    'see https://a.example/x.jpg.': ['https://a.example/x.jpg'], '(https://a.example/x)': ['https://a.example/x'], 'www.a.example/y, and https://b.example/?q=1!': ['https://www.a.example/y', 'https://b.example/?q=1'],
    'https://en.example/wiki/Cat_(animal)': ['https://en.example/wiki/Cat_(animal)'], 'https://a.example/x https://a.example/x': ['https://a.example/x'], 'nothing here': [], 'javascript:alert(1)': [],
  }
  for (const [text, want] of Object.entries(cases)) assert.deepEqual(addressesIn(text), want, text)
})

test('a click is about the thing that was clicked', () => {
  const all = { srcUrl: 'https://a.example/i.jpg', mediaType: 'image', linkUrl: 'https://a.example/l', selectionText: 'https://a.example/s', pageUrl: 'https://a.example/p' }
  const want = { 'save-image': ['image', 'i.jpg'], 'save-media': ['media', 'i.jpg'], 'save-link': ['link', 'l'], 'save-selection': ['selection', 's'], 'save-page': ['page', 'p'], choose: ['image', 'i.jpg'] }
  for (const [menuItemId, [kind, path]] of Object.entries(want)) assert.deepEqual(targetsOf({ ...all, menuItemId }), { kind, addresses: [`https://a.example/${path}`] })
  for (const srcUrl of ['javascript:alert(1)', 'file:///etc/passwd', 'chrome://settings', undefined, '']) assert.deepEqual(targetsOf({ menuItemId: 'save-image', srcUrl }).addresses, [])
  for (const menu of menus.filter((m) => m.id !== 'pictures')) assert.ok(want[menu.id], menu.id)
})

test('a cancelled row says what is left in OneDrive', () => {
  const says = (leftover) => saysOf(/** @type {any} */ ({ state: 'cancelled', leftover }))
  assert.equal(says(null), 'Cancelled')
  assert.match(says('mayArrive'), /^Cancelled\. .*may still finish/)
  assert.match(says('recycled'), /recycle bin/)
  assert.match(says('kept'), /the file is there/)
})

test('a request carries where it was found, and only web pages count', () => {
  assert.deepEqual(requestFor('https://a/', { pageUrl: 'https://p/', pageTitle: 'T', altText: '' }), { sourceUrl: 'https://a/', pageUrl: 'https://p/', pageTitle: 'T' })
  assert.deepEqual(requestFor('https://a/', { pageUrl: 'file:///home/me/x.html' }), { sourceUrl: 'https://a/' })
})

test('a dropped picture inside a link is the picture, not the link; bytes come last', () => {
  const pictures = (html) => [...html.matchAll(/src="([^"]+)"/g)].map((m) => m[1])
  const file = new File(['x'], 'a.png')
  const drop = (d) => dropped({ html: '', uriList: '', text: '', files: [], ...d }, pictures)
  assert.deepEqual(drop({ html: '<a href="https://l/"><img src="https://i/x.png"></a>', uriList: 'https://l/', files: [file] }).addresses, ['https://i/x.png'])
  assert.deepEqual(drop({ uriList: '# note\r\nhttps://l/\r\n' }).addresses, ['https://l/'])
  assert.deepEqual(drop({ text: 'look: https://l/.' }).addresses, ['https://l/'])
  assert.deepEqual(drop({ html: '<img src="blob:https://i/1">', files: [file] }), { addresses: [], files: [file] })
  assert.deepEqual(drop({ html: '<img src="javascript:1">' }), { addresses: [], files: [] })
})

test('events are read however the stream is cut', async () => {
  const text = ': hello\n\nid: 7\nevent: transfer\ndata: {"a":\ndata: 1}\n\r\nevent: deleted\r\ndata: ü\r\n\r\n'.replace('\n\r\n', '\n\n')
  const bytes = new TextEncoder().encode(text)
  for (let size = 1; size <= bytes.length; size++) {
    const body = new ReadableStream({ start(c) {
      for (let i = 0; i < bytes.length; i += size) c.enqueue(bytes.slice(i, i + size))
      c.close()
    } })
    const got = []
    for await (const e of events(body)) if (e.data) got.push(e)
    assert.deepEqual(got, [{ event: 'transfer', data: '{"a":\n1}', id: '7' }, { event: 'deleted', data: 'ü', id: '7' }], `pieces of ${size}`)
  }
})

test('what is next for an item depends on nothing but the item and the time', () => {
  const table = [
    [{ step: 'choosing' }, 'wait'], [{ step: 'site' }, 'wait'], [{ step: 'stuck' }, 'wait'], [{ step: 'sent', transferId: 't' }, 'follow'],
    [{ step: 'queued' }, 'create'], [{ step: 'queued', due: 11 }, 'wait'], [{ step: 'queued', due: 10 }, 'create'],
    [{ step: 'queued', bytes: true }, 'fetch'], [{ step: 'queued', bytes: true, kept: true }, 'create'], [{ step: 'queued', bytes: true, kept: true, transferId: 't' }, 'upload'],
  ]
  for (const [item, want] of table) assert.equal(next(item, 10), want, JSON.stringify(item))
})

test('attempts grow apart, but not beyond ten minutes, and the server’s wish counts', () => {
  assert.deepEqual([0, 1, 4, 50].map((n) => pause(n)), [5_000, 10_000, 80_000, 600_000])
  assert.equal(pause(1, 3_600_000), 3_600_000)
})

test('only what no server can fetch starts with its bytes', () => {
  const bytes = (sourceUrl) => itemsFor([{ sourceUrl }])[0].bytes ?? false
  assert.deepEqual(['https://a/', 'blob:https://a/1', 'data:image/png;base64,AA', `data:image/png;base64,${'A'.repeat(500_000)}`].map(bytes), [false, true, false, true])
})
