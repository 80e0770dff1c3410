import { describe, expect, it } from 'vitest'

import { compile } from '../../src/rules/decide.ts'
import type { Memory, Request } from '../../src/rules/decide.ts'
import { explain } from '../../src/rules/explain.ts'
import { parseRules } from '../../src/rules/parse.ts'
import { cellOf, CONTEXT, PEERS } from './worlds.ts'

const RULES = compile(
  parseRules(
    [
      { id: 'r1', peers: ['ci'], procedures: ['pub'], paths: ['release/**'], effect: 'allow' },
      {
        id: 'r2',
        peers: ['ci'],
        procedures: ['sign'],
        paths: ['release/**'],
        formats: ['sshsig'],
        limits: ['10/day'],
        effect: 'ask',
      },
      { id: 'r3', peers: ['known'], procedures: ['sign'], paths: ['root'], effect: 'deny' },
    ],
    CONTEXT,
  ),
)
const FRESH: Memory = { used: () => 0, granted: () => false }

function asked(use: string, place: string, format?: string, init: Partial<Request> = {}): Request {
  const cells = [cellOf(use, place, format)]
  return { peer: PEERS['ci'] ?? '', known: true, tags: new Set(), cells, nowMs: 0, ...init }
}

describe('explain()', () => {
  it('names the rule that decided, and what it says', () => {
    const { text, needed } = explain(
      RULES,
      asked('sign', 'release/app', 'sshsig:file'),
      FRESH,
      CONTEXT,
    )
    expect(text).toBe(
      'a person is asked: by rule r2 (ci may, after a person agreed, use sign under release/** as sshsig, at most 10/day) on sign on release/app as sshsig:file',
    )
    expect(needed).toBeUndefined()
  })

  it('tells what came close, nearest first, and what would be needed', () => {
    const { text, near, needed } = explain(
      RULES,
      asked('sign', 'release/app', 'raw'),
      FRESH,
      CONTEXT,
    )
    expect(text).toBe('denied: no rule is about sign on release/app as raw')
    expect(near.map((miss) => miss.text)).toEqual(
      [
        'r1 comes close: it allows, but only pub and not in a format that nobody can read',
        'r2 comes close: it asks, but only as sshsig',
      ].reverse(),
    )
    expect(needed).toEqual({
      peers: ['ci'],
      procedures: ['sign'],
      paths: ['release/app'],
      formats: ['raw'],
      effect: 'ask',
    })
  })

  it('suggests nothing where a rule denies or the peer is unknown', () => {
    const denied = explain(RULES, asked('sign', 'root', 'sshsig'), FRESH, CONTEXT)
    expect(denied.text).toContain(
      'denied: by rule r3 (every known peer may never use sign under root)',
    )
    expect(denied.needed).toBeUndefined()
    const stranger = explain(
      RULES,
      asked('pub', 'release/app', undefined, { known: false }),
      FRESH,
      CONTEXT,
    )
    expect(stranger.text).toBe('denied: the peer is not known here')
    expect(stranger.needed).toBeUndefined()
  })

  it('says which limit is used up', () => {
    const full = { used: () => 10, granted: () => false }
    const { text } = explain(RULES, asked('sign', 'release/app', 'sshsig'), full, CONTEXT)
    expect(text).toBe(
      'denied: the limit 10/day of rule r2 on sign on release/app as sshsig is used up',
    )
  })

  it('says that an earlier approval answers', () => {
    const granted = { used: () => 0, granted: () => true }
    const { text } = explain(RULES, asked('sign', 'release/app', 'sshsig'), granted, CONTEXT)
    expect(text).toBe(
      'allowed: rule r2 asks about sign on release/app as sshsig, and an earlier approval answers',
    )
  })

  it('asks for nothing where nothing was touched', () => {
    expect(explain(RULES, { ...asked('pub', 'a'), cells: [] }, FRESH, CONTEXT).text).toBe(
      'denied: the request touches nothing',
    )
  })
})
