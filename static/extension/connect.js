/** Connecting this browser to a server: address, permission, consent page, key. */
import { askSite, authFlow, authTab, browserName, redirectURL } from './browser.js'
import { parseAddress, sitePattern } from './address.js'
import { setServer } from './settings.js'

/** Why it did not work: a key of address.js's reasons, and an address to use instead. */
export class ConnectError extends Error {
  constructor(reason, address) {
    super(reason)
    this.reason = reason
    this.address = address
  }
}

/**
 * Must be called directly by a click handler, because the browser asks for the permission.
 * @param {string} text the address as typed
 * @param {import('./types.js').Header[]} headers
 * @param {boolean} inTab asks for consent in a tab instead of the browser's sign-in window
 * @returns {Promise<import('./types.js').Server>}
 */
export async function connect(text, headers = [], inTab = false) {
  const parsed = parseAddress(text)
  if ('reason' in parsed) throw new ConnectError(parsed.reason, parsed.instead)
  const { address } = parsed
  if (!(await askSite(sitePattern(address)))) throw new ConnectError('denied')
  await check(address, headers)
  const server = { address, headers, ...(await pair(address, headers, inTab)) }
  await setServer(server)
  return server
}

/** Makes sure that a Skylift answers at the address, or says what does. */
export async function check(address, headers) {
  let res
  try {
    res = await fetch(`${address}/.well-known/skylift`, {
      headers: Object.fromEntries(headers.map((h) => [h.name, h.value])),
      credentials: 'omit', redirect: 'manual', cache: 'no-store', signal: AbortSignal.timeout(15_000),
    })
  } catch (error) {
    throw new ConnectError(error.name === 'TimeoutError' ? 'slow' : 'unreachable')
  }
  if (res.type === 'opaqueredirect' || [401, 403, 407, 511].includes(res.status)) throw new ConnectError('proxy')
  if ([502, 503, 504].includes(res.status)) throw new ConnectError('broken')
  const said = await res.json().catch(() => undefined)
  if (!res.ok || said?.product !== 'skylift') throw new ConnectError('notSkylift')
  if (said.url && new URL(said.url).origin !== address) throw new ConnectError('moved', new URL(said.url).origin)
}

/** The consent page, its one-time code for a key. @see RFC 7636 for the challenge */
async function pair(address, headers, inTab) {
  const verifier = random()
  const state = random()
  const redirect = inTab ? `${address}/ext/connected` : redirectURL()
  const query = new URLSearchParams({ redirect_uri: redirect, state, code_challenge: await challenge(verifier), code_challenge_method: 'S256', name: await browserName() })
  const page = `${address}/ext/connect?${query}`
  let end
  try {
    end = await (inTab ? authTab(page, redirect) : authFlow(page))
  } catch {
    throw new ConnectError('closed')
  }
  const answer = new URLSearchParams(new URL(end).hash.slice(1))
  if (answer.get('state') !== state) throw new ConnectError('refused')
  if (answer.get('error') === 'access_denied') throw new ConnectError('cancelled')
  const code = answer.get('code')
  if (!code) throw new ConnectError('refused')
  const res = await fetch(`${address}/api/v1/devices/token`, {
    method: 'POST', credentials: 'omit', redirect: 'manual', signal: AbortSignal.timeout(15_000),
    headers: { ...Object.fromEntries(headers.map((h) => [h.name, h.value])), 'Content-Type': 'application/json' },
    body: JSON.stringify({ code, code_verifier: verifier }),
  }).catch(() => undefined)
  const token = res?.ok ? await res.json().catch(() => undefined) : undefined
  if (!token?.access_token) throw new ConnectError('refused')
  return { key: token.access_token, device: token.device }
}

const base64url = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)))
const challenge = async (verifier) => base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)))
