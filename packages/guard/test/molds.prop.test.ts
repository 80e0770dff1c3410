/** What is poured into a mold is, byte for byte, what is written without one. */
import assert from 'node:assert/strict'

import { toHex } from '@stronghold/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { encodeEntry } from '../src/audit/entry.ts'
import type { NewEntry } from '../src/audit/entry.ts'
import { requestBytes } from '../src/hashed.ts'
import type { HashedRequest } from '../src/hashed.ts'
import { encodeAnswered } from '../src/held.ts'
import type { HeldRequest } from '../src/held.ts'
import { MAX_MOLD_BYTES, MAX_MOLDS } from '../src/limits.ts'
import { AnswerMolds, EntryMolds, RequestMolds } from '../src/molds.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 20_000 : 200
const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })
/** Few values each, so that neighbours are often alike, and some that have no form or are refused. */
const word = fc.constantFrom('a', 'b', '', 'ü', 'x'.repeat(30))
const id = fc.oneof({ weight: 6, arbitrary: bytes(16) }, bytes(15), fc.constant('id'))
const at = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1_800_000_000_000, max: 1_800_000_000_009 }) },
  fc.constantFrom(0, 2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER, 2 ** 60, -1, 1.5),
)
const record = fc.constantFrom(new Uint8Array(16), new Uint8Array(16).fill(1), new Uint8Array(3))
const use = fc.oneof(
  fc.tuple(word, word, word),
  fc.tuple(word, word, word, record, fc.constantFrom(1, 2, 0)),
)

const facts = fc.record(
  {
    peer: word,
    connection: word,
    id,
    use: fc.array(use, { maxLength: 2 }),
    outcome: fc.constantFrom('executed', 'failed', 'nothing'),
    formats: fc.constantFrom(['raw'], ['raw', 'git'], [], undefined),
    rule: fc.constantFrom('r1', 'r2', undefined),
    reason: fc.constantFrom('why', undefined),
    bound: fc.option(bytes(32), { nil: undefined }),
    more: fc.constant(1),
  },
  { requiredKeys: ['peer', 'connection', 'use', 'outcome'] },
)
const entry = fc.oneof(
  { weight: 6, arbitrary: fc.record({ at, event: fc.constant('request'), facts }) },
  fc.record({ at, event: fc.constant('released'), facts: fc.record({ peer: word, id }) }),
)

class Like {
  readonly format = 'raw'
}
const as = fc.constantFrom<unknown>(
  { format: 'raw' },
  { format: 'jws', protected: { '': 1 } },
  { format: 'jws', protected: { '': 2 } },
  new Like(),
  { format: 0 },
  { format: -0 },
  { format: 0.5 },
  undefined,
  ['raw'],
)
const message = fc.oneof(
  { weight: 6, arbitrary: fc.uint8Array({ maxLength: 40 }) },
  fc.constantFrom<unknown>(
    new Uint8Array(255),
    new Uint8Array(256),
    new Uint8Array(65_536),
    'text',
  ),
)
const input = fc.record(
  { key: word, message, as, more: fc.constantFrom(1, null) },
  { requiredKeys: ['key', 'message'] },
)
const step = fc.record({
  procedure: fc.constantFrom('sign', 'mac'),
  version: fc.constantFrom(1, 2),
  input,
})
const request = fc.record({
  vault: fc.constantFrom(new Uint8Array(16), new Uint8Array(16).fill(1)),
  peer: word,
  id,
  steps: fc.array(step, { minLength: 1, maxLength: 2 }),
  footprint: fc.array(fc.tuple(word, word, word), { maxLength: 1 }),
  formats: fc.constantFrom(['raw'], ['raw', 'git'], []),
  reason: fc.constantFrom('', 'why'),
  timeoutMs: fc.constantFrom(1, 60_000),
})

