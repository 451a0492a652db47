/** The one file that touches the browser's API. Everything else is plain JavaScript and runs in Node. */

const world = /** @type {any} */ (globalThis)
const api = () => (world.browser?.runtime ? world.browser : world.chrome)

/** Firefox knows getBrowserInfo; Chromium does not. */
const firefox = () => typeof api().runtime.getBrowserInfo === 'function'

/** @param {'local'|'session'} area */
const storage = (area) => ({
  /** @param {string} key @returns {Promise<any>} */
  get: async (key) => (await api().storage[area].get(key))[key],
  /** @returns {Promise<Record<string, any>>} */
  all: () => api().storage[area].get(null),
  /** @param {string} key @param {any} value */
  set: (key, value) => api().storage[area].set({ [key]: value }),
  /** @param {string|string[]} keys */
  remove: (keys) => api().storage[area].remove(keys),
  /** @param {(changes: Record<string, {oldValue?: any, newValue?: any}>) => void} f */
  onChange: (f) => api().storage[area].onChanged.addListener(f),
})
export const local = storage('local')
export const session = storage('session')

/**
 * Keeps what is stored, the key among it, from scripts that run in pages. Chromium shows it to them otherwise; session is closed
 * by itself. Firefox has no such switch.
 */
export const keepFromPages = async () => api().storage.local.setAccessLevel?.({ accessLevel: 'TRUSTED_CONTEXTS' })

/** What the organisation's policy says; {} where there is none (Firefox throws then). */
export const managed = () => api().storage.managed.get(null).catch(() => ({}))
/** Chromium reads the policy some seconds after the installation. @param {() => void} f */
export const onPolicy = (f) => api().storage.onChanged.addListener((_, area) => { if (area === 'managed') f() })

/** @param {string} path */
export const url = (path) => api().runtime.getURL(path)

/** The name that the server's list of devices shows for this browser. */
export async function browserName() {
  const { os } = await api().runtime.getPlatformInfo()
  const system = { mac: 'macOS', win: 'Windows', linux: 'Linux', android: 'Android', cros: 'ChromeOS' }[os] ?? os
  const brands = world.navigator?.userAgentData?.brands?.map((b) => b.brand) ?? []
  const known = ['Microsoft Edge', 'Google Chrome', 'Opera', 'Brave', 'Vivaldi'].find((b) => brands.includes(b))
  return `${firefox() ? 'Firefox' : (known ?? 'Chromium')} on ${system}`
}

export const redirectURL = () => api().identity.getRedirectURL('connect')
/** @param {string} address @returns {Promise<string>} where the sign-in window ended */
export const authFlow = (address) => api().identity.launchWebAuthFlow({ url: address, interactive: true })

/**
 * The same in a tab, for a browser that shows no window; only at a site that we were allowed to see.
 * @param {string} address @param {string} end without its # @returns {Promise<string>}
 */
export async function authTab(address, end) {
  const { tabs } = api()
  const here = await tabs.getCurrent()
  const { id } = await tabs.create({ url: address, openerTabId: here?.id })
  return new Promise((resolve, reject) => {
    const moved = (tab, { url: at }) => { if (tab === id && at?.startsWith(`${end}#`)) finish(() => { resolve(at); void tabs.remove(id) }) }
    const closed = (tab) => { if (tab === id) finish(() => reject(new Error('closed'))) }
    const finish = (then) => { tabs.onUpdated.removeListener(moved); tabs.onRemoved.removeListener(closed); then() }
    tabs.onUpdated.addListener(moved)
    tabs.onRemoved.addListener(closed)
  })
}

/** @param {string} pattern a host match pattern */
export const hasSite = (pattern) => api().permissions.contains({ origins: [pattern] })
/** Must be the first thing that a click handler does: browsers only ask during a gesture. */
export const askSite = (pattern) => api().permissions.request({ origins: [pattern] })
export const forgetSite = (pattern) => api().permissions.remove({ origins: [pattern] }).catch(() => false)

/** @param {object[]} items */
export async function setMenus(items) {
  await api().contextMenus.removeAll()
  for (const item of items) api().contextMenus.create(item, () => void api().runtime.lastError)
}

