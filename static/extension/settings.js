/** What this browser remembers about its server and its person's wishes. */
import { local, managed, url } from './browser.js'

/** @returns {Promise<import('./types.js').Server|undefined>} */
export const connected = () => local.get('server')
/** @param {import('./types.js').Server|undefined} server */
export const setServer = (server) => (server ? local.set('server', server) : local.remove('server'))

/** Marks the key as unknown to the server. Says whether that is news, so that people are told once. */
export async function setRevoked(key) {
  const server = await connected()
  if (!server || server.key !== key || server.revoked) return false
  await setServer({ ...server, revoked: true })
  return true
}

/**
 * The server that an organisation (fixed) or the server itself (as it handed out the zip) names.
 * @returns {Promise<{address: string, fixed: boolean, headers: import('./types.js').Header[]}>}
 */
export async function preset() {
  const policy = await managed()
  const headers = Array.isArray(policy.headers) ? policy.headers : []
  if (policy.server) return { address: policy.server, fixed: true, headers }
  const shipped = await fetch(url('preset.json')).then((r) => r.json()).catch(() => ({}))
  return { address: shipped.server ?? '', fixed: false, headers }
}

/** @returns {Promise<{level: 'all'|'problems'|'none', fixed: boolean}>} which notifications are shown; fixed: by an organisation */
export async function notifying() {
  const policy = await managed()
  if (['all', 'problems', 'none'].includes(policy.notify)) return { level: policy.notify, fixed: true }
  return { level: (await local.get('notify')) || 'all', fixed: false }
}
/** @param {'all'|'problems'|'none'} level */
export const setNotifyLevel = (level) => local.set('notify', level)

/** The folder that silent saves go to; undefined: the default that the server keeps. */
export const defaultFolder = () => local.get('folder')
/** @param {{driveId: string, id: string, name: string, path: string}|undefined} folder */
export const setDefaultFolder = (folder) => (folder ? local.set('folder', folder) : local.remove('folder'))

const reserved = /^(authorization|content-type|content-length|content-range|idempotency-key|last-event-id|cookie2?|host|origin|referer|user-agent|connection|te|trailer|upgrade|via|accept-.*|proxy-.*|sec-.*)$/i

/**
 * Reads "Name: value" lines.
 * @param {string} text
 * @returns {{headers: import('./types.js').Header[], wrong: string[]}} wrong: the lines that cannot be sent
 */
export function parseHeaders(text) {
  const headers = []
  const wrong = []
  for (const line of text.split('\n').map((l) => l.trim()).filter(Boolean)) {
    const [, name, value] = line.match(/^([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*:\s*([\t\x20-\x7e]+)$/) ?? []
    if (name && !reserved.test(name)) headers.push({ name, value: value.trim() })
    else wrong.push(line.split(':')[0])
  }
  return { headers, wrong }
}
