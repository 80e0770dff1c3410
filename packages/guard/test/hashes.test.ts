import { readFileSync, writeFileSync } from 'node:fs'

import { encode, equalBytes, fromHex, parsePattern, toHex } from '@stronghold/core'
import { footprint, formatTags, sign } from '@stronghold/vault/catalog'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { boundBytes, requestBytes, ruleBytes } from '../src/hashed.ts'
import type { HashedRequest } from '../src/hashed.ts'
import { boundHash, requestHash, resultHash, ruleHash, saltedHash } from '../src/hashes.ts'
import { approvalId, named, requestName, shortest } from '../src/ids.ts'
import { MIN_ID_PREFIX } from '../src/limits.ts'
import type { Rule } from '../src/rules/rule.ts'

const PEER = '12D3KooWCi111111111111111111111111111111111111111111'
const INPUT = {
  key: 'release/app',
  message: new TextEncoder().encode('app 2.4.0'),
  as: { format: 'sshsig', namespace: 'file' },
} as const
const STEP = { procedure: sign, input: INPUT }

const REQUEST: HashedRequest = {
  vault: fromHex('000102030405060708090a0b0c0d0e0f'),
  peer: PEER,
  id: fromHex('7f3a0000000000000000000000000001'),
  steps: [{ procedure: 'sign', version: 1, input: INPUT }],
  footprint: footprint([STEP]).map(({ procedure, role, path }) => [
    procedure,
    role,
    path.toString(),
  ]),
  formats: formatTags('sign', INPUT),
  reason: 'v2.4.0',
  timeoutMs: 600_000,
}
const BINDING = {
  request: requestHash(REQUEST),
  records: [{ id: fromHex('101112131415161718191a1b1c1d1e1f'), version: 1 }],
  expiresAtMs: 1_790_000_600_000,
}
const RULE: Rule = {
  id: 'r2',
  peers: [{ kind: 'peer', id: PEER }],
  procedures: [{ procedure: 'sign', role: 'key' }],
  paths: [parsePattern('release/**')],
  formats: ['sshsig'],
  limits: [{ count: 10, windowMs: 86_400_000 }],
  whenUsedUp: 'deny',
  effect: 'ask',
  note: '',
  tell: false,
}

const DOCUMENT = new URL('../../../docs/approvals.md', import.meta.url)
const BEGIN = '<!-- worked example -->\n\n'
const END = '\n\n<!-- /worked example -->'

/** The example of the document, as the code has it. */
function example(): string {
  const bound = boundHash(BINDING)
  return [
    '```',
    `request      ${wrapped(toHex(requestBytes(REQUEST)))}`,
    `requestHash  ${toHex(BINDING.request)}`,
    `shown as     ${shortest(requestName(REQUEST.id), [])}`,
    `bound        ${wrapped(toHex(boundBytes(BINDING)))}`,
    `boundHash    ${toHex(bound)}`,
    `approval     ${approvalId(bound)}`,
    `rule         ${wrapped(toHex(ruleBytes(RULE)))}`,
    `rule's hash  ${toHex(ruleHash(RULE))}`,
    '```',
  ].join('\n')
}

function wrapped(hex: string): string {
  return (hex.match(/.{1,100}/g) ?? []).join(`\n${' '.repeat(13)}`)
}

