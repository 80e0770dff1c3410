/** Random histories of two real vaults, with runs cut off at random messages, and vaults that are locked and opened between. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { act, create, partners, records, sync } from './two.ts'
import type { Side, Two } from './two.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 2000 : 15
const PATIENCE_MS = 300_000

const PATHS = ['p/0', 'p/1', 'p/2'] as const
const event = fc.record({
  side: fc.boolean(),
  what: fc.constantFrom('create', 'rotate', 'narrow', 'revoke', 'retire', 'sync', 'sync'),
  path: fc.constantFrom(...PATHS),
  cut: fc.nat(9),
})
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never

/** What does not apply to what stands is no event. */
async function happen(two: Two, { side, what, path, cut }: Event): Promise<void> {
  const [one, other] = side ? [two.home, two.away] : [two.away, two.home]
  const done = async (work: Promise<unknown>): Promise<void> => {
    await work.catch(() => undefined)
  }
  switch (what) {
    case 'create': {
      await done(create(one, path, 'hmac-sha2'))
      return
    }
    case 'rotate': {
      await done(act(one, 'rotate', { key: path }))
      return
    }
    case 'narrow': {
      await done(act(one, 'narrow', { record: path, labels: { egress: 'none' } }))
      return
    }
    case 'revoke': {
      await done(act(one, 'revoke', { record: path }))
      return
    }
    case 'retire': {
      await done(act(one, 'retire', { record: path, below: 2, remove: cut % 2 === 0 }))
      return
    }
    default: {
      await done(cutOff(one, other, cut))
      return
    }
  }
}

/** A run that is cut before a message is delivered, or before its answer arrives. */
async function cutOff(one: Side, other: Side, cut: number): Promise<void> {
  let message = 0
  await sync(one, other, {
    carry: async (_, deliver) => {
      const at = message++
      if (cut === 2 * at) throw new Error('cut')
      const reply = await deliver()
      if (cut === 2 * at + 1) throw new Error('cut')
      return reply
    },
  })
}

describe('two guarded vaults', () => {
  it(
    `come to the same after any history and any cuts, or show each conflict (${RUNS} histories)`,
    async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(event, { minLength: 4, maxLength: 24 }), async (events) => {
          await using two = await partners()
          const { home, away } = two
          for (const one of events) await happen(two, one)
          for (let run = 0; run < 3; run++) {
            await sync(home, away)
            await sync(away, home)
          }
          const shown = new Set<string>()
          for (const side of [home, away]) {
            expect((await side.guard.owner.verifyAudit()).faults).toEqual([])
            for (const { path } of await side.guard.owner.syncConflicts()) shown.add(path)
          }
          const quiet = async (side: Side): Promise<string[]> =>
            (await records(side)).filter((line) => !shown.has(line.split(' ')[0] ?? ''))
          expect(await quiet(home)).toEqual(await quiet(away))
          const after = [await records(home), await records(away)]
          await sync(home, away)
          expect([await records(home), await records(away)]).toEqual(after)
        }),
        { numRuns: RUNS },
      )
    },
    PATIENCE_MS,
  )
})
