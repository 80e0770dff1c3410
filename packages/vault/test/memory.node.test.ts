/**
 * Reads the whole memory of a process that holds a vault, and looks for what was planted: bytes, reversed bytes, limbs of
 * 64 bits in both orders, hex, base64. After lock there is none; before, none outside locked memory, but during a call
 * in the library that computes.
 */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Writable } from 'node:stream'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

import { afterEach, describe, expect, test } from 'vitest'

import { sodium } from '../src/sodium.ts'

const CHILD = fileURLToPath(new URL('_memory-child.ts', import.meta.url))
/** Bytes that must be found together to count: fewer would be found by chance. */
const TRACE = 12
const PAGE = 4096
/** How often the search looks into the middle of calls. */
const LOOKS = process.env['STRONGHOLD_LONG'] === '1' ? 200 : 3

interface Planted {
  readonly name: string
  readonly bytes: Uint8Array
}

interface Found {
  readonly name: string
  readonly form: string
  /** The mapping, as the system names it. */
  readonly where: string
  readonly locked: boolean
}

/** A secret in all the forms in which it may lie around, each with what is searched of it. */
function formsOf({ name, bytes }: Planted): { name: string; form: string; bytes: Uint8Array }[] {
  const forms: [string, Uint8Array][] = []
  const limbs = (chunk: Uint8Array): Uint8Array[] =>
    Array.from({ length: Math.floor(chunk.length / 8) }, (_, i) => chunk.slice(8 * i, 8 * i + 8))
  for (const [part, chunk] of [
    ['begin', bytes.slice(0, 32)],
    ['end', bytes.slice(-Math.min(32, bytes.length - (bytes.length % 8)))],
  ] as const) {
    forms.push([`${part}, bytes`, chunk])
    forms.push([`${part}, reversed`, chunk.toReversed()])
    forms.push([`${part}, limbs swapped`, Buffer.concat(limbs(chunk).map((l) => l.toReversed()))])
    forms.push([`${part}, limbs from the last`, Buffer.concat(limbs(chunk).toReversed())])
    const text = Buffer.from(chunk)
    forms.push([`${part}, hex`, Buffer.from(text.toString('hex'))])
    forms.push([`${part}, HEX`, Buffer.from(text.toString('hex').toUpperCase())])
    for (let shift = 0; shift < 3; shift++) {
      forms.push([`${part}, base64`, Buffer.from(text.subarray(shift).toString('base64'))])
      forms.push([`${part}, base64url`, Buffer.from(text.subarray(shift).toString('base64url'))])
    }
    forms.push([`${part}, UTF-16`, Buffer.from(text.toString('latin1'), 'utf16le')])
  }
  return forms.map(([form, all]) => {
    const length = form.endsWith('UTF-16') ? 2 * TRACE : TRACE
    return { name, form, bytes: all.slice(0, length) }
  })
}

/** Looks for all forms at once in every mapping of a process that can be read. */
function search(pid: number, planted: readonly Planted[]): Found[] {
  const needles = planted.flatMap(formsOf)
  const byStart = new Map<number, typeof needles>()
  const marks = new Uint8Array(1 << 20)
  for (const needle of needles) {
    const start = new DataView(needle.bytes.buffer, needle.bytes.byteOffset).getUint32(0)
    marks[markOf(start)] = 1
    byStart.set(start, [...(byStart.get(start) ?? []), needle])
  }
  const found: Found[] = []
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const pages = openSync(`/proc/${pid}/pagemap`, 'r')
  const chunk = new Uint8Array(1 << 20)
  try {
    for (const { from, to, where, locked } of mappings(pid)) {
      for (let at = from; at < to; at += chunk.byteLength - PAGE) {
        const end = Math.min(at + chunk.byteLength, to)
        if (!isThere(pages, at, end)) continue
        const length = readAt(memory, chunk, at, end - at)
        for (let i = 3; (i = nextMark(chunk, i, length, marks)) < length; i++) {
          const start = new DataView(chunk.buffer, i - 3).getUint32(0)
          for (const { name, form, bytes } of byStart.get(start) ?? []) {
            if (bytes.every((byte, k) => chunk[i - 3 + k] === byte)) {
              found.push({ name, form, where, locked })
            }
          }
        }
      }
    }
  } finally {
    closeSync(pages)
    closeSync(memory)
  }
  return found
}