/** @param {string} text @param {string} colour @param {string} title */
export async function badge(text, colour, title) {
  await api().action.setBadgeBackgroundColor({ color: colour })
  await api().action.setBadgeTextColor?.({ color: '#ffffff' })
  await api().action.setBadgeText({ text })
  await api().action.setTitle({ title })
}

/** Firefox refuses notifications that have buttons. @param {string} id @param {{title: string, message: string, buttons?: string[], sticky?: boolean}} n */
export async function notify(id, { title, message, buttons = [], sticky }) {
  const options = { type: 'basic', iconUrl: url('icons/128.png'), title, message }
  if (!firefox()) Object.assign(options, { buttons: buttons.map((b) => ({ title: b })), requireInteraction: !!sticky })
  await api().notifications.create(id, options)
}
export const dropNotification = (id) => api().notifications.clear(id)

/** @param {string} name @param {number} minutes */
export const alarm = (name, minutes) => api().alarms.create(name, { delayInMinutes: minutes, periodInMinutes: minutes })
export const noAlarm = (name) => api().alarms.clear(name)

/** Chromium ends a background that seems idle for 30 s, also while it sends a long file; a question counts as life. @param {Promise<any>} work */
export async function awake(work) {
  const timer = setInterval(() => void api().runtime.getPlatformInfo(), 20_000)
  try {
    return await work
  } finally {
    clearInterval(timer)
  }
}

/** Runs a function in a page, as far as activeTab or a granted site allows; undefined where it does not. */
export async function inPage(tabId, frameId, func, ...args) {
  try {
    const target = frameId === undefined ? { tabId, allFrames: true } : { tabId, frameIds: [frameId] }
    const results = await api().scripting.executeScript({ target, func, args })
    return frameId === undefined ? results.map((r) => r.result).filter(Boolean) : results[0]?.result
  } catch {
    return undefined
  }
}

export const openTab = (address) => api().tabs.create({ url: address })
/** @param {string} page @param {number} width @param {number} height */
export const openWindow = (page, width, height) => api().windows.create({ url: url(page), type: 'popup', width, height })
export const activeTab = async () => (await api().tabs.query({ active: true, currentWindow: true }))[0]
export const openOptions = () => api().runtime.openOptionsPage()

/** Opens the side panel (Chromium) or sidebar (Firefox); only in direct answer to a gesture. */
export const openPanel = (windowId) => (api().sidePanel ? api().sidePanel.open({ windowId }) : api().sidebarAction.open())

/** @param {object} message to the background; pages of the extension only */
export const tell = (message) => api().runtime.sendMessage(message)

/** @param {(message: any) => Promise<any>} f called for messages of our own pages and of nobody else */
export function onMessage(f) {
  api().runtime.onMessage.addListener((message, sender, answer) => {
    const own = sender.id === api().runtime.id && sender.url?.startsWith(url(''))
    if (!own) return false
    f(message).then((value) => answer({ value }), (error) => answer({ error: String(error?.message ?? error) }))
    return true
  })
}

/** Listeners must be set while the background starts, or the event that woke it is lost. */
export function listen({ installed, started, menu, command, alarmed, notification }) {
  api().runtime.onInstalled.addListener(installed)
  api().runtime.onStartup.addListener(started)
  api().contextMenus.onClicked.addListener(menu)
  api().commands.onCommand.addListener(command)
  api().alarms.onAlarm.addListener((a) => alarmed(a.name))
  api().notifications.onClicked.addListener((id) => notification(id, -1))
  api().notifications.onButtonClicked?.addListener((id, button) => notification(id, button))
}

/** @returns {Promise<{name: string, description: string, shortcut: string}[]>} */
export const shortcuts = () => api().commands.getAll()
export const openShortcuts = () => (api().commands.openShortcutSettings
  ? api().commands.openShortcutSettings() : openTab('chrome://extensions/shortcuts'))
/** The sites that the person has allowed, as match patterns. */
export const sites = async () => (await api().permissions.getAll()).origins ?? []
