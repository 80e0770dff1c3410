/**
 * Records as another Stronghold has them: read, written and taken away within one transaction of a vault. What the labels
 * promise is kept here, whoever decided; secrets go from slab to seal and back. It knows nothing of partners and rules.
 */
import { encodeUtf8, parsePath } from '@stronghold/core'

import { isNarrower, meet, widestUsage } from '../catalog/index.ts'
import type { Egress, Labels, RecordType, Usage } from '../catalog/index.ts'
import { VaultError } from '../errors.ts'
import * as x25519 from '../primitives/x25519.ts'
import { idText, publicText, versionOf } from '../record.ts'
import type { RecordVersion, StoredRecord } from '../record.ts'
import type { RecordChanges } from '../records.ts'
import { SYSTEM_KIND, TOMBSTONE_KIND } from '../records.ts'
import type { Secret } from '../secret.ts'
import type { TransactionParts } from '../session.ts'

import { SyncChannel } from './channel.ts'
import type { SyncChannelInit } from './channel.ts'
import { versionDigest } from './digest.ts'

const KEY_ID = encodeUtf8('sync')

/** A record as it stands. One object as long as nothing of it changes. */
export interface SyncRecord {
  /** 32 hex digits. */
  readonly id: string
  readonly path: string
  readonly type: RecordType
  readonly labels: Labels
  readonly createdAtMs: number
  readonly minimum: number
  /** Oldest first, at least one. */
  readonly versions: readonly {
    readonly number: number
    readonly createdAtMs: number
    readonly length: number
  }[]
}

/** What is left of a record. */
export interface SyncTombstone {
  readonly path: string
  readonly removedAtMs: number
  readonly version: number
  /** Digest of that version, 32 hex digits; absent where the record was never to leave. */
  readonly last?: string
}

/** A record as it is to be written. */
export interface SyncWritten {
  readonly id: string
  readonly path: string
  readonly type: RecordType
  readonly usage: readonly Usage[]
  readonly egress: Egress
  readonly createdAtMs: number
  readonly minimum: number
  /** Rising. One with `sealed` comes from the partner, one without stands here and stays as it is. */
  readonly versions: readonly {
    readonly number: number
    readonly createdAtMs: number
    /** 32 hex digits. */
    readonly digest: string
    readonly publicKey?: Uint8Array
    readonly sealed?: Uint8Array
  }[]
}

/** What a transaction does for synchronisation. Every method may throw `VaultError` `data_loss` (`damaged`). */
export class SyncChanges {
  readonly #parts: TransactionParts
  readonly #records: RecordChanges

  /** @internal */
  constructor(parts: TransactionParts) {
    this.#parts = parts
    this.#records = parts.records
  }

  /** This vault's sync key, X25519, 32 bytes; made where there is none yet. */
  publicKey(): Uint8Array {
    using own = this.#own()
    return x25519.publicKey(own.bytes)
  }

  /** Begins to talk to a partner. It goes when the vault is locked, at the latest. */
  channel(init: SyncChannelInit): SyncChannel {
    const { session, random } = this.#parts
    const own = this.#own()
    try {
      const channel = new SyncChannel(
        {
          slab: session.slab,
          random,
          own,
          gone: (one) => {
            session.forget(one)
          },
        },
        init,
      )
      session.hold(channel)
      return channel
    } catch (error) {
      own.wipe()
      throw error
    }
  }

  /** Every record that stands, in no order. */
  records(): Iterable<SyncRecord> {
    return this.#records.all()
  }

  record(id: string): SyncRecord | undefined {
    return this.#records.byId(id)
  }

  at(path: string): SyncRecord | undefined {
    return this.#records.at(path)
  }

  /** What is left of every record that was taken away, by id. */
  tombstones(): Iterable<{ readonly id: string; readonly tombstone: SyncTombstone }> {
    return this.#records.tombstones()
  }

  tombstone(id: string): SyncTombstone | undefined {
    return this.#records.tombstone(id)
  }

  /** The generation in which a tombstone was written; `undefined` without one. */
  tombstoneGeneration(id: string): number | undefined {
    return this.#parts.tx.generationOf(TOMBSTONE_KIND, new Uint8Array(Buffer.from(id, 'hex')))
  }

  /** The digest of a version, from its row: 32 hex digits. @throws `VaultError` `not_found` */
  digest(id: string, number: number): string {
    return this.#records.digest(...this.#version(id, number))
  }

  /** The public key of a version, where it has one. */
  publicKeyOf(id: string, number: number): Uint8Array | undefined {
    const [, { publicText: text }] = this.#version(id, number)
    return text === '' ? undefined : new Uint8Array(Buffer.from(text, 'latin1'))
  }

  /** The secret of a version, sealed for the partner. @throws `VaultError` `permission_denied` where its labels forbid it */
  seal(channel: SyncChannel, id: string, number: number): Uint8Array {
    const [record, version] = this.#version(id, number)
    if (!record.labels.sync) {
      throw new VaultError(
        'permission_denied',
        `Cannot synchronise "${record.path}": its labels do not allow it`,
        { reason: 'usage' },
      )
    }
    using secret = this.#records.openSecret(record, version, this.#parts.session.slab)
    return channel.sealSecret(id, number, secret.bytes)
  }

