/**
 * What a person does with what waits at the owner door: sees it, decides it, hears of it, and takes back what is remembered.
 * It decides nothing by itself; what a decision leads to stands in `approvals.ts` and `desk.ts`.
 */
import { fromHex, toHex } from '@stronghold/core'
import { isVaultError, VaultError } from '@stronghold/vault'
import type { Clock, Credential, OpenVault } from '@stronghold/vault'

import type { Book } from './book.ts'
import type { Confirms } from './confirms.ts'
import type { Desk, News, Work } from './desk.ts'
import type {
  ApprovalPage,
  Choice,
  Decided,
  Grant,
  OwnerDoor,
  PendingApproval,
  UnlockBy,
} from './doors.ts'
import type { HeldRequest } from './held.ts'
import { requestKey } from './held.ts'
import type { Ledger } from './ledger.ts'
import { MAX_APPROVAL_PAGE_LENGTH } from './limits.ts'
import { printing } from './owner-rules.ts'
import { pendingApproval } from './prompt.ts'
import type { Topic } from './topic.ts'
import type { Trail } from './trail.ts'

/** The part of the owner door that is about approvals and what is remembered of them. */
export type ApprovalsDoor = Pick<
  OwnerDoor,
  'approvals' | 'explainApproval' | 'decide' | 'watchApprovals' | 'grants' | 'revokeGrant'
>

/** What is there only while the vault is unlocked, as far as approvals concern it. */
interface ApprovalParts {
  readonly book: Book
  readonly desk: Desk
  readonly trail: Trail
  readonly ledger: Ledger
}

/** What it works on. */
export interface OwnerApprovalsInit {
  readonly vault: Pick<OpenVault, 'unlockers'>
  readonly clock: Clock
  /** Where whoever approves shows again what unlocks. */
  readonly confirms: Confirms | undefined
  readonly asked: Topic<News>
  /** @throws `VaultError` `failed_precondition` (`locked`) */
  open(): ApprovalParts
  isOpen(): boolean
  /** One transaction. */
  change<T>(body: (work: Work, open: ApprovalParts) => T): Promise<T>
  withCredential<T>(by: UnlockBy, use: (credential: Credential) => Promise<T>): Promise<T>
}

/** See above. */
export class OwnerApprovals implements ApprovalsDoor {
  readonly #init: OwnerApprovalsInit

  constructor(init: OwnerApprovalsInit) {
    this.#init = init
  }

  async approvals({ from }: { from?: string } = {}): Promise<ApprovalPage> {
    const { book } = this.#init.open()
    const first = from === undefined ? undefined : readPlace(from)
    const waiting = [...book.requests()]
      .filter((held) => held.state.phase === 'pending')
      .map((held) => ({ held, place: placeOf(held) }))
      .filter(({ place }) => first === undefined || compare(place, first) >= 0)
      .sort((a, b) => compare(a.place, b.place))
    const approvals: PendingApproval[] = []
    let length = 0
    for (const { held, place } of waiting) {
      if (length >= MAX_APPROVAL_PAGE_LENGTH) return { approvals, next: printPlace(place) }
      const approval = pendingApproval(held, book)
      if (approval === undefined) continue
      approvals.push(approval)
      length += JSON.stringify(approval).length
    }
    return { approvals }
  }

