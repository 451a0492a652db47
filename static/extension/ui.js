/** Small helpers of the extension's own pages. */

/**
 * Makes an element. Text is always text, never HTML.
 * @param {string} tag @param {Record<string, any>} [props] properties, on… listeners, data- and aria- attributes
 * @param {...any} children nodes and texts; what is null, undefined or false is left out
 * @returns {any}
 */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value)
    else if (name === 'class') node.className = value
    else if (name in node && !name.includes('-')) node[name] = value
    else node.setAttribute(name, value)
  }
  node.append(...children.filter((c) => c !== null && c !== undefined && c !== false))
  return node
}

/** A symbol of icons/ui.svg. It is decoration: words stand beside it. */
export function icon(name, className = 'icon') {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  svg.setAttribute('class', className)
  svg.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use')
  use.setAttribute('href', `icons/ui.svg#${name}`)
  svg.append(use)
  return svg
}

/** @param {string} id @returns {any} the element with that data-testid */
export const find = (id) => document.querySelector(`[data-testid="${id}"]`)

/** A message box; tone bad is announced at once. */
export const notice = (tone, what, advice, ...more) => el('div', { class: `notice ${tone}`, role: tone === 'bad' ? 'alert' : 'status', 'data-testid': 'notice' },
  icon(tone === 'bad' ? 'alert' : 'info'), el('div', {}, el('p', {}, what), advice && el('p', { class: 'quiet' }, advice), ...more))

/** Only web addresses become links: a server or a page could name any other kind. */
export const webLink = (address) => (/^https?:\/\//i.test(address ?? '') ? address : undefined)
