/**
 * What a backup holds, read and tested: what is written about records lies open, secrets lie sealed under a key that
 * lives as long as this. It writes into a new vault; what of it goes into one that exists, `restore.ts` decides.
 */
import { fromHex } from '@stronghold/core'

import type { RecordType } from '../catalog/index.ts'
import { encodeRecord, encodeTombstone, idBytes, publicText } from '../record.ts'
import type { RecordVersion, StoredRecord, Tombstone } from '../record.ts'
import { RECORD_KIND, SECRET_KIND, TOMBSTONE_KIND, versionRowId } from '../records.ts'
import { nameId, openedLength, seal, unseal } from '../seal.ts'
import type { Keys } from '../seal.ts'
import { Slab } from '../secret.ts'
import type { Secret, SlabInit } from '../secret.ts'
import { sodium } from '../sodium.ts'
import { encodeStored, STORE_KIND } from '../store.ts'
import type { StoredValue } from '../store.ts'
import type { RowName } from '../stores/store.ts'
import type { Transaction } from '../transaction.ts'

import { recordOf } from './content.ts'
import type { BackupCounts, Item } from './content.ts'
import type { Manifest } from './reading.ts'

/** What a backup says of itself. */
export interface BackupInfo {
  /** Id of the vault, 32 hex digits. */
  readonly vault: string
  readonly epoch: number
  readonly generation: number
  /** When the backup was written. */
  readonly createdAtMs: number
  readonly counts: BackupCounts
}

/** A record of a backup, as it is listed. */
export interface BackupRecord {
  readonly path: string
  /** 32 hex digits. */
  readonly id: string
  readonly type: RecordType
  /** Oldest first. */
  readonly versions: readonly number[]
}

/** What is known of a backup from its first line. */
export function infoOf(manifest: Manifest): BackupInfo {
  const { vault, epoch, generation, createdAt, counts } = manifest
  return { vault, epoch, generation, createdAtMs: Date.parse(createdAt), counts }
}

/** A record with its secrets, one for each version. */
export interface HeldRecord {
  readonly record: StoredRecord
  readonly secrets: readonly Uint8Array[]
}

const NOTHING = new Uint8Array(0)
const KEY_BYTES = 32

/** A backup that was read to its end. Disposing wipes what opens it. */
export class OpenedBackup implements Disposable {
  readonly #memory: Pick<SlabInit, 'requireLocked'>
  readonly #keySlab: Slab
  readonly #key: Secret
  #manifest: Manifest | undefined
  #longest = 0
  #gone = false
  /** Of the record that is being read. */
  #versions: RecordVersion[] = []
  #secrets: Uint8Array[] = []
  /** @internal */
  readonly records: HeldRecord[] = []
  /** @internal */
  readonly tombstones: { readonly id: string; readonly tombstone: Tombstone }[] = []
  /** @internal */
  readonly entries: StoredValue[] = []
  readonly #rows: (RowName & { readonly sealed: Uint8Array })[] = []
  readonly #plain: (RowName & { readonly value: Uint8Array })[] = []
  readonly #audit: Uint8Array[] = []

  /** For `openBackup`. @internal */
  constructor(memory: Pick<SlabInit, 'requireLocked'>) {
    this.#memory = memory
    this.#keySlab = new Slab({ ...memory, bytes: KEY_BYTES })
    this.#key = this.#keySlab.random(KEY_BYTES)
  }

