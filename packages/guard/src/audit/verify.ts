/**
 * Whether an audit is what was written: its chain is walked from the beginning, or from the signed checkpoint up to which
 * it was cut, to the head that it ought to have, past every witness at hand. It knows no disk and repairs nothing.
 */
import { decode, equalBytes } from '@stronghold/core'
import { verifyHead } from '@stronghold/vault'

import { saltedHash } from '../hashes.ts'
import { decodeHead, readHead } from '../heads.ts'
import type { SignedHead } from '../heads.ts'
import { MAX_AUDIT_FAULTS, MAX_RECEIPT_BYTES } from '../limits.ts'
import { isInTree } from '../merkle.ts'
import { decodeReceipt } from '../receipts.ts'
import type { Leaf, Receipt } from '../receipts.ts'
import { sha256 } from '../sha256.ts'
import { firstHead, nextHead } from './chain.ts'
import { decodeEntry } from './entry.ts'
import type { ReadEntry } from './entry.ts'

/** An entry where it was found; without a value where it could not be opened. */
export interface FoundEntry {
  readonly position: number
  readonly value?: Uint8Array
}

/** Something that somebody kept, and that an audit must not contradict. */
export interface Witness {
  /** How faults name it: `witness 1` where it has none. */
  readonly name?: string
  readonly head: SignedHead
  /** Where it is a receipt. */
  readonly receipt?: Receipt
}

/** What is verified, against what. */
export interface VerifyInit {
  /** In the order in which they lie. Gone through a second time where the oldest were cut, or after a restore. */
  readonly entries: Iterable<FoundEntry>
  /** The head that the chain must arrive at. */
  readonly expected: SignedHead
  readonly witnesses?: readonly Witness[]
  /** Every key that ever signed for this vault, where known from elsewhere. Default: that of `expected`. */
  readonly keys?: readonly Uint8Array[]
}

/** What was found. */
export interface AuditReport {
  /** How many entries there are, and the position of the first. */
  readonly entries: number
  readonly from: number
  /** Whether the expected head is signed by a key of the vault's. */
  readonly signed: boolean
  /** One sentence for each fault, in the order in which they were found, `MAX_AUDIT_FAULTS` at most; none where all is well. */
  readonly faults: readonly string[]
}

/** A witness from bytes: a signed head, or a receipt. @throws `SyntaxError` for anything else, `RangeError` past their limits */
export function readWitness(bytes: Uint8Array, name?: string): Witness {
  const named = name === undefined ? {} : { name }
  const value = decode(bytes, { maxBytes: MAX_RECEIPT_BYTES })
  if (typeof value === 'object' && value !== null && 'leaf' in value) {
    const receipt = decodeReceipt(bytes)
    return { ...named, head: receipt.head, receipt }
  }
  return { ...named, head: decodeHead(bytes) }
}

/** Verifies an audit. Throws only what going through the entries throws. */
export function verifyAudit(init: VerifyInit): AuditReport {
  return new Walk(init).report()
}

/** A place in the chain where its head is known from a signature. */
interface Anchor {
  readonly name: string
  readonly head: Uint8Array
}

interface NamedLeaf {
  readonly name: string
  readonly leaf: Leaf
}

class Walk {
  readonly #init: VerifyInit
  readonly #keys: readonly Uint8Array[]
  readonly #faults: string[] = []
  readonly #anchors = new Map<number, Anchor[]>()
  readonly #leaves = new Map<number, NamedLeaf[]>()
  /** The chain's head before the next entry; unknown behind a fault until the next anchor. */
  #head: Uint8Array | undefined
  /** Where it was known from a signature last. */
  #sure = 0
  #next = 0

  constructor(init: VerifyInit) {
    this.#init = init
    this.#keys = init.keys ?? [init.expected.publicKey]
  }