/** Whether any page of a range was ever touched: 63 and 62 say present and swapped out (proc_pid_pagemap(5)). */
function isThere(pages: number, from: number, to: number): boolean {
  const entries = new Uint8Array(((to - from) / PAGE) * 8)
  const length = readAt(pages, entries, (from / PAGE) * 8, entries.byteLength)
  for (let i = 7; i < length; i += 8) if (((entries[i] as number) & 0xc0) !== 0) return true
  return false
}

/** The next place where the four bytes that end there have a mark; `length` where none has. */
function nextMark(chunk: Uint8Array, from: number, length: number, marks: Uint8Array): number {
  let start = 0
  for (let i = from - 3; i < length; i++) {
    start = (start << 8) | (chunk[i] as number)
    if (i >= from && marks[markOf(start)] === 1) return i
  }
  return length
}

/** Where four bytes leave their mark, so that a map is asked only where it is worth it. */
function markOf(start: number): number {
  return Math.imul(start, 0x9e37_79b1) >>> 12
}

function readAt(file: number, out: Uint8Array, at: number, length: number): number {
  try {
    return readSync(file, out, 0, length, at)
  } catch {
    return 0 // pages that nobody may read
  }
}

/** Everything that a process may write to, with the flag that says whether it is locked. */
function* mappings(
  pid: number,
): Generator<{ from: number; to: number; where: string; locked: boolean }> {
  const blocks = readFileSync(`/proc/${pid}/smaps`, 'latin1').split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/)
  for (const block of blocks) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ *(.*)/.exec(block)
    if (head === null || head[3]?.startsWith('rw') !== true) continue
    const from = Number.parseInt(head[1] ?? '', 16)
    const to = Number.parseInt(head[2] ?? '', 16)
    if (from >= 2 ** 47) continue
    yield {
      from,
      to,
      where: `${head[3]} ${head[4] ?? ''}`.trim(),
      locked: /^VmFlags:.* lo\b/m.test(block),
    }
  }
}

class Child implements Disposable {
  readonly #process: ChildProcess
  readonly #lines: AsyncIterator<string>

