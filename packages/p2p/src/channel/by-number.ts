/**
 * What is open, by its 32-bit number: numbers mostly come one after the other and go soon. A `Map` is built anew every
 * so often as members come and go, and each table that it leaves keeps its last members alive until the next full
 * collection. Knows nothing of what its members are.
 */

/** Something with a number. */
export interface Numbered {
  readonly number: number
}

// Ours: places at first. They double while members that came in order would fill more than half.
const FIRST_PLACES = 64
// Ours: past so many they are given back when the last member has gone.
const MANY_PLACES = 1024

/** A set of members with different numbers. */
export class ByNumber<T extends Numbered> {
  #places: (T | undefined)[] = emptyPlaces(FIRST_PLACES)
  /** Members whose place another one has. Whoever chooses numbers that collide gets a `Map`, not a slower search. */
  #others: Map<number, T> | undefined
  #size = 0

  get size(): number {
    return this.#size
  }

  get(number: number): T | undefined {
    const found = this.#places[number & (this.#places.length - 1)]
    return found?.number === number ? found : this.#others?.get(number)
  }

  /** Adds one whose number no other member has. */
  add(one: T): void {
    this.#size += 1
    if (2 * this.#size > this.#places.length) this.#grow()
    this.#put(one)
  }

  /** Takes out the member with this number, if there is one. */
  delete(number: number): void {
    const place = number & (this.#places.length - 1)
    if (this.#places[place]?.number === number) this.#places[place] = undefined
    else if (this.#others?.delete(number) !== true) return
    this.#size -= 1
    if (this.#size === 0 && this.#places.length > MANY_PLACES) this.takeAll()
  }

  /** Takes all out, in the order of their numbers. */
  takeAll(): T[] {
    const all = this.#list().sort((a, b) => a.number - b.number)
    this.#places = emptyPlaces(FIRST_PLACES)
    this.#others = undefined
    this.#size = 0
    return all
  }

  #put(one: T): void {
    const place = one.number & (this.#places.length - 1)
    if (this.#places[place] === undefined) this.#places[place] = one
    else (this.#others ??= new Map<number, T>()).set(one.number, one)
  }

  #grow(): void {
    const all = this.#list()
    this.#places = emptyPlaces(2 * this.#places.length)
    this.#others = undefined
    for (const one of all) this.#put(one)
  }

  #list(): T[] {
    const all = this.#places.filter((one) => one !== undefined)
    return this.#others === undefined ? all : [...all, ...this.#others.values()]
  }
}

function emptyPlaces<T>(count: number): (T | undefined)[] {
  return Array.from<T | undefined>({ length: count }).fill(undefined)
}
