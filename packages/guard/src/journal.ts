/**
 * How to take back what was changed in memory, for as long as it is not committed: a savepoint that fails takes its changes
 * back, a commit that fails all of them. It knows nothing of what is changed.
 */

/** Changes of one transaction, newest last. */
export class Journal {
  readonly #undo: (() => void)[] = []

  /** Notes how to take a change back that was just made. */
  did(undo: () => void): void {
    this.#undo.push(undo)
  }

  /** Sets a key of a map, or takes it away, and notes it. */
  set<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
    const before = map.get(key)
    put(map, key, value)
    this.#undo.push(() => {
      put(map, key, before)
    })
  }

  /** Where it stands. */
  mark(): number {
    return this.#undo.length
  }

  /** Takes back what came after a mark; all of it by default. */
  rollBack(mark = 0): void {
    while (this.#undo.length > mark) this.#undo.pop()?.()
  }

  /** It is committed: nothing of it is taken back any more. */
  settle(): void {
    this.#undo.length = 0
  }
}

function put<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}
