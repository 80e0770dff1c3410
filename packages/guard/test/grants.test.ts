import { encode, parsePath, toHex } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import {
  choiceOf,
  decodeGrant,
  encodeGrant,
  grantKey,
  grantsFor,
  isInForce,
  scopeOf,
} from '../src/grants.ts'
import type { GrantLimits, GrantScope, StoredGrant } from '../src/grants.ts'
import { DEFAULT_GUARD_LIMITS } from '../src/limits.ts'
import type { Cell } from '../src/rules/decide.ts'
import type { Rule } from '../src/rules/rule.ts'

const RULE: Rule = {
  id: 'r2',
  peers: [{ kind: 'known' }],
  procedures: [{ procedure: 'sign', role: 'key' }],
  paths: [],
  limits: [],
  whenUsedUp: 'deny',
  effect: 'ask',
  note: '',
  tell: false,
}
const CELL: Cell = {
  procedure: 'sign',
  role: 'key',
  path: parsePath('release/app'),
  format: 'sshsig:file',
  egress: 'public',
}
const ABOUT = {
  peer: 'ci',
  record: new Uint8Array(16).fill(1),
  rule: RULE,
  ruleHash: new Uint8Array(32).fill(2),
}
const NOW = 1_790_000_000_000
const HOUR = 3_600_000

function scoped(cell: Cell = CELL, about: Partial<typeof ABOUT> = {}): GrantScope {
  const scope = scopeOf(cell, { ...ABOUT, ...about })
  if (scope === undefined) throw new Error('not grantable')
  return scope
}

function granted(
  scopes: readonly (GrantScope | undefined)[],
  existing: readonly StoredGrant[] = [],
  term: { forMs?: number; ruleEndsAtMs?: number } = {},
  limits: GrantLimits = DEFAULT_GUARD_LIMITS,
) {
  return grantsFor(
    scopes.map((scope) => ({ scope, path: 'release/app' })),
    { nowMs: NOW, forMs: HOUR, ...term },
    new Map(existing.map((grant) => [grantKey(grant), grant])),
    limits,
  )
}

function oneGrant(...args: Parameters<typeof granted>): StoredGrant {
  const grants = granted(...args)
  const grant = typeof grants === 'string' ? undefined : grants[0]
  if (grant === undefined) throw new Error('none')
  return grant
}

