/** The deeds of one item run one after the other, those of different items side by side. */

/** @type {Map<string, Promise<any>>} the last deed of each item */
const turns = new Map()

/**
 * Runs a deed when no other of the same item runs.
 * @template T
 * @param {string} id @param {() => Promise<T>} deed
 * @returns {Promise<T>}
 */
export function inTurn(id, deed) {
  const turn = (turns.get(id) ?? Promise.resolve()).then(deed, deed)
  turns.set(id, turn)
  const done = () => turns.get(id) === turn && turns.delete(id)
  turn.then(done, done)
  return turn
}
