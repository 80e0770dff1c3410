import { expect, it } from 'vitest'

import { compile } from '../src/rules/decide.ts'
import { parseRules } from '../src/rules/parse.ts'
import { usableBy } from '../src/usable.ts'
import { CONTEXT, PEERS } from './rules/worlds.ts'

it('usableBy() has nothing listed for whom no rule is about, and no more than one pattern for one', () => {
  const rule = { procedures: ['sign'], effect: 'allow' }
  const rules = parseRules(
    [
      { ...rule, id: 'r1', peers: ['ci'], paths: ['release/**'] },
      { ...rule, id: 'r2', peers: ['box'], paths: ['a/*', 'b'] },
      { ...rule, id: 'r3', peers: ['eve'], procedures: ['random'], paths: ['-'] },
      { ...rule, id: 'r4', peers: ['eve'], paths: ['**'], expires: '2000-01-01T00:00:00Z' },
    ],
    CONTEXT,
  )
  const listed: (string | undefined)[] = []
  for (const name of ['ci', 'box', 'eve', 'nobody']) {
    const who = { peer: PEERS[name] ?? name, tags: new Set<string>(), nowMs: 1_800_000_000_000 }
    const list = (pattern?: string): [] => {
      listed.push(pattern)
      return []
    }
    expect(usableBy(list, compile(rules), who)).toEqual([])
  }
  expect(listed).toEqual(['release/**', undefined])
})
