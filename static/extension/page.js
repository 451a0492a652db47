/**
 * Functions that run inside a page, in the extension's own world. Each must stand alone: the browser
 * sends its text over. What they answer is a page's word and is checked by whoever asked.
 */

/** The alternative text of the picture with that address. */
export function altOf(src) {
  const found = [...document.images].find((i) => i.currentSrc === src || i.src === src)
  return (found?.alt || found?.title || found?.getAttribute('aria-label') || '').trim().slice(0, 500)
}

/**
 * A piece of the bytes behind an address as this page sees it, as base64: nothing else comes out of
 * a page. The file is held here until its last piece was read.
 */
export async function readPiece(address, from, length) {
  const world = /** @type {any} */ (globalThis)
  const held = (world.skyliftFiles ??= new Map())
  try {
    if (!held.has(address)) {
      const res = await fetch(address, { credentials: 'include' })
      if (!res.ok) return { status: res.status }
      held.set(address, await res.blob())
    }
    const blob = held.get(address)
    if (from + length >= blob.size) held.delete(address)
    const text = await new Promise((resolve, reject) => {
      const reader = new FileReader()
      reader.onload = () => resolve(reader.result)
      reader.onerror = () => reject(reader.error)
      reader.readAsDataURL(blob.slice(from, from + length))
    })
    return { type: blob.type, size: blob.size, base64: text.slice(text.indexOf(',') + 1) }
  } catch {
    return { failed: true }
  }
}

/** The address of the biggest picture that can be seen now, or of the page's own picture or video. */
export function mainPicture() {
  let best
  for (const image of /** @type {NodeListOf<any>} */ (document.querySelectorAll('img, video'))) {
    const box = image.getBoundingClientRect()
    const width = Math.min(box.right, innerWidth) - Math.max(box.left, 0)
    const height = Math.min(box.bottom, innerHeight) - Math.max(box.top, 0)
    const area = Math.max(width, 0) * Math.max(height, 0)
    const address = image.currentSrc || image.src
    if (address && area > (best?.area ?? 1024)) best = { address, area, alt: (image.alt ?? '').slice(0, 500) }
  }
  return best && { address: best.address, alt: best.alt }
}

/** Every picture of the page once, with the best address that the page knows for it. */
export function allPictures() {
  const found = new Map()
  const absolute = (address) => {
    try { return new URL(address, document.baseURI).href } catch { return '' }
  }
  const add = (address, seen) => {
    if (!/^(https?|data:image\/|blob):?/i.test(address) || found.has(address) || found.size >= 2000) return
    found.set(address, { address, alt: '', width: 0, height: 0, ...seen })
  }
  const best = (srcset) => srcset.split(/,\s+/).map((part) => part.trim().split(/\s+/))
    .map(([address, size = '1x']) => ({ address: absolute(address), size: parseFloat(size) || 1, wide: size.endsWith('w') }))
    .sort((a, b) => b.size - a.size)[0]
  const thumb = (image) => { // a blob: picture cannot be shown by another page
    try {
      const canvas = document.createElement('canvas')
      const scale = Math.min(1, 240 / Math.max(image.naturalWidth, image.naturalHeight))
      canvas.width = Math.max(1, image.naturalWidth * scale)
      canvas.height = Math.max(1, image.naturalHeight * scale)
      canvas.getContext('2d').drawImage(image, 0, 0, canvas.width, canvas.height)
      return canvas.toDataURL('image/jpeg', 0.7)
    } catch { return undefined }
  }
  for (const image of document.images) {
    const shown = image.currentSrc || image.src
    if (!shown) continue
    const sets = [image.srcset, ...[...(image.closest('picture')?.querySelectorAll('source') ?? [])].map((s) => s.srcset)]
    const larger = sets.filter(Boolean).map(best).find(Boolean)
    const link = /** @type {HTMLAnchorElement|null} */ (image.closest('a[href]'))?.href ?? ''
    const original = /\.(jpe?g|png|gif|webp|avif|svg|bmp|tiff?|heic)([?#]|$)/i.test(link) ? link : ''
    const lazy = absolute(image.dataset.src ?? image.dataset.original ?? '') || undefined
    const scale = larger && !original && image.naturalWidth ? (larger.wide ? larger.size / image.naturalWidth : larger.size) : 1
    const seen = { alt: image.alt.slice(0, 500), width: Math.round(image.naturalWidth * scale), height: Math.round(image.naturalHeight * scale) }
    const address = original || larger?.address || (image.naturalWidth > 1 ? shown : (image.dataset.src && lazy) || shown)
    add(address, { ...seen, shown, origin: original ? 'link' : 'image', thumb: shown.startsWith('blob:') ? thumb(image) : undefined })
  }
  for (const element of [...document.querySelectorAll('*')].slice(0, 20_000)) {
    for (const [, , address] of getComputedStyle(element).backgroundImage.matchAll(/url\((["']?)(.*?)\1\)/g)) {
      add(absolute(address), { origin: 'background' })
    }
  }
  for (const v of /** @type {NodeListOf<HTMLVideoElement>} */ (document.querySelectorAll('video[poster]'))) add(absolute(v.poster), { origin: 'poster' })
  const social = document.querySelector('meta[property="og:image"]')?.getAttribute('content')
  if (social) add(absolute(social), { origin: 'page' })
  return { title: document.title, page: location.href, pictures: [...found.values()] }
}
