/** Feeds a parser what nobody meant: inputs by the hundred thousand, made from valid ones, the same in every run. */
import { heldBytes } from '@stronghold/testkit'
import { expect, onTestFinished } from 'vitest'

const LONG = process.env['STRONGHOLD_LONG'] === '1'

/** How many inputs each parser of what strangers hand over whole gets: envelopes, records, backups, keys. */
export const INPUTS: number = LONG ? 5_000_000 : 200_000

/** How many the others get, which read parts of these or what is about to be signed: there are many, and each takes time. */
export const FEWER: number = LONG ? 1_000_000 : 50_000

const MIB = 1024 * 1024

/** Numbers below a bound, always the same ones (xorshift). */
export function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/** A valid input, cut, repeated, and changed in up to four places; now and then nothing but noise. */
function mangle(
  sample: Uint8Array,
  random: (below: number) => number,
  marks: Uint8Array | undefined,
): Uint8Array {
  if (random(16) === 0) return noise(random(64), random)
  const kind = random(8)
  const cut = kind === 0 ? random(sample.byteLength + 1) : sample.byteLength
  const input = sample.slice(0, cut)
  if (kind === 1) {
    const from = random(input.byteLength)
    input.copyWithin(random(input.byteLength), from, from + random(24))
  }
  for (let changes = random(5); changes > 0 && input.byteLength > 0; changes--) {
    const at = random(input.byteLength)
    const by = random(4)
    if (by === 2) input[at] = (input[at] ?? 0) ^ (1 << random(8))
    else if (marks !== undefined && by < 2) input[at] = marks[random(marks.byteLength)] ?? 0
    else input[at] = by === 0 ? 0 : by === 1 ? 0xff : random(256)
  }
  return input
}

function noise(length: number, random: (below: number) => number): Uint8Array {
  const bytes = new Uint8Array(length)
  for (let i = 0; i < length; i++) bytes[i] = random(256)
  return bytes
}

/** How inputs are made and what a parser may say. */
export interface FeedInit {
  /** Names of the errors that it may throw. Default `SyntaxError` alone. */
  refusals?: readonly string[]
  /** Bytes that mean something to it, put in where others have zeros and ones. */
  marks?: Uint8Array
  /** How many inputs. Default `INPUTS`. */
  inputs?: number
}

/**
 * Runs a parser over mangled inputs: whatever it throws is what its documentation says, and nothing stays in memory.
 *
 * @param parse - may give a promise, which is waited for
 * @returns how many inputs were read after all
 */
export async function feed(
  samples: readonly Uint8Array[],
  parse: (input: Uint8Array) => unknown,
  init: FeedInit = {},
): Promise<number> {
  const { refusals = ['SyntaxError'], marks, inputs = INPUTS } = init
  // Most of the time would go into stack traces that nobody reads.
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  onTestFinished(() => {
    Error.stackTraceLimit = stackTraceLimit
  })
  const random = numbers(0x51)
  const before = heldBytes()
  let read = 0
  for (let count = 0; count < inputs; count++) {
    const sample = samples[count % samples.length] ?? expect.fail()
    const input = mangle(sample, random, marks)
    try {
      const result = parse(input)
      if (result instanceof Promise) await result
      read += 1
    } catch (error) {
      const name = error instanceof Error ? error.name : typeof error
      if (!refusals.includes(name)) throw error
    }
  }
  expect(heldBytes() - before).toBeLessThan(4 * MIB)
  return read
}
