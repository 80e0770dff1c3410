/**
 * Lines of a backup as bytes: written and read piece by piece in secret memory, with a hash over all of them. What a line
 * says is not known here, but that its last member may be bytes in base64, which never become a string.
 */
import { createHash } from 'node:crypto'

import { encodeUtf8 } from '@stronghold/core'

import { VaultError } from '../errors.ts'
import { base64Length, encodeBase64Into } from '../formats/base64.ts'
import { MAX_BACKUP_LINE_BYTES } from '../limits.ts'
import { damaged } from '../row.ts'
import { Slab } from '../secret.ts'
import type { Secret, SlabInit } from '../secret.ts'
import { sodium } from '../sodium.ts'

const LINE_FEED = 0x0a
const NOTHING = new Uint8Array(0)
const WRITE_BYTES = 64 * 1024
const FIRST_ROOM_BYTES = 64 * 1024
const LAST_LINE_BEGINS = encodeUtf8('{"end":')

/** One line to be written. */
export interface LineInit {
  /** Nothing secret, in the order in which it is written. */
  readonly fields: Readonly<Record<string, unknown>>
  /** A last member, in base64; read before the next line is asked for. */
  readonly bytes?: { readonly name: string; readonly value: Uint8Array }
}

/**
 * Lines as bytes, and behind them the last one: how many there are, and SHA-256 over all before it.
 *
 * @returns views of secret memory, each good until the next is asked for
 * @throws `VaultError` `resource_exhausted` for a line past `MAX_BACKUP_LINE_BYTES`
 */
export function* encodeLines(
  lines: Iterable<LineInit>,
  slab: Slab,
): Generator<Uint8Array, void, void> {
  using room = slab.take(WRITE_BYTES)
  const hash = createHash('sha256')
  const filling = new Filling(room)
  let count = 0
  const flush = function* (): Generator<Uint8Array, void, void> {
    const filled = filling.take()
    hash.update(filled)
    yield filled
  }
  const put = function* (bytes: Uint8Array): Generator<Uint8Array, void, void> {
    for (let rest = bytes; ;) {
      rest = filling.add(rest)
      if (rest.byteLength === 0) return
      yield* flush()
    }
  }
  for (const { fields, bytes } of lines) {
    const text = JSON.stringify(fields)
    const begin = encodeUtf8(bytes === undefined ? text : `${text.slice(0, -1)},"${bytes.name}":"`)
    const end = encodeUtf8(bytes === undefined ? '\n' : '"}\n')
    const value = bytes?.value ?? NOTHING
    const length = begin.byteLength + base64Length(value.byteLength) + end.byteLength
    if (length > MAX_BACKUP_LINE_BYTES) {
      throw new VaultError(
        'resource_exhausted',
        `Cannot write backup: line ${count + 1} would have ${length} bytes where ${MAX_BACKUP_LINE_BYTES} are allowed`,
      )
    }
    yield* put(begin)
    for (let rest = value; rest.byteLength > 0;) {
      rest = filling.addBase64(rest)
      if (rest.byteLength > 0) yield* flush()
    }
    yield* put(end)
    count++
  }
  yield* flush()
  const end = { end: 'backup', lines: count, sha256: hash.digest('hex') }
  yield encodeUtf8(`${JSON.stringify(end)}\n`)
}

/** Secret memory that fills up. */
class Filling {
  readonly #room: Secret
  #length = 0

  constructor(room: Secret) {
    this.#room = room
  }

  /** What is in it; it begins anew. */
  take(): Uint8Array {
    const filled = this.#room.bytes.subarray(0, this.#length)
    this.#length = 0
    return filled
  }

  /** @returns what did not fit */
  add(bytes: Uint8Array): Uint8Array {
    const fits = bytes.subarray(0, this.#room.length - this.#length)
    this.#room.bytes.set(fits, this.#length)
    this.#length += fits.byteLength
    return bytes.subarray(fits.byteLength)
  }

  /** Adds the base64 of bytes, in whole groups of four characters. @returns what did not fit */
  addBase64(bytes: Uint8Array): Uint8Array {
    const groups = Math.floor((this.#room.length - this.#length) / 4)
    const fits = bytes.subarray(0, groups * 3)
    this.#length += encodeBase64Into(fits, this.#room.bytes.subarray(this.#length))
    return bytes.subarray(fits.byteLength)
  }
}

/** One line that was read. */
export interface Line {
  /** From 1. */
  readonly number: number
  /** Without its line feed, in secret memory, good until the next is asked for. May be written into. */
  readonly bytes: Uint8Array
  /** SHA-256 of all lines before, in hex; given to what begins like a last line. */
  readonly before?: string
}

/**
 * The lines of a text that comes in pieces. Each ends with a line feed, the last one, too.
 *
 * @throws `VaultError` `data_loss` (`damaged`) for a text that ends inside a line, or past `MAX_BACKUP_LINE_BYTES`
 */
export async function* readLines(
  pieces: AsyncIterable<Uint8Array>,
  memory: Pick<SlabInit, 'requireLocked'> = {},
): AsyncGenerator<Line, void, void> {
  using room = new Room(memory)
  const hash = createHash('sha256')
  let number = 1
  for await (const piece of pieces) {
    for (let rest = piece; rest.byteLength > 0;) {
      const feed = rest.indexOf(LINE_FEED)
      const to = feed === -1 ? rest.byteLength : feed + 1
      if (room.length + to > MAX_BACKUP_LINE_BYTES) {
        throw damaged('read backup', `line ${number} has more than ${MAX_BACKUP_LINE_BYTES} bytes`)
      }
      room.add(rest.subarray(0, to))
      rest = rest.subarray(to)
      if (feed === -1) continue
      const line = room.bytes
      const isLast = LAST_LINE_BEGINS.every((code, i) => line[i] === code)
      const before = isLast ? { before: hash.copy().digest('hex') } : {}
      hash.update(line)
      yield { number, bytes: line.subarray(0, -1), ...before }
      room.empty()
      number++
    }
  }
  if (room.length > 0) throw damaged('read backup', `it ends inside line ${number}`)
}

/** Secret memory that grows with what is put into it, so that no announced length takes any. */
class Room implements Disposable {
  readonly #memory: Pick<SlabInit, 'requireLocked'>
  #slab: Slab
  #secret: Secret
  length = 0

  constructor(memory: Pick<SlabInit, 'requireLocked'>) {
    this.#memory = memory
    this.#slab = new Slab({ ...memory, bytes: FIRST_ROOM_BYTES })
    this.#secret = this.#slab.take(FIRST_ROOM_BYTES)
  }

  get bytes(): Uint8Array {
    return this.#secret.bytes.subarray(0, this.length)
  }

  add(bytes: Uint8Array): void {
    const length = this.length + bytes.byteLength
    if (length > this.#secret.length) {
      let size = this.#secret.length
      while (size < length) size *= 2
      const slab = new Slab({ ...this.#memory, bytes: size })
      const secret = slab.take(size)
      secret.bytes.set(this.bytes)
      this.#slab[Symbol.dispose]()
      this.#slab = slab
      this.#secret = secret
    }
    this.#secret.bytes.set(bytes, this.length)
    this.length = length
  }

  empty(): void {
    sodium.sodium_memzero(this.bytes)
    this.length = 0
  }

  [Symbol.dispose](): void {
    this.#slab[Symbol.dispose]()
  }
}
