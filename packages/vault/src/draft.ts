/** A map with changes that are not committed yet: seen here at once, by everybody when published. It knows no rows. */

/** Changes over a map, which stays as it is until `publish`. */
export class Draft<K, V> {
  readonly #base: Map<K, V>
  readonly #changed = new Map<K, V | undefined>()
  /** How to take changes back, newest last. */
  readonly #undo: (() => void)[] = []
  #size: number

  constructor(base: Map<K, V>) {
    this.#base = base
    this.#size = base.size
  }

  get size(): number {
    return this.#size
  }

  get(key: K): V | undefined {
    return this.#changed.has(key) ? this.#changed.get(key) : this.#base.get(key)
  }

  /** Everything, as it is in this draft. */
  *entries(): Generator<[K, V]> {
    for (const [key, value] of this.#base) if (!this.#changed.has(key)) yield [key, value]
    for (const [key, value] of this.#changed) if (value !== undefined) yield [key, value]
  }

  /** Sets a value; `undefined` takes the key away. */
  set(key: K, value: V | undefined): void {
    const known = this.#changed.has(key)
    const before = this.get(key)
    const grown = Number(value !== undefined) - Number(before !== undefined)
    this.#changed.set(key, value)
    this.#size += grown
    this.#undo.push(() => {
      if (known) this.#changed.set(key, before)
      else this.#changed.delete(key)
      this.#size -= grown
    })
  }

  /** Whether there is anything to publish. */
  get isChanged(): boolean {
    return this.#changed.size > 0
  }

  /** Where it stands; `rollBack` takes back what came later. */
  mark(): number {
    return this.#undo.length
  }

  rollBack(mark: number): void {
    while (this.#undo.length > mark) this.#undo.pop()?.()
  }

  /** Writes the changes into the map. */
  publish(): void {
    for (const [key, value] of this.#changed) {
      if (value === undefined) this.#base.delete(key)
      else this.#base.set(key, value)
    }
    this.#changed.clear()
    this.#undo.length = 0
  }
}
