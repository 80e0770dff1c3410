/**
 * How far a vault has come, as its answers say: keeps the highest head of each vault, and notices one that is lower. It knows
 * neither requests nor connections, and verifies no signature until somebody wants to show the head to others.
 */
import { ed25519 } from '@noble/curves/ed25519.js'
import { equalBytes, toHex } from '@stronghold/core'
import { decodeHead, signedBytes } from '@stronghold/guard/proofs'
import type { SignedHead } from '@stronghold/guard/proofs'

import { RemoteError } from './errors.ts'
import { MAX_VAULTS_PER_PEER } from './limits.ts'

/** A vault that is an older one than it was: a copy was put back, or somebody answers with one. */
export interface Rollback {
  /** The vault's id, 32 hex digits. */
  readonly vault: string
  /** The highest head that was seen. */
  readonly had: SignedHead
  /** What came after it. */
  readonly got: SignedHead
}

/** What was seen of one vault. */
interface Seen {
  readonly head: SignedHead
  readonly bytes: Uint8Array
}

/** The heads of whoever answers on one connection. */
export class Heads {
  readonly #onRollback: ((rollback: Rollback) => void) | undefined
  readonly #highest = new Map<string, Seen>()
  #latest: Seen | undefined

  /** @param onRollback - told of a lower head; without it, the answer that brought it is an error */
  constructor(onRollback: ((rollback: Rollback) => void) | undefined) {
    this.#onRollback = onRollback
  }

  /** The head seen last, of the vault that answers now. */
  get latest(): SignedHead | undefined {
    return this.#latest?.head
  }

  /** The same as bytes, with a signature that is right: a witness for `audit verify`. */
  get witness(): Uint8Array | undefined {
    return this.#latest !== undefined && isSigned(this.#latest.head)
      ? this.#latest.bytes
      : undefined
  }

  /** What is known now. Answers may overtake each other, but none may be older than what was known when it was asked for. */
  mark(): ReadonlyMap<string, SignedHead> {
    const marked = new Map<string, SignedHead>()
    for (const [vault, { head }] of this.#highest) marked.set(vault, head)
    return marked
  }

  /**
   * Takes the head of an answer.
   *
   * @param since - what was known when the answer was asked for
   * @throws `RemoteError` `data_loss`: `rolled_back`, or `bad_answer` for what is no head
   */
  take(bytes: Uint8Array, since: ReadonlyMap<string, SignedHead>): SignedHead {
    if (this.#latest !== undefined && equalBytes(bytes, this.#latest.bytes)) {
      return this.#latest.head
    }
    const head = readHead(bytes)
    const vault = toHex(head.vault)
    const had = since.get(vault)
    if (had !== undefined && isBelow(head, had)) this.#report({ vault, had, got: head })
    const highest = this.#highest.get(vault)
    if (highest === undefined || !isBelow(head, highest.head)) this.#keep(vault, { head, bytes })
    return head
  }

  #keep(vault: string, seen: Seen): void {
    this.#latest = seen
    this.#highest.delete(vault)
    this.#highest.set(vault, seen)
    if (this.#highest.size <= MAX_VAULTS_PER_PEER) return
    for (const oldest of this.#highest.keys()) {
      this.#highest.delete(oldest)
      break
    }
  }

  #report(rollback: Rollback): void {
    if (this.#onRollback !== undefined) {
      this.#onRollback(rollback)
      return
    }
    const { vault, had, got } = rollback
    throw new RemoteError(
      'data_loss',
      `Cannot trust vault ${vault}: it is at ${got.epoch}.${got.generation} and was at ${had.epoch}.${had.generation}`,
      { reason: 'rolled_back', ran: 'maybe' },
    )
  }
}

/** A vault only grows; one that was restored begins a new epoch, in which it says so. */
function isBelow(head: SignedHead, other: SignedHead): boolean {
  if (head.epoch !== other.epoch) return head.epoch < other.epoch
  return head.generation < other.generation || head.auditLength < other.auditLength
}

/** Whether a head is signed by the key in it. */
export function isSigned(head: SignedHead): boolean {
  try {
    return ed25519.verify(head.signature, signedBytes(head), head.publicKey)
  } catch {
    return false
  }
}

function readHead(bytes: Uint8Array): SignedHead {
  try {
    return decodeHead(bytes)
  } catch (cause) {
    throw new RemoteError('data_loss', 'Cannot read answer: its head is none', {
      reason: 'bad_answer',
      ran: 'maybe',
      cause,
    })
  }
}