  /**
   * Writes a record: its labels become the meet with those that stand, versions that come were not made here, and every one of
   * them is tried.
   *
   * @throws `VaultError` `invalid_argument` for what does not hold together, `permission_denied` (`usage`) where what stands
   *   is not to be synchronised, `failed_precondition` (`conflict`) where another record stands at its path,
   *   `resource_exhausted` past a limit
   */
  write(channel: SyncChannel, given: SyncWritten): void {
    const { session, when } = this.#parts
    const ours = this.#records.byId(given.id)
    if (ours !== undefined && !ours.labels.sync) {
      throw new VaultError(
        'permission_denied',
        `Cannot synchronise "${ours.path}": its labels do not allow it`,
        { reason: 'usage' },
      )
    }
    if (ours !== undefined && (ours.path !== given.path || ours.type !== given.type)) {
      throw forged('it is another record')
    }
    const asked: Labels = { usage: new Set(given.usage), egress: given.egress, sync: true }
    const widest: Labels = { usage: widestUsage(given.type), egress: 'material', sync: true }
    if (!isNarrower(asked, widest)) throw forged('labels that its type has not')
    const labels = ours === undefined ? asked : meet([ours.labels, asked])
    const record = { id: given.id, type: given.type, labels, path: given.path }
    const secrets = new Map<number, Secret>()
    try {
      const versions = given.versions.map((version): RecordVersion => {
        const { number, createdAtMs, sealed, publicKey } = version
        if (sealed === undefined) {
          const own = ours === undefined ? undefined : versionOf(ours, number)
          if (own === undefined) throw forged(`version ${number} comes without its secret`)
          return own
        }
        const secret = channel.openSecret(given.id, number, sealed)
        secrets.set(number, secret)
        if (versionDigest(given.id, number, secret.bytes) !== version.digest) {
          throw forged(`version ${number} is another secret than it says`)
        }
        const about = { ...record, origin: 'synced', from: [], minimum: 1 } as const
        const times = { createdAtMs, changedAtMs: createdAtMs }
        const fault = session.selfTest.fault({ ...about, ...times }, secret.bytes, publicKey)
        if (fault !== undefined) throw forged(`version ${number}: ${fault}`)
        return {
          number,
          createdAtMs,
          epoch: when.epoch,
          here: false,
          publicText: publicText(publicKey),
          length: secret.length,
        }
      })
      const written: StoredRecord = {
        ...record,
        origin: ours?.origin ?? 'synced',
        from: ours?.from ?? [],
        createdAtMs: ours?.createdAtMs ?? given.createdAtMs,
        changedAtMs: when.nowMs,
        // A history that was replaced may end below the minimum of the one that stood.
        minimum: Math.min(
          Math.max(given.minimum, ours?.minimum ?? 1),
          versions.at(-1)?.number ?? 1,
        ),
        versions,
      }
      this.#records.putBack(written, ({ number }) => secrets.get(number))
    } finally {
      for (const secret of secrets.values()) secret.wipe()
    }
  }

  /** Takes a record away, where one stands, and leaves this tombstone. */
  bury(id: string, tombstone: SyncTombstone): void {
    const record = this.#records.byId(id)
    if (record !== undefined) this.#records.remove(record)
    this.#records.putTombstone(id, tombstone)
  }

  /** Nobody needs to hear any more that a record was taken away. */
  release(id: string): void {
    this.#records.release(id)
  }

  /**
   * Copies a record to a free path beside it, so that nothing of it is lost where something else takes its place: with an id
   * of its own, never to be synchronised, its versions not made here.
   *
   * @returns where it stands now
   */
  setAside(id: string): string {
    const { session, random, when } = this.#parts
    const record = this.#records.byId(id)
    if (record === undefined) throw new VaultError('not_found', 'Cannot set record aside: none')
    const fresh = new Uint8Array(16)
    random(fresh)
    const path = this.#freePath(record.path)
    this.#records.putBack(
      {
        ...record,
        id: idText(fresh),
        path,
        labels: { ...record.labels, sync: false },
        origin: 'copied',
        from: [record.id],
        changedAtMs: when.nowMs,
        versions: record.versions.map((version) => ({
          ...version,
          epoch: when.epoch,
          here: false,
        })),
      },
      (version) => this.#records.openSecret(record, version, session.slab),
    )
    return path
  }

  #freePath(path: string): string {
    const { random } = this.#parts
    const segments = parsePath(path).text.split('/')
    const last = segments.pop() ?? ''
    for (;;) {
      const draw = new Uint8Array(2)
      random(draw)
      const end = `.aside-${Buffer.from(draw).toString('hex')}`
      const free = [...segments, last.slice(0, 64 - end.length) + end].join('/')
      if (this.#records.at(free) === undefined) return free
    }
  }

  #version(id: string, number: number): [StoredRecord, RecordVersion] {
    const record = this.#records.byId(id)
    const version = record === undefined ? undefined : versionOf(record, number)
    if (record === undefined || version === undefined) {
      throw new VaultError('not_found', 'Cannot read record to synchronise: it is gone')
    }
    return [record, version]
  }

  #own(): Secret {
    const { tx, session, random } = this.#parts
    const own = tx.open(SYSTEM_KIND, KEY_ID, session.slab)
    if (own !== undefined) return own
    const made = session.slab.take(x25519.KEY_BYTES)
    random(made.bytes)
    tx.putSecret(SYSTEM_KIND, KEY_ID, made.bytes)
    return made
  }
}

function forged(why: string): VaultError {
  return new VaultError('invalid_argument', `Cannot take record: ${why}`)
}
