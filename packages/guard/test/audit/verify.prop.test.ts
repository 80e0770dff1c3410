/** Every generated tampering is found, and what nobody touched is always taken: in the store's form and as an export. */
import { readFileSync } from 'node:fs'

import { encode, equalBytes } from '@stronghold/core'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { firstHead, nextHead } from '../../src/audit/chain.ts'
import { encodeEntry } from '../../src/audit/entry.ts'
import type { NewEntry } from '../../src/audit/entry.ts'
import { exportAudit, exportHead, exportLine, verifyExport } from '../../src/audit/export.ts'
import { readWitness, verifyAudit } from '../../src/audit/verify.ts'
import type { FoundEntry, VerifyInit, Witness } from '../../src/audit/verify.ts'
import { saltedHash } from '../../src/hashes.ts'
import { encodeHead } from '../../src/heads.ts'
import type { SignedHead } from '../../src/heads.ts'
import { MAX_AUDIT_FAULTS } from '../../src/limits.ts'
import { decodeReceipt, encodeLeaf, receiptsOf } from '../../src/receipts.ts'
import type { Leaf } from '../../src/receipts.ts'
import { sha256, signedHead, testKey } from '../signing.ts'

const RUNS = process.env['STRONGHOLD_LONG'] === '1' ? 200_000 : 12_000

const VAULT = new Uint8Array(16).fill(3)
const KEY = testKey(1)
const OTHER_KEY = testKey(2)
const PEER = 'peer'

/** A chain as it grew, with a signed head and perhaps a receipt after each commit. */
interface World {
  /** What lies there; the first may be cut. */
  readonly entries: readonly { position: number; value: Uint8Array }[]
  readonly expected: SignedHead
  /** Heads of every commit, oldest first, that of `expected` included. */
  readonly heads: readonly SignedHead[]
  readonly receipts: readonly Uint8Array[]
  /** One epoch or two; where the second began. */
  readonly restoredAt: number | undefined
}

/** Grows a chain: each number is a commit with so many entries. */
function world(commits: readonly number[], cutAfter: number, restoreAfter: number): World {
  const entries: { position: number; value: Uint8Array }[] = []
  const heads: SignedHead[] = []
  const receipts: Uint8Array[] = []
  let head = firstHead(VAULT)
  let epoch = 1
  let restoredAt: number | undefined
  let from = 0
  const append = (entry: NewEntry): void => {
    const value = encodeEntry(entry)
    head = nextHead(head, entries.length, value)
    entries.push({ position: entries.length, value })
  }
  for (const [generation, count] of commits.entries()) {
    const at = generation * 1000
    if (generation === restoreAfter && generation > 0) {
      epoch = 2
      restoredAt = entries.length
      append({ at, event: 'restored', facts: { by: 'owner', epoch } })
    }
    const last = heads.at(-1)
    if (generation === cutAfter && last !== undefined) {
      from = last.auditLength
      append({ at, event: 'checkpoint', facts: { before: from, head: last } })
    }
    const leaves: Uint8Array[] = []
    for (let i = 0; i < count; i++) {
      const leaf = leafAt(entries.length, at)
      const { bound, result } = {
        bound: saltedHash(leaf.boundSalt, leaf.bound),
        result: saltedHash(leaf.resultSalt, leaf.result),
      }
      leaves.push(encodeLeaf(leaf))
      const facts = { peer: PEER, connection: 'direct', id: leaf.id, bound, result }
      const use = [['sign', 'key', 'a']] as const
      append({ at, event: 'request', facts: { ...facts, use, outcome: 'executed' } })
    }
    const made = leaves.length === 0 ? undefined : receiptsOf(leaves, sha256)
    const signed = signedHead(
      {
        vault: VAULT,
        epoch,
        generation,
        auditHead: entries.length === 0 ? new Uint8Array(32) : head,
        auditLength: entries.length,
        timeMs: at,
        ...(made !== undefined && { receipts: made.root }),
      },
      KEY,
    )
    heads.push(signed)
    receipts.push(...(made?.seal(signed, null) ?? []))
  }
  const expected = heads.at(-1)
  if (expected === undefined) throw new Error('no commit')
  return { entries: entries.slice(from), expected, heads, receipts, restoredAt }
}

