/** Asks once for a site whose files only this browser can see. */
import { askSite, local, tell } from './browser.js'
import * as outbox from './outbox.js'
import { find } from './ui.js'
import { siteName, sitePattern } from './address.js'

const site = new URLSearchParams(location.search).get('site') ?? ''
find('site').textContent = site
find('later').onclick = () => close()

/** @type {string[]} */
let patterns = []

async function draw() {
  const waiting = (await outbox.all()).filter((i) => i.step === 'site' && siteName(i.request.sourceUrl) === site)
  patterns = [...new Set(waiting.map((i) => sitePattern(i.request.sourceUrl)))]
  find('allow').disabled = !patterns.length
  find('status').textContent = patterns.length ? '' : 'Nothing waits for this site any more.'
}

find('allow').onclick = async () => {
  const answers = await Promise.all(patterns.map(askSite)) // at once: browsers only ask during the click
  if (!answers.every(Boolean)) {
    find('status').textContent = 'The browser did not allow it. The file waits; you can try again.'
    return
  }
  await tell({ do: 'granted', site })
  close()
}
local.onChange(() => void draw())
void draw()
