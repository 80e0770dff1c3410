/**
 * What unlocks an open vault: listed, added, changed, taken away, and a new data key for those that stay. Whoever changes
 * them proves with one of them that he may, although the vault is unlocked.
 */
import { fromHex, toHex } from '@stronghold/core'

import { isVaultError, VaultError } from './errors.ts'
import { decodeOpenHeader, encodeOpenHeader } from './header.ts'
import type { KdfParameters, Unlocker } from './header.ts'
import { decodeRecord, LabelPool } from './record.ts'
import { RECORD_KIND } from './records.ts'
import { DATA_KEY_BYTES, deriveKeys } from './seal.ts'
import type { Random } from './seal.ts'
import type { Secret } from './secret.ts'
import type { Session } from './session.ts'
import { STORE_KIND, storeKeyOf } from './store.ts'
import { addUnlocker, createUnlocker, removeUnlocker, replaceUnlocker, unlock } from './unlock.ts'
import type { Credential } from './unlock.ts'

/** What can be said of an unlocker. */
export interface UnlockerInfo {
  /** 16 hex digits. */
  readonly id: string
  readonly kind: 'passphrase' | 'key-file'
  readonly name: string
  readonly createdAtMs: number
  /** What a passphrase costs. */
  readonly kdf?: KdfParameters
}

/** A new unlocker, or a new passphrase for one. */
export interface NewUnlocker {
  readonly credential: Credential
  /** Up to 64 characters. Default: what it is, or the name that it had. */
  readonly name?: string
  /** What a passphrase costs. Default 64 MiB and 3 passes. */
  readonly kdf?: KdfParameters
}

/** What a new data key needs to know. */
export interface RekeyOptions {
  /** How rows of the guard's tell their names, by kind, where their ids were made from names. */
  names?: ReadonlyMap<number, (value: Uint8Array) => string>
  /** Called with how many of how many rows and entries are sealed anew. It must not throw. */
  onProgress?: (done: number, total: number) => void
}

/** What unlockers need of their vault. */
export interface UnlockersInit {
  /** The unlocked vault. @throws `VaultError` `failed_precondition` (`locked`) */
  readonly session: () => Session
  /** The readable half of the header, locked or not. */
  readonly header: () => Uint8Array
  /** One after the other with unlock and lock. */
  readonly serially: <T>(work: () => Promise<T>) => Promise<T>
  readonly random: Random
}

/** The unlockers of one vault. Every change takes a credential that fits now and costs the computing of its key. */
export class Unlockers {
  readonly #init: UnlockersInit

  /** @internal */
  constructor(init: UnlockersInit) {
    this.#init = init
  }