function leafAt(position: number, at: number): Leaf {
  const fill = (length: number, salt: number) =>
    new Uint8Array(length).fill((position * 7 + salt) & 0xff)
  return {
    vault: VAULT,
    peer: PEER,
    id: fill(16, 1),
    bound: fill(32, 2),
    boundSalt: fill(16, 3),
    result: fill(32, 4),
    resultSalt: fill(16, 5),
    use: [['sign', 'key', 'a']],
    expiresAtMs: at + 1,
    rule: null,
    approvals: [],
    position,
    at,
  }
}

/** Worlds are made once: signing takes longest. */
const WORLDS = fc
  .sample(
    fc.record({
      commits: fc.array(fc.nat(4), { minLength: 3, maxLength: 8 }),
      cutAfter: fc.oneof(fc.constant(-1), fc.nat(6)),
      restoreAfter: fc.oneof(fc.constant(-1), fc.nat(6)),
    }),
    { numRuns: 60, seed: 5 },
  )
  .map(({ commits, cutAfter, restoreAfter }) => world(commits, cutAfter, restoreAfter))
  .filter(({ entries }) => entries.length > 2)

const anyWorld = fc.constantFrom(...WORLDS)

function witnessesOf({ heads, receipts }: World): Witness[] {
  return [
    ...heads.map((head) => readWitness(encodeHead(head))),
    ...receipts.map((receipt) => readWitness(receipt)),
  ]
}

type Tampering = (entries: FoundEntry[], pick: (below: number) => number) => boolean | undefined

/** What may be done to the entries of a store by who can write it; each says whether anything changed. */
const TAMPERINGS: Readonly<Record<string, Tampering>> = {
  'an entry is deleted': (entries, pick) => {
    entries.splice(pick(entries.length), 1)
    return true
  },
  'an entry is deleted and the others moved up': (entries, pick) => {
    const at = pick(entries.length)
    entries.splice(at, 1)
    for (let i = at; i < entries.length; i++) entries[i] = moved(entries[i], -1)
    return true
  },
  'a bit is changed': (entries, pick) => {
    const at = pick(entries.length)
    const value = Uint8Array.from(entries[at]?.value ?? [])
    const index = pick(value.byteLength)
    value[index] = (value[index] ?? 0) ^ (1 << pick(8))
    entries[at] = { position: entries[at]?.position ?? 0, value }
    return true
  },
  'an entry tells something else': (entries, pick) => {
    const at = pick(entries.length)
    const value = encodeEntry({ at: 5, event: 'created', facts: { by: 'x' } })
    entries[at] = { position: entries[at]?.position ?? 0, value }
    return true
  },
  'an entry cannot be opened': (entries, pick) => {
    const at = pick(entries.length)
    entries[at] = { position: entries[at]?.position ?? 0 }
    return true
  },
  'two entries are swapped': (entries, pick) => {
    const [a, b] = [pick(entries.length), pick(entries.length)]
    const [first, second] = [entries[a], entries[b]]
    if (first?.value === undefined || second?.value === undefined) return false
    entries[a] = { ...first, value: second.value }
    entries[b] = { ...second, value: first.value }
    return !equalBytes(first.value, second.value)
  },
  'two entries stand in another order': (entries, pick) => {
    const [a, b] = [pick(entries.length), pick(entries.length)]
    const [first, second] = [entries[a], entries[b]]
    if (first === undefined || second === undefined) return false
    entries[a] = second
    entries[b] = first
    return a !== b
  },
  'an entry stands twice': (entries, pick) => {
    const at = pick(entries.length)
    entries.splice(at, 0, ...entries.slice(at, at + 1))
    return true
  },
  'an entry is put in and the others moved down': (entries, pick) => {
    const at = pick(entries.length)
    const value = encodeEntry({ at: 5, event: 'created', facts: { by: 'x' } })
    const position = entries[at]?.position ?? 0
    for (let i = at; i < entries.length; i++) entries[i] = moved(entries[i], 1)
    entries.splice(at, 0, { position, value })
    return true
  },
  'the end is cut off': (entries, pick) => {
    entries.splice(pick(entries.length))
    return true
  },
  'the beginning is cut off': (entries, pick) => {
    entries.splice(0, 1 + pick(entries.length - 1))
    return true
  },
  'something is appended': (entries) => {
    const value = encodeEntry({ at: 5, event: 'created', facts: { by: 'x' } })
    entries.push({ position: (entries.at(-1)?.position ?? 0) + 1, value })
    return true
  },
}