  async explainApproval(boundHash: Uint8Array): Promise<readonly string[]> {
    return await this.#init.change((work, { desk, book }) => {
      const told = desk.explain(work, toHex(boundHash), printing(book))
      if (told === undefined) {
        throw new VaultError('not_found', 'Cannot explain: nothing such is pending')
      }
      return told
    })
  }

  async decide(
    boundHashes: readonly Uint8Array[],
    choice: Choice,
    { forMs, by = 'owner', proof }: { forMs?: number; by?: string; proof?: UnlockBy } = {},
  ): Promise<readonly Decided[]> {
    if (choice !== 'deny' && choice !== 'deny-and-block') await this.#confirm(proof, by)
    return await this.#init.change((work, { desk }) =>
      boundHashes.map((boundHash) => {
        const decided = desk.decide(work, toHex(boundHash), choice, { forMs, by })
        if (decided === undefined) {
          throw new VaultError('not_found', 'Cannot decide: nothing such is pending')
        }
        const { held, rememberedUntilMs } = decided
        return {
          boundHash,
          state: held.state.phase,
          ...(rememberedUntilMs === undefined ? {} : { rememberedUntilMs }),
        }
      }),
    )
  }

  async *watchApprovals({
    signal,
  }: {
    signal: AbortSignal
  }): AsyncGenerator<
    | { readonly type: 'asked'; readonly approval: PendingApproval }
    | { readonly type: 'ended'; readonly boundHash: Uint8Array; readonly state: string }
  > {
    for await (const news of this.#init.asked.listen(signal)) {
      if (news.type === 'unprompt') {
        yield { type: 'ended', boundHash: fromHex(news.boundHash), state: news.phase }
      } else if (news.type === 'prompt' && this.#init.isOpen()) {
        const approval = pendingApproval(news.held, this.#init.open().book)
        if (approval !== undefined) yield { type: 'asked', approval }
      }
    }
  }

  async grants(): Promise<readonly Grant[]> {
    return this.#init.open().ledger.grants(this.#init.clock.nowMs())
  }

  async revokeGrant(id: string): Promise<boolean> {
    return await this.#init.change((work, { ledger, trail }) => {
      const revoked = ledger.revoke(work, id)
      if (revoked) trail.append(work.tx, work.journal, 'grant', { change: 'revoked', id })
      return revoked
    })
  }

  /** Whoever approves shows again what unlocks, where that is asked for: the door decides it, not who knocks. */
  async #confirm(proof: UnlockBy | undefined, by: string): Promise<void> {
    const { confirms, vault } = this.#init
    if (confirms === undefined) return
    this.#init.open()
    if (proof === undefined) {
      throw new VaultError(
        'unauthenticated',
        'Cannot approve: whoever approves here shows again what unlocks the vault',
      )
    }
    // A file proves nobody: any program that knows where it lies could name it.
    const hasPassphrase = vault.unlockers.list().some(({ kind }) => kind === 'passphrase')
    if (hasPassphrase && proof.by !== 'passphrase') {
      throw new VaultError(
        'unauthenticated',
        'Cannot approve: the passphrase is asked for, no file',
      )
    }
    try {
      await confirms.run(by === 'approver' ? by : 'owner', () =>
        this.#init.withCredential(proof, (credential) => vault.unlockers.prove(credential)),
      )
    } catch (cause) {
      await this.#writeWrong()
      if (!isVaultError(cause, { reason: 'unlock_failed' })) throw cause
      const message = 'Cannot approve: that passphrase or key file does not open the vault'
      throw new VaultError('unauthenticated', message, { reason: 'unlock_failed', cause })
    }
  }

  /** Where it cannot be written down, it was refused all the same. */
  async #writeWrong(): Promise<void> {
    try {
      await this.#init.change(({ tx, journal }, { trail }) => {
        for (const wrong of this.#init.confirms?.wrong() ?? []) {
          trail.append(tx, journal, 'unproven', wrong)
        }
      })
    } catch (error) {
      if (!isVaultError(error)) throw error
    }
  }
}

// ---------------------------------------------------------------- places in the order of asking

/** Of a request; it stays while the request does, also when it is asked about anew. */
interface Place {
  readonly askedAtMs: number
  readonly key: string
}

function placeOf({ askedAtMs, peer, id }: HeldRequest): Place {
  return { askedAtMs, key: requestKey(peer, id) }
}

function compare(a: Place, b: Place): number {
  if (a.askedAtMs !== b.askedAtMs) return a.askedAtMs - b.askedAtMs
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}

function printPlace({ askedAtMs, key }: Place): string {
  return `${askedAtMs} ${key}`
}

function readPlace(text: string): Place {
  const [, askedAt, key] = /^([0-9]{1,16}) (.+)$/.exec(text) ?? []
  if (askedAt !== undefined && key !== undefined) return { askedAtMs: Number(askedAt), key }
  throw new VaultError('invalid_argument', 'Cannot list approvals: no page begins there')
}
