/**
 * A browser and a server for the extension's tests. The browser's storage, the page and the server
 * outlive the background: each life is a fresh copy of all modules, as after a service worker died.
 */
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { pathToFileURL } from 'node:url'

const source = join(import.meta.dirname, '..')
export const address = 'https://skylift.test'
const lives = /** @type {any} */ (globalThis).lives = new Map()
const never = () => new Promise(() => {})
const clone = (v) => (v === undefined ? v : structuredClone(v))

/** One world per test. */
export class World {
  storage = { local: {}, session: {} }
  levels = {} // who may read each area
  firefox = false
  policy = {}
  blobs = new Map()
  notifications = new Map()
  alarms = new Set()
  badges = []
  windows = []
  sites = new Set()
  menus = []
  page = async () => undefined // what a script in the page answers
  life = 0
  deedsLeft = Infinity // until the background is killed
  dieAfterDeed = false // whether the deadly deed still takes effect
  died = false
  /** @param {FakeServer} server */
  constructor(server = new FakeServer()) {
    this.server = server
    this.storage.local.server = { address, key: server.key, device: { id: 'd', name: 'test' }, headers: [] }
  }

  /** Starts the background anew and returns its modules by name. */
  async live() {
    const life = ++this.life
    this.died = false
    const dir = mkdtempSync(join(tmpdir(), 'skylift-life-'))
    // What a module takes for global belongs to its own life: an earlier one still runs for a while.
    const chrome = this.browser(life)
    lives.set(dir, {
      chrome, indexedDB: this.database(life), IDBKeyRange: { bound: (lower, upper) => ({ lower, upper }) },
      fetch: (url, init) => this.deed(life, () => this.server.fetch(url, init, this)), globalThis: { chrome, addEventListener: () => {} },
    })
    const own = `const { chrome, fetch, indexedDB, IDBKeyRange, globalThis } = global.lives.get(${JSON.stringify(dir)});`
    for (const f of readdirSync(source)) if (f.endsWith('.js')) writeFileSync(join(dir, f), own + readFileSync(join(source, f), 'utf8'))
    cpSync(join(import.meta.dirname, 'package.json'), join(dir, 'package.json'))
    const load = (name) => import(pathToFileURL(join(dir, `${name}.js`)).href)
    await load('background')
    const modules = { clicks: await load('clicks'), buttons: await load('buttons'), save: await load('save'), outbox: await load('outbox'), blobs: await load('blobs') }
    rmSync(dir, { recursive: true })
    return modules
  }

  /** Every effect of the extension on the world goes through here, so that it can die before or after it. */
  async deed(life, act) {
    if (life !== this.life || this.died) return never()
    if (--this.deedsLeft < 0) {
      if (this.dieAfterDeed) await act()
      this.died = true
      this.onDeath?.()
      return never()
    }
    const value = await act()
    return life !== this.life || this.died ? never() : value
  }

  browser(life) {
    const deed = (f) => (...args) => this.deed(life, () => f(...args))
    const event = () => ({ addListener: () => {} })
    const area = (name) => ({
      get: async (key) => (life !== this.life || this.died ? never() : clone(key === null ? this.storage[name] : { [key]: this.storage[name][key] })),
      set: deed((values) => { Object.assign(this.storage[name], clone(values)) }),
      remove: deed((keys) => { for (const k of [keys].flat()) delete this.storage[name][k] }),
      onChanged: event(),
      ...(this.firefox ? {} : { setAccessLevel: async ({ accessLevel }) => { this.levels[name] = accessLevel } }),
    })
    const on = (name) => ({ addListener: (f) => { this.listeners = { ...this.listeners, [name]: f } } })
    return {
      runtime: { id: 'self', getURL: (p) => `chrome-extension://self/${p}`, onInstalled: on('installed'), onStartup: on('started'), onMessage: on('message'), openOptionsPage: deed(() => this.windows.push('options')), getPlatformInfo: async () => ({ os: 'linux' }) },
      storage: { local: area('local'), session: area('session'), managed: { get: async () => this.policy } },
      contextMenus: { onClicked: on('menu'), removeAll: deed(() => { this.menus = [] }), create: (m) => this.menus.push(m) },
      commands: { onCommand: on('command') },
      alarms: { onAlarm: on('alarm'), create: deed((n) => this.alarms.add(n)), clear: deed((n) => this.alarms.delete(n)) },
      notifications: { onClicked: on('clicked'), onButtonClicked: on('button'), create: deed((id, n) => this.notifications.set(id, n)), clear: deed((id) => this.notifications.delete(id)) },
      action: { setBadgeText: deed(({ text }) => this.badges.push(text)), setBadgeBackgroundColor: async () => {}, setTitle: async () => {} },
      scripting: { executeScript: async ({ func, args }) => [{ result: await this.page(func.name, ...(args ?? [])) }] },
      permissions: { contains: async ({ origins }) => origins.every((o) => this.sites.has(o)) },
      tabs: { create: deed(({ url }) => this.windows.push(url)) },
      windows: { create: deed(({ url }) => this.windows.push(url)) },
    }
  }