function moved(entry: FoundEntry | undefined, by: number): FoundEntry {
  return { ...entry, position: (entry?.position ?? 0) + by }
}

const anyTampering = fc.constantFrom(...Object.entries(TAMPERINGS))
const picks = fc.array(fc.nat(), { minLength: 3, maxLength: 3 })

describe('verifyAudit()', () => {
  it('takes every chain that nobody touched, with every witness of it', () => {
    for (const one of WORLDS) {
      const all = { ...one, witnesses: witnessesOf(one), keys: [KEY.publicKey] }
      const report = verifyAudit(all)
      expect(report).toEqual({
        entries: one.entries.length,
        from: one.entries[0]?.position,
        signed: true,
        faults: [],
      })
      expect(verifyExport([...exportAudit(one.entries, one.expected)], all)).toEqual(report)
    }
  })

  it('finds each of 10,000 tamperings, with and without witnesses, and as an export', () => {
    let found = 0
    fc.assert(
      fc.property(anyWorld, anyTampering, picks, fc.nat(), (one, [, tamper], stream, seen) => {
        const numbers = [...stream]
        const entries: FoundEntry[] = [...one.entries]
        const pick = (below: number): number => (numbers.pop() ?? 0) % below
        if (tamper(entries, pick) !== true) return
        const witnesses = found % 10 === 0 ? witnessesOf(one).slice(seen % 6, (seen % 6) + 2) : []
        const { faults } = verifyAudit({ entries, expected: one.expected, witnesses })
        expect(faults).not.toEqual([])
        for (const fault of faults) expect(fault).toMatch(/^[A-Z][^\n]{10,250}[^.]$/)
        if (found % 10 === 0) {
          const lines = [...exportAudit(entries, one.expected)]
          expect(verifyExport(lines).faults).not.toEqual([])
        }
        found += 1
      }),
      { numRuns: RUNS },
    )
    expect(found).toBeGreaterThan(10_000)
  }, 180_000)

  it('finds every rollback behind a head or a receipt, also where all else fits', () => {
    let found = 0
    fc.assert(
      fc.property(anyWorld, fc.nat(), fc.nat(), (one, back, kept) => {
        // All of it is an older copy: the header, too.
        const expected = one.heads[back % one.heads.length]
        if (expected === undefined || one.restoredAt !== undefined) return
        const from = one.entries[0]?.position ?? 0
        if (from > 0) return
        const entries = one.entries.slice(0, expected.auditLength)
        const witnesses = witnessesOf(one)
        const witness = witnesses[kept % witnesses.length]
        if (witness === undefined) return
        const { faults } = verifyAudit({ entries, expected, witnesses: [witness] })
        const isBehind =
          witness.head.generation > expected.generation ||
          witness.head.auditLength > expected.auditLength
        expect(faults.length).toBe(isBehind ? 1 : 0)
        if (!isBehind) return
        expect(faults[0]).toContain('rolled back')
        found += 1
      }),
      { numRuns: 3000 },
    )
    expect(found).toBeGreaterThan(500)
  })

  it('finds a history that was written anew with the same key, by any witness of the old one', () => {
    const old = world([2, 2, 2], -1, -1)
    const other = world([2, 2, 1, 1], -1, -1)
    for (const witness of witnessesOf(old)) {
      const { faults } = verifyAudit({ ...other, witnesses: [witness] })
      const shared = witness.head.auditLength <= 4
      expect(faults.length > 0).toBe(!shared)
    }
  })

  it('finds every change of an exported line', () => {
    fc.assert(
      fc.property(
        anyWorld,
        fc.nat(),
        fc.nat(),
        fc.constantFrom('0', 'a', '"', ' '),
        (one, l, c, by) => {
          const lines = [...exportAudit(one.entries, one.expected)]
          const at = l % lines.length
          const line = lines[at] ?? ''
          const place = c % line.length
          const changed = line.slice(0, place) + by + line.slice(place + 1)
          if (changed === line) return
          lines[at] = changed
          expect(verifyExport(lines).faults).not.toEqual([])
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('a witness', () => {
  const one = world([2, 2, 2], -1, -1)
  const faultsWith = (witness: Witness, init: Partial<VerifyInit> = {}): readonly string[] =>
    verifyAudit({ ...one, witnesses: [witness], ...init }).faults
  const [first, , last] = one.heads
  if (first === undefined || last === undefined) throw new Error('no heads')

  it('of another vault, key or epoch is named as that', () => {
    const foreign = signedHead({ ...last, vault: new Uint8Array(16) }, KEY)
    expect(faultsWith({ head: foreign })).toEqual(['Witness 1 is of another vault'])
    const other = signedHead(last, OTHER_KEY)
    expect(faultsWith({ name: 'head.bin', head: other })).toEqual([
      'Head.bin is not signed by this vault',
    ])
    expect(faultsWith({ head: other }, { keys: [KEY.publicKey, OTHER_KEY.publicKey] })).toEqual([])
    const forged = { ...last, auditLength: 1 }
    expect(faultsWith({ head: forged })).toEqual(['Witness 1 is not signed by this vault'])
    const later = signedHead({ ...first, epoch: 2 }, KEY)
    expect(faultsWith({ head: later })).toEqual([
      'Witness 1 is of epoch 2, and the vault was rolled back to epoch 1',
    ])
  })

  it('from before a restore says what the restore lost', () => {
    const restored = world([2, 2, 2], -1, 2)
    const [, second] = one.heads
    expect(restored.restoredAt).toBe(4)
    if (second === undefined) throw new Error('no head')
    const ask = (head: SignedHead) => verifyAudit({ ...restored, witnesses: [{ head }] }).faults
    expect(ask(second)).toEqual([])
    expect(ask(last)).toEqual([
      'Witness 1 is of epoch 1 and saw 6 entries, of which the restore to epoch 2 kept 4',
    ])
  })

  it('that is a receipt holds its entry to its word', () => {
    const [receipt] = one.receipts.map((bytes) => decodeReceipt(bytes))
    if (receipt === undefined) throw new Error('no receipt')
    expect(faultsWith({ head: receipt.head, receipt })).toEqual([])
    const elsewhere = { ...receipt.leaf, position: 1 }
    const made = receiptsOf([encodeLeaf(elsewhere)], sha256)
    const head = signedHead({ ...first, receipts: made.root }, KEY)
    const [sealed] = made.seal(head, null)
    expect(sealed === undefined ? [] : faultsWith(readWitness(sealed))).toEqual([
      'Entry 1 is not the one that witness 1 is a receipt of',
    ])
    expect(faultsWith({ head: last, receipt: { ...receipt, head: last } })).toEqual([
      'Witness 1 is a receipt that its head does not hold',
    ])
  })

  it('is read from bytes, and nothing else is', () => {
    for (const bytes of [
      new Uint8Array(),
      encode({}),
      encode({ leaf: 1 }),
      encode(1),
      encode([]),
    ]) {
      expect(() => readWitness(bytes)).toThrow(SyntaxError)
    }
    const [receipt] = one.receipts
    expect(receipt === undefined ? undefined : readWitness(receipt).receipt).toBeDefined()
    expect(readWitness(encodeHead(last), 'h')).toEqual({ name: 'h', head: last })
  })
})

describe('a cut', () => {
  const cut = world([2, 2, 2], 2, -1)

  it('is taken up to a signed checkpoint, and nowhere else', () => {
    expect(cut.entries[0]?.position).toBe(4)
    expect(verifyAudit(cut).faults).toEqual([])
    const whole = world([2, 2, 2], -1, -1)
    expect(verifyAudit({ ...whole, entries: whole.entries.slice(2) }).faults).toEqual([
      'Entries 0 to 1 are missing, and no signed checkpoint says that they were cut',
    ])
  })

  it('is not taken where its checkpoint is signed by somebody else', () => {
    const before = cut.heads[1]
    if (before === undefined) throw new Error('no head')
    const head = signedHead({ ...before, auditHead: new Uint8Array(32).fill(1) }, OTHER_KEY)
    const value = encodeEntry({ at: 1, event: 'checkpoint', facts: { before: 4, head } })
    const auditHead = nextHead(head.auditHead, 4, value)
    const expected = signedHead({ ...cut.expected, auditHead, auditLength: 5 }, KEY)
    const faults = verifyAudit({ entries: [{ position: 4, value }], expected }).faults
    expect(faults).toEqual([
      'Entries 0 to 3 are missing, and no signed checkpoint says that they were cut',
    ])
  })
})

describe('a report', () => {
  const one = world([2, 2, 2], -1, -1)

  it('says where: the sentence for each fault names entries', () => {
    const without = (position: number) => one.entries.filter((entry) => entry.position !== position)
    const faults = (entries: Iterable<FoundEntry>) =>
      verifyAudit({ entries, expected: one.expected }).faults
    expect(faults(without(2))).toEqual(['Entry 2 is missing'])
    expect(faults(without(5))).toEqual(['Entry 5 is missing: the end of the audit was cut off'])
    expect(faults([])).toEqual(['Entries 0 to 5 are missing: the end of the audit was cut off'])
    const swapped = one.entries.map((entry) =>
      entry.position === 3 ? { position: 3, value: one.entries[2]?.value ?? entry.value } : entry,
    )
    const told = verifyAudit({ ...one, entries: swapped, witnesses: witnessesOf(one).slice(0, 3) })
    expect(told.faults).toEqual([
      'Entries 2 to 3 are not what witness 2 saw: something was changed, swapped or put in',
    ])
  })

  it('says that the head is not signed, or signed by another', () => {
    const other = signedHead(one.expected, OTHER_KEY)
    expect(verifyAudit({ ...one, expected: other })).toMatchObject({ signed: true, faults: [] })
    const report = verifyAudit({ ...one, expected: other, keys: [KEY.publicKey] })
    expect(report.signed).toBe(false)
    expect(report.faults).toEqual([
      'The head that the audit ought to have is not signed by its vault',
    ])
  })

  it('names MAX_AUDIT_FAULTS faults and no more', () => {
    const entries = Array.from({ length: 2 * MAX_AUDIT_FAULTS }, (_, position) => ({ position }))
    expect(verifyAudit({ entries, expected: one.expected }).faults).toHaveLength(MAX_AUDIT_FAULTS)
    const lines = [
      ...Array.from({ length: 2 * MAX_AUDIT_FAULTS }, () => 'x'),
      exportHead(one.expected),
    ]
    expect(verifyExport(lines).faults).toHaveLength(MAX_AUDIT_FAULTS)
  })

  it('is of lines that read as docs/audit.md says', () => {
    const value = encodeEntry({ at: 1_790_000_000_000, event: 'created', facts: { by: 'owner' } })
    const text = readFileSync(new URL('../../../../docs/audit.md', import.meta.url), 'utf8')
    expect(text).toContain(`\n${exportLine({ position: 0, value })}\n`)
  })

  it('of an empty vault is clean', () => {
    const empty = world([0, 0, 0], -1, -1)
    const all = { ...empty, witnesses: witnessesOf(empty) }
    expect(verifyAudit(all)).toEqual({ entries: 0, from: 0, signed: true, faults: [] })
    expect(verifyExport([]).faults).toEqual(['The last line is not that of a signed head'])
  })
})
