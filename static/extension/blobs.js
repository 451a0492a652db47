/**
 * Bytes that wait to be sent, in IndexedDB and in pieces: neither a long video nor the way to the
 * server ever needs the whole of it in memory, and a piece that was sent is not sent again.
 */

/** Bytes of a piece, also of one request to the server: OneDrive takes multiples of 320 KiB. */
export const pieceSize = 10 << 20

/** @returns {Promise<IDBDatabase>} */
const open = () => new Promise((resolve, reject) => {
  const request = indexedDB.open('skylift', 2)
  request.onupgradeneeded = () => {
    const db = request.result
    if (db.objectStoreNames.contains('bytes')) db.deleteObjectStore('bytes') // of version 1: whole files
    db.createObjectStore('bytes')
  }
  request.onsuccess = () => resolve(request.result)
  request.onerror = () => reject(request.error)
})

/**
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest} deed
 * @returns {Promise<any>}
 */
async function run(mode, deed) {
  const db = await open()
  try {
    return await new Promise((resolve, reject) => {
      const transaction = db.transaction('bytes', mode)
      const request = deed(transaction.objectStore('bytes'))
      transaction.oncomplete = () => resolve(request.result)
      transaction.onerror = transaction.onabort = () => reject(transaction.error)
    })
  } finally {
    db.close()
  }
}

/**
 * Keeps what a stream brings, in place of what an earlier try left.
 * @param {string} id
 * @param {AsyncIterable<Uint8Array|Blob>|Iterable<Uint8Array|Blob>} chunks
 * @param {() => Promise<boolean>} [wanted] asked after each piece; no ends it
 * @returns {Promise<number>} bytes
 */
export async function keep(id, chunks, wanted = async () => true) {
  await drop(id)
  let n = 0
  /** @type {any[]} */
  let parts = []
  let held = 0
  for await (const chunk of chunks) {
    parts.push(chunk)
    held += chunk instanceof Blob ? chunk.size : chunk.byteLength
    while (held >= pieceSize) {
      const all = new Blob(parts)
      await run('readwrite', (s) => s.put(all.slice(0, pieceSize), [id, n++]))
      parts = [all.slice(pieceSize)]
      held -= pieceSize
      if (!(await wanted())) return n * pieceSize
    }
  }
  if (held) await run('readwrite', (s) => s.put(new Blob(parts), [id, n]))
  return n * pieceSize + held
}

/**
 * The kept bytes from a place to the end of the piece that it is in.
 * @param {string} id @param {number} from
 * @returns {Promise<Blob|undefined>} undefined: the browser has lost them
 */
export async function from(id, from) {
  const piece = await run('readonly', (s) => s.get([id, Math.floor(from / pieceSize)]))
  return piece?.slice(from % pieceSize)
}

/** @param {string} id */
export const drop = (id) => run('readwrite', (s) => s.delete(IDBKeyRange.bound([id], [id, []])))

/** Drops the bytes that no item waits with. @param {Set<string>} ids of the items */
export async function sweep(ids) {
  for (const id of new Set((await run('readonly', (s) => s.getAllKeys())).map(([id]) => id))) if (!ids.has(id)) await drop(id)
}