  database(life) {
    const request = (act) => {
      const r = {}
      queueMicrotask(async () => { r.result = await this.deed(life, act); r.onsuccess?.(); r.transaction?.oncomplete?.() })
      return r
    }
    const within = ({ lower, upper }) => [...this.blobs].filter(([, { key: [id, n] }]) => id === lower[0] && id === upper[0] && n !== undefined).map(([k]) => k)
    const store = {
      put: (value, key) => () => { this.blobs.set(String(key), { key, value }) },
      get: (key) => () => this.blobs.get(String(key))?.value,
      getAllKeys: () => () => [...this.blobs.values()].map((b) => b.key),
      delete: (range) => () => { for (const k of within(range)) this.blobs.delete(k) },
    }
    const db = { close() {}, transaction: () => {
      const t = {}
      const bind = (act) => { const r = request(act); r.transaction = t; return r }
      return Object.assign(t, { objectStore: () => Object.fromEntries(Object.entries(store).map(([name, f]) => [name, (...args) => bind(f(...args))])) })
    } }
    return { open: () => { const r = { result: db }; queueMicrotask(() => r.onsuccess()); return r } }
  }

  items() { return Object.keys(this.storage.local).filter((k) => k.startsWith('item:')).map((k) => this.storage.local[k]) }
  /** Waits until check holds. */
  async until(check, what = String(check)) {
    for (const end = Date.now() + 5000; !check();) {
      if (Date.now() > end) throw new Error(`gave up waiting for ${what}: ${JSON.stringify(this.items())}`)
      await new Promise((r) => setTimeout(r, 2))
    }
  }
}

const json = (value, status = 200, headers = {}) => new Response(JSON.stringify(value), { status, headers: { 'Content-Type': status >= 400 ? 'application/problem+json' : 'application/json', ...headers } })
export const problem = (status, code, headers) => json({ code, title: code, status }, status, headers)

/** The JSON API as far as the extension uses it. verdict decides what becomes of a source URL. */
export class FakeServer {
  key = 'device-key'
  down = false
  transfers = new Map()
  byKey = new Map()
  contents = new Map()
  requests = []
  streams = new Set()
  sources = new Map() // what the browser itself gets for an address: a Response maker
  verdict = () => ({ state: 'completed' })
  uploadVerdict = () => ({ state: 'completed' })
  refuse = () => undefined
  hasty = false // transfers end before the answer to their request

  async fetch(url, init = {}) {
    if (url.endsWith('/preset.json')) return json({ server: '' })
    if (url.startsWith('data:')) return new Response(Buffer.from(url.split(',')[1], 'base64'), { headers: { 'Content-Type': url.slice(5).split(';')[0] } })
    if (!url.startsWith(address)) return this.sources.get(url)?.(init) ?? Promise.reject(new TypeError('Failed to fetch'))
    if (this.down) throw new TypeError('Failed to fetch')
    const method = init.method ?? 'GET'
    const path = url.slice(address.length + '/api/v1'.length)
    const headers = new Headers(init.headers)
    this.requests.push({ method, path, headers })
    if (headers.get('Authorization') !== `Bearer ${this.key}`) return problem(401, 'unauthenticated')
    const body = typeof init.body === 'string' ? JSON.parse(init.body) : init.body
    return this.refuse(method, path, body) ?? this.answer(method, path, body, headers, init.signal)
  }

