/**
 * Secret bytes: one slab of locked memory between guard pages, lent in pieces and wiped when they come back. It knows
 * nothing of what the bytes are. Only what is named in `docs/THREATS.md` ever holds secret bytes outside of it.
 */
import { readFileSync } from 'node:fs'

import { VaultError } from './errors.ts'
import { sodium } from './sodium.ts'

/** Pieces begin at multiples of this many bytes, so that two secrets never share a cache line. */
const GRAIN = 64

/** How a slab is made. */
export interface SlabInit {
  /** Size in bytes, rounded up to whole pages. Default 4 MiB (`DEFAULT_SLAB_BYTES`). */
  bytes?: number
  /** Refuse memory that the system did not lock. Default false: it is used, and `locked` says so. */
  requireLocked?: boolean
}

/** Did the system lock the memory, so that it never reaches swap. `'unknown'` where the system does not tell. */
export type Locked = 'yes' | 'no' | 'unknown'

/** A piece of locked memory with a secret in it. Belongs to whoever took it, who disposes of it in `finally`. */
export interface Secret extends Disposable {
  /** Length in bytes. */
  readonly length: number
  /**
   * The bytes themselves, a view that must not outlive the secret.
   *
   * @throws `TypeError` after the secret was wiped
   */
  readonly bytes: Uint8Array
  /** Overwrites the bytes and gives the memory back. Again does nothing. */
  wipe(): void
}

/** Default size of a slab: room for some thirty thousand keys of 32 bytes at once. */
export const DEFAULT_SLAB_BYTES: number = 4 * 1024 * 1024

interface Range {
  from: number
  to: number
}

/**
 * One slab of locked memory. Native secure allocations are few per process, so there is one per vault and everything
 * is lent out of it.
 */
export class Slab implements Disposable {
  readonly #allocation: Buffer
  /** The same memory as plain bytes: `slice` of a Buffer would lend it a second time. */
  readonly #memory: Uint8Array
  readonly #lent = new Set<LentSecret>()
  /** Free ranges in order of place; neighbours are always joined. */
  #free: Range[]
  #gone = false
  /** Whether the memory is really locked, as the system tells it (`VmLck` on Linux). */
  readonly locked: Locked
  /** Size in bytes. */
  readonly size: number

