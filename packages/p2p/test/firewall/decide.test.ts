import { describe, expect, test } from 'vitest'

import { decide, decideProtocol } from '../../src/firewall/decide.ts'
import { compileRules, exportRules, restoreRules } from '../../src/firewall/rules.ts'
import type { Rule } from '../../src/firewall/rules.ts'
import { peerOf, requestOf } from './facts.ts'

const rules = compileRules(
  {
    peers: { Ann: 'allow', Bob: 'deny', Cid: ({ method }) => (method === 'stat' ? 'ask' : 'deny') },
  },
  'deny',
  peerOf,
)

describe('decide()', () => {
  test('denies when nobody said anything', () => {
    expect(decide(compileRules({}, 'deny', peerOf), requestOf('Eve'))).toEqual({
      verdict: 'deny',
      by: 'default',
    })
  })

  test.each([
    ['Ann', 'stat', undefined, 'allow', 'peer'],
    ['Bob', 'stat', 'allow', 'deny', 'peer'],
    ['Cid', 'stat', undefined, 'ask', 'peer'],
    ['Cid', 'write', undefined, 'deny', 'peer'],
    ['Eve', 'stat', undefined, 'deny', 'default'],
    ['Eve', 'stat', 'ask', 'ask', 'new-peer'],
  ] as const)(
    '%s asking for %s, as a new peer %s: %s by %s',
    (peer, method, newPeer, verdict, by) => {
      expect(decide(rules, requestOf(peer, { method }), newPeer)).toEqual({ verdict, by })
    },
  )

  test('the fallback speaks for everybody else', () => {
    const open = compileRules({ peers: { Bob: 'deny' }, fallback: () => 'allow' }, 'deny', peerOf)
    expect(decide(open, requestOf('Eve'))).toEqual({ verdict: 'allow', by: 'fallback' })
    expect(decide(open, requestOf('Bob'))).toEqual({ verdict: 'deny', by: 'peer' })
  })

  test.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('no')
      },
    ],
    [
      'throws nothing',
      () => {
        throw undefined
      },
    ],
    ['is async and allows', () => Promise.resolve('allow')],
    ['is async and rejects', () => Promise.reject(new Error('no'))],
    ['answers nothing', () => undefined],
    ['answers null', () => null],
    ['answers true', () => true],
    ['answers another word', () => 'ALLOW'],
    ['answers a String object', () => new String('allow')],
    ['answers a function', () => () => 'allow'],
    [
      'answers a hostile thenable',
      () => ({
        get then() {
          throw new Error('no')
        },
      }),
    ],
    [
      'recurses without end',
      function again(): unknown {
        return again()
      },
    ],
  ])('a predicate that %s denies', async (_, predicate) => {
    const rules = compileRules({ peers: { Ann: predicate as Rule } }, 'allow', peerOf)
    expect(decide(rules, requestOf('Ann'))).toEqual({ verdict: 'deny', by: 'peer' })
    // A rejection nobody listens to would fail this run.
    await new Promise((resolve) => setImmediate(resolve))
  })

  test('allocates no decision', () => {
    expect(decide(rules, requestOf('Ann'))).toBe(decide(rules, requestOf('Ann')))
  })
})

describe('decideProtocol()', () => {
  test.each([
    ['Ann', undefined, 'allow', 'peer'],
    ['Bob', undefined, 'deny', 'peer'],
    ['Cid', undefined, 'ask', 'peer'],
    ['Eve', undefined, 'deny', 'default'],
    ['Eve', 'deny', 'deny', 'new-peer'],
    ['Eve', () => 'deny', 'ask', 'new-peer'],
  ] as const)('%s, as a new peer %s: %s by %s', (peer, newPeer, verdict, by) => {
    expect(decideProtocol(rules, peerOf(peer), newPeer as Rule)).toEqual({ verdict, by })
  })
})

describe('compileRules()', () => {
  test('takes a Map as well as an object', () => {
    const map = new Map([[peerOf('Ann'), 'ask' as const]])
    expect(compileRules({ peers: map }, 'deny', peerOf).peers).toEqual(map)
  })

  test('refuses what is no rule and what is no peer', () => {
    expect(() => compileRules({ peers: { Ann: 'maybe' as Rule } }, 'deny', peerOf)).toThrow(
      TypeError,
    )
    expect(() => compileRules({ fallback: true as never }, 'deny', peerOf)).toThrow(TypeError)
    expect(() => compileRules({ peers: { ann: 'allow' } }, 'deny', peerOf)).toThrow(SyntaxError)
  })
})

describe('exportRules() and restoreRules()', () => {
  const inbound = compileRules({ peers: { Bob: 'ask', Ann: 'allow' } }, 'deny', peerOf)
  const outbound = compileRules({ fallback: 'deny' }, 'allow', peerOf)

  test('what is exported is restored, through JSON', () => {
    const exported = exportRules(inbound, outbound)
    expect(exported).toEqual({
      version: 1,
      inbound: { peers: { Ann: 'allow', Bob: 'ask' } },
      outbound: { peers: {}, fallback: 'deny' },
    })
    const restored = restoreRules(JSON.parse(JSON.stringify(exported)), peerOf)
    expect(restored).toEqual({ inbound, outbound })
  })

  test('a function cannot be exported, and the error names the peer', () => {
    const rules = compileRules({ peers: { Ann: () => 'allow' } }, 'deny', peerOf)
    expect(() => exportRules(rules, outbound)).toThrow(
      new TypeError('Cannot export the firewall: the inbound rule of Ann is a function'),
    )
    const fallback = compileRules({ fallback: () => 'allow' }, 'deny', peerOf)
    expect(() => exportRules(inbound, fallback)).toThrow(
      new TypeError('Cannot export the firewall: the outbound fallback is a function'),
    )
  })

  const empty = { peers: {} }
  test.each([
    ['null', null],
    ['an array', []],
    ['another version', { version: 2, inbound: empty, outbound: empty }],
    ['no outbound', { version: 1, inbound: empty }],
    ['no peers', { version: 1, inbound: {}, outbound: empty }],
    ['a field more', { version: 1, inbound: empty, outbound: empty, more: 1 }],
    ['a field more inside', { version: 1, inbound: { peers: {}, onAsk: 1 }, outbound: empty }],
    ['another verdict', { version: 1, inbound: { peers: { Ann: 'yes' } }, outbound: empty }],
    ['a function', { version: 1, inbound: { peers: { Ann: () => 'allow' } }, outbound: empty }],
    ['another fallback', { version: 1, inbound: empty, outbound: { peers: {}, fallback: 1 } }],
  ])('%s is not restored', (_, exported) => {
    expect(() => restoreRules(exported, peerOf)).toThrow(TypeError)
  })

  test('what is no peer is not restored', () => {
    const exported = { version: 1, inbound: { peers: { x: 'allow' } }, outbound: empty }
    expect(() => restoreRules(exported, peerOf)).toThrow(SyntaxError)
  })
})
