/**
 * The audit as it is written: one chain, in the transaction of what it tells about. What the chain is and how it is verified
 * stands in `audit/`.
 */
import { randomFillSync } from 'node:crypto'

import { VaultError } from '@stronghold/vault'
import type { OpenVault, VaultTransaction } from '@stronghold/vault'

import { firstHead, nextHead } from './audit/chain.ts'
import { decodeEntry, encodeEntry } from './audit/entry.ts'
import type { AuditEvent, AuditFacts, NewEntry } from './audit/entry.ts'
import { DenialBuckets, Tally } from './audit/quiet.ts'
import { readWitness, verifyAudit } from './audit/verify.ts'
import type { AuditEntry, AuditVerdict } from './doors.ts'
import { saltedHash } from './hashes.ts'
import { encodeHead } from './heads.ts'
import type { Journal } from './journal.ts'
import type { GuardLimits } from './limits.ts'

/** Most entries that are given at once. */
const MAX_LISTED = 10_000
const SALT_BYTES = 16

/** Events that are written even where the audit is full: they only ever take something away. */
const ALWAYS: ReadonlySet<AuditEvent> = new Set(['locked', 'peer', 'grant', 'released', 'unlocked'])

/** Writes the audit of one unlocked vault. */
export class Trail {
  readonly #vault: OpenVault
  readonly #limits: Readonly<GuardLimits>
  readonly #strangers = new Tally()
  readonly #denials = new DenialBuckets()
  #head: Uint8Array
  #bytes: number

  constructor(vault: OpenVault, limits: Readonly<GuardLimits>) {
    const head = vault.head()
    this.#vault = vault
    this.#limits = limits
    this.#head = head.auditLength === 0 ? firstHead(head.vault) : head.auditHead
    this.#bytes = vault.entryBytes()
  }

  /** Bytes that the audit takes up, about. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Writes an entry.
   *
   * @returns its position
   * @throws `VaultError` `resource_exhausted` (`disk_full`) where the audit is full
   */
  append<E extends AuditEvent>(
    tx: VaultTransaction,
    journal: Journal,
    event: E,
    facts: AuditFacts[E],
  ): number {
    const entry = encodeEntry({ at: tx.nowMs, event, facts } as NewEntry)
    const { maxAuditBytes, reservedAuditBytes } = this.#limits
    const room = maxAuditBytes - (ALWAYS.has(event) ? 0 : reservedAuditBytes)
    if (this.#bytes + entry.byteLength > room) {
      throw new VaultError('resource_exhausted', 'Cannot write audit: it is full', {
        reason: 'disk_full',
      })
    }
    const before = { head: this.#head, bytes: this.#bytes }
    journal.did(() => {
      this.#head = before.head
      this.#bytes = before.bytes
    })
    const position = tx.append(entry)
    this.#head = nextHead(this.#head, position, entry)
    this.#bytes += entry.byteLength
    tx.setAuditHead(this.#head)
    return position
  }

  /** A known peer was refused something: written, or counted where it has had its share. */
  denial(tx: VaultTransaction, journal: Journal, facts: AuditFacts['request']): void {
    if (this.#denials.writes(facts.peer, tx.nowMs)) this.append(tx, journal, 'request', facts)
  }

  /** The same of synchronisation. */
  syncDenial(tx: VaultTransaction, journal: Journal, facts: AuditFacts['sync']): void {
    if (this.#denials.writes(facts.peer, tx.nowMs)) this.append(tx, journal, 'sync', facts)
  }

  /** Somebody came whom nobody knows. */
  stranger(nowMs: number): void {
    this.#strangers.add(nowMs)
  }

  /** Is there a summary to be written. */
  hasSummaries(nowMs: number): boolean {
    return !this.#strangers.isIdle(nowMs) || this.#denials.size > 0
  }

  /** Writes what was only counted, at most once a minute. */
  summarise(tx: VaultTransaction, journal: Journal): void {
    const strangers = this.#strangers.due(tx.nowMs)
    if (strangers !== undefined) this.append(tx, journal, 'strangers', strangers)
    for (const summary of this.#denials.due(tx.nowMs)) this.append(tx, journal, 'denials', summary)
  }

  /** Two hashes as the audit holds them, and the salts that open them (`audit.md §4`). */
  commitments(
    bound: Uint8Array,
    result: Uint8Array,
  ): {
    readonly facts: { readonly bound: Uint8Array; readonly result: Uint8Array }
    readonly salts: { readonly boundSalt: Uint8Array; readonly resultSalt: Uint8Array }
  } {
    const salts = { boundSalt: newSalt(), resultSalt: newSalt() }
    const facts = {
      bound: saltedHash(salts.boundSalt, bound),
      result: saltedHash(salts.resultSalt, result),
    }
    return { facts, salts }
  }

  /** One hash under a salt that nobody keeps: it names, and tells nothing. */
  salted(hash: Uint8Array): Uint8Array {
    return saltedHash(newSalt(), hash)
  }

  /** Walks the whole chain, past every head and receipt at hand. */
  verify(witnesses: readonly Uint8Array[]): AuditVerdict {
    const expected = this.#vault.head()
    const vault = this.#vault
    const report = verifyAudit({
      entries: { [Symbol.iterator]: () => vault.entries()[Symbol.iterator]() },
      expected,
      witnesses: witnesses.map((witness, index) => readWitness(witness, `witness ${index + 1}`)),
    })
    const { entries, signed, faults } = report
    return { entries, head: encodeHead(expected), signed, faults }
  }

  /** Entries as people see them, in order; by default the last hundred. */
  entries({ from, count = 100 }: { from?: number; count?: number } = {}): AuditEntry[] {
    const length = this.#vault.head().auditLength
    const many = Math.min(count, MAX_LISTED)
    const entries: AuditEntry[] = []
    for (const { position, value } of this.#vault.entries(
      from ?? Math.max(length - many, 0),
      many,
    )) {
      if (value === undefined) {
        entries.push({ position, atMs: 0, event: 'damaged', facts: {} })
        continue
      }
      const { at, event, facts } = decodeEntry(value)
      entries.push({ position, atMs: at, event, facts })
    }
    return entries
  }
}

function newSalt(): Uint8Array {
  return randomFillSync(new Uint8Array(SALT_BYTES))
}
