/**
 * Partnerships and conflicts of one unlocked vault (`docs/sync.md §8`): in memory and in rows, through the journal. It decides
 * nothing.
 */
import { decode, encode, encodeUtf8, toHex } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import type { VaultTransaction } from '@stronghold/vault'

import type { Work } from '../desk.ts'
import { KINDS } from '../kinds.ts'
import { MAX_SYNC_CONFLICTS } from '../limits.ts'
import { sha256 } from '../sha256.ts'
import type { SyncConflict, SyncPartnership, SyncSide } from './doors.ts'

/** A partnership as it is kept: what its owner sees, and what that comes from. */
export interface Partnership extends Pick<
  SyncPartnership,
  | 'name'
  | 'peer'
  | 'vault'
  | 'paths'
  | 'maps'
  | 'mode'
  | 'merge'
  | 'everyMs'
  | 'onChange'
  | 'paused'
  | 'addedAtMs'
  | 'seen'
  | 'lastRunAtMs'
  | 'accept'
> {
  /** The partner's, pinned, 32 bytes. */
  readonly key: Uint8Array
  /** Drawn by the partner and kept with what it said last: shows it that this vault is not an older copy. 16 bytes. */
  readonly held?: Uint8Array
  /** What it has to show of ours: the last it surely has, and one that it may have. */
  readonly given?: { readonly sure?: Uint8Array; readonly maybe?: Uint8Array }
  /** When both were last in step, and where this vault stood then. */
  readonly complete?: {
    readonly atMs: number
    readonly epoch: number
    readonly generation: number
  }
  /** Whether the last run left something to do. */
  readonly behind: boolean
  /** Why nothing is exchanged until a person decides. */
  readonly stop?: Exclude<NonNullable<SyncPartnership['why']>, 'records'>
}

/** A conflict as it is kept. Ids and digests are 32 hex digits. */
export interface KeptConflict {
  readonly name: string
  /** Of the partner's record. */
  readonly id: string
  /** Of the record here that is in its way, where it is another. */
  readonly occupant?: string
  readonly path: string
  readonly kind: SyncConflict['kind']
  readonly ours: SyncSide
  readonly theirs: SyncSide
  /** Of the partner's state. */
  readonly digest: string
  readonly sinceMs: number
  readonly keep?: 'ours' | 'theirs'
}

/** All of both. */
export class Partners {
  readonly #all = new Map<string, Partnership>()
  readonly #conflicts = new Map<string, Map<string, KeptConflict>>()

  /** @throws `VaultError` `data_loss` (`damaged`) for a row that is not as this program writes one */
  constructor(tx: VaultTransaction) {
    try {
      for (const { value } of tx.rows(KINDS.partnership)) {
        const partnership = decode(value) as Partnership
        this.#all.set(partnership.name, partnership)
      }
      for (const { value } of tx.rows(KINDS.syncConflict)) {
        const conflict = decode(value) as KeptConflict
        this.#of(conflict.name).set(conflict.id, conflict)
      }
    } catch (cause) {
      if (!(cause instanceof SyntaxError)) throw cause
      throw new VaultError('data_loss', 'Cannot open vault: a row of the guard is damaged', {
        reason: 'damaged',
        cause,
      })
    }
  }

  /** In the order of names. */
  list(): Partnership[] {
    return [...this.#all.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  named(name: string): Partnership | undefined {
    return this.#all.get(name)
  }

  /** That with a peer; there is one at most. */
  with(peer: string): Partnership | undefined {
    for (const partnership of this.#all.values()) if (partnership.peer === peer) return partnership
    return undefined
  }

  put({ tx, journal }: Work, partnership: Partnership): void {
    tx.put(KINDS.partnership, encodeUtf8(partnership.name), encode(partnership))
    journal.set(this.#all, partnership.name, partnership)
  }

  /** Takes a partnership away, with its conflicts. */
  remove(work: Work, name: string): void {
    for (const id of [...this.#of(name).keys()]) this.settle(work, name, id)
    work.tx.remove(KINDS.partnership, encodeUtf8(name))
    work.journal.set(this.#all, name, undefined)
  }

  /** Those of one partnership, or all. */
  conflicts(name?: string): KeptConflict[] {
    const names = name === undefined ? [...this.#all.keys()] : [name]
    return names.flatMap((one) => [...this.#of(one).values()])
  }

  conflict(name: string, id: string): KeptConflict | undefined {
    return this.#of(name).get(id)
  }

  conflictsOf(name: string): number {
    return this.#of(name).size
  }

  /** Remembers a conflict; one that is known stays as old as it is, and decided while the partner's state is the same. */
  note({ tx, journal }: Work, conflict: KeptConflict): void {
    const all = this.#of(conflict.name)
    const before = all.get(conflict.id)
    if (before === undefined && all.size >= MAX_SYNC_CONFLICTS) return
    const keep = before?.digest === conflict.digest ? before.keep : undefined
    const kept: KeptConflict = {
      ...conflict,
      sinceMs: before?.sinceMs ?? conflict.sinceMs,
      ...(conflict.keep !== undefined || keep === undefined ? {} : { keep }),
    }
    tx.put(KINDS.syncConflict, conflictId(conflict), encode(kept))
    journal.set(all, conflict.id, kept)
  }

  /** A record about which there is nothing to decide any more. */
  settle({ tx, journal }: Work, name: string, id: string): void {
    const all = this.#of(name)
    const conflict = all.get(id)
    if (conflict === undefined) return
    tx.remove(KINDS.syncConflict, conflictId(conflict))
    journal.set(all, id, undefined)
  }

  #of(name: string): Map<string, KeptConflict> {
    const known = this.#conflicts.get(name)
    if (known !== undefined) return known
    const all = new Map<string, KeptConflict>()
    this.#conflicts.set(name, all)
    return all
  }
}

/** The fingerprint of a sync key: `SHA256:` and base64 without padding, as ssh shows keys. */
export function fingerprintOf(key: Uint8Array): string {
  return `SHA256:${Buffer.from(sha256(key)).toString('base64').replace(/=+$/, '')}`
}

function conflictId({ name, id }: KeptConflict): Uint8Array {
  return sha256(encodeUtf8(`${toHex(encodeUtf8(name))} ${id}`))
}
