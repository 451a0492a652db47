/** Chooses a folder of the person's OneDrive: crumbs, subfolders, new folder. */
import * as api from './server.js'
import { el, icon, notice } from './ui.js'

/**
 * @param {import('./types.js').Server|undefined} server
 * @param {HTMLElement} place
 * @param {(folder: any) => void} changed called with the folder that is open, or undefined while there is none
 */
export function folderPicker(server, place, changed) {
  /** @type {{driveId: string, id: string, name: string, path: string}|undefined} */
  let here

  async function open(id, cursor) {
    changed(undefined)
    try {
      if (!server) throw new api.ServerError('refused', { code: 'notConnected', message: 'This browser is not connected to a server.' })
      const answer = await api.folders(server, { ...(id && { id }), ...(cursor && { cursor }) })
      here = answer.folder
      draw(answer)
      changed(here)
    } catch (error) {
      place.replaceChildren(notice('bad', error.message, error.problem?.advice, el('p', {}, el('button', { type: 'button', onclick: () => open(id) }, 'Try again'))))
    }
  }

  function draw({ crumbs = [], value, cursor }) {
    const crumb = (f) => el('li', {}, el('button', { type: 'button', class: 'link', onclick: () => open(f.id), 'aria-current': f.id === here.id && 'true' }, f.name || 'OneDrive'))
    const path = crumbs.some((c) => c.id === here.id) ? crumbs : [...crumbs, here]
    const folder = (f) => el('li', {}, el('button', { type: 'button', 'data-testid': 'folder', onclick: () => open(f.id) }, icon('folder'), el('span', { class: 'cut' }, f.name)))
    const rows = value.map(folder)
    if (!rows.length) rows.push(el('li', { class: 'empty quiet' }, 'No folders in here.'))
    if (cursor) rows.push(el('li', {}, el('button', { type: 'button', onclick: () => open(here.id, cursor) }, 'More folders…')))
    place.replaceChildren(
      el('nav', { 'aria-label': 'Folder' }, el('ul', { class: 'crumbs', 'data-testid': 'crumbs' }, ...path.map(crumb))),
      el('ul', { class: 'folders', 'aria-label': 'Folders', 'data-testid': 'folders' }, ...rows),
      newFolder())
  }

  function newFolder() {
    const name = el('input', { 'aria-label': 'Name of a new folder', placeholder: 'New folder', 'data-testid': 'new-folder' })
    const says = el('p', { class: 'quiet', role: 'status' })
    return el('form', { class: 'line', async onsubmit(e) {
      e.preventDefault()
      if (!name.value.trim()) return
      try {
        await open((await api.makeFolder(server, here.id, name.value.trim())).id)
      } catch (error) {
        says.textContent = error.message
      }
    } }, el('div', { class: 'grow' }, name), el('button', { type: 'submit', 'data-testid': 'make-folder' }, icon('folder-plus'), 'Create'), says)
  }

  void open()
  return { here: () => here }
}
