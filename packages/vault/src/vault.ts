/**
 * An encrypted vault from being opened to being closed: unlocked and locked, run, kept. The only file that puts the parts
 * together. It knows no network, no rules and no terminal.
 */
import { toHex } from '@stronghold/core'

import type { InputOf, OutputOf, Procedure } from './catalog/index.ts'
import { writeBackup } from './backup.ts'
import type { BackupInfo, BackupInit, BackupOptions } from './backup.ts'
import type { OpenedBackup } from './backup/opened.ts'
import { differenceOf, restoreInto } from './backup/restore.ts'
import type {
  CompareOptions,
  Restored,
  RestoreDifference,
  RestoreOptions,
} from './backup/restore.ts'
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'
import type { ChainOutput, Pending, RunOptions, Steps, Vault } from './contract.ts'
import { VaultDirectory } from './directory.ts'
import type { AskedStep, Chain } from './engine.ts'
import { VaultError } from './errors.ts'
import type { SignedHead } from './head.ts'
import { decodeOpenHeader, encodeOpenHeader } from './header.ts'
import type { KdfParameters } from './header.ts'
import type { RecordInfo } from './info.ts'
import { DEFAULT_LIMITS } from './limits.ts'
import type { VaultLimits } from './limits.ts'
import { Secp256k1 } from './primitives/secp256k1.ts'
import { createRegistry } from './procedures/all.ts'
import { assertOptions, Request } from './request.ts'
import { assertName } from './row.ts'
import { nothingHappened, Rows } from './rows.ts'
import type { FoundEntry, OpenedRow } from './rows.ts'
import { deriveKeys, nonces } from './seal.ts'
import type { Random } from './seal.ts'
import { Slab } from './secret.ts'
import type { Locked, SlabInit } from './secret.ts'
import { putHeadSeed, Session } from './session.ts'
import type { TransactionParts, VaultTransaction } from './session.ts'
import { sodium } from './sodium.ts'
import type { PutOptions, StoreEntry } from './store.ts'
import type { PlainRow, RowName, Store } from './stores/store.ts'
import { createUnlocker, unlock } from './unlock.ts'
import type { Credential, UnlockOptions } from './unlock.ts'
import { defaultName, Unlockers } from './unlockers.ts'
import type { UnlockerInfo } from './unlockers.ts'

/** Which vault, and how it is held. */
export interface VaultInit {
  /** Its directory; or a store, which is closed with the vault. */
  readonly at: string | Store
  /** Bounds that differ from `DEFAULT_LIMITS`. */
  readonly limits?: Partial<VaultLimits>
  /** The locked memory. */
  readonly memory?: SlabInit
  /** Locks after that many milliseconds in which nobody used it. Default: never. */
  readonly autoLockMs?: number
  /** What a second process is told that finds the vault held. Default `node`. */
  readonly command?: string
  /** Where this process can be talked to, for the same purpose. */
  readonly socket?: string
}

/** A vault to be made. */
export interface NewVaultInit extends VaultInit {
  /** What will unlock it. */
  readonly credential: Credential
  /** What its first unlocker is called, up to 64 characters. Default `passphrase` or `key file`. */
  readonly name?: string
  /** What a passphrase costs. Default 64 MiB and 3 passes. */
  readonly kdf?: KdfParameters
  /**
   * Makes it of a backup: the same vault with all that was in it, in the next epoch, under this credential alone. Stays the
   * caller's to dispose of.
   */
  readonly from?: OpenedBackup
}

/** What tests hold. */
export interface VaultSeams {
  readonly clock?: Clock
  readonly random?: Random
}

/** Where a vault stands. */
export type VaultState = 'locked' | 'unlocked' | 'closed'