  report(): AuditReport {
    const { expected, entries } = this.#init
    const signed = this.#isOurs(expected)
    if (!signed) this.#fault('The head that the audit ought to have is not signed by its vault')
    const from = firstPosition(entries)
    this.#begin(from)
    this.#take(from)
    this.#anchor(expected.auditLength, { name: 'the head', head: expected.auditHead })
    let count = 0
    for (const entry of entries) {
      count += 1
      this.#entry(entry)
    }
    this.#arrive()
    this.#end(expected.auditLength)
    return { entries: count, from, signed, faults: this.#faults }
  }

  /** The chain begins with the vault, or where a signed checkpoint says that it was cut. */
  #begin(from: number): void {
    const { expected, entries } = this.#init
    this.#next = this.#sure = from
    if (from === 0) {
      this.#head = firstHead(expected.vault)
      return
    }
    for (const { value } of entries) {
      const entry = value === undefined ? undefined : readable(value)
      if (entry?.event !== 'checkpoint' || entry.facts['before'] !== from) continue
      const cut = checkpointOf(entry)
      if (cut?.auditLength === from && this.#isOurs(cut)) this.#head = cut.auditHead
    }
    if (this.#head === undefined) {
      this.#fault(`${span(0, from)} missing, and no signed checkpoint says that they were cut`)
    }
  }

  /** Takes the witnesses that can be taken, and says why others cannot. */
  #take(from: number): void {
    const { expected, witnesses = [] } = this.#init
    const isOlder = witnesses.some(({ head }) => head.epoch < expected.epoch)
    const restores = isOlder ? this.#restores() : []
    for (const [index, witness] of witnesses.entries()) {
      const name = witness.name ?? `witness ${index + 1}`
      const { head, receipt } = witness
      const why = this.#refusal(witness) ?? this.#behind(head, restores, from)
      if (why !== undefined) {
        this.#fault(`${capital(name)} ${why}`)
        continue
      }
      this.#anchor(head.auditLength, { name, head: head.auditHead })
      if (receipt === undefined) continue
      const { position } = receipt.leaf
      const leaves = this.#leaves.get(position) ?? []
      this.#leaves.set(position, [...leaves, { name, leaf: receipt.leaf }])
    }
  }

  /** Why a witness is none. */
  #refusal({ head, receipt }: Witness): string | undefined {
    if (!equalBytes(head.vault, this.#init.expected.vault)) return 'is of another vault'
    if (!this.#isOurs(head)) return 'is not signed by this vault'
    if (receipt === undefined) return undefined
    const { receipts } = head
    const { leaf, leafBytes, path } = receipt
    const isHeld =
      receipts !== undefined &&
      isInTree(receipts, leafBytes, receipt, path, sha256) &&
      equalBytes(leaf.vault, head.vault) &&
      leaf.position < head.auditLength
    return isHeld ? undefined : 'is a receipt that its head does not hold'
  }

  /** Where the audit has fallen behind what a witness saw. */
  #behind(
    head: SignedHead,
    restores: readonly { epoch: number; position: number }[],
    from: number,
  ): string | undefined {
    const { expected } = this.#init
    if (head.epoch > expected.epoch) {
      return `is of epoch ${head.epoch}, and the vault was rolled back to epoch ${expected.epoch}`
    }
    if (head.epoch < expected.epoch) {
      const restore = restores.find(({ epoch }) => epoch > head.epoch)
      const kept = restore?.position ?? from
      if (head.auditLength <= kept) return undefined
      return (
        `is of epoch ${head.epoch} and saw ${head.auditLength} entries, ` +
        `of which the restore to epoch ${restore?.epoch ?? expected.epoch} kept ${kept}`
      )
    }
    if (head.generation > expected.generation || head.auditLength > expected.auditLength) {
      return (
        `saw generation ${head.generation} with ${head.auditLength} entries, and the vault was ` +
        `rolled back to generation ${expected.generation} with ${expected.auditLength}`
      )
    }
    return undefined
  }

  /** Where epochs began, oldest first. */
  #restores(): { epoch: number; position: number }[] {
    const all: { epoch: number; position: number }[] = []
    for (const { position, value } of this.#init.entries) {
      const entry = value === undefined ? undefined : readable(value)
      const epoch = entry?.event === 'restored' ? entry.facts['epoch'] : undefined
      if (typeof epoch === 'number') all.push({ epoch, position })
    }
    return all
  }

