/** Draws one thing being saved: from the outbox or from the server's list, in the same form. */
import { el, icon, webLink } from './ui.js'
import { nameOf, placeOf } from './notices.js'

const reasons = {
  throttled: 'Microsoft asks for a pause; it goes on by itself', signInRequired: 'Sign in to Skylift again to go on',
  oneDriveFull: 'OneDrive is full; it goes on when there is room', offline: 'Microsoft cannot be reached; it goes on by itself',
  clientBytes: 'Waiting for the file from this browser', locked: 'OneDrive has the file locked; it goes on by itself',
}
const undoFor = 3_600_000 // ms: the server's limit

const looks = {
  notStarted: ['wait', 'clock', 'Starts in a moment'], inProgress: ['run', 'arrow-up', 'Saving'], waiting: ['wait', 'pause', 'Waiting'],
  completed: ['good', 'check', 'Saved'], failed: ['bad', 'alert', 'Not saved'], cancelled: ['off', 'stop', 'Cancelled'],
}

const leftovers = { // of a cancelled one
  mayArrive: 'OneDrive had begun to fetch it, and may still finish.', recycled: 'The file is in OneDrive’s recycle bin.',
  kept: 'OneDrive had fetched it before it could be stopped, and the file is there.',
}

const percentOf = (t) => (t.state === 'inProgress' && typeof t.percentageComplete === 'number' ? Math.floor(t.percentageComplete) : undefined)

/** What its row says. @param {import('./types.js').Transfer} t */
export function saysOf(t) {
  const [, , words] = looks[t.state] ?? looks.waiting
  const percent = percentOf(t)
  const says = {
    completed: [words, `in ${placeOf(t.folder)}`], inProgress: [percent === undefined ? words : `${words} ${percent} %`],
    waiting: [reasons[t.reason] ?? words], failed: [t.error?.message ?? words, t.error?.advice],
    cancelled: t.leftover in leftovers ? [`${words}.`, leftovers[t.leftover]] : [words],
  }[t.state] ?? [words]
  return says.filter(Boolean).join(' ')
}

/** @param {import('./types.js').Transfer} t @param {(deed: string, t: any) => void} act */
export function transferRow(t, act) {
  const [tone, symbol] = looks[t.state] ?? looks.waiting
  const percent = percentOf(t)
  return row({ id: t.id, tone, symbol, name: t.item?.name || t.name || 'file', says: saysOf(t), percent, running: t.state === 'inProgress' }, [
    t.state === 'completed' && webLink(t.item?.webUrl) && ['open', 'open', 'Open in OneDrive'],
    t.state === 'completed' && Date.now() - Date.parse(t.lastModifiedDateTime) < undoFor && ['undo', 'undo', 'Undo: move to the recycle bin'],
    t.state === 'failed' && ['retry', 'retry', 'Try again'],
    ['notStarted', 'inProgress', 'waiting'].includes(t.state) && ['cancel', 'cross', 'Cancel'],
    ['failed', 'cancelled'].includes(t.state) && ['remove', 'trash', 'Take off the list'],
  ], (deed) => act(deed, t))
}

/** @param {import('./types.js').Item} item @param {(deed: string, item: any) => void} act */
export function itemRow(item, act) {
  const late = item.problem ? `${item.problem.message} It is sent later.` : 'About to be sent'
  const [tone, symbol, says] = {
    choosing: ['wait', 'folder', 'Waiting for you to choose a folder'], queued: ['wait', 'clock', item.bytes ? 'Fetching it with this browser' : late],
    site: ['wait', 'shield', 'Needs your permission to fetch from its site'],
    stuck: ['bad', 'alert', [item.problem?.message, item.problem?.advice].filter(Boolean).join(' ')],
  }[item.step] ?? ['run', 'arrow-up', 'Saving']
  return row({ id: item.id, tone, symbol, name: nameOf(item), says: item.step === 'queued' && item.problem ? late : says }, [
    item.step === 'choosing' && ['choose', 'folder', 'Choose a folder'],
    item.step === 'site' && ['allow', 'check', 'Allow…'],
    item.step === 'stuck' && ['again', 'retry', 'Try again'],
    ['discard', 'cross', 'Do not save'],
  ], (deed) => act(deed, item))
}

/** @param {{id: string, tone: string, symbol: string, name: string, says: string, percent?: number, running?: boolean}} looks */
function row({ id, tone, symbol, name, says, percent, running }, deeds, act) {
  const button = ([deed, picture, words]) => el('button', { type: 'button', class: 'bare', title: words, 'aria-label': `${words}: ${name}`, 'data-testid': deed, onclick: () => act(deed) }, icon(picture))
  return el('li', { class: 'row', id: `row-${id}`, 'data-testid': 'row', 'data-tone': tone },
    icon(symbol), el('div', { class: 'grow' }, el('p', { class: 'name cut', title: name }, name), el('p', { class: 'says', title: says, 'data-testid': 'says' }, says)),
    el('div', { class: 'acts' }, ...deeds.filter(Boolean).map(button)),
    running && el('progress', { max: 100, value: percent, 'aria-label': `Progress of ${name}` }))
}
