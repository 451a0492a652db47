/**
 * A browser and a server for the extension's tests. The browser's storage, the page and the server
 * outlive the background: each life is a fresh copy of all modules, as after a service worker died.
 */
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { tmpdir } from 'node:os'
import { pathToFileURL } from 'node:url'

const source = join(import.meta.dirname, '..')
export const address = 'https://skylift.test'
const never = () => new Promise(() => {})
const clone = (v) => (v === undefined ? v : structuredClone(v))

/** One world per test. */
export class World {
  storage = { local: {}, session: {} }
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
    for (const f of readdirSync(source)) if (f.endsWith('.js')) cpSync(join(source, f), join(dir, f))
    cpSync(join(import.meta.dirname, 'package.json'), join(dir, 'package.json'))
    globalThis.chrome = this.browser(life)
    globalThis.indexedDB = this.database(life)
    globalThis.fetch = (url, init) => this.deed(life, () => this.server.fetch(url, init, this))
    globalThis.addEventListener = () => {}
    const load = (name) => import(pathToFileURL(join(dir, `${name}.js`)).href)
    await load('background')
    const modules = { clicks: await load('clicks'), save: await load('save'), outbox: await load('outbox') }
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
    const db = { close() {}, transaction: () => {
      const t = {}
      const bind = (act) => { const r = request(act); r.transaction = t; return r }
      return Object.assign(t, { objectStore: () => ({ put: (v, k) => bind(() => this.blobs.set(k, v)), get: (k) => bind(() => this.blobs.get(k)), delete: (k) => bind(() => this.blobs.delete(k)) }) })
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
    const [, , id, deed] = path.split('/')
    const transfer = this.transfers.get(id)
    if (!transfer) return problem(404, 'itemNotFound')
    if (method === 'DELETE') { this.transfers.delete(id); return new Response(null, { status: 204 }) }
    if (deed === 'content') { this.contents.set(id, [...(this.contents.get(id) ?? []), await body.text()]); this.end(transfer, { state: 'completed' }) }
    if (deed === 'retry') this.end(transfer, this.verdict(transfer))
    return json(transfer)
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