  #entry({ position, value }: FoundEntry): void {
    if (position < this.#next) {
      this.#fault(`Entry ${position} stands twice, or out of its order`)
      this.#head = undefined
      return
    }
    this.#arrive()
    if (position > this.#next) {
      this.#fault(`${span(this.#next, position)} missing`)
      this.#head = undefined
      this.#next = position
      this.#arrive()
    }
    this.#next = position + 1
    if (value === undefined) {
      this.#fault(`Entry ${position} cannot be opened: it is not what was written there`)
      this.#head = undefined
      return
    }
    const entry = readable(value)
    if (entry === undefined) this.#fault(`Entry ${position} is no audit entry`)
    for (const { name, leaf } of this.#leaves.get(position) ?? []) {
      if (entry === undefined || isOf(entry, leaf)) continue
      this.#fault(`Entry ${position} is not the one that ${name} is a receipt of`)
    }
    if (this.#head !== undefined) this.#head = nextHead(this.#head, position, value)
  }

  /** Compares with what is known of this place, and goes on from there. */
  #arrive(): void {
    for (const { name, head } of this.#anchors.get(this.#next) ?? []) {
      if (this.#head !== undefined && !equalBytes(this.#head, head)) {
        const where =
          this.#sure === this.#next
            ? `The beginning of the audit at ${this.#next} is not what ${name} saw`
            : `${span(this.#sure, this.#next)} not what ${name} saw: something was changed, swapped or put in`
        this.#fault(where)
      }
      this.#head = head
      this.#sure = this.#next
    }
  }

  #end(length: number): void {
    if (this.#next < length) {
      this.#fault(`${span(this.#next, length)} missing: the end of the audit was cut off`)
    }
    if (this.#next > length) {
      this.#fault(`${span(length, this.#next)} behind the end that the head knows`)
    }
  }

  #anchor(position: number, anchor: Anchor): void {
    // A vault without entries has no hash of one: nothing to compare with.
    if (position === 0) return
    this.#anchors.set(position, [...(this.#anchors.get(position) ?? []), anchor])
  }

  #isOurs(head: SignedHead): boolean {
    return this.#keys.some((key) => equalBytes(key, head.publicKey)) && verifyHead(head)
  }

  #fault(sentence: string): void {
    if (this.#faults.length < MAX_AUDIT_FAULTS) this.#faults.push(sentence)
  }
}

function firstPosition(entries: Iterable<FoundEntry>): number {
  for (const { position } of entries) return position
  return 0
}

function readable(value: Uint8Array): ReadEntry | undefined {
  try {
    return decodeEntry(value)
  } catch {
    return undefined
  }
}

function checkpointOf({ facts }: ReadEntry): SignedHead | undefined {
  try {
    return readHead(facts['head'])
  } catch {
    return undefined
  }
}

/** Does an entry tell what a receipt tells. */
function isOf({ event, facts }: ReadEntry, leaf: Leaf): boolean {
  const { id, bound, result } = facts
  return (
    (event === 'owner' ? leaf.peer === '' : event === 'request' && facts['peer'] === leaf.peer) &&
    isSame(id, leaf.id) &&
    isSame(bound, saltedHash(leaf.boundSalt, leaf.bound)) &&
    isSame(result, saltedHash(leaf.resultSalt, leaf.result))
  )
}

function isSame(value: unknown, bytes: Uint8Array): boolean {
  return value instanceof Uint8Array && equalBytes(value, bytes)
}

/** The entries from one position to before another, as the subject of a sentence. */
function span(from: number, to: number): string {
  return to - from === 1 ? `Entry ${from} is` : `Entries ${from} to ${to - 1} are`
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}
