/**
 * Records over a real slab and the handles that procedures get, for tests of what carries procedures out. It keeps what
 * handles promise in the plainest way; storing, chains and transactions are the vault's and tested there.
 */
import { placesOf } from '../../src/catalog/index.ts'
import type {
  InputOf,
  Labels,
  OutputOf,
  Place,
  Procedure,
  RecordType,
  Role,
} from '../../src/catalog/index.ts'
import { defaultLabels, isNarrower, isWithin, meet } from '../../src/catalog/index.ts'
import { VaultError } from '../../src/errors.ts'
import { DEFAULT_LIMITS } from '../../src/limits.ts'
import type { VaultLimits } from '../../src/limits.ts'
import { Secp256k1 } from '../../src/primitives/secp256k1.ts'
import { createRegistry } from '../../src/procedures/all.ts'
import { publicHalf } from '../../src/procedures/pairs.ts'
import type { AskedLabels, RecordOutput, Registry, Scope } from '../../src/procedures/registry.ts'
import { Slab } from '../../src/secret.ts'
import type { Secret } from '../../src/secret.ts'
import { sodium } from '../../src/sodium.ts'

interface Version {
  readonly number: number
  readonly secret: Secret
  readonly publicKey: Uint8Array | undefined
}

/** A record as the harness keeps it, to be looked at by tests. */
export interface Kept {
  readonly id: Uint8Array
  readonly path: string
  readonly type: RecordType
  labels: Labels
  readonly origin: string
  minimum: number
  readonly versions: Version[]
  /** Nonces counted. */
  nonces: number
}

/** How a harness is made. */
export interface HarnessInit {
  readonly random?: (out: Uint8Array) => void
  readonly limits?: Partial<VaultLimits>
}

const secp256k1 = new Secp256k1()

/** Everything that procedures need. Disposing gives the memory back. */
export class Harness implements Disposable {
  readonly slab: Slab = new Slab({ bytes: 1024 * 1024 })
  readonly records: Map<string, Kept> = new Map()
  readonly registry: Registry
  readonly limits: VaultLimits
  compactions = 0
  readonly #random: (out: Uint8Array) => void

  constructor(init: HarnessInit = {}) {
    this.registry = createRegistry({ slab: this.slab, secp256k1 })
    this.limits = { ...DEFAULT_LIMITS, ...init.limits }
    this.#random = init.random ?? ((out) => sodium.randombytes_buf(out))
  }

  [Symbol.dispose](): void {
    this.slab[Symbol.dispose]()
  }

  /** Puts a record where a test wants it, without a procedure. */
  put(path: string, type: RecordType, secret: Uint8Array, asked: Partial<Labels> = {}): Kept {
    const publicKey = this.#publicOf(type, secret)
    return this.#insert(path, type, secret, publicKey, { ...defaultLabels(type), ...asked }, 'put')
  }

  /** Runs a procedure as a vault would, after its preparation where it has one. */
  async prepared<P extends Procedure>(procedure: P, input: InputOf<P>): Promise<OutputOf<P>> {
    const prepare = this.registry.get(procedure.name)?.prepare
    const checked = procedure.input.parse(input)
    const ready = await prepare?.(checked as never)
    if (ready === undefined) return this.run(procedure, input)
    using made = ready
    return this.#carryOut(procedure, input, made.input)
  }

  /** Runs a procedure as a vault would, without waiting. */
  run<P extends Procedure>(procedure: P, input: InputOf<P>): OutputOf<P> {
    return this.#carryOut(procedure, input, procedure.input.parse(input))
  }

  /** The record at a path. */
  at(path: string): Kept {
    const record = this.records.get(path)
    if (record === undefined)
      throw new VaultError('not_found', `Cannot find "${path}": nothing there`)
    return record
  }

  /** A copy of the secret at a path, which no procedure would give. */
  secretAt(path: string, version?: number): Uint8Array {
    const { versions } = this.at(path)
    const found = version === undefined ? versions.at(-1) : versions[version - 1]
    return Uint8Array.from(found?.secret.bytes ?? [])
  }

  #carryOut<P extends Procedure>(procedure: P, input: InputOf<P>, checked: unknown): OutputOf<P> {
    const registered = this.registry.get(procedure.name)
    if (registered === undefined) throw new TypeError(`nothing carries out ${procedure.name}`)
    using borrowed = new Borrowed(this.slab)
    const [places] = placesOf([{ procedure, input }])
    const inputs: Labels[] = []
    const handles: Record<string, unknown> = {}
    const fields = input as Record<string, unknown>
    for (const [role, of] of Object.entries(procedure.roles)) {
      const made = (places?.get(role) ?? []).map((place) =>
        this.#handle(of, place, inputs, borrowed),
      )
      handles[role] = Array.isArray(fields[role]) ? made : made[0]
    }
    const output = registered.carryOut(checked as never, handles as never, this.#scope(borrowed))
    return procedure.output.parse(output) as OutputOf<P>
  }

