/** Bytes that wait to be sent, in IndexedDB: storage.local is too small for pictures. */

/** @returns {Promise<IDBDatabase>} */
const open = () => new Promise((resolve, reject) => {
  const request = indexedDB.open('skylift', 1)
  request.onupgradeneeded = () => request.result.createObjectStore('bytes')
  request.onsuccess = () => resolve(request.result)
  request.onerror = () => reject(request.error)
})

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

/** @param {string} id @param {Blob} blob */
export const keep = (id, blob) => run('readwrite', (s) => s.put(blob, id))
/** @param {string} id @returns {Promise<Blob|undefined>} */
export const kept = (id) => run('readonly', (s) => s.get(id))
/** @param {string} id */
export const drop = (id) => run('readwrite', (s) => s.delete(id))