/** What can be said of a vault. */
export interface VaultStatus {
  readonly state: VaultState
  /** The vault's id, 32 hex digits. */
  readonly vault: string
  readonly memory: {
    /** Bytes of the slab. */
    readonly bytes: number
    /** Did the system lock it; never better than what the system says. */
    readonly locked: Locked
  }
  readonly unlockers: readonly UnlockerInfo[]
  /** While unlocked: how many records there are. */
  readonly records?: number
  /** While unlocked: how far the vault has come, signed. */
  readonly head?: SignedHead
}

/** The plain store of a vault: readable values by key. No place for secrets. */
export interface PlainStore {
  /** The value, or `undefined` where none is or it has expired. */
  get(key: string): Promise<Uint8Array | undefined>
  /** Writes over what stands there. Resolves when it is durable. */
  put(key: string, value: Uint8Array, options?: PutOptions): Promise<void>
  /** @returns whether there was one */
  delete(key: string): Promise<boolean>
  /** What there is, without values, in the order of keys; of those that begin so, where a beginning is given. */
  list(beginning?: string): Promise<StoreEntry[]>
}

/**
 * Makes a vault where none is and opens it, unlocked.
 *
 * @throws `VaultError` `failed_precondition` (`conflict`, `unsafe_file`, `read_only`, `memory_not_locked`), `unavailable`
 *   (`held`, `disk_failed`), `resource_exhausted`; `RangeError` for a credential or cost out of bounds
 */
export async function createVault(init: NewVaultInit, seams: VaultSeams = {}): Promise<OpenVault> {
  const held = hold(init, true, seams)
  try {
    if (held.store.header() !== undefined) {
      throw new VaultError('failed_precondition', 'Cannot create vault: there is one already', {
        reason: 'conflict',
      })
    }
    const vault = new OpenVault(init, held, seams)
    await vault.create(init)
    return vault
  } catch (error) {
    held.close()
    throw error
  }
}

/**
 * Opens a vault, locked.
 *
 * @throws `VaultError` `not_found` where none is; otherwise as `createVault`, and `failed_precondition` (`newer_format`),
 *   `data_loss` (`damaged`)
 */
export async function openVault(init: VaultInit, seams: VaultSeams = {}): Promise<OpenVault> {
  const held = hold(init, false, seams)
  try {
    if (held.store.header() === undefined) {
      throw new VaultError('not_found', 'Cannot open vault: there is none')
    }
    return new OpenVault(init, held, seams)
  } catch (error) {
    held.close()
    throw error
  }
}

interface Held {
  readonly store: Store
  close(): void
}

function hold({ at, command, socket }: VaultInit, create: boolean, seams: VaultSeams): Held {
  if (typeof at !== 'string') {
    return {
      store: at,
      close: () => {
        at.close()
      },
    }
  }
  return VaultDirectory.open(at, {
    create,
    nowMs: timeOf(seams.clock ?? systemClock),
    ...(command === undefined ? {} : { command }),
    ...(socket === undefined ? {} : { socket }),
  })
}

/** A vault that this process holds. Made by `createVault` and `openVault`. */
export class OpenVault implements Vault, AsyncDisposable {
  /** Called in the place of `lock()` when `autoLockMs` passed without a use; has to see to it that `lock()` is called. */
  onIdle: (() => void) | undefined
  readonly #held: Held
  readonly #limits: Readonly<VaultLimits>
  readonly #memory: SlabInit
  readonly #autoLockMs: number | undefined
  readonly #clock: Clock
  readonly #random: Random
  readonly #nonces: Random
  #slab: Slab
  #secp256k1: Secp256k1 | undefined
  #session: Session | undefined
  #closed = false
  /** What changes the state runs one after the other. */
  #last: Promise<unknown> = Promise.resolve()
  #usedAtMs = 0
  #unread = false
  #stopTimer: (() => void) | undefined
  /** The plain store beside the records. */
  readonly store: PlainStore
  /** What unlocks this vault. */
  readonly unlockers: Unlockers

