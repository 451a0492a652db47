/** The settings page; also where a browser is connected. */
import * as api from './server.js'
import * as ext from './browser.js'
import * as settings from './settings.js'
import { connect } from './connect.js'
import { el, find, notice } from './ui.js'
import { reasons, sitePattern } from './address.js'

let preset
let known // the server that this browser is or was connected to

async function draw() {
  const server = known = await settings.connected()
  find('connect-form').hidden = !!server
  find('connected').hidden = !server
  if (server) await drawServer(server)
  await drawSites(server)
}

async function drawServer(server) {
  find('server').href = find('server').textContent = server.address
  find('device').textContent = server.device?.name ?? ''
  find('reconnect').hidden = !server.revoked
  for (const id of ['account', 'account-label']) find(id).hidden = !!server.revoked
  if (server.revoked) return say('bad', 'The server does not know this browser any more.', 'Somebody disconnected it in the server’s settings. What waits here is kept; connect again to send it.')
  try {
    find('account').textContent = (await api.me(server)).displayName ?? ''
  } catch (error) {
    find('account').textContent = 'unknown'
    if (error.kind === 'revoked') { await settings.setRevoked(server.key); return drawServer({ ...server, revoked: true }) }
    say('bad', error.message, 'What you save meanwhile is kept and sent later.')
  }
}

async function drawSites(server) {
  const own = server && sitePattern(server.address)
  const sites = (await ext.sites()).filter((s) => s !== own)
  const row = (s) => el('li', { class: 'line' }, el('span', { class: 'grow cut' }, s.replace('/*', '')),
    el('button', { type: 'button', 'aria-label': `Remove ${s}`, onclick: async () => { await ext.forgetSite(s); await draw() } }, 'Remove'))
  find('sites-card').hidden = !sites.length
  find('sites').replaceChildren(...sites.map(row))
}

const say = (tone, what, advice, ...more) => find('notices').replaceChildren(notice(tone, what, advice, ...more))

const windowLost = 5_000 // ms; Chromium may load the window's page, never show it, and refuse any other window from then on
let attempt = 0 // only the newest may say that it failed

/** Not async before connect is called: the browser only asks for a permission during the click itself. */
function pressConnect(text, headers, inTab = false) {
  const { headers: extra, wrong } = settings.parseHeaders(headers)
  if (wrong.length) return say('bad', `This header cannot be sent: ${wrong[0]}`, 'Write “Name: value”. Headers that the browser or Skylift sets itself cannot be changed.')
  const mine = ++attempt
  const instead = el('p', {}, el('button', { type: 'button', 'data-testid': 'in-tab', onclick: () => pressConnect(text, headers, true) }, 'Confirm in a tab'))
  const offer = inTab ? undefined : setTimeout(() => say('', 'Connecting…', 'Confirm in the window that has opened. Is there none?', instead), windowLost)
  hold(true)
  say('', 'Connecting…')
  connect(text, [...preset.headers, ...extra], inTab)
    .then(done, (error) => { if (mine === attempt) { hold(false); failed(error, instead) } })
    .finally(() => clearTimeout(offer))
}

const hold = (on) => { find('connect').disabled = find('reconnect').disabled = on }

async function done(server) {
  attempt++
  hold(false)
  say('', `Connected to ${server.address}.`, 'Right-click any picture to save it.')
  find('announce').textContent = 'Connected'
  await draw()
  await ext.tell({ do: 'connected' })
}

function failed(error, instead) {
  const advice = error.reason === 'closed' ? [instead] : []
  if (error.reason === 'proxy') find('more').open = true
  if (error.address) advice.push(el('p', {}, el('button', { type: 'button', 'data-testid': 'use-address', onclick: () => { find('address').value = error.address; pressConnect(error.address, find('headers').value) } }, `Use ${error.address}`)))
  const typed = find('address').value
  if (['unreachable', 'proxy', 'broken'].includes(error.reason) && /^https?:/.test(typed)) advice.push(el('p', {}, el('a', { href: typed, target: '_blank', rel: 'noopener' }, 'Open the address in a tab')))
  say('bad', reasons[error.reason] ?? 'Something in this browser went wrong. Try again.', undefined, ...advice)
}

/** What the organisation or the server decides, and what this browser is set to. */
async function drawSet() {
  const before = preset?.address ?? ''
  preset = await settings.preset()
  if (preset.fixed || find('address').value === before) find('address').value = preset.address
  find('address').readOnly = preset.fixed
  find('server-fixed').hidden = !preset.fixed
  const { level, fixed } = await settings.notifying()
  find(`notify-${level}`).checked = true
  find('notify').disabled = fixed
  find('notify-fixed').hidden = !fixed
}

async function start() {
  await drawSet()
  ext.onPolicy(() => void drawSet())
  find('connect-form').onsubmit = (e) => { e.preventDefault(); pressConnect(find('address').value, find('headers').value) }
  find('disconnect').onclick = async () => { await settings.setServer(undefined); say('', 'Disconnected.', 'The server still lists this browser until you remove it in its settings.'); await draw() }
  find('reconnect').onclick = () => pressConnect(known.address, known.headers.map((h) => `${h.name}: ${h.value}`).join('\n'))
  for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll('[name=notify]'))) radio.onchange = () => settings.setNotifyLevel(/** @type {any} */ (radio.value))
  find('change-shortcuts').onclick = () => ext.openShortcuts()
  const described = (s) => [el('dt', {}, el('kbd', {}, s.shortcut || 'none')), el('dd', {}, s.description || 'Open Skylift’s popup')]
  find('shortcuts').replaceChildren(...(await ext.shortcuts()).flatMap(described))
  ext.local.onChange((changes) => { if (changes.server) void draw() })
  await draw()
}
void start()
