/** The side panel (Chromium) or sidebar (Firefox): a place to drop things, and the server's own panel below it. */
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
  const requests = addresses.length ? addresses.map((a) => requestFor(a)) : await Promise.all(files.map(fromFile))
  if (requests.length) await tell({ do: 'save', requests, kind: 'drop' })
  say(requests.length ? `Saving ${requests.length === 1 ? 'it' : requests.length}` : 'There is nothing to save in what was dropped')
})

/** A dropped file's bytes travel as a data: address; the outbox keeps those as a file. */
async function fromFile(file) {
  const address = await new Promise((resolve, reject) => {
    const reader = new FileReader()
    reader.onload = () => resolve(reader.result)
    reader.onerror = () => reject(reader.error)
    reader.readAsDataURL(file)
  })
  return requestFor(address, { name: file.name })
}

let timer
function say(text) {
  find('say').textContent = text
  drop.textContent = text
  clearTimeout(timer)
  timer = setTimeout(() => { drop.textContent = 'Drop pictures or links here' }, 4000)
}
