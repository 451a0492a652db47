/** Server-sent events over fetch: EventSource cannot send a key and does not keep the background alive. */

/**
 * Reads a stream of events. Ends with the stream; the caller aborts the fetch to stop it.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<{event: string, data: string, id: string}>} an event without data is a sign of life
 */
export async function* events(body) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader()
  let rest = ''
  let id = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      rest += value
      // A lone \r at the very end may be half of \r\n: it stays for the next piece.
      const blocks = rest.split(/\r\n\r\n|\n\n|\r\r(?!$)/)
      rest = blocks.pop() ?? ''
      for (const block of blocks) {
        const parsed = parse(block, id)
        id = parsed.id
        yield parsed
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

function parse(block, id) {
  let event = 'message'
  const data = []
  for (const line of block.split(/\r\n|\n|\r/)) {
    const [, field, text] = line.match(/^([^:]*):? ?(.*)$/s)
    if (field === 'event') event = text
    else if (field === 'data') data.push(text)
    else if (field === 'id') id = text
  }
  return { event, data: data.join('\n'), id }
}
