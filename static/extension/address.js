/** Server addresses: what people type, and why one cannot be used. */

const loopback = (host) => host === 'localhost' || host === '127.0.0.1' || host === '[::1]' || host.endsWith('.localhost')

/**
 * Makes the origin of what a person typed: "skylift.example.org/", "localhost:8080".
 * Plain http is for this computer only: the device's key and what is saved would travel readable,
 * and Microsoft's sign-in accepts no other http address either.
 * @param {string} text
 * @returns {{address: string} | {reason: 'empty'|'malformed'|'insecure'|'userinfo', instead?: string}} instead: an address to offer
 */
export function parseAddress(text) {
  const typed = text.trim()
  if (!typed) return { reason: 'empty' }
  let u
  try {
    u = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(typed) ? typed : guessScheme(typed) + typed)
  } catch {
    return { reason: 'malformed' }
  }
  const strange = /[\s%]/.test(u.hostname) // Chromium makes %20 of a space
  if (!u.hostname || strange || !/^https?:$/.test(u.protocol)) return { reason: 'malformed' }
  if (u.username || u.password) return { reason: 'userinfo' }
  if (u.protocol === 'http:' && !loopback(u.hostname)) return { reason: 'insecure', instead: `https://${u.host}` }
  return { address: u.origin }
}

function guessScheme(typed) {
  const host = typed.replace(/[/?#].*$/, '').replace(/:\d+$/, '')
  return loopback(host) ? 'http://' : 'https://'
}

/**
 * The match pattern of an address's site. Without the port: Firefox accepts a pattern with one and
 * then matches nothing.
 * @param {string} address
 */
export function sitePattern(address) {
  const u = new URL(address)
  return `${u.protocol}//${u.hostname}/*`
}

/** @param {string} address @returns {string} the site as people read it */
export const siteName = (address) => new URL(address).hostname

/** @type {Record<string, string>} */
export const reasons = {
  empty: 'Type the address of your Skylift server, such as https://skylift.example.org.',
  malformed: 'That is not an address of a server. It looks like https://skylift.example.org.',
  insecure: 'This server must be reached by https:// because your key would travel unprotected over http://. Only this computer itself (localhost) may use http.',
  userinfo: 'Leave the user name and password out of the address. If a proxy in front of the server needs them, add a header below.',
  denied: 'The browser was not allowed to talk to this server. Press Connect again and choose Allow.',
  unreachable: 'Nothing answered at this address. Is it right, is the server running, and does the browser trust its certificate? Open the address in a tab to see what the browser says.',
  slow: 'The server did not answer within 15 seconds. Try again in a moment.',
  proxy: 'Something in front of the server asks who you are. Open the address in a tab and sign in there, or add the header that it expects under “Extra headers”.',
  notSkylift: 'A server answered, but it is not Skylift. Check the address.',
  broken: 'Skylift answered with an error of its own. Try again in a moment; its log says more.',
  moved: 'This server calls itself by another address. Use that one:',
  closed: 'The sign-in window was closed before you pressed “Connect”. Nothing was changed.',
  cancelled: 'You chose “No”. Nothing was changed.',
  refused: 'The server did not accept the connection. Press Connect to try again.',
}
