/**
 * A running transaction: what it changes stands in layers over the store until all of it is committed at once. It seals
 * and opens rows; it writes nothing and knows nothing of the header but where it stood before.
 */
import { assertBytes, equalBytes } from '@stronghold/core'

import { decodeOpenHeader } from './header.ts'
import type { SealedHeader } from './header.ts'
import { Layer, nameKey, ofKind, overlaid } from './overlay.ts'
import type { Changed } from './overlay.ts'
import { LentSecrets } from './lent-secrets.ts'
import type { SecretForm } from './lent-secrets.ts'
import { assertName, openRow, openSecret } from './row.ts'
import { entryAssociated, rowAssociated, seal } from './seal.ts'
import type { Keys, Random } from './seal.ts'
import type { Secret, Slab } from './secret.ts'
import type { StoredRow, RowName } from './stores/store.ts'
import type { StoreReader } from './row-cache.ts'

/** A row, opened. */
export interface OpenedRow {
  readonly id: Uint8Array
  readonly value: Uint8Array
}

/** What may be read, inside a transaction and outside. Every method throws `VaultError`: `data_loss` (`damaged`). */
export interface RowReader {
  /** A row of a kind that holds no secret. */
  get(kind: number, id: Uint8Array): Uint8Array | undefined
  /** A secret, opened straight into the slab; the caller's to wipe. */
  open(kind: number, id: Uint8Array, slab: Slab): Secret | undefined
  /** Rows of a kind that holds no secret, in the order of their ids, as they are when the listing begins. */
  list(kind: number): Iterable<OpenedRow>
  /** The name of each row of a kind, opened or not, in order. */
  ids(kind: number): Iterable<Uint8Array>
  /** A row of what can be read while the vault is locked. */
  getPlain(kind: number, id: Uint8Array): Uint8Array | undefined
  listPlain(kind: number): Iterable<OpenedRow>
}

/** What a transaction may do. Reads see what was written before in it. Not to be used after its body returned. */
export interface Transaction extends RowReader {
  /** The generation of the commit that wrote a row, or of this one; `undefined` without the row. */
  generationOf(kind: number, id: Uint8Array): number | undefined
  /** @param kind - 1 to 63 @param id - 1 to 64 bytes */
  put(kind: number, id: Uint8Array, value: Uint8Array): void
  /** Sealed at once; stays the caller's to wipe. */
  putSecret(kind: number, id: Uint8Array, secret: Uint8Array): void
  /**
   * What is made from a secret, for whoever uses one key again and again: opened and made once, in the slab, and wiped when
   * the transaction ends. A view that holds until then, or until `MAX_LENT_SECRETS` others were lent.
   */
  lend(kind: number, id: Uint8Array, slab: Slab, form: SecretForm): Uint8Array | undefined
  /** A row that is not there is no failure. */
  remove(kind: number, id: Uint8Array): void
  putPlain(kind: number, id: Uint8Array, value: Uint8Array): void
  removePlain(kind: number, id: Uint8Array): void
  /** Adds an audit entry. @returns its position */
  append(entry: Uint8Array): number
  /** What the header says of the chain's end: 32 bytes. */
  setAuditHead(hash: Uint8Array): void
  /** Takes away audit entries before a position, never the newest. */
  cutEntries(before: number): void
  /** Replaces the readable half of the header, so the unlockers. It must name the same vault. */
  setOpenHeader(openHeader: Uint8Array): void
  /** Begins the next epoch, once in a transaction. @returns its number */
  beginEpoch(): number
  /** Runs `body`; where it throws, what it changed is dropped and the error goes on. */
  savepoint<T>(body: () => T): T
  /** Runs once the commit returned; dropped with its savepoint. It must not throw. */
  afterCommit(fire: () => void): void
}

/** The one implementation. */
export class Writing implements Transaction {
  readonly #store: StoreReader
  readonly #state: SealedHeader
  readonly #vault: Uint8Array
  readonly #keys: Keys
  readonly #random: Random
  readonly #generation: number
  /** The transaction's own, then one for each savepoint that is open. */
  #layers: readonly Layer[]
  #ended = false
  readonly #lent = new LentSecrets()
  /** What is left when every savepoint has ended. */
  readonly base: Layer = new Layer()

  constructor(
    store: StoreReader,
    state: SealedHeader,
    vault: Uint8Array,
    keys: Keys,
    random: Random,
  ) {
    this.#store = store
    this.#state = state
    this.#vault = vault
    this.#keys = keys
    this.#random = random
    this.#generation = state.generation + 1
    this.#layers = [this.base]
  }

  end(): void {
    this.#ended = true
    this.#lent.wipe()
  }

