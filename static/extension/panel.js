/** The side panel (Chromium) or sidebar (Firefox): a place to drop things, and the server's own panel below it. */
import * as blobs from './blobs.js'
import { openOptions, tell } from './browser.js'
import { connected } from './settings.js'
import { dropped, requestFor } from './targets.js'
import { el, find, notice } from './ui.js'

const server = await connected()
const drop = find('drop')

if (!server || server.revoked) {
  find('place').append(notice('', 'Connect this browser to your Skylift server.', 'Then this panel shows what is being saved.',
    el('p', {}, el('button', { type: 'button', class: 'primary', 'data-testid': 'connect', onclick: openOptions }, 'Connect'))))
} else {
  drop.hidden = false
  find('place').replaceWith(el('iframe', { src: `${server.address}/panel`, title: 'Skylift', 'data-testid': 'place' }))
}

const pictureAddresses = (html) => [...new DOMParser().parseFromString(html, 'text/html').querySelectorAll('img[src]')].map((i) => i.getAttribute('src'))

drop.addEventListener('dragover', (e) => { e.preventDefault(); e.dataTransfer.dropEffect = 'copy'; drop.classList.add('over') })
drop.addEventListener('dragleave', () => drop.classList.remove('over'))
drop.addEventListener('drop', async (e) => {
  e.preventDefault()
  drop.classList.remove('over')
  const data = e.dataTransfer
  const { addresses, files } = dropped({ html: data.getData('text/html'), uriList: data.getData('text/uri-list'), text: data.getData('text/plain'), files: [...data.files] }, pictureAddresses)
  if (addresses.length) await tell({ do: 'save', requests: addresses.map((a) => requestFor(a)), kind: 'drop' })
  else if (files.length) await tell({ do: 'files', files: await Promise.all(files.map(kept)) })
  const n = addresses.length || files.length
  say(n ? `Saving ${n === 1 ? 'it' : n}` : 'There is nothing to save in what was dropped')
})

/** Keeps a dropped file's bytes where the background finds them: a message could not hold a long one. @param {File} file */
async function kept(file) {
  const id = crypto.randomUUID()
  return { id, name: file.name, type: file.type, size: await blobs.keep(id, [file]) }
}

let timer
function say(text) {
  find('say').textContent = text
  drop.textContent = text
  clearTimeout(timer)
  timer = setTimeout(() => { drop.textContent = 'Drop pictures or links here' }, 4000)
}
