import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { MAX_NOTE_LENGTH, MAX_RULE_LIST, MAX_RULES } from '../../src/limits.ts'
import { parseRulesFile, printRulesFile } from '../../src/rules-file.ts'
import { parseRule, parseRules, writeRule } from '../../src/rules/parse.ts'
import { sentence } from '../../src/rules/print.ts'
import { parseLimit, printLimit } from '../../src/rules/windows.ts'
import { CONTEXT, PEERS, ruleList, VOCABULARY } from './worlds.ts'

const RULE = { id: 'r1', peers: ['ci'], procedures: ['sign'], paths: ['a/**'], effect: 'ask' }

function refusal(change: Record<string, unknown>): string {
  try {
    parseRule({ ...RULE, ...change }, CONTEXT)
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError)
    return (error as Error).message
  }
  return 'taken'
}

describe('parseRule()', () => {
  it('reads back what was written down', () => {
    fc.assert(
      fc.property(ruleList(6), (rules) => {
        const written = rules.map((rule) => writeRule(rule, VOCABULARY))
        expect(parseRules(written, CONTEXT)).toEqual(rules)
        expect(parseRulesFile(printRulesFile(rules, VOCABULARY), CONTEXT)).toEqual(rules)
      }),
    )
  })

  it('resolves a name once, to an id', () => {
    expect(parseRule(RULE, CONTEXT).peers).toEqual([{ kind: 'peer', id: PEERS['ci'] }])
  })

  it.each([
    [{ path: ['a'] }, 'unknown field "path"; did you mean "paths"'],
    [{ approvers: 2 }, 'approvers need approval from other machines'],
    [{ id: 'R 1' }, 'id is no word'],
    [{ peers: [] }, 'peers is an empty list'],
    [{ peers: undefined }, 'peers is missing'],
    [{ peers: 'ci' }, 'peers is no list'],
    [{ peers: [1] }, 'peers holds more than text'],
    [{ peers: ['nobody'] }, 'no known peer is called "nobody"'],
    [{ peers: ['@'] }, '"@" is no tag'],
    [{ procedures: ['sing'] }, 'unknown procedure "sing"; did you mean "sign"'],
    [{ procedures: ['wrap'] }, '"wrap" has several roles: write wrap:key or wrap:source'],
    [{ procedures: ['wrap:sauce'] }, '"wrap" has no role "sauce"; did you mean "source"'],
    [{ procedures: ['random:-'] }, '"random" has no role "-"'],
    [{ paths: ['A'] }, 'paths: Cannot read pattern'],
    [{ paths: ['**/a'] }, 'paths: Cannot read pattern'],
    [{ formats: ['sshsik'] }, 'unknown format "sshsik"; did you mean "sshsig"'],
    [{ formats: [] }, 'formats is an empty list'],
    [{ limits: ['ten/day'] }, 'limits: Cannot read limit'],
    [{ limits: ['0/day'] }, 'limits: Cannot read limit: 0 is not from 1'],
    [{ limits: ['1/367d'] }, 'is not from 1 second to 366 days'],
    [{ effect: 'deny', limits: ['1/day'] }, 'limits say nothing where the effect is deny'],
    [{ when_used_up: 'next' }, 'when_used_up needs limits'],
    [{ limits: ['1/day'], when_used_up: 'ask' }, 'when_used_up is "ask", not deny or next'],
    [{ expires: 'tomorrow' }, 'expires: "tomorrow" is no time like'],
    [{ effect: 'permit' }, 'effect is "permit", not allow, ask or deny'],
    [{ effect: undefined }, 'effect is missing'],
    [{ note: 'n'.repeat(MAX_NOTE_LENGTH + 1) }, 'note is no text of at most 256'],
    [{ tell: 'yes' }, 'tell is not true or false'],
    [{ paths: Array.from({ length: MAX_RULE_LIST + 1 }, () => 'a') }, 'paths has over 64'],
  ])('refuses %j', (change, why) => {
    expect(refusal(change)).toContain(why)
    expect(refusal(change)).toMatch(/^Cannot read rule: /)
  })

  it('takes lists and notes at their limits', () => {
    const paths = Array.from({ length: MAX_RULE_LIST }, (_, index) => `p${index}`)
    expect(refusal({ paths, note: 'n'.repeat(MAX_NOTE_LENGTH) })).toBe('taken')
  })

  it('refuses a list that is too long, or holds an id twice', () => {
    const many = Array.from({ length: MAX_RULES + 1 }, (_, index) => ({ ...RULE, id: `r${index}` }))
    expect(() => parseRules(many, CONTEXT)).toThrow('1025 where 1024 are allowed')
    expect(parseRules(many.slice(1), CONTEXT)).toHaveLength(MAX_RULES)
    expect(() => parseRules([RULE, RULE], CONTEXT)).toThrow('the id r1 stands twice')
  })

  it('never throws anything but SyntaxError', () => {
    fc.assert(
      fc.property(fc.anything(), (junk) => {
        try {
          parseRule(junk, CONTEXT)
        } catch (error) {
          expect(error).toBeInstanceOf(SyntaxError)
        }
      }),
      { numRuns: 2000 },
    )
  })
})

describe('parseRulesFile()', () => {
  it('names the line of what is not TOML', () => {
    expect(() => parseRulesFile('[[rule]]\nid = r1', CONTEXT)).toThrow(/line 2, column \d+/)
  })

  it('refuses a table it does not know', () => {
    expect(() => parseRulesFile('[rules]', CONTEXT)).toThrow(
      'unknown table "rules"; rules are [[rule]]',
    )
  })

  it('refuses a file over 1 MiB', () => {
    expect(() => parseRulesFile(`#${' '.repeat(1024 * 1024)}`, CONTEXT)).toThrow('over 1 MiB')
    expect(parseRulesFile(`#${' '.repeat(1024 * 1024 - 1)}`, CONTEXT)).toEqual([])
  })
})

describe('limits', () => {
  it('print as they are read', () => {
    for (const text of ['10/day', '1/second', '3/15m', '5/36h', '7/week', '2/month', '4/90d']) {
      expect(printLimit(parseLimit(text))).toBe(text)
    }
    expect(printLimit(parseLimit('1/60s'))).toBe('1/minute')
  })
})

describe('sentence()', () => {
  it('reads as people speak', () => {
    const rule = parseRule(
      {
        ...RULE,
        peers: ['ci', '@t'],
        procedures: ['sign', 'pub'],
        formats: ['sshsig:git'],
        limits: ['10/day'],
        expires: '2027-01-31T12:00:00Z',
      },
      CONTEXT,
    )
    expect(sentence(rule, CONTEXT)).toBe(
      'ci and peers tagged t may, after a person agreed, use sign and pub under a/** as sshsig:git, at most 10/day, until 2027-01-31T12:00:00Z',
    )
  })

  it('says what happens after a limit', () => {
    const rule = parseRule(
      { ...RULE, peers: ['known'], effect: 'allow', limits: ['1/day'], when_used_up: 'next' },
      CONTEXT,
    )
    expect(sentence(rule, CONTEXT)).toBe(
      'every known peer may use sign under a/**, at most 1/day, then the next rule decides',
    )
  })
})