/** One after the other, each like the one before but for a field: of itself, of its first step's, of that one's input. */
function chain<T extends object>(
  one: fc.Arbitrary<T>,
  inner: (of: T) => readonly object[],
): fc.Arbitrary<T[]> {
  return fc.array(fc.tuple(one, fc.nat()), { minLength: 1, maxLength: 24 }).map((given) => {
    const all: T[] = []
    for (const [other, pick] of given) {
      const last = copied(all.at(-1) ?? other)
      const [into, from] = [
        [last, ...inner(last)],
        [other, ...inner(other)],
      ]
      const level = pick % Math.min(into.length, from.length)
      const [to, source] = [into[level] ?? last, from[level] ?? other]
      const names = [...new Set([...Object.keys(to), ...Object.keys(source)])]
      const name = names[Math.floor(pick / into.length) % names.length] ?? ''
      if (Object.hasOwn(source, name)) Reflect.set(to, name, Reflect.get(source, name))
      else Reflect.deleteProperty(to, name)
      all.push(last)
    }
    return all
  })
}

/** A copy of plain objects and lists; all else, prototypes that are none's included, stays the same. */
function copied<T>(value: T): T {
  if (Array.isArray(value)) return value.map(copied) as T
  if (typeof value !== 'object' || value === null) return value
  if (Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, copied(member)]),
  ) as T
}

/** Bytes as text, which is compared at once, or the error. */
function tried(encode: () => Uint8Array): unknown {
  try {
    return Buffer.from(encode()).toString('latin1')
  } catch (error) {
    return error instanceof Error ? [error.name, error.message] : error
  }
}

test('an audit entry', () => {
  fc.assert(
    fc.property(
      chain(entry, ({ facts }) => [facts]),
      (entries) => {
        const molds = new EntryMolds()
        for (const one of entries as NewEntry[]) {
          assert.deepEqual(
            tried(() => molds.encode(one)),
            tried(() => encodeEntry(one)),
          )
        }
      },
    ),
    { numRuns: RUNS },
  )
})

const parts = ({ steps: [step] }: { steps: { input: object }[] }): object[] =>
  step === undefined ? [] : [step, step.input]

test('a request', () => {
  fc.assert(
    fc.property(chain(request, parts), (requests) => {
      const molds = new RequestMolds()
      for (const one of requests as HashedRequest[]) {
        assert.deepEqual(
          tried(() => molds.encode(one)),
          tried(() => requestBytes(one)),
        )
      }
    }),
    { numRuns: RUNS },
  )
})

const output = fc.record(
  {
    signature: fc.oneof(bytes(64), bytes(64), bytes(71), fc.constantFrom<unknown>('text', [])),
    version: fc.constantFrom<unknown>(1, 2, 0, -0, 1.5, null),
    more: fc.constant(1),
  },
  { requiredKeys: ['signature'] },
)
const answered = fc.record(
  {
    peer: word,
    id: fc.oneof({ weight: 6, arbitrary: bytes(16).map(toHex) }, fc.constantFrom('ab', 'x')),
    requestHash: fc.oneof({ weight: 6, arbitrary: bytes(32) }, bytes(31)),
    expiresAtMs: at,
    askedAtMs: at,
    receipt: fc.boolean(),
    answer: fc.oneof(
      {
        weight: 8,
        arbitrary: fc.record({
          kind: fc.constant('done'),
          outputs: fc.array(output, { minLength: 1, maxLength: 2 }),
        }),
      },
      fc.record({ kind: fc.constant('done'), outputs: fc.constant([]), leaf: bytes(3) }),
      fc.constant({ kind: 'failed', code: 'internal', ran: 'yes', message: 'Cannot' }),
      fc.constant(undefined),
    ),
  },
  { requiredKeys: ['peer', 'id', 'requestHash', 'expiresAtMs', 'askedAtMs', 'receipt'] },
)
const inAnswer = ({ answer }: { answer?: object | undefined }): object[] =>
  answer === undefined ? [] : [answer, ...('outputs' in answer ? (answer.outputs as object[]) : [])]

/** What was done has outputs, whatever else it has. */
function withOutputs<T extends { answer?: object | undefined }>(one: T): T {
  const { answer } = one
  const isDone = answer !== undefined && 'kind' in answer && answer.kind === 'done'
  return isDone ? { ...one, answer: { outputs: [], ...answer } } : one
}

