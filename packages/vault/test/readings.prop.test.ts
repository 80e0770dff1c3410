/** What is read from memory is what the schemas read, for inputs that fit and for those that do not. */
import assert from 'node:assert/strict'

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'

import { mac, sign } from '../src/catalog/index.ts'
import type { Procedure } from '../src/catalog/index.ts'
import { Engine } from '../src/engine.ts'
import type { Chain } from '../src/engine.ts'
import { DEFAULT_LIMITS, MAX_READINGS } from '../src/limits.ts'
import { Registry } from '../src/procedures/registry.ts'
import { Readings } from '../src/readings.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 5_000 : 150
/** Lengths at the limits are within reach of generated ones. */
const limits = { ...DEFAULT_LIMITS, maxInputBytes: 40 }
const registry = new Registry()
  .add(sign, () => ({ signature: new Uint8Array(64), version: 1 }))
  .add(mac, () => ({ tag: new Uint8Array(32), version: 1 }))

/** As an engine says it, errors too. */
function said(engine: Engine, procedure: Procedure | string, input: unknown): unknown {
  let chain: Chain
  try {
    chain = engine.read([{ procedure, input }])
  } catch (error) {
    return { error: error instanceof Error ? [error.name, error.message] : error }
  }
  const { steps, footprint, places, remote } = chain
  const frozen = Object.isFrozen(steps[0]?.input)
  return {
    steps: steps.map((step) => [step.procedure.name, printed(step.input)]),
    footprint: footprint.map(({ procedure, role, path }) => [procedure, role, String(path)]),
    places: places.map((roles) => [...roles].map(([role, found]) => [role, printed(found)])),
    remote,
    frozen,
  }
}

function printed(value: unknown): string {
  return JSON.stringify(value, (_, one: unknown) =>
    one instanceof Uint8Array ? { bytes: [...one] } : one,
  )
}

const text = fc.constantFrom(
  'raw',
  'git',
  'sshsig',
  'jws',
  'der',
  'file',
  'nonsense',
  '',
  'a b',
  'toString',
)
const format = fc.oneof(
  fc.record({ format: text }),
  fc.record({ format: text, namespace: text }),
  fc.record({ format: text, namespace: text, hash: fc.constantFrom('sha256', 'sha512', 1) }),
  fc.record({ format: text, digested: fc.boolean() }),
  fc.constantFrom(undefined, null, 'raw', [], new Map(), { step: 0, output: 'x' }, { format: 1 }),
)
const key = fc.constantFrom(
  'a',
  'a/b',
  'a@1',
  'a@01',
  'a raw',
  'a raw file',
  '',
  'A',
  'x'.repeat(1200),
  1,
  undefined,
  ['a'],
  { step: 0, output: 'record' },
)
const message = fc.oneof(
  fc.uint8Array({ maxLength: 45 }),
  fc.constantFrom('text', null, undefined, [1], { step: 0, output: 'x' }),
)
const input = fc.oneof(
  { weight: 4, arbitrary: fc.record({ key, message, as: format }, { requiredKeys: [] }) },
  fc.record({ key, message, as: format, more: fc.constantFrom(1, undefined) }),
  fc.constantFrom(
    null,
    undefined,
    'text',
    [],
    new Map(),
    Object.create({ key: 'a', message: new Uint8Array() }),
  ),
)

describe('an input that was read before', () => {
  test('is read again as an engine reads it that has read nothing yet', () => {
    fc.assert(
      fc.property(fc.array(input, { minLength: 1, maxLength: 12 }), (inputs) => {
        const engine = new Engine(registry, limits)
        for (const one of [...inputs, ...inputs]) {
          assert.deepEqual(said(engine, sign, one), said(new Engine(registry, limits), sign, one))
        }
      }),
      { numRuns: RUNS },
    )
  })

  test('is of the same places, which are one object', () => {
    const engine = new Engine(registry, limits)
    const read = (message: Uint8Array): Chain =>
      engine.read([{ procedure: sign, input: { key: 'a', message, as: { format: 'raw' } } }])
    const [a, b] = [read(new Uint8Array([1])), read(new Uint8Array([2]))]
    expect(b.places).toBe(a.places)
    expect(b.steps[0]?.input['message']).toEqual(new Uint8Array([2]))
    expect(a.steps[0]?.input['message']).toEqual(new Uint8Array([1]))
  })

  test('is no input of another procedure, nor one of a version that is not known', () => {
    const engine = new Engine(registry, limits)
    const one = { key: 'a', message: new Uint8Array(), as: { format: 'raw' } }
    engine.read([{ procedure: sign, input: one }])
    const other: Procedure = { ...sign, version: 2 }
    for (const procedure of [mac, other, 'sign', 'mac']) {
      expect(said(engine, procedure, one)).toEqual(
        said(new Engine(registry, limits), procedure, one),
      )
    }
  })

  test('is not that of another input with the same words in other places', () => {
    const readings = new Readings(40)
    const message = new Uint8Array(1)
    const one = { key: 'x', message, as: { format: 'sshsig', namespace: 'file' } }
    readings.keep(one, { triples: [], places: [], input: one })
    expect(readings.again(one)).toBeDefined()
    expect(readings.again({ key: 'x sshsig file', message })).toBeUndefined()
    const moved = { key: 'x sshsig', message, as: { format: 'file' } }
    expect(readings.again(moved)).toBeUndefined()
  })

  test(`is one of ${MAX_READINGS} at most: the oldest goes`, () => {
    const readings = new Readings(100)
    const asked = (number: number): object => ({ key: `k${number}`, message: new Uint8Array() })
    for (let n = 0; n <= MAX_READINGS; n++) {
      readings.keep(asked(n), { triples: [], places: [], input: { key: n } })
    }
    expect(readings.again(asked(0))).toBeUndefined()
    expect(readings.again(asked(1))?.input['key']).toBe(1)
    expect(readings.again(asked(MAX_READINGS))?.input['key']).toBe(MAX_READINGS)
  })
})

test('An input that says something else each time is remembered as what was read of it', () => {
  const message = Uint8Array.of(1)
  for (let honest = 0; honest < 4; honest++) {
    const engine = new Engine(registry, limits)
    let looks = 0
    const input = {
      message,
      get key() {
        return looks++ < honest ? 'mine' : 'theirs'
      },
    }
    engine.read([{ procedure: sign, input }])
    for (const key of ['mine', 'theirs']) {
      const [triple] = engine.read([{ procedure: sign, input: { key, message } }]).footprint
      expect(String(triple?.path)).toBe(key)
    }
  }
})