  get(kind: number, id: Uint8Array): Uint8Array | undefined {
    const row = this.#row(kind, id)
    return row === undefined ? undefined : openRow(this.#keys, this.#vault, row)
  }

  open(kind: number, id: Uint8Array, slab: Slab): Secret | undefined {
    const row = this.#row(kind, id)
    return row === undefined ? undefined : openSecret(this.#keys, this.#vault, row, slab)
  }

  lend(kind: number, id: Uint8Array, slab: Slab, form: SecretForm): Uint8Array | undefined {
    const row = this.#row(kind, id)
    if (row === undefined) return undefined
    return this.#lent.lend(row, form, slab, () => openSecret(this.#keys, this.#vault, row, slab))
  }

  generationOf(kind: number, id: Uint8Array): number | undefined {
    return this.#row(kind, id)?.generation
  }

  *list(kind: number): Generator<OpenedRow> {
    for (const row of this.#rows(kind)) {
      yield { id: row.id, value: openRow(this.#keys, this.#vault, row) }
    }
  }

  *ids(kind: number): Generator<Uint8Array> {
    for (const row of this.#rows(kind)) yield row.id
  }

  getPlain(kind: number, id: Uint8Array): Uint8Array | undefined {
    this.#running()
    const changed = this.#changed((layer) => layer.plain, nameKey(kind, id))
    const row = changed === undefined ? this.#store.plainRow(kind, id) : changed.row
    return row?.value
  }

  *listPlain(kind: number): Generator<OpenedRow> {
    this.#running()
    const changes = this.#layers.flatMap(({ plain }) => [...ofKind(plain, kind)])
    yield* overlaid(this.#store.plain(kind), changes)
  }

  put(kind: number, id: Uint8Array, value: Uint8Array): void {
    const top = this.#top()
    assertName(kind, id)
    assertBytes(value, 'row')
    const name = { kind, id: new Uint8Array(id) }
    const generation = this.#generation
    const associated = rowAssociated(this.#vault, kind, generation, id)
    const sealed = seal(this.#keys.row, associated, value, this.#random)
    top.rows.set(nameKey(kind, id), { name, row: { ...name, generation, sealed } })
  }

  putSecret(kind: number, id: Uint8Array, secret: Uint8Array): void {
    this.put(kind, id, secret)
  }

  remove(kind: number, id: Uint8Array): void {
    const top = this.#top()
    if (this.#row(kind, id) === undefined) return
    top.rows.set(nameKey(kind, id), { name: { kind, id: new Uint8Array(id) }, row: undefined })
  }

  putPlain(kind: number, id: Uint8Array, value: Uint8Array): void {
    const top = this.#top()
    assertName(kind, id)
    assertBytes(value, 'row')
    const name = { kind, id: new Uint8Array(id) }
    top.plain.set(nameKey(kind, id), { name, row: { ...name, value: new Uint8Array(value) } })
  }

  removePlain(kind: number, id: Uint8Array): void {
    const top = this.#top()
    if (this.getPlain(kind, id) === undefined) return
    top.plain.set(nameKey(kind, id), { name: { kind, id: new Uint8Array(id) }, row: undefined })
  }

  append(entry: Uint8Array): number {
    const top = this.#top()
    assertBytes(entry, 'audit entry')
    const position = this.#length()
    const associated = entryAssociated(this.#vault, position)
    top.entries.push({ position, sealed: seal(this.#keys.audit, associated, entry, this.#random) })
    return position
  }

  setAuditHead(hash: Uint8Array): void {
    const top = this.#top()
    assertBytes(hash, 'audit head', 32)
    top.auditHead = new Uint8Array(hash)
  }

  cutEntries(before: number): void {
    const top = this.#top()
    if (!Number.isSafeInteger(before) || before < 0 || before >= Math.max(this.#length(), 1)) {
      throw new RangeError(`Cannot cut audit: ${before} is not before its newest entry`)
    }
    top.cutEntriesBefore = Math.max(top.cutEntriesBefore, before)
  }

  setOpenHeader(openHeader: Uint8Array): void {
    const top = this.#top()
    if (!equalBytes(decodeOpenHeader(openHeader).vault, this.#vault)) {
      throw new TypeError('Cannot replace header: it names another vault')
    }
    top.openHeader = new Uint8Array(openHeader)
  }

  beginEpoch(): number {
    this.#top().newEpoch = true
    return this.#state.epoch + 1
  }

  savepoint<T>(body: () => T): T {
    this.#running()
    const below = this.#layers
    const layer = new Layer()
    this.#layers = [...below, layer]
    let result: T
    try {
      result = body()
      if (isThenable(result)) {
        throw new TypeError('Cannot keep savepoint: its body must not be asynchronous')
      }
    } finally {
      this.#layers = below
    }
    this.#top().absorb(layer)
    return result
  }

  afterCommit(fire: () => void): void {
    this.#top().after.push(fire)
  }

  #running(): void {
    if (this.#ended) throw new TypeError('Cannot use transaction: it has ended')
  }

  #top(): Layer {
    this.#running()
    return this.#layers.at(-1) ?? this.base
  }

  #length(): number {
    return this.#layers.reduce((sum, { entries }) => sum + entries.length, this.#state.auditLength)
  }

  #changed<R extends RowName>(
    of: (layer: Layer) => ReadonlyMap<string, Changed<R>>,
    key: string,
  ): Changed<R> | undefined {
    for (let i = this.#layers.length - 1; i >= 0; i--) {
      const layer = this.#layers[i]
      const changed = layer === undefined ? undefined : of(layer).get(key)
      if (changed !== undefined) return changed
    }
    return undefined
  }

  #row(kind: number, id: Uint8Array): StoredRow | undefined {
    this.#running()
    const changed = this.#changed((layer) => layer.rows, nameKey(kind, id))
    return changed === undefined ? this.#store.row(kind, id) : changed.row
  }

  #rows(kind: number): Iterable<StoredRow> {
    this.#running()
    const changes = this.#layers.flatMap(({ rows }) => [...ofKind(rows, kind)])
    return overlaid(this.#store.rows(kind), changes)
  }
}

/** What an asynchronous body would return. */
export function isThenable(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'then' in value &&
    typeof value.then === 'function'
  )
}
