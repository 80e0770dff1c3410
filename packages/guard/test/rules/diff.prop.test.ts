import { parsePath } from '@stronghold/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { compile, decide } from '../../src/rules/decide.ts'
import type { Request } from '../../src/rules/decide.ts'
import { diff } from '../../src/rules/diff.ts'
import type { Direction } from '../../src/rules/diff.ts'
import { parseRule } from '../../src/rules/parse.ts'
import { introduce } from '../../src/rules/print.ts'
import type { ProcedureMatch, Rule } from '../../src/rules/rule.ts'
import { isNarrowerThan } from '../../src/rules/shadow.ts'
import { cellOf, CONTEXT, FORMATS, PEERS, ruleList, VOCABULARY, words } from './worlds.ts'

const STRICTNESS = { allow: 0, ask: 1, deny: 2 }
/** Two words, so that every path of them can be tried: one that rules name, one that they do not. */
const NAMED = ['a']
const PATHS = ['-', ...[1, 2, 3, 4].flatMap((length) => words(length, ['a', 'c']))]

/** Both lists on every request of a small world, with every set of used-up rules. */
function bruteForce(before: readonly Rule[], after: readonly Rule[]): Direction {
  const [was, is] = [compile(before), compile(after)]
  const limited = [
    ...new Set([...before, ...after].flatMap(({ id, limits }) => (limits.length > 0 ? id : []))),
  ]
  // Only what either list names: about the rest both say no.
  const uses = new Set(
    [...before, ...after].flatMap(({ procedures }) =>
      procedures.map((match) => JSON.stringify(match)),
    ),
  )
  const tags = ['t', 'u']
  let tighter = false
  let wider = false
  const sets = Array.from({ length: 2 ** limited.length }, (_, bits) =>
    limited.filter((_, index) => (bits >> index) & 1),
  )
  const tagSets = Array.from({ length: 2 ** tags.length }, (_, bits) =>
    tags.filter((_, index) => (bits >> index) & 1),
  )
  for (const use of uses) {
    for (const path of PATHS) {
      const match = JSON.parse(use) as ProcedureMatch
      const isSigned = VOCABULARY.hasFormats(match.procedure)
      for (const format of FORMATS.filter((one) => (one !== undefined) === isSigned)) {
        const cells = [{ ...cellOf('sign', path, format), ...match }]
        for (const peer of Object.values(PEERS)) {
          for (const set of tagSets) {
            for (const nowMs of [500, 1500, 2500]) {
              const request: Request = { peer, known: true, tags: new Set(set), cells, nowMs }
              for (const spent of sets) {
                const memory = {
                  used: (id: string) => (spent.includes(id) ? Infinity : 0),
                  granted: () => false,
                }
                const one = STRICTNESS[decide(was, request, memory).verdict]
                const two = STRICTNESS[decide(is, request, memory).verdict]
                tighter ||= two > one
                wider ||= two < one
              }
            }
          }
        }
      }
    }
  }
  return tighter ? (wider ? 'mixed' : 'tightens') : wider ? 'widens' : 'same'
}

/** Rules with one limit for all that have any, or for every rule that may have one: how often is told apart from what. */
function alike(rules: readonly Rule[], everywhere: boolean): Rule[] {
  return rules.map((rule) => {
    if (rule.effect === 'deny' || (rule.limits.length === 0 && !everywhere)) return rule
    const limits = [{ count: 1, windowMs: 60_000 }]
    return { ...rule, limits, whenUsedUp: everywhere ? 'next' : rule.whenUsedUp }
  })
}

/** Another list, the list with one rule exchanged, or the list in another order. */
function changed(rules: readonly Rule[], others: readonly Rule[], cut: number): Rule[] {
  const at = rules.length === 0 ? 0 : cut % rules.length
  if (cut % 5 === 0) return [...others]
  if (cut % 5 > 2) return [...rules.slice(at), ...rules.slice(0, at)]
  const other = others.slice(0, 1).map((rule) => ({ ...rule, id: 'new' }))
  return [...rules.slice(0, at), ...other, ...rules.slice(at + 1)]
}

