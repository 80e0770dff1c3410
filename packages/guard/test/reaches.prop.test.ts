/** What is remembered of a reach and of a decision is, every time, what would be found anew. */
import { mac, placesOf, sign } from '@stronghold/vault/catalog'
import type { StepPlaces } from '@stronghold/vault/catalog'
import fc from 'fast-check'
import { expect, test } from 'vitest'

import { Decisions, reachOf } from '../src/deciding.ts'
import type { BoundRecord, DecidedStep, Reach } from '../src/deciding.ts'
import { VOCABULARY } from '../src/guard.ts'
import { Reaches } from '../src/reaches.ts'
import { compile, decide } from '../src/rules/decide.ts'
import { parseRules } from '../src/rules/parse.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 20_000 : 300
const NOW = 1_800_000_000_000

/** Few of each, so that what comes is often like what was, and differs in one thing only. */
const key = fc.constantFrom('release/app', 'release/app@1', 'release/other')
const as = fc.constantFrom<object | undefined>(
  undefined,
  { format: 'raw' },
  { format: 'compact' },
  { format: 'sshsig', namespace: 'git' },
)
const message = fc.constantFrom<unknown>(
  new Uint8Array(32),
  new TextEncoder().encode(`tree ${'a'.repeat(40)}\n`),
  new TextEncoder().encode('SSHSIG\0\0\0\x04file'),
  { step: 0, output: 'ciphertext' },
)
const asked = fc.record({
  key,
  as,
  message,
  procedure: fc.constantFrom(sign, sign, sign, mac),
  version: fc.constantFrom(1, 2),
  record: fc.constantFrom(1, 2, undefined),
})

test('a reach that was found before is the one that is found anew', () => {
  // As the vault gives them: of the same key and format the very same places.
  const known = new Map<string, readonly StepPlaces[]>()
  fc.assert(
    fc.property(fc.array(asked, { minLength: 1, maxLength: 40 }), (all) => {
      const reaches = new Reaches()
      for (const { procedure, version, record, ...input } of all) {
        const steps: DecidedStep[] = [{ procedure, input }]
        const name = JSON.stringify([procedure.name, input.key, input.as])
        const places = known.get(name) ?? placesOf(steps)
        known.set(name, places)
        const recordAt = (): BoundRecord | undefined =>
          record === undefined ? undefined : { id: new Uint8Array(16).fill(record), version }
        let expected: Reach | undefined
        try {
          expected = reachOf(steps, recordAt, places)
        } catch (error) {
          expect(() => reaches.of(steps, recordAt, places)).toThrow(error)
          continue
        }
        expect(reaches.of(steps, recordAt, places)).toEqual(expected)
      }
    }),
    { numRuns: RUNS },
  )
})

type Written = typeof rule extends fc.Arbitrary<infer R> ? R : never
const rule = fc.record({
  peers: fc.constantFrom(['known'], ['@ci'], ['p1']),
  procedures: fc.constant(['sign']),
  paths: fc.constantFrom(['release/**'], ['release/app'], ['other/**']),
  effect: fc.constantFrom('allow', 'deny', 'ask'),
  formats: fc.constantFrom(['raw'], ['raw', 'sshsig'], undefined),
  expires: fc.constantFrom(new Date(NOW + 5), undefined),
  limited: fc.constantFrom('next', 'deny', undefined),
})
/** Mostly the same, so that something stands. */
const mostly = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(usual) }, fc.constantFrom(...others))
const request = fc.record({
  peer: mostly('p1', 'p2'),
  known: mostly(true, false),
  tagged: mostly(true, false),
  reach: mostly(0, 1, 2),
  rules: mostly(0, 1, 2),
  nowMs: fc.constantFrom(NOW, NOW + 10),
  used: fc.nat({ max: 1 }),
  granted: fc.boolean(),
})

test('a decision that stands is the one that is made anew', () => {
  const record = { id: new Uint8Array(16), version: 1 }
  const reaches = ['raw', 'raw', 'sshsig'].map((format, index) => {
    const input = { key: `release/${index === 0 ? 'app' : 'b'}`, message: new Uint8Array(1) }
    const formatted = { ...input, as: { format, ...(index === 2 && { namespace: 'git' }) } }
    return reachOf([{ procedure: sign, input: formatted }], () => record)
  })
  const tags = [new Set<string>(), new Set(['ci'])] as const
  const read = (written: readonly Written[]): ReturnType<typeof compile> =>
    compile(
      parseRules(
        written.map(({ limited, formats, expires, ...one }, index) => ({
          id: `r${index + 1}`,
          ...one,
          ...(formats !== undefined && { formats }),
          ...(expires !== undefined && { expires }),
          ...(limited !== undefined &&
            one.effect !== 'deny' && { limits: ['1/day'], when_used_up: limited }),
        })),
        { vocabulary: VOCABULARY, peerNamed: (name) => name },
      ),
    )
  let stood = 0
  fc.assert(
    fc.property(
      fc.array(fc.array(rule, { maxLength: 3 }), { minLength: 3, maxLength: 3 }),
      fc.array(request, { minLength: 20, maxLength: 40 }),
      (written, all) => {
        const compiled = written.map(read)
        const decisions = new Decisions()
        for (const one of all) {
          const { peer, known, nowMs, used, granted } = one
          const [reach, rules] = [reaches[one.reach], compiled[one.rules]]
          if (reach === undefined || rules === undefined) throw new Error('there are three')
          const context = { rules, peer, known, tags: tags[one.tagged ? 1 : 0], nowMs }
          const memory = { used: () => used, granted: () => granted }
          let isAsked = false
          const found = decisions.of(reach, context, () => {
            isAsked = true
            return memory
          })
          if (!isAsked) stood++
          expect(found).toEqual(decide(rules, { ...context, cells: reach.cells }, memory))
        }
      },
    ),
    { numRuns: RUNS },
  )
  expect(stood).toBeGreaterThan(RUNS)
})