  async answer(method, path, body, headers, signal) {
    if (path === '/events') return this.events(signal)
    if (path === '/transfers' && method === 'POST') return json(this.create(body, headers.get('Idempotency-Key')), 202)
    if (path === '/transfers/batch') return this.batch(body)
    if (path.startsWith('/transfers?')) return json({ value: [...this.transfers.values()].reverse(), cursor: null })
    const [, , id, deed] = path.split('/')
    const transfer = this.transfers.get(id)
    if (!transfer) return problem(404, 'itemNotFound')
    if (method === 'DELETE') { this.transfers.delete(id); return new Response(null, { status: 204 }) }
    if (deed === 'content') return this.content(transfer, body, headers.get('Content-Range'))
    if (deed === 'retry') this.end(transfer, this.verdict(transfer))
    return json(transfer)
  }

  /** Takes a piece where the last one ended; the last piece ends the transfer. */
  async content(transfer, body, range) {
    const [from, last, size] = range ? range.match(/^bytes (\d+)-(\d+)\/(\d+)$/).slice(1).map(Number) : [0, body.size - 1, body.size]
    const have = this.contents.get(transfer.id) ?? []
    const at = from === 0 ? 0 : have.reduce((n, b) => n + b.size, 0)
    if (transfer.state !== 'waiting') return problem(409, 'conflict')
    if (from !== at || last - from + 1 !== body.size || size !== transfer.size) return problem(416, 'rangeInvalid')
    this.contents.set(transfer.id, [...from ? have : [], body])
    transfer.bytesTransferred = last + 1
    if (last + 1 === size) this.end(transfer, this.uploadVerdict(transfer))
    return json(transfer, 202)
  }

  /** What arrived of each upload, as text. */
  texts() { return Promise.all([...this.contents.values()].map((pieces) => new Blob(pieces).text())) }

  batch(body) {
    return json({ value: body.transfers.map(({ idempotencyKey, ...request }) => {
      const refused = this.refuse('POST', '/transfers', request)
      return refused ? { status: refused.status, code: 'invalidRequest', title: 'no' } : this.create(request, idempotencyKey)
    }) }, 202)
  }

  create(request, key) {
    if (this.byKey.has(key)) return this.transfers.get(this.byKey.get(key)) ?? { id: 'gone', state: 'cancelled' }
    const id = `t${this.transfers.size + 1}-${Math.random().toString(36).slice(2, 6)}`
    const upload = request.route === 'upload'
    const transfer = { ...request, id, name: request.name ?? 'cat.jpg', state: upload ? 'waiting' : 'notStarted', reason: upload ? 'clientBytes' : null, error: null, folder: { path: '/Pictures' } }
    this.transfers.set(id, transfer)
    this.byKey.set(key, id)
    const verdict = upload ? undefined : this.verdict(transfer)
    const answer = structuredClone(transfer)
    if (verdict && this.hasty) this.end(transfer, verdict)
    else if (verdict) setTimeout(() => this.end(transfer, verdict), 1)
    return answer
  }

  end(transfer, verdict) {
    Object.assign(transfer, { reason: null }, verdict)
    if (transfer.state === 'completed') transfer.item = { name: transfer.name, webUrl: 'https://onedrive.test/x' }
    for (const s of this.streams) s.enqueue(new TextEncoder().encode(`id: 1\nevent: transfer\ndata: ${JSON.stringify(transfer)}\n\n`))
  }

  events(signal) {
    let stream
    const body = new ReadableStream({ start: (c) => { stream = c; this.streams.add(c) }, cancel: () => this.streams.delete(stream) })
    signal?.addEventListener('abort', () => { if (this.streams.delete(stream)) stream.error(new DOMException('aborted', 'AbortError')) })
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } })
  }

  saved() { return [...this.transfers.values()].filter((t) => t.state === 'completed') }
}
