/** Random histories of two vaults that talk now and then, cut off anywhere, come to the same in every order of exchange. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { settle } from '../../src/sync/settle.ts'
import { digestOf } from '../../src/sync/state.ts'
import { copied, Cut, expected, heal, Model, run } from './model.ts'
import type { Op } from './model.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 200_000 : 10_000

/** Longest that the longest of these takes on a busy machine, in milliseconds. */
const PATIENCE_MS = 300_000

const which = fc.nat(7)
const op: fc.Arbitrary<Op> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ op: fc.constant('create' as const), path: fc.nat(3) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      op: fc.constantFrom('rotate' as const, 'narrow' as const, 'revoke' as const),
      which,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('retire' as const), which, remove: fc.boolean() }),
  },
)
/** Something that one of the two does, or a run that one begins and that is cut before a message, or not. */
const event = fc.oneof(
  { weight: 5, arbitrary: fc.record({ side: fc.nat(1), op }) },
  { weight: 2, arbitrary: fc.record({ side: fc.nat(1), cut: fc.nat(12) }) },
)
const history = fc.array(event, { minLength: 2, maxLength: 14 })

function live(
  events: readonly ({ side: number; op: Op } | { side: number; cut: number })[],
  vaults: readonly [Model, Model],
): void {
  let drawn = 0
  const draw = (): string =>
    ((++drawn * 2_654_435_761) >>> 0).toString(16).padStart(8, '0').repeat(4)
  for (const one of events) {
    const [own, other] = one.side === 0 ? vaults : [vaults[1], vaults[0]]
    if ('op' in one) own.happen(one.op, draw)
    else runCut(own, other, one.cut)
  }
}

function runCut(asker: Model, answerer: Model, cut: number): void {
  let messages = 0
  try {
    run(asker, answerer, () => {
      if (messages++ === cut) throw new Cut()
    })
  } catch (error) {
    if (!(error instanceof Cut)) throw error
  }
}

describe('two vaults', () => {
  it(
    `come to the same in every order of exchange, cut off anywhere (${RUNS} histories)`,
    () => {
      const cuts = fc.array(fc.record({ side: fc.nat(1), cut: fc.nat(12) }), { maxLength: 3 })
      fc.assert(
        fc.property(history, cuts, (events, late) => {
          const [a, b] = [new Model(), new Model()]
          live(events, [a, b])
          const wanted = expected(a, b)
          const [c, d] = [copied(a), copied(b)]
          heal(a, b)
          for (const { side, cut } of late) runCut(side === 0 ? c : d, side === 0 ? d : c, cut)
          heal(d, c)
          expect([a.print(), b.print()]).toEqual(wanted)
          expect([c.print(), d.print()]).toEqual(wanted)
        }),
        { numRuns: RUNS },
      )
    },
    PATIENCE_MS,
  )

  it('have the same, or show a conflict for each record that differs', () => {
    fc.assert(
      fc.property(history, (events) => {
        const [a, b] = [new Model(), new Model()]
        live(events, [a, b])
        heal(a, b)
        const ids = new Set([...a.states.keys(), ...b.states.keys()])
        for (const id of ids) {
          const [own, other] = [a.states.get(id), b.states.get(id)]
          // Who never had it need not remember that it was removed.
          const same =
            own === undefined || other === undefined
              ? (own ?? other)?.kind === 'removed'
              : digestOf(own) === digestOf(other)
          expect(a.conflicts.has(id) || b.conflicts.has(id), id).toBe(!same)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('lose no secret but by an owner who took it away', () => {
    fc.assert(
      fc.property(history, (events) => {
        const [a, b] = [new Model(), new Model()]
        live(events, [a, b])
        const secrets = (): Set<string> =>
          new Set(
            [a, b].flatMap((model) =>
              model.standing().flatMap(({ versions }) => versions.map(({ digest }) => digest)),
            ),
          )
        const all = [a, b].flatMap((model) => [...model.states.values()])
        const before = secrets()
        heal(a, b)
        const after = secrets()
        for (const digest of before) {
          if (after.has(digest)) continue
          const [owner] = all.filter(
            (state) =>
              state.kind === 'stands' &&
              state.versions.some((version) => version.digest === digest),
          )
          const number =
            owner?.kind === 'stands'
              ? owner.versions.find((version) => version.digest === digest)?.number
              : undefined
          const taken = all.some(
            (state) =>
              state.id === owner?.id &&
              (state.kind === 'removed' || state.minimum > (number ?? Infinity)),
          )
          expect(taken, digest).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('never widen a label, and never lower a minimum', () => {
    fc.assert(
      fc.property(history, (events) => {
        const [a, b] = [new Model(), new Model()]
        live(events, [a, b])
        const before = new Map([...a.states].concat([...b.states]))
        const states = [a, b].map((model) => new Map(model.states))
        heal(a, b)
        for (const [side, model] of [a, b].entries()) {
          for (const state of model.standing()) {
            const own = states[side]?.get(state.id) ?? before.get(state.id)
            if (own?.kind !== 'stands') continue
            expect(own.usage).toEqual(expect.arrayContaining([...state.usage]))
            expect(own.egress === 'none' && state.egress === 'public').toBe(false)
            expect(state.minimum).toBeGreaterThanOrEqual(own.minimum)
          }
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('change nothing of what stands under keep-old, and settle every difference under replace', () => {
    fc.assert(
      fc.property(history, (events) => {
        const [a, b] = [new Model(), new Model()]
        live(events, [a, b])
        for (const [id, theirs] of b.states) {
          const ours = a.states.get(id)
          const at = theirs.kind === 'stands' ? a.at(theirs.path) : undefined
          const occupant = at === id ? undefined : at
          const kept = settle(ours, theirs, { merge: 'keep-old', nowMs: 2, learn: true, occupant })
          if (ours?.kind === 'stands') expect(kept.do).toBe('nothing')
          expect(kept.do).not.toBe('conflict')
          expect(
            settle(ours, theirs, { merge: 'replace', nowMs: 2, learn: true, occupant }).do,
          ).not.toBe('conflict')
        }
      }),
      { numRuns: 2000 },
    )
  })
})