describe('the hashes of docs/approvals.md', () => {
  it('are those of its worked example', () => {
    const text = readFileSync(DOCUMENT, 'utf8')
    const [head = '', rest = ''] = text.split(BEGIN)
    const [stands = '', tail = ''] = rest.split(END)
    if (process.env['STRONGHOLD_WRITE_DOCS'] === '1') {
      writeFileSync(DOCUMENT, head + BEGIN + example() + END + tail)
      return
    }
    expect(stands).toBe(example())
  })

  it('differ where anything that they bind differs', () => {
    const [step] = REQUEST.steps
    const requests: HashedRequest[] = [
      REQUEST,
      { ...REQUEST, vault: new Uint8Array(16) },
      { ...REQUEST, peer: `${PEER}2` },
      { ...REQUEST, id: new Uint8Array(16) },
      { ...REQUEST, steps: [] },
      { ...REQUEST, steps: [{ procedure: 'mac', version: 1, input: INPUT }] },
      { ...REQUEST, steps: [{ procedure: 'sign', version: 2, input: INPUT }] },
      { ...REQUEST, steps: [{ procedure: 'sign', version: 1, input: { ...INPUT, key: 'a' } }] },
      { ...REQUEST, steps: step === undefined ? [] : [step, step] },
      { ...REQUEST, footprint: [['sign', 'key', 'release/other']] },
      { ...REQUEST, formats: ['sshsig:git'] },
      { ...REQUEST, reason: 'v2.4.1' },
      { ...REQUEST, timeoutMs: 600_001 },
    ]
    const bindings = [
      BINDING,
      { ...BINDING, request: new Uint8Array(32) },
      { ...BINDING, records: [] },
      { ...BINDING, records: BINDING.records.map((record) => ({ ...record, version: 2 })) },
      { ...BINDING, expiresAtMs: BINDING.expiresAtMs + 1 },
    ]
    const { formats: _, ...withoutFormats } = RULE
    const rules: Rule[] = [
      RULE,
      withoutFormats,
      { ...RULE, id: 'r3' },
      { ...RULE, peers: [{ kind: 'known' }] },
      { ...RULE, peers: [{ kind: 'tag', tag: 'known' }] },
      { ...RULE, procedures: [{ procedure: 'wrap', role: 'key' }] },
      { ...RULE, paths: [parsePattern('release/*')] },
      { ...RULE, limits: [{ count: 11, windowMs: 86_400_000 }] },
      { ...RULE, whenUsedUp: 'next' },
      { ...RULE, expiresAtMs: 1 },
      { ...RULE, effect: 'allow' },
      { ...RULE, note: 'n' },
      { ...RULE, tell: true },
    ]
    const all = [
      ...requests.map((request) => toHex(requestHash(request))),
      ...bindings.map((binding) => toHex(boundHash(binding))),
      ...rules.map((rule) => toHex(ruleHash(rule))),
    ]
    expect(new Set(all).size).toBe(all.length)
  })

  it('are over the bytes that can be kept to show them later', () => {
    expect(toHex(ruleHash(RULE))).toBe(toHex(ruleHash({ ...RULE })))
    expect(requestHash(REQUEST)).toHaveLength(32)
    expect(() => requestHash({ ...REQUEST, timeoutMs: 0.5 })).toThrow(TypeError)
  })

  it('tell nothing without their salt', () => {
    const hash = resultHash([{ signature: Uint8Array.of(1), version: 1 }])
    expect(toHex(hash)).toBe(toHex(resultHash([{ version: 1, signature: Uint8Array.of(1) }])))
    const salts = [new Uint8Array(16), new Uint8Array(16).fill(1)] as const
    expect(equalBytes(saltedHash(salts[0], hash), saltedHash(salts[1], hash))).toBe(false)
    expect(equalBytes(saltedHash(salts[0], hash), hash)).toBe(false)
  })

  it('come from one encoding: an input with undefined members is the same as without', () => {
    const [step] = REQUEST.steps
    if (step === undefined) throw new Error('no step')
    const input = { ...INPUT, other: undefined }
    const same = requestBytes({ ...REQUEST, steps: [{ ...step, input }] })
    expect(toHex(same)).toBe(toHex(requestBytes(REQUEST)))
    expect(encode(input)).toEqual(encode(INPUT))
  })
})

describe('ids', () => {
  it('are a letter and base32 or hex', () => {
    // RFC 4648 §10: "foobar" is MZXW6YTBOI.
    const hash = new Uint8Array(32)
    hash.set(new TextEncoder().encode('foobarfoobarfo'))
    expect(approvalId(hash).slice(0, 12)).toBe('a-mzxw6ytboj')
    expect(approvalId(hash)).toMatch(/^a-[a-z2-7]{20}$/)
    expect(approvalId(new Uint8Array(32).fill(0xff))).toBe(`a-${'7'.repeat(20)}`)
    expect(requestName(REQUEST.id)).toBe('q-7f3a0000000000000000000000000001')
    expect(() => approvalId(new Uint8Array(31))).toThrow(RangeError)
    expect(() => requestName(new Uint8Array(17))).toThrow(RangeError)
  })

  it('are cut to the shortest beginning that no other has, of four characters or more', () => {
    expect(shortest('q-7f3a11', [])).toBe('q-7f3a')
    expect(shortest('q-7f3a11', ['q-7f3b11'])).toBe('q-7f3a')
    expect(shortest('q-7f3a11', ['q-7f3a12', 'q-7f3a11'])).toBe('q-7f3a11')
    expect(shortest('q-7f3a11', ['q-7f3a20'])).toBe('q-7f3a1')
  })

  it('are found by a unique beginning of MIN_ID_PREFIX characters', () => {
    const names = ['a-mzxw6ytboi', 'a-mzxw7aaaaa', 'q-7f3a0000', 'a-7f3azzzz']
    expect(MIN_ID_PREFIX).toBe(4)
    expect(named('a-mzxw', names)).toEqual(['a-mzxw6ytboi', 'a-mzxw7aaaaa'])
    expect(named('a-mzxw6', names)).toEqual(['a-mzxw6ytboi'])
    expect(named('7f3a', names)).toEqual(['q-7f3a0000', 'a-7f3azzzz'])
    expect(named('q-7f3a', names)).toEqual(['q-7f3a0000'])
    expect(named('q-ffff', names)).toEqual([])
    for (const text of [
      '',
      'a-',
      'a-mzx',
      'mzx',
      'b-mzxw',
      'a-MZXW',
      'a-mz w',
      `a-${'a'.repeat(33)}`,
    ]) {
      expect(() => named(text, names), text).toThrow(SyntaxError)
    }
  })

  it('cut by shortest() name exactly one', () => {
    const letters = fc.constantFrom('a', 'b')
    const name = fc.array(letters, { minLength: 8, maxLength: 8 }).map((all) => `a-${all.join('')}`)
    fc.assert(
      fc.property(fc.uniqueArray(name, { minLength: 1, maxLength: 20 }), (names) => {
        for (const one of names) expect(named(shortest(one, names), names)).toEqual([one])
      }),
    )
  })
})