  constructor() {
    this.#process = spawn(
      process.execPath,
      ['--conditions=@stronghold/source', '--disable-sigusr1', CHILD],
      { stdio: ['pipe', 'pipe', 'inherit', 'pipe'] },
    )
    this.#lines = createInterface({ input: this.#process.stdout! })[Symbol.asyncIterator]()
  }

  async does(command: string, ...secrets: Planted[]): Promise<void> {
    const pipe = this.#process.stdio[3] as Writable
    for (const { bytes } of secrets) {
      const head = new Uint8Array(2)
      new DataView(head.buffer).setUint16(0, bytes.byteLength)
      pipe.write(head)
      pipe.write(bytes)
    }
    this.#process.stdin!.write(`${command}\n`)
    expect((await this.#lines.next()).value).toBe('done')
  }

  /** Looks while it does something, stopped in the middle of it each time; returns when it is done. */
  async during(command: string, looks: number, look: () => void): Promise<void> {
    const ended = this.#lines.next()
    let busy = true
    const over = (): void => {
      busy = false
    }
    void ended.then(over, over)
    this.#process.stdin!.write(`${command}\n`)
    for (let i = 0; i < looks; i++) {
      // Long enough to come to another place, whatever it is doing there.
      await wait(5 + 7 * i)
      if (!busy) break
      this.#process.kill('SIGSTOP')
      look()
      this.#process.kill('SIGCONT')
    }
    expect((await ended).value).toBe('done')
  }

  search(planted: readonly Planted[]): Found[] {
    return search(this.#process.pid!, planted)
  }

  [Symbol.dispose](): void {
    this.#process.kill('SIGKILL')
  }
}

/** May this process read the memory of its children, as debuggers do? */
function mayRead(): boolean {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'])
  try {
    closeSync(openSync(`/proc/${child.pid}/mem`, 'r'))
    return true
  } catch {
    return false
  } finally {
    child.kill('SIGKILL')
  }
}

const why =
  process.platform !== 'linux'
    ? 'skipped: no /proc'
    : mayRead()
      ? ''
      : 'skipped: /proc/PID/mem may not be read'

describe.skipIf(why !== '')(`the memory of a process with a vault ${why}`.trim(), () => {
  const children: Child[] = []
  const start = (): Child => {
    const child = new Child()
    children.push(child)
    return child
  }
  afterEach(() => {
    for (const child of children.splice(0)) child[Symbol.dispose]()
  })

  const plant = (name: string, bytes: Uint8Array): Planted => ({ name, bytes })
  const text = (name: string, value: string): Planted =>
    plant(name, new TextEncoder().encode(value))

  test('the search finds what is left behind', { timeout: 60_000 }, async () => {
    const child = start()
    const secret = plant('leaked', randomBytes(32))
    await child.does('leak', secret)
    const found = child.search([secret])
    expect(found.some(({ form, locked }) => form === 'begin, hex' && !locked)).toBe(true)
  })

  test(
    'holds secrets in locked memory while unlocked, and none after lock',
    { timeout: 300_000 },
    async () => {
      const dataKey = plant('data key', randomBytes(32))
      const rowKey = plant('row key', new Uint8Array(32))
      const context = new TextEncoder().encode('shvault1')
      sodium.crypto_kdf_derive_from_key(rowKey.bytes, 1, context, dataKey.bytes)
      const passphrase = text('passphrase', randomBytes(24).toString('base64url'))
      const seed = plant('Ed25519 seed', randomBytes(32))
      const expanded = plant('Ed25519 scalar', clamped(seed.bytes))
      const aes = plant('AES key', randomBytes(32))
      const opaque = plant('opaque', randomBytes(200))
      const words = text('words', mnemonic())
      const secp256k1 = plant('secp256k1 scalar', scalar())
      const p256 = plant('P-256 scalar', scalar())
      const hmac = plant('HMAC key', randomBytes(32))
      const imported = [seed, aes, opaque, words, secp256k1, p256, hmac]
      const all = [dataKey, rowKey, passphrase, expanded, ...imported]

      const child = start()
      const outside = (): Found[] => child.search(all).filter(({ locked }) => !locked)
      await child.does('create', dataKey, passphrase)
      expect(outside()).toEqual([])
      await child.does('import', ...imported)
      expect(outside()).toEqual([])
      await child.does('lock')
      expect(child.search(all)).toEqual([])
      await child.does('unlock', passphrase)
      const unlocked = child.search(all)
      expect(unlocked.filter(({ locked }) => !locked)).toEqual([])
      // The search sees what is there: keys of rows are in the slab while it is unlocked, nothing else has to be.
      expect(unlocked.some(({ name }) => name === 'row key')).toBe(true)
      // In the middle of calls: what OpenSSL and libsecp256k1 compute with is there while they do, as bytes or as limbs,
      // and nothing else is anywhere, nor any secret as text.
      const computing: Found[] = []
      await child.during('use', LOOKS, () => {
        computing.push(...outside())
      })
      const inLibraries = [secp256k1, p256, aes, hmac].map(({ name }) => name)
      expect(computing.filter(({ name }) => !inLibraries.includes(name))).toEqual([])
      expect(computing.filter(({ form }) => !/bytes|reversed|limbs/.test(form))).toEqual([])
      expect(outside()).toEqual([])
      await child.does('lock')
      expect(child.search(all)).toEqual([])
    },
  )
})

/** The secret scalar that RFC 8032 makes of a seed. */
function clamped(seed: Uint8Array): Uint8Array {
  const hash = createHash('sha512').update(seed).digest().subarray(0, 32)
  hash[0] = (hash[0] as number) & 248
  hash[31] = ((hash[31] as number) & 127) | 64
  return hash
}

/** Below the order of every curve. */
function scalar(): Uint8Array {
  const bytes = randomBytes(32)
  bytes[0] = 1
  return bytes
}

/** Words of a checksum that holds: the published word list is not needed for one that is known. */
function mnemonic(): string {
  return 'legal winner thank year wave sausage worth useful legal winner thank yellow'
}
