/** Messages at each limit and one past it; fields too many, too few, of other types. */
import { validate } from '@stronghold/core'
import type { Schema } from '@stronghold/core'
import { expect, test } from 'vitest'

import * as limits from '../src/limits.ts'
import {
  acknowledgeRequest,
  answer,
  factsOf,
  listing,
  listRequest,
  pairAnswer,
  submitRequest,
  waitRequest,
} from '../src/messages.ts'

const ID = new Uint8Array(16)
const STEP = { procedure: 'random', version: 1, input: { length: 1 } }
const SUBMIT = { id: ID, steps: [STEP], reason: '', timeoutMs: 1000, receipt: false }
const DONE = { state: 'done', outputs: [{}], head: new Uint8Array(1) }
const FAILED = { state: 'failed', code: 'internal', ran: 'no', message: 'x' }
const RECORD = { path: 'a', type: 'seed', version: 1, uses: [] }

function many<T>(length: number, of: T): T[] {
  return Array.from({ length }, () => of)
}

function input(value: unknown): unknown {
  return { ...SUBMIT, steps: [{ ...STEP, input: { value } }] }
}

function nested(depth: number): unknown {
  return depth === 0 ? 1 : [nested(depth - 1)]
}

const fields = (count: number): object =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`f${index}`, 1]))

const AT_LIMITS: readonly [
  name: string,
  schema: Schema,
  most: number,
  of: (n: number) => unknown,
][] = [
  ['MAX_STEPS', submitRequest, limits.MAX_STEPS, (n) => ({ ...SUBMIT, steps: many(n, STEP) })],
  [
    'MAX_INPUT_FIELDS',
    submitRequest,
    limits.MAX_INPUT_FIELDS,
    (n) => ({ ...SUBMIT, steps: [{ ...STEP, input: fields(n) }] }),
  ],
  ['MAX_INPUT_DEPTH', submitRequest, limits.MAX_INPUT_DEPTH, (n) => input(nested(n))],
  // The list itself is one of them.
  ['MAX_INPUT_VALUES', submitRequest, limits.MAX_INPUT_VALUES - 1, (n) => input(many(n, 1))],
  ['MAX_INPUT_TEXT', submitRequest, limits.MAX_INPUT_TEXT, (n) => input('x'.repeat(n))],
  [
    'MAX_REASON_LENGTH',
    submitRequest,
    limits.MAX_REASON_LENGTH,
    (n) => ({ ...SUBMIT, reason: 'x'.repeat(n) }),
  ],
  ['MAX_TIMEOUT_MS', submitRequest, limits.MAX_TIMEOUT_MS, (n) => ({ ...SUBMIT, timeoutMs: n })],
  ['MAX_ACKNOWLEDGED', acknowledgeRequest, limits.MAX_ACKNOWLEDGED, (n) => ({ ids: many(n, ID) })],
  ['MAX_HOLD_MS', waitRequest, limits.MAX_HOLD_MS, (n) => ({ id: ID, holdMs: n })],
  [
    'MAX_PATTERN_LENGTH',
    listRequest,
    limits.MAX_PATTERN_LENGTH,
    (n) => ({ pattern: 'x'.repeat(n) }),
  ],
  [
    'MAX_MESSAGE_LENGTH',
    answer,
    limits.MAX_MESSAGE_LENGTH,
    (n) => ({ ...FAILED, message: 'x'.repeat(n) }),
  ],
  ['MAX_HEAD_BYTES', answer, limits.MAX_HEAD_BYTES, (n) => ({ ...DONE, head: new Uint8Array(n) })],
  [
    'MAX_RECEIPT_BYTES',
    answer,
    limits.MAX_RECEIPT_BYTES,
    (n) => ({ ...DONE, receipt: new Uint8Array(n) }),
  ],
  ['MAX_LISTED', listing, limits.MAX_LISTED, (n) => ({ records: many(n, RECORD), more: true })],
  [
    'MAX_USES',
    listing,
    limits.MAX_USES,
    (n) => ({
      records: [{ ...RECORD, uses: many(n, { use: 'sign', effect: 'ask' }) }],
      more: false,
    }),
  ],
]

test.each(AT_LIMITS)('%s is a limit', async (_, schema, most, of) => {
  expect(await validate(schema, of(most))).toMatchObject({ ok: true })
  expect(await validate(schema, of(most + 1))).toMatchObject({ ok: false })
})

test('what has another shape is no message', async () => {
  const wrong: readonly [Schema, unknown][] = [
    [submitRequest, undefined],
    [submitRequest, { ...SUBMIT, more: 1 }],
    [submitRequest, { ...SUBMIT, id: new Uint8Array(15) }],
    [submitRequest, { ...SUBMIT, id: 'x'.repeat(16) }],
    [submitRequest, { ...SUBMIT, steps: [] }],
    [submitRequest, { ...SUBMIT, steps: [{ ...STEP, as: 'owner' }] }],
    [submitRequest, { ...SUBMIT, steps: [{ ...STEP, procedure: 'Random' }] }],
    [submitRequest, { ...SUBMIT, timeoutMs: 0 }],
    [submitRequest, { ...SUBMIT, timeoutMs: 1.5 }],
    [submitRequest, { ...SUBMIT, steps: [{ ...STEP, input: [1] }] }],
    [submitRequest, { ...SUBMIT, steps: [{ ...STEP, input: ID }] }],
    [submitRequest, input(1.5)],
    [submitRequest, input(2n ** 60n)],
    [submitRequest, input([undefined])],
    [answer, { ...DONE, state: 'pending' }],
    [answer, { ...FAILED, code: 'teapot' }],
    [answer, { ...FAILED, ran: 'perhaps' }],
    [answer, { ...FAILED, rule: { id: 'r1' } }],
    [pairAnswer, { proof: new Uint8Array(31) }],
  ]
  for (const [schema, value] of wrong) {
    expect(await validate(schema, value)).toMatchObject({ ok: false })
  }
})

test('facts are procedures and the places of their roles, and nothing else of an input', () => {
  const message = new Uint8Array(3)
  const steps = [
    { procedure: 'sign', version: 1, input: { key: 'a/b', message, as: { format: 'raw' } } },
    { procedure: 'sign', version: 1, input: { key: { step: 0, output: 'record' }, message } },
    { procedure: 'unknown', version: 1, input: { key: 'secret' } },
  ]
  expect(factsOf({ ...SUBMIT, steps })).toEqual({
    procedures: ['sign', 'sign', 'unknown'],
    paths: ['a/b'],
  })
})