describe('a grant', () => {
  it('helps its own peer, use, record, format and rule as it read, and no other', () => {
    const other = new Uint8Array(16).fill(9)
    const { format: _, ...withoutFormat } = CELL
    const keys = [
      grantKey(scoped()),
      grantKey(scoped(CELL, { peer: 'box' })),
      grantKey(scoped({ ...CELL, procedure: 'mac' })),
      grantKey(scoped({ ...CELL, role: 'source' })),
      grantKey(scoped(CELL, { record: other })),
      grantKey(scoped({ ...CELL, format: 'sshsig:git' })),
      grantKey(scoped(withoutFormat)),
      grantKey(scoped(CELL, { rule: { ...RULE, id: 'r3' } })),
      grantKey(scoped(CELL, { ruleHash: new Uint8Array(32) })),
    ]
    expect(new Set(keys).size).toBe(keys.length)
    // The record's id counts, not where it stands.
    expect(grantKey(scoped({ ...CELL, path: parsePath('other') }))).toBe(keys[0])
    // No text of one part passes for another part.
    const sly = { ...scoped(), peer: 'ci","sign', procedure: 'key' }
    expect(keys).not.toContain(grantKey(sly))
  })

  it('is never made for raw bytes, a digest, egress of material, nor where no record stands', () => {
    const never: readonly [Partial<Cell>, Partial<typeof ABOUT>?][] = [
      [{ format: 'raw' }],
      [{ format: 'digest' }],
      [{ egress: 'material' }],
    ]
    for (const [cell] of never) expect(scopeOf({ ...CELL, ...cell }, ABOUT)).toBeUndefined()
    expect(scopeOf(CELL, { ...ABOUT, record: undefined })).toBeUndefined()
    expect(scopeOf({ ...CELL, egress: 'derived' }, ABOUT)).toBeDefined()
    // One cell that may not be remembered, and none of them is.
    expect(granted([scoped(), undefined])).toBe('not-grantable')
    expect(granted([])).toBe('not-grantable')
  })

  it('lasts as long as was wished, at most maxGrantMs, and no longer than its rule', () => {
    const { maxGrantMs } = DEFAULT_GUARD_LIMITS
    expect(maxGrantMs).toBe(24 * HOUR)
    expect(oneGrant([scoped()]).expiresAtMs).toBe(NOW + HOUR)
    expect(oneGrant([scoped()], [], { forMs: maxGrantMs }).expiresAtMs).toBe(NOW + maxGrantMs)
    for (const forMs of [maxGrantMs + 1, Infinity, 2 ** 60]) {
      expect(oneGrant([scoped()], [], { forMs }).expiresAtMs).toBe(NOW + maxGrantMs)
    }
    const ending = { ruleEndsAtMs: NOW + 5 }
    expect(oneGrant([scoped()], [], ending).expiresAtMs).toBe(NOW + 5)
    for (const forMs of [0, -1, Number.NaN, 0.5]) {
      expect(granted([scoped()], [], { forMs })).toBe('not-grantable')
    }
    expect(granted([scoped()], [], { ruleEndsAtMs: NOW })).toBe('not-grantable')
  })

  it('holds from its beginning to before its end', () => {
    const grant = oneGrant([scoped()])
    expect(isInForce(grant, NOW)).toBe(true)
    expect(isInForce(grant, NOW + HOUR - 1)).toBe(true)
    expect(isInForce(grant, NOW + HOUR)).toBe(false)
    expect(isInForce(grant, NOW - 1)).toBe(false)
    expect(isInForce(undefined, NOW)).toBe(false)
  })

  it('is one of maxGrantsPerPeer and of maxGrants; ended and renewed ones do not count twice', () => {
    const limits: GrantLimits = { maxGrantsPerPeer: 2, maxGrants: 3, maxGrantMs: HOUR }
    const at = (peer: string, byte: number): StoredGrant =>
      oneGrant([scoped(CELL, { peer, record: new Uint8Array(16).fill(byte) })])
    const [a, b] = [at('ci', 11), at('ci', 12)]
    expect(granted([scoped()], [a], {}, limits)).toHaveLength(1)
    expect(granted([scoped()], [a, b], {}, limits)).toBe('peer-full')
    const ended = { ...b, expiresAtMs: NOW }
    expect(granted([scoped()], [a, ended], {}, limits)).toHaveLength(1)
    expect(granted([a], [a, b], {}, limits)).toHaveLength(1)
    const others = [at('box', 1), at('box', 2)]
    expect(granted([scoped()], others, {}, limits)).toHaveLength(1)
    expect(granted([scoped()], [...others, a], {}, limits)).toBe('full')
    const two = [scoped(), scoped(CELL, { record: new Uint8Array(16).fill(7) })]
    expect(granted(two, [a], {}, limits)).toBe('peer-full')
    expect(granted([scoped(), scoped()], [a], {}, limits)).toHaveLength(1)
  })

  it('is read back as it was written, and from nothing else', () => {
    const { format: _, ...withoutFormat } = oneGrant([scoped()])
    for (const grant of [oneGrant([scoped()]), withoutFormat]) {
      expect(decodeGrant(encodeGrant(grant))).toEqual(grant)
      expect(() => decodeGrant(encode({ v: 1, ...grant, more: 1 }))).toThrow(SyntaxError)
      expect(() => decodeGrant(encode({ v: 2, ...grant }))).toThrow(SyntaxError)
      expect(() => decodeGrant(encode({ v: 1, ...grant, peer: 1 }))).toThrow(SyntaxError)
    }
    expect(toHex(ABOUT.record)).toBe(scoped().record)
  })
})

describe('choiceOf()', () => {
  it('takes what it does not know as once', () => {
    for (const choice of ['time', 'deny', 'deny-and-block', 'once']) {
      expect(choiceOf(choice)).toBe(choice)
    }
    for (const other of ['always', '', undefined, null, 1, {}, 'Time']) {
      expect(choiceOf(other)).toBe('once')
    }
  })
})