describe('diff()', () => {
  it('says what every request of a small world says', () => {
    const seen = new Map<Direction, number>()
    fc.assert(
      fc.property(ruleList(4, NAMED), ruleList(4, NAMED), fc.nat(), (one, two, cut) => {
        const before = alike(one, cut % 2 === 0)
        const after = changed(before, alike(two, cut % 2 === 0), cut)
        const expected = bruteForce(before, after)
        seen.set(expected, (seen.get(expected) ?? 0) + 1)
        expect(diff(before, after, VOCABULARY, 500).direction).toBe(expected)
      }),
      { numRuns: process.env['STRONGHOLD_LONG'] === '1' ? 5000 : 80 },
    )
    expect([...seen.keys()].sort()).toEqual(['mixed', 'same', 'tightens', 'widens'])
  }, 120_000)

  it('finds that one list and itself are the same', () => {
    fc.assert(
      fc.property(ruleList(6), (rules) => {
        expect(diff(rules, rules, VOCABULARY, 0)).toEqual({ direction: 'same', changes: [] })
      }),
    )
  })

  it('sees that a rule may be used more often, or less', () => {
    const rule = (limit: string): Rule =>
      parseRule(
        {
          id: 'r1',
          peers: ['ci'],
          procedures: ['sign'],
          paths: ['a'],
          limits: [limit],
          effect: 'ask',
        },
        CONTEXT,
      )
    expect(diff([rule('1/day')], [rule('2/day')], VOCABULARY, 0).direction).toBe('widens')
    expect(diff([rule('2/day')], [rule('1/day')], VOCABULARY, 0).direction).toBe('tightens')
    expect(diff([rule('2/day')], [rule('1/minute')], VOCABULARY, 0).direction).toBe('mixed')
  })

  it('sees what shows only when several limits are used up', () => {
    const rule = (id: string, limits?: string[]): Rule => {
      const words = {
        id,
        peers: ['ci'],
        procedures: ['sign'],
        paths: ['a'],
        effect: 'ask' as const,
      }
      const spent = limits === undefined ? {} : { limits, when_used_up: 'next' as const }
      return parseRule({ ...words, ...spent }, CONTEXT)
    }
    const limited = [rule('r1', ['1/day']), rule('r2', ['2/day'])]
    const difference = diff([...limited, rule('r3')], limited, VOCABULARY, 0)
    expect(difference.direction).toBe('tightens')
    expect(difference.changes[0]?.usedUp).toEqual(['r1', 'r2'])
  })

  it('gives an example of what changed', () => {
    const allow = parseRule(
      { id: 'r1', peers: ['@t'], procedures: ['sign'], paths: ['a/**'], effect: 'allow' },
      CONTEXT,
    )
    const [change] = diff([], [allow], VOCABULARY, 0).changes
    expect(change).toMatchObject({ before: 'deny', after: 'allow', usedUp: [] })
    expect(change?.request.tags).toEqual(new Set(['t']))
    expect(change?.request.cells[0]?.path).toEqual(parsePath('a/any'))
  })
})

describe('introduce()', () => {
  it('names a rule that shadows another only where the other decides nothing', () => {
    let shadowed = 0
    fc.assert(
      fc.property(
        ruleList(4),
        fc.nat(),
        fc.constantFrom('allow', 'ask', 'deny'),
        (list, index, effect) => {
          const wide = {
            id: 'wide',
            peers: ['known'],
            procedures: ['sign', 'pub'],
            paths: ['a/**', '**'],
            effect,
          }
          const rules = [...list, parseRule(wide, CONTEXT)].sort(() => (index % 3) - 1)
          const rule = rules[index % rules.length]
          if (rule === undefined) return
          const { shadowedBy } = introduce(rule, rules, CONTEXT)
          if (shadowedBy === undefined) return
          shadowed++
          const without = rules.filter((other) => other !== rule)
          expect(diff(rules, without, VOCABULARY, 0).direction).toBe('same')
        },
      ),
      { numRuns: 2000 },
    )
    expect(shadowed).toBeGreaterThan(20)
  }, 60_000)

  it('finds the plain cases', () => {
    const rule = (paths: string[], effect: 'allow' | 'ask' = 'allow', use = 'sign'): Rule =>
      parseRule({ id: 'r1', peers: ['ci'], procedures: [use], paths, effect }, CONTEXT)
    const isNarrower = (one: Rule, other: Rule): boolean => isNarrowerThan(one, other, VOCABULARY)
    expect(isNarrower(rule(['a/b']), rule(['a/*']))).toBe(true)
    expect(isNarrower(rule(['a/*']), rule(['a/**']))).toBe(true)
    expect(isNarrower(rule(['a/**']), rule(['a/*']))).toBe(false)
    expect(isNarrower(rule(['a']), rule(['a/**']))).toBe(false)
    expect(isNarrower(rule(['a'], 'ask'), rule(['a'], 'allow'))).toBe(false)
    // Where nothing has a format, nothing is left of it.
    expect(isNarrower(rule(['a'], 'ask', 'pub'), rule(['a'], 'allow', 'pub'))).toBe(true)
  })
})
