/** Talks to the server: JSON in, JSON out, one kind of error. */

const patience = 15_000 // ms for an answer to begin
const patienceForBytes = 600_000 // ms for a piece of a file to be sent and answered

/** What a call failed with. kind says what to do; problem is for people. */
export class ServerError extends Error {
  /**
   * @param {'offline'|'busy'|'revoked'|'gone'|'refused'} kind offline, busy: try later;
   *   revoked: the key is unknown; gone: no such transfer; refused: it will never work like this
   * @param {import('./types.js').Problem} problem
   * @param {number} [wait] ms that the server asks us to wait
   */
  constructor(kind, problem, wait = 0) {
    super(problem.message)
    this.kind = kind
    this.problem = problem
    this.wait = wait
  }
}

/**
 * Sends one request with the device's key and no cookies.
 * @param {import('./types.js').Server} server
 * @param {string} path under /api/v1
 * @param {{method?: string, body?: any, headers?: Record<string, string>, signal?: AbortSignal}} [options] body: a Blob goes as it is, all else as JSON
 * @returns {Promise<Response>}
 */
export async function send(server, path, { method = 'GET', body, headers = {}, signal } = {}) {
  const raw = body instanceof Blob
  const all = new Headers()
  for (const h of server.headers ?? []) all.set(h.name, h.value)
  for (const [name, value] of Object.entries(headers)) all.set(name, value)
  all.set('Authorization', `Bearer ${server.key}`)
  if (body !== undefined && !raw) all.set('Content-Type', 'application/json')
  let res
  try {
    res = await fetch(`${server.address}/api/v1${path}`, {
      method, headers: all, body: body === undefined || raw ? body : JSON.stringify(body),
      credentials: 'omit', redirect: 'manual', cache: 'no-store',
      signal: signal ?? AbortSignal.timeout(raw ? patienceForBytes : patience),
    })
  } catch (error) {
    if (signal?.aborted) throw error
    throw new ServerError('offline', { code: 'offline', message: 'The server cannot be reached.' })
  }
  if (res.ok) return res
  const type = res.headers.get('Content-Type') ?? ''
  const told = type.includes('problem+json') ? await res.json().catch(() => ({})) : {}
  throw failure(res, told, Number(res.headers.get('Retry-After')))
}

/**
 * The error that an answer, or a line of a batch's answer, is.
 * @param {{status: number}} res
 * @param {any} told the problem document, {} without one
 * @param {number} [seconds] that the server asks us to wait
 */
export function failure(res, told, seconds = 0) {
  const problem = { code: told.code ?? `http${res.status}`, message: [told.title, told.detail].filter(Boolean).join(' ') || `The server answered ${res.status || 'with a redirect'}.`, advice: told.advice }
  const wait = Number.isFinite(seconds) ? Math.min(Math.max(seconds, 0), 3600) * 1000 : 0
  if (told.code === 'unauthenticated') return new ServerError('revoked', problem)
  if (told.code === 'signInRequired') return new ServerError('busy', problem) // Microsoft wants to see the person; the key is good
  // A login page or a refusal without our problem document is a proxy in front: it may let us through later.
  if (!told.code && (res.status === 0 || res.status === 401 || res.status === 403 || res.status === 407)) {
    return new ServerError('offline', { code: 'proxy', message: 'Something in front of the server refused the request.' })
  }
  if (res.status === 429 || res.status >= 500) return new ServerError('busy', problem, wait)
  return new ServerError(res.status === 404 ? 'gone' : 'refused', problem)
}

/** @returns {Promise<any>} the JSON of the answer, undefined for an empty one */
export async function call(server, path, options) {
  const res = await send(server, path, options)
  if (res.status === 204) return undefined
  return res.json().catch(() => {
    throw new ServerError('offline', { code: 'proxy', message: 'Something in front of the server answered instead of it.' })
  })
}

const post = (server, path, body, key) =>
  call(server, path, { method: 'POST', body, headers: key ? { 'Idempotency-Key': key } : {} })
const of = (id) => `/transfers/${encodeURIComponent(id)}`

export const me = (server) => call(server, '/me')
/** @returns {Promise<{value: import('./types.js').Transfer[]}>} newest first */
export const recent = (server, top = 20) => call(server, `/transfers?top=${top}`)

/** The addresses that were saved before, of the newest thousand transfers. @returns {Promise<Set<string>>} */
export async function saved(server) {
  const found = new Set()
  for (let page = 0, cursor = ''; page < 5 && cursor !== null; page++) {
    const list = await call(server, `/transfers?${new URLSearchParams({ state: 'completed', top: '200', ...(cursor && { cursor }) })}`)
    for (const t of list.value) found.add(t.sourceUrl)
    cursor = list.cursor ?? null
  }
  return found
}

/** The same key gives the same transfer. @returns {Promise<import('./types.js').Transfer>} */
export const create = (server, request, key) => post(server, '/transfers', request, key)
/**
 * Many in one request, each with a key of its own, so that any of them can be sent again alone.
 * @param {{request: import('./types.js').Request, key: string}[]} lines
 * @returns {Promise<(import('./types.js').Transfer|ServerError)[]>} in order
 */
export async function createAll(server, lines) {
  const { value } = await post(server, '/transfers/batch', { transfers: lines.map(({ request, key }) => ({ ...request, idempotencyKey: key })) })
  return value.map((v) => (v.id ? v : failure(v, v)))
}
/** @returns {Promise<import('./types.js').Transfer>} */
export const transfer = (server, id) => call(server, of(id))
export const retry = (server, id) => post(server, `${of(id)}/retry`)
export const cancel = (server, id) => post(server, `${of(id)}/cancel`)
export const undo = (server, id) => post(server, `${of(id)}/undo`)
export const forget = (server, id) => call(server, of(id), { method: 'DELETE' })

/**
 * Sends a piece of a file: the bytes that begin at from.
 * @param {Blob} piece
 * @param {{from: number, size: number, type: string}} place where it belongs; size and type are the whole file's
 * @returns {Promise<import('./types.js').Transfer>} bytesTransferred says where the next piece begins
 */
export function putContent(server, id, piece, place) {
  const { from, size, type } = place
  /** @type {Record<string, string>} */
  const headers = { 'Content-Type': type || 'application/octet-stream' }
  if (piece.size < size) headers['Content-Range'] = `bytes ${from}-${from + piece.size - 1}/${size}`
  return call(server, `${of(id)}/content`, { method: 'PUT', body: piece, headers })
}
export const folders = (server, query) => call(server, `/folders?${new URLSearchParams(query)}`)
export const makeFolder = (server, parentId, name) => post(server, '/folders', { parentId, name })
