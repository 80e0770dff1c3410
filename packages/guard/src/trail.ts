/**
 * The audit as it is written: one chain, in the transaction of what it tells about. What the chain is and how it is verified
 * stands in `audit/`.
 */
import { randomFillSync } from 'node:crypto'

import { decode, encode, encodeUtf8 } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import type { OpenVault, VaultTransaction } from '@stronghold/vault'

import { firstHead, nextHead } from './audit/chain.ts'
import { decodeEntry } from './audit/entry.ts'
import type { AuditEvent, AuditFacts, NewEntry } from './audit/entry.ts'
import { exportHead, exportLine } from './audit/export.ts'
import { DenialBuckets, Tally } from './audit/quiet.ts'
import { readWitness, verifyAudit } from './audit/verify.ts'
import type { AuditCut, AuditEntry, AuditPage, AuditVerdict } from './doors.ts'
import { saltedHash } from './hashes.ts'
import { decodeHead, encodeHead, readHead } from './heads.ts'
import type { SignedHead } from './heads.ts'
import { Journal } from './journal.ts'
import { KINDS } from './kinds.ts'
import { MAX_AUDIT_PAGE_LENGTH, MAX_CHECKPOINTS } from './limits.ts'
import type { GuardLimits } from './limits.ts'
import { EntryMolds } from './molds.ts'
import { mayBeThere } from './torn.ts'

/** Most entries that are given at once. */
const MAX_LISTED = 10_000
const SALT_BYTES = 16
const CHECKPOINTS_ID = encodeUtf8('checkpoints')

/** Events that are written even where the audit is full: they only ever take something away. */
const ALWAYS: ReadonlySet<AuditEvent> = new Set([
  'checkpoint',
  'locked',
  'peer',
  'grant',
  'restored',
  'unlocked',
  'unproven',
])
/** Of others those that end what stood. */
const ENDS: ReadonlySet<unknown> = new Set(['denied', 'canceled', 'expired'])
const DENIES: ReadonlySet<unknown> = new Set(['deny', 'deny-and-block'])
const PARTS: ReadonlySet<unknown> = new Set(['paused', 'removed'])

/** Writes the audit of one unlocked vault. */
export class Trail {
  readonly #vault: OpenVault
  readonly #limits: Readonly<GuardLimits>
  readonly #strangers = new Tally()
  readonly #denials = new DenialBuckets()
  readonly #molds = new EntryMolds()
  #head: Uint8Array
  #bytes: number
  #length: number
  #checkpoints: readonly Checkpoint[]
  #torn = false

  /** @throws `SyntaxError` for a row that is damaged */
  constructor(tx: VaultTransaction, vault: OpenVault, limits: Readonly<GuardLimits>) {
    const head = vault.head()
    this.#length = head.auditLength
    this.#checkpoints = readCheckpoints(tx)
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
    const entry = { at: tx.nowMs, event, facts } as NewEntry
    return this.#append(tx, journal, entry, keptFrom(entry) * this.#limits.reservedAuditBytes)
  }

