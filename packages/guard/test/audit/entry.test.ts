import { decode, encode } from '@stronghold/core'
import { describe, expect, it } from 'vitest'

import { decodeEntry, encodeEntry } from '../../src/audit/entry.ts'
import type { NewEntry } from '../../src/audit/entry.ts'
import { MAX_AUDIT_ENTRY_BYTES, MAX_AUDIT_LIST, MAX_AUDIT_TEXT_LENGTH } from '../../src/limits.ts'
import { signedHead, testKey } from '../signing.ts'

const ID = new Uint8Array(16).fill(1)
const HASH = new Uint8Array(32).fill(2)
const HEAD = signedHead(
  { vault: ID, epoch: 1, generation: 2, auditHead: HASH, auditLength: 3, timeMs: 4 },
  testKey(1),
)

/** One entry of each event, with every field. */
const ALL: readonly NewEntry[] = [
  { at: 1, event: 'created', facts: { by: 'owner' } },
  { at: 1, event: 'unlocked', facts: { by: 'passphrase' } },
  { at: 1, event: 'locked', facts: { by: 'idle' } },
  { at: 1, event: 'rekeyed', facts: { by: 'owner' } },
  { at: 1, event: 'restored', facts: { by: 'owner', epoch: 2 } },
  {
    at: 1,
    event: 'request',
    facts: {
      peer: 'p',
      connection: 'direct',
      id: ID,
      bound: HASH,
      use: [
        ['sign', 'key', 'a/b', ID, 1],
        ['random', '-', '-'],
      ],
      formats: ['sshsig:file'],
      reason: 'v1',
      verdict: 'allow',
      rule: 'r1',
      outcome: 'executed',
      result: HASH,
      code: 'internal',
    },
  },
  {
    at: 1,
    event: 'decision',
    facts: { peer: 'p', id: ID, bound: HASH, choice: 'time', by: 'owner', rule: 'r1', for: 1 },
  },
  { at: 1, event: 'released', facts: { peer: 'p', id: ID } },
  { at: 1, event: 'owner', facts: { use: [['generate', 'to', 'a']], outcome: 'executed' } },
  { at: 1, event: 'rule', facts: { change: 'added', id: 'r1', hash: HASH } },
  { at: 1, event: 'peer', facts: { change: 'added', peer: 'p', name: 'ci' } },
  { at: 1, event: 'grant', facts: { change: 'made', id: 'g', peer: 'p' } },
  { at: 1, event: 'ticket', facts: { change: 'used', id: ID, peer: 'p' } },
  { at: 1, event: 'unlocker', facts: { change: 'added', id: 'u', kind: 'passphrase' } },
  { at: 1, event: 'store', facts: { change: 'set', key: 'k' } },
  { at: 1, event: 'certificate', facts: { key: HASH, peer: 'p' } },
  { at: 1, event: 'strangers', facts: { count: 2, since: 1 } },
  { at: 1, event: 'denials', facts: { peer: 'p', count: 2, since: 1 } },
  { at: 1, event: 'unproven', facts: { by: 'approver', count: 2, since: 1 } },
  { at: 1, event: 'intake', facts: { count: 2, from: 1, to: 2 } },
  { at: 1, event: 'checkpoint', facts: { before: 3, head: HEAD } },
]

/** An entry as somebody may pass it who does not read types. */
function loose(event: string, facts: object, at: unknown = 1): NewEntry {
  return { at, event, facts } as NewEntry
}

describe('encodeEntry()', () => {
  it('writes every event, and decodeEntry() reads it back', () => {
    for (const entry of ALL) expect(decodeEntry(encodeEntry(entry))).toEqual(entry)
  })

  it('refuses a field too many, one too few and one of another form, in every event', () => {
    for (const { event, facts } of ALL) {
      expect(() => encodeEntry(loose(event, { ...facts, other: 1 })), event).toThrow(TypeError)
      expect(() => encodeEntry(loose(event, { ...facts, toString: 1 })), event).toThrow(TypeError)
      expect(() => encodeEntry(loose(event, {})), event).toThrow(TypeError)
      for (const name of Object.keys(facts)) {
        const wrong = { ...facts, [name]: { no: 'form' } }
        expect(() => encodeEntry(loose(event, wrong)), `${event} ${name}`).toThrow(TypeError)
      }
    }
  })

  it('refuses an unknown event and a time that is none', () => {
    for (const event of ['other', 'toString', '__proto__']) {
      expect(() => encodeEntry(loose(event, { by: 'owner' }))).toThrow(TypeError)
    }
    for (const at of [-1, 0.5, Number.NaN, '1']) {
      expect(() => encodeEntry(loose('created', { by: 'owner' }, at))).toThrow(TypeError)
    }
  })

  it('takes texts to MAX_AUDIT_TEXT_LENGTH, lists to MAX_AUDIT_LIST, all to MAX_AUDIT_ENTRY_BYTES', () => {
    const text = 'a'.repeat(MAX_AUDIT_TEXT_LENGTH)
    expect(() => encodeEntry(loose('created', { by: text }))).not.toThrow()
    expect(() => encodeEntry(loose('created', { by: `${text}a` }))).toThrow(TypeError)
    const owner = (count: number, path: string) =>
      loose('owner', { use: Array(count).fill(['sign', 'key', path]), outcome: 'executed' })
    expect(() => encodeEntry(owner(MAX_AUDIT_LIST, 'a'))).not.toThrow()
    expect(() => encodeEntry(owner(MAX_AUDIT_LIST + 1, 'a'))).toThrow(TypeError)
    const [room] = [Math.floor(MAX_AUDIT_ENTRY_BYTES / MAX_AUDIT_LIST)]
    expect(() => encodeEntry(owner(MAX_AUDIT_LIST, 'a'.repeat(room - 14)))).not.toThrow()
    expect(() => encodeEntry(owner(MAX_AUDIT_LIST, 'a'.repeat(room)))).toThrow(RangeError)
  })
})

describe('decodeEntry()', () => {
  it('keeps events and fields of a newer version', () => {
    const newer = { at: 1, event: 'moon', facts: { phase: 'full', more: { deep: [1] } } }
    expect(decodeEntry(encode(newer))).toEqual(newer)
    const [created] = ALL
    const wider = { ...created, facts: { ...created?.facts, other: 1 } }
    expect(decodeEntry(encode(wider))).toEqual(wider)
  })

  it('refuses what is no entry of any version', () => {
    const others = [null, 1, [], new Uint8Array(1), {}, { at: 1, event: 'x' }]
    const wrong = [
      { at: 'x', event: 'x', facts: {} },
      { at: 1, event: 'x', facts: {}, more: 1 },
    ]
    for (const value of [...others, ...wrong, { at: 1, event: 'x', facts: [] }]) {
      expect(() => decodeEntry(encode(value))).toThrow(SyntaxError)
    }
    expect(() => decodeEntry(new Uint8Array(MAX_AUDIT_ENTRY_BYTES + 1))).toThrow(RangeError)
    expect(decode(encodeEntry(loose('created', { by: 'owner' })))).toBeTypeOf('object')
  })
})