  /** What it says of itself. */
  get info(): BackupInfo {
    return infoOf(this.#known())
  }

  /** Its records in the order of paths, without their secrets. */
  list(): BackupRecord[] {
    return this.records.map(({ record: { path, id, type, versions } }) => ({
      path,
      id,
      type,
      versions: versions.map(({ number }) => number),
    }))
  }

  /** For `openBackup`: takes the next item; its bytes are sealed at once. @internal */
  take(item: Item): void {
    const { bytes } = item
    switch (item.kind) {
      case 'stronghold':
        this.#manifest = item.fields
        break
      case 'record':
        this.#versions = []
        this.#secrets = []
        this.records.push({
          record: { ...recordOf(item.fields), versions: this.#versions },
          secrets: this.#secrets,
        })
        break
      case 'version': {
        const { version, createdAtMs, epoch, here } = item.fields
        const read: RecordVersion = {
          number: version,
          createdAtMs,
          epoch,
          here,
          publicText: publicText(item.fields.public),
          length: bytes.byteLength,
        }
        this.#versions.push(read)
        this.#secrets.push(this.#seal(bytes))
        break
      }
      case 'removed': {
        const { removed: path, id, removedAtMs, version, last } = item.fields
        const seen = last === undefined ? {} : { last }
        this.tombstones.push({ id, tombstone: { path, removedAtMs, version, ...seen } })
        break
      }
      case 'entry': {
        const { entry: key, changedAtMs, expiresAtMs } = item.fields
        this.entries.push({ key, value: Uint8Array.from(bytes), changedAtMs, expiresAtMs })
        break
      }
      case 'row': {
        const { row: kind, id } = item.fields
        this.#rows.push({ kind, id, sealed: this.#seal(bytes) })
        break
      }
      case 'plain': {
        const { plain: kind, id } = item.fields
        this.#plain.push({ kind, id, value: Uint8Array.from(bytes) })
        break
      }
      case 'audit':
        this.#audit.push(Uint8Array.from(bytes))
        break
      case 'end':
        break
    }
  }

  /** For the vault: memory in which any one of its secrets has room. The caller's to dispose of. @internal */
  room(): Slab {
    return new Slab({ ...this.#memory, bytes: this.#longest + KEY_BYTES })
  }

  /** For the vault: a secret, opened. @internal */
  open(sealed: Uint8Array, slab: Slab): Secret {
    const secret = slab.take(openedLength(sealed))
    if (unseal(this.#key, NOTHING, sealed, secret.bytes)) return secret
    secret.wipe()
    throw new TypeError('Cannot open secret: it belongs to another backup')
  }

  /** For the vault: where a vault made of this goes on from. @internal */
  origin(): {
    vault: Uint8Array
    epoch: number
    restored: { auditFrom: number; highestTimeMs: number; createdAtMs: number }
  } {
    const manifest = this.#known()
    return {
      vault: fromHex(manifest.vault),
      epoch: manifest.epoch + 1,
      restored: {
        auditFrom: manifest.auditLength - manifest.counts.audit,
        highestTimeMs: manifest.highestTimeMs,
        createdAtMs: manifest.vaultCreatedAtMs,
      },
    }
  }

  /** For the vault: writes all of it into a vault in which nothing is. @internal */
  writeInto(tx: Transaction, keys: Keys): void {
    const manifest = this.#known()
    const epoch = manifest.epoch + 1
    using slab = this.room()
    for (const { record, secrets } of this.records) {
      // Somebody may go on with the vault that was backed up: no nonce of these keys is taken here.
      const versions = record.versions.map((version) => ({ ...version, epoch, here: false }))
      const name = nameId(keys, RECORD_KIND, record.path)
      tx.put(RECORD_KIND, name, encodeRecord({ ...record, versions }))
      for (const [i, { number }] of versions.entries()) {
        using secret = this.open(secrets[i] ?? NOTHING, slab)
        tx.putSecret(SECRET_KIND, versionRowId(record.id, number), secret.bytes)
      }
    }
    for (const { id, tombstone } of this.tombstones) {
      tx.put(TOMBSTONE_KIND, idBytes(id), encodeTombstone(tombstone))
    }
    for (const entry of this.entries) {
      tx.put(STORE_KIND, nameId(keys, STORE_KIND, entry.key), encodeStored(entry))
    }
    for (const { kind, id, sealed } of this.#rows) {
      using value = this.open(sealed, slab)
      tx.putSecret(kind, id, value.bytes)
    }
    for (const { kind, id, value } of this.#plain) tx.putPlain(kind, id, value)
    for (const entry of this.#audit) tx.append(entry)
    tx.setAuditHead(fromHex(manifest.auditHead))
  }

  [Symbol.dispose](): void {
    if (this.#gone) return
    this.#gone = true
    this.#keySlab[Symbol.dispose]()
  }

  #seal(bytes: Uint8Array): Uint8Array {
    this.#longest = Math.max(this.#longest, bytes.byteLength)
    return seal(this.#key, NOTHING, bytes, (out) => {
      sodium.randombytes_buf(out)
    })
  }

  #known(): Manifest {
    if (this.#gone) throw new TypeError('Cannot use backup: it was disposed of')
    if (this.#manifest === undefined) throw new TypeError('Cannot use backup: it was not read')
    return this.#manifest
  }
}
