/** "Save to…": the folder, name and conflict rule for what was clicked; or the folder for all silent saves. */
import * as outbox from './outbox.js'
import { connected, setDefaultFolder } from './settings.js'
import { fileName } from './notices.js'
import { find } from './ui.js'
import { folderPicker } from './folders.js'
import { tell } from './browser.js'

const query = new URLSearchParams(location.search)
const forAll = query.has('default')
const ids = (query.get('items') ?? '').split(',').filter(Boolean)
const items = (await Promise.all(ids.map(outbox.get))).filter(Boolean)
const picker = folderPicker(await connected(), find('picker'), (here) => { find('save').disabled = !here })

find('title').textContent = forAll ? 'Save silently to…' : items.length === 1 ? 'Save to…' : `Save ${items.length} files to…`
find('name-field').hidden = forAll || items.length !== 1
find('conflict-field').hidden = forAll
find('default-line').hidden = !forAll
const suggested = items.length === 1 ? fileName(items[0]) : ''
const ending = suggested.match(/\.[a-z0-9]{1,5}$/i)?.[0] ?? ''
find('name').value = suggested
find('save').textContent = forAll ? 'Use this folder' : 'Save here'

find('save').onclick = async () => {
  const here = picker.here()
  if (forAll) await setDefaultFolder(here)
  else {
    const typed = items.length === 1 ? find('name').value.trim() : ''
    // As it was: the server may know better. Without its ending nobody could open it.
    const name = typed === suggested ? '' : /\.[a-z0-9]{1,5}$/i.test(typed) ? typed : typed && typed + ending
    await tell({ do: 'chosen', ids, change: { folderId: here.id, driveId: here.driveId, name, conflictBehavior: find('conflict').value } })
  }
  close()
}
find('usual').onclick = async () => { await setDefaultFolder(undefined); close() }
find('cancel').onclick = async () => {
  for (const id of ids) await tell({ do: 'discard', id })
  close()
}
