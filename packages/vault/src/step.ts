/**
 * One step of a chain while it runs: its handles, made after the roles of its procedure, and what it borrowed, which is
 * wiped when it ends. All that labels promise is kept here: no implementation sees a record that it may not touch so.
 */
import {
  defaultLabels,
  isNarrower,
  isWithin,
  meet,
  NO_PATH,
  ownUses,
  widestUsage,
} from './catalog/index.ts'
import type { Egress, Labels, Place, Procedure, RecordType, Role, Usage } from './catalog/index.ts'
import { VaultError } from './errors.ts'
import type { VaultLimits } from './limits.ts'
import type {
  AskedLabels,
  ChangeHandle,
  CreateHandle,
  NewRecord,
  ReadHandle,
  RecordOutput,
  RemoveHandle,
  Scope,
  UseHandle,
} from './procedures/registry.ts'
import { ALL_LABELS, idBytes, idText, newest, publicKeyOf } from './record.ts'
import type { RecordVersion, StoredRecord } from './record.ts'
import { newRecord, usableVersion } from './records.ts'
import type { RecordChanges } from './records.ts'
import type { Secret, Slab } from './secret.ts'

/** What a value or a record was made of: the labels that bound it, and the records that it came from. */
export interface Flow {
  readonly labels: Labels
  readonly from: readonly string[]
}

/** A record that lives no longer than its chain. */
export interface Temporary {
  readonly record: StoredRecord
  readonly secret: Secret
  readonly flow: Flow
}

/** What all steps of a chain share. */
export interface ChainState {
  readonly records: RecordChanges
  readonly slab: Slab
  readonly limits: Readonly<VaultLimits>
  readonly random: (out: Uint8Array) => void
  /** By the step that made them. */
  readonly temporaries: Map<number, Temporary>
  compactLater(): void
}

/** A step while it runs. Disposing wipes what it opened and scratched. */
export class StepRun implements Disposable {
  readonly #chain: ChainState
  readonly #procedure: Procedure
  readonly #index: number
  readonly #borrowed: Secret[] = []
  /** What new records are bound by: secrets that are used, values that were chained in. */
  readonly #inputs: Flow[]
  readonly #made: Flow[] = []
  #ended = false

  constructor(chain: ChainState, procedure: Procedure, index: number, chained: readonly Flow[]) {
    this.#chain = chain
    this.#procedure = procedure
    this.#index = index
    this.#inputs = [...chained]
  }

  /** What the implementation gets beside its handles. */
  get scope(): Scope {
    return {
      scratch: (length) => this.#borrow(() => this.#chain.slab.take(length)),
      random: this.#chain.random,
      limits: this.#chain.limits,
      compactLater: () => {
        this.#chain.compactLater()
      },
    }
  }

