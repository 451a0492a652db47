/** All pictures of a page, to choose from and save as one batch. */
import * as api from './server.js'
import { connected } from './settings.js'
import { el, find, notice } from './ui.js'
import { requestFor } from './targets.js'
import { session, tell } from './browser.js'

/** @typedef {{address: string, shown?: string, thumb?: string, alt: string, width: number, height: number, origin?: string, saved?: boolean, chosen?: boolean}} Picture */

const found = await session.get(`pictures:${new URLSearchParams(location.search).get('of')}`)
/** @type {Picture[]} */
const pictures = found?.pictures ?? []

/** @param {string} address */
export function typeOf(address) {
  const name = address.startsWith('data:') ? address.slice(5).split(/[;,]/)[0] : new URL(address, location.href).pathname
  const known = name.toLowerCase().match(/(jpe?g|png|gif|webp|avif|svg)(\+xml)?$/)?.[1]
  return known ? known.replace('jpg', 'jpeg') : 'other'
}

const wanted = (p) => Math.max(p.width, p.height) >= Number(find('min').value) || !p.width // not measured yet: shown
const shown = () => pictures.filter((p) => wanted(p) && (!find('type').value || typeOf(p.address) === find('type').value))

/** Each picture keeps its tile: measuring one while it loads must not load the others again. */
const tiles = new Map(pictures.map((p) => [p, tile(p)]))

function tile(p) {
  const name = p.alt || p.address.split(/[?#]/)[0].split('/').pop()?.slice(0, 60) || 'picture'
  const measure = ({ target }) => {
    if (!p.width) Object.assign(p, { width: target.naturalWidth, height: target.naturalHeight })
    label()
    draw()
  }
  const box = el('input', { type: 'checkbox', 'data-testid': 'choose', 'aria-label': name, onchange: (e) => { p.chosen = e.target.checked; count() } })
  const what = el('span', { class: 'what quiet' })
  const label = () => { what.textContent = [p.saved && 'Saved before', p.width && `${p.width} × ${p.height}`, typeOf(p.address)].filter(Boolean).join(' · ') }
  const node = el('label', { class: 'tile', title: p.alt || p.address.slice(0, 300), 'data-testid': 'tile' },
    box, el('img', { src: p.thumb ?? p.shown ?? p.address, alt: '', loading: 'lazy', referrerPolicy: 'no-referrer', onload: measure }), what)
  label()
  return { node, box, label }
}

function draw() {
  const visible = new Set(shown())
  for (const [p, { node, box }] of tiles) {
    node.hidden = !visible.has(p)
    node.classList.toggle('saved', !!p.saved)
    box.checked = !!p.chosen
  }
  count()
}

const chosen = () => shown().filter((p) => p.chosen)

function count() {
  const all = shown()
  const n = chosen().length
  find('count').textContent = `${n} of ${all.length} chosen`
  find('save').textContent = n ? `Save ${n}` : 'Save'
  find('save').disabled = find('save-to').disabled = !n
  find('all').checked = n > 0 && n === all.length
  find('all').indeterminate = n > 0 && n < all.length
}

async function save(step) {
  const requests = chosen().map((p) => requestFor(p.address, { pageUrl: found.page, pageTitle: found.title, altText: p.alt }))
  for (const p of chosen()) Object.assign(p, { saved: true, chosen: false })
  for (const { label } of tiles.values()) label()
  draw()
  await tell({ do: 'save', requests, kind: 'image', from: { tabId: found.tabId, frameId: 0 }, step })
  find('count').textContent = `Saving ${requests.length}. You can close this page.`
}

async function dimSaved() {
  const server = await connected()
  if (!server || server.revoked) return
  const known = await api.saved(server).catch(() => new Set())
  for (const p of pictures) p.saved ||= known.has(p.address)
  for (const { label } of tiles.values()) label()
  draw()
}

find('page').textContent = found?.title || found?.page || ''
find('grid').append(...[...tiles.values()].map((t) => t.node))
if (!pictures.length) find('notices').append(notice('', found?.readable === false ? 'This page does not let extensions look at it.' : 'There are no pictures on this page.', 'Open a page with pictures and choose “Pictures here” again.'))
find('min').onchange = find('type').onchange = draw
find('all').onchange = () => { for (const p of shown()) p.chosen = find('all').checked; draw() }
find('save').onclick = () => save('queued')
find('save-to').onclick = () => save('choosing')
draw()
await dimSaved()