test('an answer', () => {
  fc.assert(
    fc.property(chain(answered, inAnswer), (all) => {
      const molds = new AnswerMolds()
      for (const one of all.map(withOutputs) as unknown[] as HeldRequest[]) {
        assert.deepEqual(
          tried(() => molds.encode(one)),
          tried(() => encodeAnswered(one)),
        )
      }
    }),
    { numRuns: RUNS },
  )
})

test('an answer that says more than the one before', () => {
  const output = { signature: new Uint8Array(64), version: 1 }
  const one = {
    peer: 'a',
    id: '00'.repeat(16),
    requestHash: new Uint8Array(32),
    expiresAtMs: 2 ** 40,
    askedAtMs: 2 ** 40,
    receipt: true,
    answer: { kind: 'done', outputs: [output] },
  }
  const more = [
    { kind: 'done', outputs: [output], leaf: new Uint8Array(3) },
    { kind: 'done', outputs: [{ ...output, more: 1 }] },
    { kind: 'done', outputs: [output, output] },
  ]
  for (const answer of more) {
    const molds = new AnswerMolds()
    for (const said of [one, one, { ...one, answer }, one] as unknown[] as HeldRequest[]) {
      expect(molds.encode(said)).toEqual(encodeAnswered(said))
    }
  }
})

test('what one mold has written, the next pouring leaves as it was', () => {
  const molds = new EntryMolds()
  const made = [1, 2, 3].map((byte) => molds.encode(signed('a', byte)))
  expect(made).toEqual([1, 2, 3].map((byte) => encodeEntry(signed('a', byte))))
})

test(`more than ${MAX_MOLDS} forms, and one longer than ${MAX_MOLD_BYTES} bytes, are written all the same`, () => {
  const molds = new EntryMolds()
  for (let n = 0; n <= MAX_MOLDS; n++) {
    for (let again = 0; again < 2; again++) {
      expect(molds.encode(signed(`p${n}`, n))).toEqual(encodeEntry(signed(`p${n}`, n)))
    }
  }
  const requests = new RequestMolds()
  for (const length of [MAX_MOLD_BYTES - 600, MAX_MOLD_BYTES, 2 * MAX_MOLD_BYTES]) {
    for (const byte of [1, 2]) {
      const long: HashedRequest = {
        vault: new Uint8Array(16),
        peer: 'p',
        id: new Uint8Array(16).fill(byte),
        steps: [
          {
            procedure: 'sign',
            version: 1,
            input: { key: 'a', message: Uint8Array.of(byte), as: 'x'.repeat(length) },
          },
        ],
        footprint: [['sign', 'key', 'a']],
        formats: ['raw'],
        reason: '',
        timeoutMs: 1,
      }
      expect(requests.encode(long)).toEqual(requestBytes(long))
    }
  }
})

function signed(peer: string, byte: number): NewEntry {
  return {
    at: 1_800_000_000_000 + byte,
    event: 'request',
    facts: {
      peer,
      connection: '/memory/1',
      id: new Uint8Array(16).fill(byte),
      use: [['sign', 'key', 'release/app', new Uint8Array(16), 1]],
      outcome: 'executed',
    },
  }
}

test('A request is compared with what the one before said, not with objects that it was handed in', () => {
  const molds = new RequestMolds()
  const as = { format: 'sshsig', namespace: 'file', hash: 'sha512' }
  const input = { key: 'a', message: new Uint8Array(5), as }
  const request: HashedRequest = {
    vault: new Uint8Array(16),
    peer: 'p',
    id: new Uint8Array(16),
    steps: [{ procedure: 'sign', version: 1, input }],
    footprint: [['sign', 'key', 'a']],
    formats: ['sshsig:file'],
    reason: '',
    timeoutMs: 1,
  }
  assert.deepEqual(molds.encode(request), requestBytes(request))
  as.hash = 'sha256'
  assert.deepEqual(molds.encode(request), requestBytes(request))
})
