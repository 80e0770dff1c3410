/** Maps that came as CBOR, read field by field: each is there, of its form, and no other. Pure. */

/** Reads the fields of one map; throws `SyntaxError` that names what is read and the field. */
export class Fields {
  readonly #what: string
  readonly #map: Readonly<Record<string, unknown>>
  readonly #taken = new Set<string>()

  /** @throws `SyntaxError` for what is no map */
  constructor(value: unknown, what: string) {
    this.#what = what
    const isMap =
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      !(value instanceof Uint8Array)
    if (!isMap) throw this.bad('no map')
    this.#map = value as Record<string, unknown>
  }

  /** Whether a field is there, and not null. */
  has(name: string): boolean {
    return Object.hasOwn(this.#map, name) && this.#map[name] !== null
  }

  /** A field of any form. */
  any(name: string): unknown {
    this.#taken.add(name)
    return Object.hasOwn(this.#map, name) ? this.#map[name] : undefined
  }

  /** Bytes of that length, of any where none is given. */
  bytes(name: string, length?: number): Uint8Array {
    const value = this.any(name)
    if (!(value instanceof Uint8Array)) throw this.bad(`no bytes in ${name}`)
    if (length !== undefined && value.byteLength !== length) {
      throw this.bad(`${value.byteLength} bytes in ${name} where ${length} are expected`)
    }
    return value
  }

  /** A number from 0 to 2⁵³ − 1. */
  uint(name: string): number {
    const value = this.any(name)
    if (!Number.isSafeInteger(value) || (value as number) < 0)
      throw this.bad(`no number in ${name}`)
    return value as number
  }

  text(name: string): string {
    const value = this.any(name)
    if (typeof value !== 'string') throw this.bad(`no text in ${name}`)
    return value
  }

  /** A list, each of whose members `read` takes. */
  list<T>(name: string, read: (value: unknown) => T | undefined): T[] {
    const value = this.any(name)
    if (!Array.isArray(value)) throw this.bad(`no list in ${name}`)
    return value.map((one: unknown) => {
      const taken = read(one)
      if (taken === undefined) throw this.bad(`something else in the list ${name}`)
      return taken
    })
  }

  /** Says that there is nothing else. @throws `SyntaxError` */
  end(): void {
    const other = Object.keys(this.#map).find((name) => !this.#taken.has(name))
    if (other !== undefined)
      throw this.bad(`an unknown field ${JSON.stringify(other.slice(0, 64))}`)
  }

  /** An error about this map. */
  bad(state: string): SyntaxError {
    return new SyntaxError(`Cannot read ${this.#what}: ${state}`)
  }
}
