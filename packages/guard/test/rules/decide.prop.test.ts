import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { compile, decide } from '../../src/rules/decide.ts'
import type { Memory, Request } from '../../src/rules/decide.ts'
import { naiveDecide, naiveMatches } from './naive.ts'
import { ALL_USES, cellOf, FORMATS, PEERS, PLACES, ruleList, TAGS } from './worlds.ts'

const CELLS = 1_000_000
const CELLS_PER_LIST = 500

/** A small generator of its own, quick enough for a million cells: xorshift32. */
function picker(seed: number): <T>(from: readonly T[]) => T {
  let state = seed | 1
  return (from) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return from[(state >>> 0) % from.length] as never
  }
}

describe('decide()', () => {
  it(`equals a plain second interpreter on ${CELLS.toLocaleString('en')} cells`, () => {
    const seen = { allow: 0, ask: 0, deny: 0 }
    let cells = 0
    fc.assert(
      fc.property(ruleList(8), fc.integer({ min: 1 }), (rules, seed) => {
        const compiled = compile(rules)
        const pick = picker(seed)
        for (let i = 0; i < CELLS_PER_LIST;) {
          const count = pick([1, 1, 1, 1, 2, 3])
          i += count
          cells += count
          const request: Request = {
            peer: pick(Object.values(PEERS)),
            known: pick([true, true, true, true, true, true, true, false]),
            tags: new Set(TAGS.filter(() => pick([true, false, false]))),
            cells: Array.from({ length: count }, () => ({
              ...cellOf(
                pick(ALL_USES),
                pick(PLACES),
                pick(FORMATS),
                pick(['none', 'public', 'derived', 'material']),
              ),
              ...pick([{}, { step: 0 }, { step: 1 }, { step: 2 }]),
            })),
            nowMs: pick([0, 999, 1000, 1999, 2000]),
          }
          const full = new Set(rules.filter(() => pick([true, false])).map(({ id }) => id))
          const minute = pick([0, 1, 2])
          const used = (id: string, windowMs: number): number =>
            full.has(id) ? (windowMs === 60_000 ? minute : 2) : 0
          const grants = pick([true, false])
          const memory: Memory = { used, granted: () => grants }
          const decision = decide(compiled, request, memory)
          const expected = naiveDecide(
            rules,
            {
              ...request,
              tags: [...request.tags],
              cells: request.cells.map((cell) => ({
                ...cell,
                path: cell.path.toString(),
                format: cell.format,
                step: cell.step ?? 0,
              })),
            },
            used,
            () => grants,
          )
          if (decision.verdict !== expected) {
            throw new Error(`${decision.verdict}, expected ${expected}: ${JSON.stringify(request)}`)
          }
          seen[expected]++
        }
      }),
      { numRuns: Math.ceil(CELLS / CELLS_PER_LIST) },
    )
    expect(cells).toBeGreaterThanOrEqual(CELLS)
    // A generator that only ever meets denials would prove little.
    expect(Math.min(seen.allow, seen.ask, seen.deny)).toBeGreaterThan(CELLS / 400)
  }, 120_000)

  it('denies when a memory throws', () => {
    fc.assert(
      fc.property(ruleList(4), (rules) => {
        const throwing = (): never => {
          throw new Error('broken')
        }
        const request: Request = {
          peer: PEERS['ci'] ?? '',
          known: true,
          tags: new Set(),
          cells: [cellOf('sign', 'a', 'sshsig')],
          nowMs: 0,
        }
        const broken = decide(compile(rules), request, { used: throwing, granted: throwing })
        const usedUp = decide(compile(rules), request, { used: () => 9, granted: () => false })
        expect(broken.verdict).toBe(usedUp.verdict)
      }),
    )
  })

  it('denies what touches nothing', () => {
    const nothing = { peer: 'x', known: true, tags: new Set<string>(), cells: [], nowMs: 0 }
    const memory = { used: () => 0, granted: () => false }
    expect(decide(compile([]), nothing, memory).verdict).toBe('deny')
  })
})

describe('naiveMatches()', () => {
  it('takes ** for one or more segments', () => {
    expect(naiveMatches(['a', '**'], ['a'])).toBe(false)
    expect(naiveMatches(['a', '**'], ['a', 'b', 'c'])).toBe(true)
  })
})