  /** All of them, locked or not; none where the header is damaged. */
  list(): UnlockerInfo[] {
    try {
      return decodeOpenHeader(this.#init.header()).unlockers.map(infoOf)
    } catch (error) {
      if (error instanceof SyntaxError) return []
      throw error
    }
  }

  /**
   * Adds one.
   *
   * @param present - any that fits now
   * @throws `VaultError` `unauthenticated` (`unlock_failed`), `failed_precondition` (`locked`); `RangeError` above eight, or
   *   for a credential out of bounds
   */
  add(present: Credential, added: NewUnlocker): Promise<UnlockerInfo> {
    return this.#init.serially(async () => {
      const session = this.#init.session()
      const open = session.rows.openHeader()
      const { dataKey } = await this.#fitting(session, open, present)
      using _ = dataKey
      const unlocker = await this.#create(open, dataKey, added)
      write(session, addUnlocker(open, unlocker))
      return infoOf(unlocker)
    })
  }

  /**
   * Shows that a credential fits, and changes nothing: whoever is asked again is the one who unlocked, or knows as much.
   *
   * @throws as `add`
   */
  prove(present: Credential): Promise<UnlockerInfo> {
    return this.#init.serially(async () => {
      const session = this.#init.session()
      const { dataKey, unlocker } = await this.#fitting(session, session.rows.openHeader(), present)
      dataKey.wipe()
      return infoOf(unlocker)
    })
  }

  /**
   * Puts another in the place of the one that fits: a changed passphrase. Whoever has an older copy of the vault still
   * opens that copy with the old one; `rekey` locks him out of what is written later.
   *
   * @throws as `add`
   */
  change(present: Credential, changed: NewUnlocker): Promise<UnlockerInfo> {
    return this.#init.serially(async () => {
      const session = this.#init.session()
      const open = session.rows.openHeader()
      const { dataKey, unlocker: before } = await this.#fitting(session, open, present)
      using _ = dataKey
      const unlocker = await this.#create(open, dataKey, { name: before.name, ...changed })
      write(session, replaceUnlocker(open, before.id, unlocker))
      return infoOf(unlocker)
    })
  }

  /**
   * Takes one away.
   *
   * @param id - 16 hex digits
   * @throws `VaultError` `not_found`, `failed_precondition` for the last one and where locked
   */
  remove(id: string): Promise<void> {
    return this.#init.serially(async () => {
      const session = this.#init.session()
      write(session, removeUnlocker(session.rows.openHeader(), idOf(id)))
    })
  }

  /**
   * Seals everything anew under a new data key, in one commit. Unlockers whose credential is not given are gone
   * afterwards: nobody can wrap the new key for them.
   *
   * @param credentials - one or more, each of which fits now
   * @returns the unlockers that there are now
   * @throws as `add`; where it throws, the old data key stands
   */
  rekey(credentials: readonly Credential[], options: RekeyOptions = {}): Promise<UnlockerInfo[]> {
    return this.#init.serially(async () => {
      const session = this.#init.session()
      if (credentials.length === 0) {
        throw new RangeError('Cannot rekey: no credential is given, and none would open the vault')
      }
      const open = session.rows.openHeader()
      const { vault } = decodeOpenHeader(open)
      using dataKey = session.slab.take(DATA_KEY_BYTES)
      this.#init.random(dataKey.bytes)
      const unlockers: Unlocker[] = []
      for (const credential of credentials) {
        const { dataKey: old, unlocker } = await this.#fitting(session, open, credential)
        old.wipe()
        const kdf = unlocker.kind === 'passphrase' ? { kdf: unlocker.kdf } : {}
        const { name } = unlocker
        unlockers.push(await this.#create(open, dataKey, { credential, name, ...kdf }))
      }
      session.batch.flush()
      session.rekey({
        keys: deriveKeys(dataKey.bytes, session.slab),
        openHeader: encodeOpenHeader({ vault, unlockers }),
        slab: session.slab,
        names: new Map([...(options.names ?? []), ...OWN_NAMES]),
        ...(options.onProgress === undefined ? {} : { onProgress: options.onProgress }),
      })
      return unlockers.map(infoOf)
    })
  }

  async #create(open: Uint8Array, dataKey: Secret, init: NewUnlocker): Promise<Unlocker> {
    const { credential, name, kdf } = init
    return await createUnlocker({
      vault: decodeOpenHeader(open).vault,
      dataKey: dataKey.bytes,
      credential,
      name: name ?? defaultName(credential),
      createdAtMs: this.#init.session().rows.nowMs(),
      random: this.#init.random,
      ...(kdf === undefined ? {} : { kdf }),
    })
  }

  /** The data key, and the unlocker that a credential fits. */
  async #fitting(
    session: Session,
    open: Uint8Array,
    credential: Credential,
  ): Promise<{ dataKey: Secret; unlocker: Unlocker }> {
    const { vault, unlockers } = decodeOpenHeader(open)
    const kind = 'passphrase' in credential ? 'passphrase' : 'key-file'
    for (const unlocker of unlockers.filter((one) => one.kind === kind)) {
      try {
        const alone = encodeOpenHeader({ vault, unlockers: [unlocker] })
        return { dataKey: await unlock(alone, credential, session.slab), unlocker }
      } catch (error) {
        if (!isVaultError(error, { reason: 'unlock_failed' })) throw error
      }
    }
    throw new VaultError(
      'unauthenticated',
      'Cannot change unlockers: the passphrase or key file given opens none',
      { reason: 'unlock_failed' },
    )
  }
}

/** What an unlocker is called where nobody says. */
export function defaultName(credential: Credential): string {
  return 'passphrase' in credential ? 'passphrase' : 'key file'
}

/** How the vault's own rows tell the names that their ids were made from. */
const OWN_NAMES: readonly (readonly [number, (value: Uint8Array) => string])[] = [
  [RECORD_KIND, (value) => decodeRecord(value, new LabelPool()).path],
  [STORE_KIND, storeKeyOf],
]

function write(session: Session, openHeader: Uint8Array): void {
  session.rows.transaction((tx) => {
    tx.setOpenHeader(openHeader)
  })
}

function infoOf(unlocker: Unlocker): UnlockerInfo {
  const { id, kind, name, createdAtMs } = unlocker
  const info = { id: toHex(id), kind, name, createdAtMs }
  if (unlocker.kind === 'key-file') return info
  const { memoryKiB, passes } = unlocker.kdf
  return { ...info, kdf: { memoryKiB, passes } }
}

function idOf(text: string): Uint8Array {
  if (/^[0-9a-f]{16}$/.test(text)) return fromHex(text)
  throw new VaultError('not_found', 'Cannot find unlocker: there is none of that id')
}