  /** What this step's outputs are made of, once it ran. */
  get flow(): Flow {
    return join([...this.#inputs, ...this.#made])
  }

  /**
   * Makes the handles of one role. Call it for all roles before the implementation runs: only then are all inputs of a new
   * record known.
   *
   * @throws `VaultError`: `not_found`, `invalid_argument` for a type that does not fit, `permission_denied` (`usage`),
   *   `failed_precondition` (`conflict`) where a record is to be made and one stands
   */
  handles(role: Role, places: readonly Place[], list: boolean): unknown {
    const handles = places.map((place) =>
      role.access === 'create' ? this.#create(role, place) : this.#existing(role, place),
    )
    return list ? Object.freeze(handles) : handles[0]
  }

  [Symbol.dispose](): void {
    this.#ended = true
    for (const secret of this.#borrowed) secret.wipe()
    this.#borrowed.length = 0
  }

  #borrow(take: () => Secret): Uint8Array {
    this.#running()
    const secret = take()
    this.#borrowed.push(secret)
    return secret.bytes
  }

  #running(): void {
    if (this.#ended) throw new TypeError('Cannot use handle: its step has ended')
  }

  #existing(role: Role, place: Place): ReadHandle {
    const { temporaries, records } = this.#chain
    const temporary =
      place.path === NO_PATH && place.madeBy !== undefined
        ? temporaries.get(place.madeBy)
        : undefined
    const record =
      temporary?.record ?? (place.path === NO_PATH ? undefined : records.at(place.path.text))
    if (record === undefined) {
      const name =
        place.path === NO_PATH ? `record of step ${place.madeBy}` : `"${place.path.text}"`
      throw new VaultError('not_found', `${this.#cannot(name)}: no record stands there`)
    }
    this.#assertFits(role, record, place)
    const version = usableVersion(record, place.version)
    switch (role.access) {
      case 'read':
        return Object.freeze(this.#read(record, version))
      case 'use':
        this.#inputs.push(temporary?.flow ?? { labels: record.labels, from: [record.id] })
        return Object.freeze(this.#use(record, version, temporary))
      case 'change':
        this.#assertStands(record, temporary)
        this.#inputs.push({ labels: record.labels, from: [record.id] })
        return Object.freeze(this.#change(record, version))
      case 'remove':
        this.#assertStands(record, temporary)
        return Object.freeze(this.#remove(record, version))
      case 'create':
        throw new TypeError('Cannot make handle: the record is to be made')
    }
  }

  /** Type, usage and egress; everything that a role promises of its record. */
  #assertFits(role: Role, record: StoredRecord, place: Place): void {
    const { labels, type } = record
    if (role.types !== undefined && !role.types.includes(type)) {
      const fit = role.types.join(', ')
      throw new VaultError(
        'invalid_argument',
        `${this.#cannot(nameOf(record))}: it is ${type}, not ${fit}`,
      )
    }
    if (role.usage !== undefined && !labels.usage.has(role.usage)) {
      throw denied(`${this.#cannot(nameOf(record))}: its labels do not allow ${role.usage}`)
    }
    if (!isWithin(atLeast(role), labels.egress)) {
      throw denied(
        `${this.#cannot(nameOf(record))}: its labels let at most ${labels.egress} leave, not ${role.egress}`,
      )
    }
    if (place.version !== undefined && (role.access === 'change' || role.access === 'remove')) {
      throw new VaultError(
        'invalid_argument',
        `${this.#cannot(nameOf(record))}: it takes the whole record, not one version`,
      )
    }
  }

  #assertStands(record: StoredRecord, temporary: Temporary | undefined): void {
    if (temporary === undefined) return
    throw new VaultError(
      'invalid_argument',
      `${this.#cannot(nameOf(record))}: it lives no longer than its chain`,
    )
  }

  #read(record: StoredRecord, version: RecordVersion): ReadHandle {
    return {
      id: idBytes(record.id),
      type: record.type,
      labels: record.labels,
      version: version.number,
      publicKey: publicKeyOf(version),
    }
  }

  #use(record: StoredRecord, version: RecordVersion, temporary?: Temporary): UseHandle {
    const { records, slab } = this.#chain
    return {
      ...this.#read(record, version),
      secret: (number) => {
        const which = number === undefined ? version : usableVersion(record, number)
        return this.#borrow(() =>
          temporary === undefined
            ? records.openSecret(record, which, slab)
            : slab.copy(temporary.secret.bytes),
        )
      },
      expanded: (length, write) => {
        this.#running()
        if (temporary === undefined) {
          return records.lendSecret(record, version, slab, { length, write })
        }
        const out = this.#borrow(() => slab.take(length))
        write(out, temporary.secret.bytes)
        return out
      },
      countNonce: () => {
        this.#running()
        // A key that ends with its chain encrypts sixteen times at most.
        if (temporary === undefined) records.countNonce(record, version)
      },
    }
  }