  /** For `createVault` and `openVault`. @internal */
  constructor(init: VaultInit, held: Held, { clock = systemClock, random }: VaultSeams) {
    this.#limits = Object.freeze({ ...DEFAULT_LIMITS, ...init.limits })
    for (const [name, value] of Object.entries(this.#limits)) {
      if (!Number.isSafeInteger(value) || value < 1) {
        throw new RangeError(`Cannot set ${name}: ${value} is no whole number from 1`)
      }
    }
    const { autoLockMs } = init
    if (autoLockMs !== undefined && !(Number.isSafeInteger(autoLockMs) && autoLockMs > 0)) {
      throw new RangeError(`Cannot set autoLockMs: ${autoLockMs} is no whole number from 1`)
    }
    this.#held = held
    this.#memory = init.memory ?? {}
    this.#autoLockMs = autoLockMs
    this.#clock = clock
    this.#nonces = random ?? nonces()
    this.#random =
      random ??
      ((out) => {
        sodium.randombytes_buf(out)
      })
    this.#slab = new Slab(this.#memory)
    this.store = {
      get: (key) => this.#enqueue((tx) => tx.store.get(key)),
      put: (key, value, options) =>
        this.#enqueue((tx) => {
          tx.store.put(key, value, options)
        }),
      delete: (key) => this.#enqueue((tx) => tx.store.delete(key)),
      list: (beginning) => this.#enqueue((tx) => tx.store.list(beginning)),
    }
    this.unlockers = new Unlockers({
      session: () => this.#unlocked(),
      header: () => this.#openHeader(),
      serially: (work) => this.#serially(work),
      random: this.#random,
    })
  }

  get state(): VaultState {
    if (this.#closed) return 'closed'
    return this.#session === undefined ? 'locked' : 'unlocked'
  }

  /** For `createVault`. @internal */
  async create({ credential, name, kdf, from }: NewVaultInit): Promise<void> {
    const origin = from?.origin()
    const vault = origin?.vault ?? new Uint8Array(16)
    if (origin === undefined) this.#random(vault)
    const slab = this.#slab
    using dataKey = slab.take(32)
    this.#random(dataKey.bytes)
    const unlocker = await createUnlocker({
      vault,
      dataKey: dataKey.bytes,
      credential,
      name: name ?? defaultName(credential),
      createdAtMs: this.#clock.nowMs(),
      random: this.#random,
      ...(kdf === undefined ? {} : { kdf }),
    })
    const keys = deriveKeys(dataKey.bytes, slab)
    const rows = Rows.create(this.#held.store, keys, {
      vault,
      openHeader: encodeOpenHeader({ vault, unlockers: [unlocker] }),
      nowMs: timeOf(this.#clock),
      random: this.#nonces,
      ...origin,
      first: (tx) => {
        if (from === undefined) putHeadSeed(tx, slab)
        else from.writeInto(tx, keys)
      },
    })
    this.#begin(rows)
  }

  /**
   * Unlocks the vault. Everything in it is checked: a row that was swapped, revived or taken away is found.
   *
   * @throws `VaultError` `unauthenticated` (`unlock_failed`) for a wrong credential and for a damaged header alike,
   *   `data_loss` (`damaged`), `failed_precondition` where it is unlocked or closed, `resource_exhausted`; `RangeError` for
   *   a credential out of bounds
   */
  unlock(credential: Credential, options: UnlockOptions = {}): Promise<void> {
    return this.#serially(async () => {
      if (this.state !== 'locked') {
        throw new VaultError('failed_precondition', `Cannot unlock vault: it is ${this.state}`)
      }
      const slab = this.#slab
      using dataKey = await unlock(this.#openHeader(), credential, slab, options)
      const keys = deriveKeys(dataKey.bytes, slab)
      let rows: Rows
      try {
        rows = Rows.open(this.#store(), keys, {
          nowMs: timeOf(this.#clock),
          random: this.#nonces,
        })
      } catch (error) {
        keys[Symbol.dispose]()
        throw error
      }
      this.#begin(rows)
    })
  }

  /** Carries out what was submitted, then wipes keys and secrets. Where the vault is locked it does nothing. */
  lock(): Promise<void> {
    return this.#serially(async () => {
      this.#lock()
    })
  }

  /** What can be said of the vault, in any state but closed. @throws `VaultError` `failed_precondition` where closed */
  status(): VaultStatus {
    const session = this.#session
    const header = this.#openHeader()
    const { size, locked } = this.#slab
    return {
      state: this.state,
      vault: toHex(decodeOpenHeader(header).vault),
      memory: { bytes: size, locked },
      unlockers: this.unlockers.list(),
      ...(session === undefined ? {} : { records: session.size, head: session.head() }),
    }
  }

  async run<P extends Procedure>(
    procedure: P,
    input: InputOf<P>,
    options: RunOptions = {},
  ): Promise<OutputOf<P>> {
    const request = this.#request([{ procedure, input }], options)
    const [output] = await request.result()
    return output as OutputOf<P>
  }

  async submit<P extends Procedure>(
    procedure: P,
    input: InputOf<P>,
    options: RunOptions = {},
  ): Promise<Pending<OutputOf<P>>> {
    const request = this.#request([{ procedure, input }], options)
    return {
      id: request.id,
      get state() {
        return request.state
      },
      result: async () => (await request.result())[0] as OutputOf<P>,
      cancel: () => request.cancel(),
    }
  }

  async chain<const P extends readonly Procedure[]>(
    steps: Steps<P>,
    options: RunOptions = {},
  ): Promise<ChainOutput<P>> {
    return (await this.#request(steps, options).result()) as ChainOutput<P>
  }

  async list(pattern?: string, options: RunOptions = {}): Promise<RecordInfo[]> {
    assertOptions(options)
    options.signal?.throwIfAborted()
    return await this.#enqueue((tx) => tx.list(pattern))
  }

  // --- Backups

  /**
   * Writes a backup of everything but the unlockers: see `writeBackup`.
   *
   * @returns what the backup says of itself
   */
  async backup(init: BackupInit, options: BackupOptions = {}): Promise<BackupInfo> {
    const session = this.#unlocked()
    session.batch.flush()
    const { requireLocked } = this.#memory
    const memory = requireLocked === undefined ? {} : { requireLocked }
    return await writeBackup(session, init, session.rows.nowMs(), options, memory)
  }

  /** How a backup differs from this vault. Changes nothing. @throws as `differenceOf` */
  compare(backup: OpenedBackup, options: CompareOptions = {}): Promise<RestoreDifference> {
    return this.#change((parts) => differenceOf(backup, parts, options))
  }

  /**
   * Writes what of a backup goes into this vault, in one commit: by default what the vault never had, with `replace` also
   * what differs. Labels never get wider, and what only the vault has stays. Rows of a guard's and the audit are left: they
   * go into a new vault only (`NewVaultInit.from`).
   *
   * @throws as `restoreInto`; what `transaction` throws
   */
  restore(backup: OpenedBackup, options: RestoreOptions = {}): Promise<Restored> {
    return this.#change((parts) => restoreInto(backup, parts, options))
  }

  // --- For a guard

  /**
   * Reads a chain, for a guard that decides on it before it is run.
   *
   * @throws `VaultError` `invalid_argument`, `failed_precondition` (`locked`)
   */
  read(steps: readonly AskedStep[]): Chain {
    return this.#unlocked().engine.read(steps)
  }

  /** Does ahead what takes too long for a batch: see `Engine.prepare`. */
  prepare(chain: Chain, signal?: AbortSignal): Promise<Disposable> | undefined {
    return this.#unlocked().engine.prepare(chain, signal)
  }

  /**
   * Runs `body` and commits what it changed, all or nothing, before this returns. Runs that wait for the end of their turn
   * come after it.
   *
   * @throws what `body` throws, and then nothing has happened; what `Rows.transaction` throws
   */
  transaction<T>(body: (tx: VaultTransaction) => T): T {
    return this.#unlocked().transaction(body)
  }

  /** Does what goes on by itself and is nobody's use: it keeps the vault from no lock. Synchronous. */
  aside<T>(work: () => T): T {
    const usedAtMs = this.#usedAtMs
    try {
      return work()
    } finally {
      this.#usedAtMs = usedAtMs
    }
  }

  /**
   * How far the vault has come, signed.
   *
   * @param receipts - the root over the receipts of the newest commit, 32 bytes, which then stands in the head
   */
  head(receipts?: Uint8Array): SignedHead {
    return this.#unlocked().head(receipts)
  }

  /** Audit entries in order from a position; what cannot be opened was not written so, and comes without a value. */
  entries(from = 0, count?: number): Iterable<FoundEntry> {
    return this.#unlocked().rows.foundEntries(from, count)
  }

  /** Bytes that the audit takes up, about. */
  entryBytes(): number {
    return this.#unlocked().rows.entryBytes()
  }

  /** Folds files and overwrites what was removed. @throws `VaultError` */
  compact(): void {
    this.#unlocked().rows.compact()
  }

  // --- For a guard, while the vault is locked

  /**
   * Rows that can be read while the vault is locked, of one kind, in the order of ids (`vault-format.md §2`). Whoever can
   * write the file can change them; those of the kinds below 16 are checked at unlock.
   *
   * @throws `VaultError` `failed_precondition` unless it is locked, as `commitPlain`; what `Store.plain` throws
   */
  plainRows(kind: number): OpenedRow[] {
    return [...this.#readable().plain(kind)].map(({ id, value }) => ({ id, value }))
  }

  /**
   * Changes such rows of the kinds from 16. What it wrote survives a power cut when this returns. While the vault is unlocked
   * they change in transactions only.
   *
   * @throws `RangeError` for another kind; what `Store.commitPlain` throws
   */
  commitPlain(put: readonly PlainRow[], remove: readonly RowName[]): void {
    for (const { kind, id } of [...put, ...remove]) assertName(kind, id)
    const store = this.#readable()
    try {
      store.commitPlain(put, remove)
    } catch (error) {
      // Nobody knows what lies there now: read it again before anything else.
      this.#unread = !nothingHappened(error)
      throw error
    }
  }

  /** Locks, and lets go of the vault. Again does nothing. */
  close(): Promise<void> {
    return this.#serially(async () => {
      if (this.#closed) return
      this.#lock()
      this.#closed = true
      this.#slab[Symbol.dispose]()
      this.#held.close()
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #begin(rows: Rows): void {
    try {
      this.#secp256k1 ??= new Secp256k1()
      const slab = this.#slab
      this.#session = new Session({
        slab,
        rows,
        registry: createRegistry({ slab, secp256k1: this.#secp256k1 }),
        limits: this.#limits,
        random: this.#random,
      })
    } catch (error) {
      rows[Symbol.dispose]()
      throw error
    }
    this.#touch()
    this.#arm(this.#autoLockMs)
  }

  #lock(): void {
    const session = this.#session
    if (session === undefined) return
    session.batch.flush()
    this.#stopTimer?.()
    this.#stopTimer = undefined
    this.#session = undefined
    // The whole slab goes, so that nothing stays behind that somebody forgot.
    session[Symbol.dispose]()
    this.#slab = new Slab(this.#memory)
  }

  #touch(): void {
    this.#usedAtMs = this.#clock.nowMs()
  }

  /** One timer, asked again for what is left when it fires early: a use costs no timer of its own. */
  #arm(delayMs: number | undefined): void {
    const after = this.#autoLockMs
    if (delayMs === undefined || after === undefined) return
    this.#stopTimer = this.#clock.setTimer(delayMs, () => {
      this.#stopTimer = undefined
      if (this.#session === undefined) return
      // A clock that was set back must not keep the vault open.
      const idleMs = Math.max(this.#clock.nowMs() - this.#usedAtMs, 0)
      if (idleMs < after) this.#arm(after - idleMs)
      else if (this.onIdle === undefined) void this.lock()
      else this.onIdle()
    })
  }

  #unlocked(): Session {
    const session = this.#session
    if (session === undefined) throw lockedError(this.#closed)
    this.#touch()
    return session
  }

  #readable(): Store {
    if (this.#closed) throw lockedError(true)
    if (this.#session !== undefined) {
      throw new VaultError('failed_precondition', 'Cannot use readable rows: the vault is unlocked')
    }
    return this.#store()
  }

  /** What lies there, read again where a write of readable rows failed. */
  #store(): Store {
    if (this.#unread) {
      this.#held.store.reopen()
      this.#unread = false
    }
    return this.#held.store
  }

  #openHeader(): Uint8Array {
    if (this.#closed) throw lockedError(true)
    const header = this.#store().header()
    if (header === undefined) {
      throw new VaultError('not_found', 'Cannot open vault: there is none')
    }
    return header.open
  }

  #serially<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work)
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Work of the vault's own, behind what waits for the end of this turn. */
  async #change<T>(body: (parts: TransactionParts) => T): Promise<T> {
    const session = this.#unlocked()
    session.batch.flush()
    return session.change(body)
  }

  /** Puts something in the batch of this turn. */
  async #enqueue<T>(body: (tx: VaultTransaction) => T): Promise<T> {
    const { batch } = this.#unlocked()
    return await new Promise<T>((resolve, reject) => {
      batch.add({
        body,
        done: (result) => {
          resolve(result as T)
        },
        failed: reject,
      })
    })
  }

  #request(steps: readonly AskedStep[], options: RunOptions): Request<Record<string, unknown>[]> {
    assertOptions(options)
    const { signal, timeoutMs, requestId } = options
    signal?.throwIfAborted()
    const session = this.#unlocked()
    const chain = session.engine.read(steps)
    const request = new Request<Record<string, unknown>[]>(() => requestId ?? this.#newId())
    const abort = (): void => {
      request.end('canceled', signal?.reason)
    }
    signal?.addEventListener('abort', abort, { once: true })
    const settled = (): void => {
      signal?.removeEventListener('abort', abort)
    }
    request.result().then(settled, settled)
    const untilMs = timeoutMs === undefined ? Infinity : this.#clock.nowMs() + timeoutMs
    const start = (prepared?: Disposable): void => {
      if (request.state !== 'pending') {
        prepared?.[Symbol.dispose]()
        return
      }
      if (this.#session !== session) throw lockedError(this.#closed)
      const takeBack = session.batch.add({
        body: (tx) => {
          if (this.#clock.nowMs() >= untilMs) {
            throw new VaultError(
              'deadline_exceeded',
              `Cannot run request: ${timeoutMs} ms have passed`,
            )
          }
          return tx.run(chain)
        },
        done: (output) => {
          prepared?.[Symbol.dispose]()
          request.done(output as Record<string, unknown>[])
        },
        failed: (error) => {
          prepared?.[Symbol.dispose]()
          request.failed(error)
        },
      })
      request.onTakeBack(() => {
        if (!takeBack()) return false
        prepared?.[Symbol.dispose]()
        return true
      })
    }
    const preparing = session.engine.prepare(chain, signal)
    if (preparing === undefined) start()
    else {
      preparing.then(start).catch((error: unknown) => {
        request.failed(error)
      })
    }
    return request
  }

  #newId(): string {
    const id = new Uint8Array(16)
    this.#random(id)
    return toHex(id)
  }
}

function timeOf(clock: Clock): () => number {
  return () => clock.nowMs()
}

function lockedError(closed: boolean): VaultError {
  return new VaultError(
    'failed_precondition',
    closed ? 'Cannot use vault: it is closed' : 'Cannot use vault: it is locked',
    closed ? {} : { reason: 'locked' },
  )
}