  /**
   * @throws `VaultError` `failed_precondition` (`memory_not_locked`) where `requireLocked` is set and cannot be held
   */
  constructor(init: SlabInit = {}) {
    const size = roundUp(init.bytes ?? DEFAULT_SLAB_BYTES, 4096)
    const before = lockedBytes()
    this.#allocation = sodium.sodium_malloc(size)
    const after = lockedBytes()
    this.#memory = new Uint8Array(this.#allocation.buffer, this.#allocation.byteOffset, size)
    // libsodium hands it out filled with a pattern, and `take` promises zeros.
    sodium.sodium_memzero(this.#memory)
    // libsodium reports success even where mlock failed, so the kernel is asked.
    this.locked =
      before === undefined || after === undefined
        ? 'unknown'
        : after - before >= size
          ? 'yes'
          : 'no'
    this.size = size
    this.#free = [{ from: 0, to: size }]
    if (init.requireLocked === true && this.locked !== 'yes') {
      this[Symbol.dispose]()
      throw new VaultError(
        'failed_precondition',
        `Cannot lock ${size} bytes of memory: ${this.locked === 'no' ? 'over the limit of locked memory (ulimit -l)' : 'this system does not tell whether it did'}`,
        { reason: 'memory_not_locked' },
      )
    }
  }

  /** Bytes lent out at present, rounding included. */
  get used(): number {
    return this.size - this.#free.reduce((sum, range) => sum + range.to - range.from, 0)
  }

  /**
   * Lends memory, filled with zeros.
   *
   * @param length - bytes, 0 or more
   * @throws `VaultError` `resource_exhausted` where no free piece is that long, `TypeError` after the slab is gone
   */
  take(length: number): Secret {
    if (this.#gone) throw new TypeError('Cannot take secret memory: the slab is gone')
    if (!Number.isSafeInteger(length) || length < 0) {
      throw new RangeError(`Cannot take secret memory: ${length} is no length`)
    }
    const need = roundUp(Math.max(length, 1), GRAIN)
    const range = this.#free.find(({ from, to }) => to - from >= need)
    if (range === undefined) {
      throw new VaultError(
        'resource_exhausted',
        `Cannot take ${length} bytes of secret memory: ${this.used} of ${this.size} are in use`,
      )
    }
    const from = range.from
    range.from += need
    if (range.from === range.to) this.#free.splice(this.#free.indexOf(range), 1)
    const secret = new LentSecret(this.#memory.subarray(from, from + length), () => {
      this.#giveBack(secret, from, from + need)
    })
    this.#lent.add(secret)
    return secret
  }

  /** Lends memory that holds a copy of `bytes`; the caller's copy stays the caller's to wipe. */
  copy(bytes: Uint8Array): Secret {
    const secret = this.take(bytes.byteLength)
    secret.bytes.set(bytes)
    return secret
  }

  /** Lends memory filled with random bytes. */
  random(length: number): Secret {
    const secret = this.take(length)
    if (length > 0) sodium.randombytes_buf(secret.bytes)
    return secret
  }

  /** Whether bytes are a view into this slab. */
  holds(bytes: Uint8Array): boolean {
    return bytes.buffer === this.#memory.buffer
  }

  /** Wipes everything that is lent out, whoever holds it, and gives the memory back to the system. */
  [Symbol.dispose](): void {
    if (this.#gone) return
    this.#gone = true
    for (const secret of this.#lent) secret.forget()
    this.#lent.clear()
    this.#free = []
    sodium.sodium_memzero(this.#memory)
    sodium.sodium_free(this.#allocation)
  }

  #giveBack(secret: LentSecret, from: number, to: number): void {
    if (!this.#lent.delete(secret)) return
    const next = this.#free.findIndex((range) => range.from > from)
    const at = next === -1 ? this.#free.length : next
    const before = this.#free[at - 1]
    const after = this.#free[at]
    const joinsBefore = before?.to === from
    const joinsAfter = after?.from === to
    if (before !== undefined && joinsBefore) {
      before.to = joinsAfter && after !== undefined ? after.to : to
      if (joinsAfter) this.#free.splice(at, 1)
    } else if (after !== undefined && joinsAfter) after.from = from
    else this.#free.splice(at, 0, { from, to })
  }
}

class LentSecret implements Secret {
  readonly length: number
  #bytes: Uint8Array | undefined
  readonly #giveBack: () => void

  constructor(bytes: Uint8Array, giveBack: () => void) {
    this.length = bytes.byteLength
    this.#bytes = bytes
    this.#giveBack = giveBack
  }

  get bytes(): Uint8Array {
    if (this.#bytes === undefined) throw new TypeError('Cannot read secret: it was wiped')
    return this.#bytes
  }

  wipe(): void {
    if (this.#bytes === undefined) return
    sodium.sodium_memzero(this.#bytes)
    this.#bytes = undefined
    this.#giveBack()
  }

  /** The slab goes as a whole and wipes everything itself. */
  forget(): void {
    this.#bytes = undefined
  }

  [Symbol.dispose](): void {
    this.wipe()
  }

  // What prints or stores objects by accident gets nothing.
  toJSON(): undefined {
    return undefined
  }

  toString(): string {
    return '[secret]'
  }
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to
}

/** Bytes of this process that the kernel keeps in memory, or `undefined` where it does not tell. */
function lockedBytes(): number | undefined {
  if (process.platform !== 'linux') return undefined
  try {
    const line = /^VmLck:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'latin1'))
    return line === null ? undefined : Number(line[1]) * 1024
  } catch {
    return undefined
  }
}