  #change(record: StoredRecord, version: RecordVersion): ChangeHandle {
    const { records } = this.#chain
    const now = (): StoredRecord => {
      this.#running()
      return records.byId(record.id) ?? record
    }
    return {
      ...this.#read(record, version),
      add: (secret, publicKey) => {
        const before = now()
        this.#assertLength(before.type, secret)
        return describe(records.addVersion(before, secret, publicKey))
      },
      retire: (below, remove) => describe(records.retire(now(), below, remove)),
      narrow: (asked) => {
        const before = now()
        const labels = this.#ask(before.type, asked, before.labels)
        if (!isNarrower(labels, before.labels)) {
          throw denied(`${this.#cannot(nameOf(before))}: labels are only ever narrowed`)
        }
        return describe(records.relabel(before, labels))
      },
    }
  }

  #remove(record: StoredRecord, version: RecordVersion): RemoveHandle {
    return {
      ...this.#read(record, version),
      remove: () => {
        this.#running()
        this.#chain.records.remove(record)
      },
    }
  }

  #create(role: Role, place: Place): CreateHandle {
    const { path } = place
    const { records } = this.#chain
    if (path !== NO_PATH) records.assertFree(path.text)
    let created = false
    return Object.freeze<CreateHandle>({
      labelsFor: (type, asked) => {
        this.#running()
        return this.#labelsFor(type, asked)
      },
      create: (init) => {
        this.#running()
        if (created) throw new TypeError(`${this.#cannot('record')}: it was made already`)
        created = true
        this.#assertLabels(role, init)
        this.#assertLength(init.type, init.secret)
        const text = path === NO_PATH ? '' : path.text
        const id = new Uint8Array(16)
        this.#chain.random(id)
        const { type, labels, origin, publicKey, secret } = init
        const { from } = join(this.#inputs)
        const written = { id: idText(id), path: text, type, labels, origin, from, publicKey }
        if (path !== NO_PATH) {
          const record = records.insert(written, secret)
          this.#made.push({ labels, from: [record.id] })
          return describe(record)
        }
        const record = newRecord(written, records.when, secret.byteLength)
        // What came of something else stays bound by it; the temporary itself is nothing that lasts.
        const flow = { labels, from }
        this.#chain.temporaries.set(this.#index, {
          record,
          secret: this.#chain.slab.copy(secret),
          flow,
        })
        this.#made.push(flow)
        return describe(record)
      },
    })
  }

  #labelsFor(type: RecordType, asked: AskedLabels | undefined): Labels {
    const wanted = this.#ask(type, asked, defaultLabels(type))
    const labels = meet([
      { ...wanted, usage: both(wanted.usage, widestUsage(type)) },
      ...this.#inputs.map((input) => input.labels),
    ])
    if (!canServe(type, labels)) {
      throw denied(
        `${this.#cannot('record')}: what it is made from leaves nothing that ${type} can be used for`,
      )
    }
    return labels
  }

  /** Labels as asked for, and as they were where nothing is asked. */
  #ask(type: RecordType, asked: AskedLabels | undefined, otherwise: Labels): Labels {
    const usage = asked?.usage
    const foreign = usage?.find((one) => !widestUsage(type).has(one))
    if (foreign !== undefined) {
      throw denied(`${this.#cannot('record')}: ${type} is never used to ${foreign}`)
    }
    return {
      usage: usage === undefined ? otherwise.usage : new Set(usage),
      egress: asked?.egress ?? otherwise.egress,
      sync: asked?.sync ?? otherwise.sync,
    }
  }

  /** Whatever an implementation says, a record is not wider than what it is made from and what its type can be. */
  #assertLabels(role: Role, { type, labels }: NewRecord): void {
    const bound = meet([
      { ...ALL_LABELS, usage: widestUsage(type) },
      ...this.#inputs.map((input) => input.labels),
    ])
    if (!isNarrower(labels, bound) || !canServe(type, labels)) {
      throw denied(`${this.#cannot('record')}: labels wider than what it is made from`)
    }
    if (!isWithin(atLeast(role), labels.egress)) {
      throw denied(
        `${this.#cannot('record')}: its labels let at most ${labels.egress} leave, not ${role.egress}`,
      )
    }
  }

  #assertLength(type: RecordType, { byteLength }: Uint8Array): void {
    const { maxOpaqueBytes } = this.#chain.limits
    if (type !== 'opaque' || byteLength <= maxOpaqueBytes) return
    throw new VaultError(
      'invalid_argument',
      `${this.#cannot('record')}: ${byteLength} bytes where ${maxOpaqueBytes} are allowed`,
    )
  }

  #cannot(what: string): string {
    return `Cannot ${this.#procedure.name} ${what}`
  }
}

/**
 * What leaves by a role that only shows the public half is nothing where the record shows none: `describe` keeps it
 * back. So a record of which nothing leaves can still be made, rotated and retired.
 */
function atLeast(role: Role): Egress {
  const shows = role.access === 'create' || role.access === 'change'
  return shows && role.egress === 'public' ? 'none' : role.egress
}

/** What a procedure says of a record. */
export function describe(record: StoredRecord): RecordOutput {
  const version = newest(record)
  const publicKey = record.labels.egress === 'none' ? undefined : publicKeyOf(version)
  return {
    id: idBytes(record.id),
    ...(record.path === '' ? {} : { path: record.path }),
    type: record.type,
    version: version.number,
    ...(publicKey === undefined ? {} : { publicKey }),
  }
}

/** The meet of flows, and all records that they came from. */
export function join(flows: readonly Flow[]): Flow {
  return {
    labels: meet(flows.map(({ labels }) => labels)),
    from: [...new Set(flows.flatMap(({ from }) => from))],
  }
}

/** Is there anything left that a record of this type does itself; to be copied is no use of its own. */
function canServe(type: RecordType, { usage }: Labels): boolean {
  return [...ownUses(type)].some((one) => one !== 'copy' && usage.has(one))
}

function both(a: ReadonlySet<Usage>, b: ReadonlySet<Usage>): ReadonlySet<Usage> {
  return new Set([...a].filter((one) => b.has(one)))
}

function nameOf(record: StoredRecord): string {
  return record.path === '' ? 'record of the chain' : `"${record.path}"`
}

function denied(message: string): VaultError {
  return new VaultError('permission_denied', message, { reason: 'usage' })
}