  /** @param kept - bytes of the budget that this entry may not take */
  #append(tx: VaultTransaction, journal: Journal, written: NewEntry, kept: number): number {
    const entry = this.#molds.encode(written)
    const room = this.#limits.maxAuditBytes - kept
    if (this.#bytes + entry.byteLength > room) {
      throw new VaultError('resource_exhausted', 'Cannot write audit: it is full', {
        reason: 'disk_full',
      })
    }
    const before = { head: this.#head, bytes: this.#bytes, length: this.#length }
    journal.did(() => {
      this.#head = before.head
      this.#bytes = before.bytes
      this.#length = before.length
    })
    const position = tx.append(entry)
    this.#head = nextHead(this.#head, position, entry)
    this.#bytes += entry.byteLength
    this.#length = position + 1
    tx.setAuditHead(this.#head)
    return position
  }

  /** A known peer was refused something: written, or counted where it has had its share. */
  denial(tx: VaultTransaction, journal: Journal, facts: AuditFacts['request']): void {
    if (!this.#denials.writes(facts.peer, tx.nowMs)) return
    const entry = { at: tx.nowMs, event: 'request', facts } as const
    this.#append(tx, journal, entry, this.#limits.reservedAuditBytes)
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

  /** Lines of an export, from a position up to a head, as many as one answer holds; the last is the head's. */
  page({ from = 0, head }: { from?: number; head?: Uint8Array }): AuditPage {
    const end = head === undefined ? this.#vault.head() : decodeHead(head)
    const lines: string[] = []
    let length = 0
    for (const entry of this.#vault.entries(from)) {
      const { position } = entry
      if (position >= end.auditLength) break
      if (length >= MAX_AUDIT_PAGE_LENGTH) return { lines, head: encodeHead(end), next: position }
      const line = exportLine(entry)
      lines.push(line)
      length += line.length
    }
    lines.push(exportHead(end))
    return { lines, head: encodeHead(end) }
  }

  /** Has so much been written since the last checkpoint that there ought to be another. */
  get wantsCheckpoint(): boolean {
    const last = this.#checkpoints.at(-1)?.position ?? 0
    return this.#length - last >= this.#limits.maxEntriesPerCheckpoint
  }

  /** Writes down, signed, how far the audit has come: the oldest entries may be cut up to there. A transaction of its own. */
  checkpoint(): void {
    this.#write(this.#vault.head(), false)
  }

  /**
   * Cuts the oldest entries, up to the newest checkpoint before a time; without one, to a checkpoint that is written now. The
   * checkpoint stays, and says that they were cut.
   *
   * @returns how many go or would go, and the first that is left
   */
  cut({ before, dryRun = false }: { before?: number; dryRun?: boolean }): AuditCut {
    const [first] = this.#vault.entries(0, 1)
    const oldest = first?.position ?? 0
    const to =
      before === undefined
        ? this.#vault.head()
        : this.#checkpointHead(this.#checkpoints.findLast(({ atMs }) => atMs < before))
    if (to === undefined || to.auditLength <= oldest) return { entries: 0, from: oldest }
    if (!dryRun) {
      this.#write(to, true)
      this.#bytes = this.#vault.entryBytes()
      this.#vault.compact()
    }
    return { entries: to.auditLength - oldest, from: to.auditLength }
  }

  /** The entry about a head, which is the first that is left where what is before it goes. */
  #write(head: SignedHead, cuts: boolean): void {
    const before = head.auditLength
    const journal = new Journal()
    try {
      this.#vault.transaction((tx) => {
        const position = this.append(tx, journal, 'checkpoint', { before, head })
        const stand = this.#checkpoints
        journal.did(() => {
          this.#checkpoints = stand
        })
        const left = stand.filter((one) => !cuts || one.position >= before)
        const added = position === before ? [{ position, atMs: tx.nowMs }] : []
        this.#checkpoints = [...left, ...added].slice(-MAX_CHECKPOINTS)
        writeCheckpoints(tx, this.#checkpoints)
        if (cuts) tx.cutEntries(before)
      })
    } catch (error) {
      journal.rollBack()
      this.#torn ||= mayBeThere(error)
      throw error
    }
  }

  /** As `Batch.torn`, of what is written here. */
  get torn(): boolean {
    return this.#torn
  }

  /** The signed head that a checkpoint holds. */
  #checkpointHead(checkpoint: Checkpoint | undefined): SignedHead | undefined {
    if (checkpoint === undefined) return undefined
    const [entry] = this.#vault.entries(checkpoint.position, 1)
    if (entry?.value === undefined || entry.position !== checkpoint.position) return undefined
    const { event, facts } = decodeEntry(entry.value)
    return event === 'checkpoint' ? readHead(facts['head']) : undefined
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

/** How much of what is kept for taking away is closed to an entry: all, none, or half, since a peer asks as often as it likes. */
function keptFrom({ event, facts }: NewEntry): 0 | 0.5 | 1 {
  if (event === 'released') return 0.5
  const takesAway =
    ALWAYS.has(event) ||
    (event === 'request' && ENDS.has(facts.outcome)) ||
    (event === 'decision' && DENIES.has(facts.choice)) ||
    (event === 'partner' && PARTS.has(facts.change))
  return takesAway ? 0 : 1
}

/** An entry up to which the audit may be cut. */
interface Checkpoint {
  readonly position: number
  readonly atMs: number
}

function readCheckpoints(tx: VaultTransaction): Checkpoint[] {
  const row = tx.get(KINDS.key, CHECKPOINTS_ID)
  return row === undefined ? [] : (decode(row) as Checkpoint[])
}

function writeCheckpoints(tx: VaultTransaction, checkpoints: readonly Checkpoint[]): void {
  tx.put(KINDS.key, CHECKPOINTS_ID, encode(checkpoints))
}

function newSalt(): Uint8Array {
  return randomFillSync(new Uint8Array(SALT_BYTES))
}