  #scope(borrowed: Borrowed): Scope {
    return {
      scratch: (length) => borrowed.take(length),
      random: this.#random,
      limits: this.limits,
      compactLater: () => {
        this.compactions += 1
      },
    }
  }

  #handle(role: Role, place: Place, inputs: Labels[], borrowed: Borrowed): unknown {
    const path = String(place.path)
    if (role.access === 'create') return this.#createHandle(path, inputs)
    const record = this.at(path)
    if (role.types !== undefined && !role.types.includes(record.type)) {
      throw new VaultError('invalid_argument', `Cannot use "${path}": it is ${record.type}`)
    }
    if (role.usage !== undefined && !record.labels.usage.has(role.usage)) {
      throw denied(`Cannot use "${path}": not to ${role.usage}`)
    }
    if (role.access !== 'change' && !isWithin(role.egress, record.labels.egress)) {
      throw denied(`Cannot use "${path}": its ceiling is ${record.labels.egress}`)
    }
    if (role.access === 'use') inputs.push(record.labels)
    const versionOf = (number: number): Version => {
      const found = record.versions[number - 1]
      if (found === undefined) throw new VaultError('not_found', `Cannot find version ${number}`)
      if (number < record.minimum) throw denied(`Cannot use version ${number}: retired`)
      return found
    }
    const version = versionOf(place.version ?? record.versions.length)
    return {
      id: record.id,
      type: record.type,
      labels: record.labels,
      version: version.number,
      publicKey: version.publicKey,
      secret: (number?: number) => {
        const { secret } = versionOf(number ?? version.number)
        const view = borrowed.take(secret.length)
        view.set(secret.bytes)
        return view
      },
      expanded: (length: number, write: (out: Uint8Array, secret: Uint8Array) => void) => {
        const out = borrowed.take(length)
        write(out, version.secret.bytes)
        return out
      },
      countNonce: () => {
        record.nonces += 1
      },
      add: (secret: Uint8Array, publicKey: Uint8Array | undefined) => {
        const number = record.versions.length + 1
        record.versions.push({ number, secret: this.slab.copy(secret), publicKey })
        return describe(record)
      },
      retire: (below: number, _remove: boolean) => {
        record.minimum = below
        return describe(record)
      },
      narrow: (asked: AskedLabels) => {
        const labels = ask(record.labels, asked)
        if (!isNarrower(labels, record.labels)) throw denied('Cannot widen labels')
        record.labels = labels
        return describe(record)
      },
      remove: () => {
        this.records.delete(path)
      },
    }
  }

  #createHandle(path: string, inputs: readonly Labels[]): unknown {
    return {
      labelsFor: (type: RecordType, asked: AskedLabels | undefined) =>
        meet([ask(defaultLabels(type), asked), ...inputs]),
      create: (init: {
        type: RecordType
        secret: Uint8Array
        publicKey?: Uint8Array
        labels: Labels
        origin: string
      }) => {
        const { type, secret, publicKey, labels, origin } = init
        return describe(this.#insert(path, type, secret, publicKey, labels, origin))
      },
    }
  }

  #insert(
    path: string,
    type: RecordType,
    secret: Uint8Array,
    publicKey: Uint8Array | undefined,
    labels: Labels,
    origin: string,
  ): Kept {
    if (this.records.has(path)) {
      throw new VaultError('failed_precondition', `Cannot make "${path}": it stands`, {
        reason: 'conflict',
      })
    }
    const id = new Uint8Array(16)
    sodium.randombytes_buf(id)
    const first = { number: 1, secret: this.slab.copy(secret), publicKey }
    const record = { id, path, type, labels, origin, minimum: 1, versions: [first], nonces: 0 }
    this.records.set(path, record)
    return record
  }

  #publicOf(type: RecordType, secret: Uint8Array): Uint8Array | undefined {
    using borrowed = new Borrowed(this.slab)
    return publicHalf(type, secret, { slab: this.slab, secp256k1 }, this.#scope(borrowed))
  }
}

/** Secret memory that goes back with the step. */
class Borrowed implements Disposable {
  readonly #lent: Secret[] = []
  readonly #slab: Slab

  constructor(slab: Slab) {
    this.#slab = slab
  }

  take(length: number): Uint8Array {
    const secret = this.#slab.take(length)
    this.#lent.push(secret)
    return secret.bytes
  }

  [Symbol.dispose](): void {
    for (const secret of this.#lent) secret.wipe()
  }
}

function ask(labels: Labels, asked: AskedLabels | undefined): Labels {
  return {
    usage: asked?.usage === undefined ? labels.usage : new Set(asked.usage),
    egress: asked?.egress ?? labels.egress,
    sync: asked?.sync ?? labels.sync,
  }
}

function describe(record: Kept): RecordOutput {
  const version = record.versions.at(-1)
  return {
    id: record.id,
    ...(record.path !== '-' && { path: record.path }),
    type: record.type,
    version: version?.number ?? 1,
    ...(version?.publicKey !== undefined && { publicKey: version.publicKey }),
  }
}

function denied(message: string): VaultError {
  return new VaultError('permission_denied', message, { reason: 'usage' })
}
