/**
 * Where definitions meet what carries them out. An implementation gets its checked input and one handle per role, opened
 * for that role; it cannot open a path, and what it opened or scratched is wiped when its step ends, what it expanded when
 * the transaction ends. Labels, usage,
 * ceilings and versions are checked by whoever makes the handles, before an implementation runs.
 */
import type { z } from 'zod'

import type { Labels, Procedure, RecordType, Role, Usage } from '../catalog/index.ts'
import type { VaultLimits } from '../limits.ts'

/** What a procedure says of a record that it made or changed: the catalog's `record` field. */
export interface RecordOutput {
  id: Uint8Array
  /** Absent for a record that lives no longer than its chain. */
  path?: string
  type: RecordType
  version: number
  publicKey?: Uint8Array
}

/** A record whose public half may be read. */
export interface ReadHandle {
  readonly id: Uint8Array
  readonly type: RecordType
  readonly labels: Labels
  /** The version that the reference names, else the newest. */
  readonly version: number
  /** Public key of that version: 32 bytes, or the uncompressed point; `undefined` for types without one. */
  readonly publicKey: Uint8Array | undefined
}

/** A record whose secret may be used. */
export interface UseHandle extends ReadHandle {
  /**
   * The secret of a version, by default `version`: a view into locked memory, wiped when the step ends. Seeds of Ed25519,
   * scalars big-endian, X25519 as RFC 7748 keeps it.
   *
   * @throws `VaultError` `not_found` for a version that was trimmed or never was, `permission_denied` (`usage`) for one
   *   below the minimum
   */
  secret(version?: number): Uint8Array
  /**
   * Locked memory that `write` makes from the secret of `version`: the form in which its type signs. It is made once for all
   * steps of a transaction that use the key, and wiped when that ends.
   *
   * @param length - in bytes, always the same for a type
   */
  expanded(length: number, write: (out: Uint8Array, secret: Uint8Array) => void): Uint8Array
  /**
   * Counts one AES-GCM nonce of `version`, durably before it is used.
   *
   * @throws `VaultError` `failed_precondition` (`key_worn_out`) above 2³¹ and for a version not made here in this epoch
   */
  countNonce(): void
}

/** A place where a record is about to be made. */
export interface CreateHandle {
  /**
   * The labels that a record of this type will have here: those asked for, else the type's defaults, met with what it
   * is made from.
   *
   * @throws `VaultError` `permission_denied` (`usage`) where nothing that the type can do would remain
   */
  labelsFor(type: RecordType, asked: AskedLabels | undefined): Labels
  /** Makes the record with its first version. Once per handle. */
  create(init: NewRecord): RecordOutput
}

/** Labels as a caller asks for them. */
export interface AskedLabels {
  usage?: readonly Usage[] | undefined
  egress?: Labels['egress'] | undefined
  sync?: boolean | undefined
}

/** A record to be made. */
export interface NewRecord {
  readonly type: RecordType
  /** Sealed at once; stays the caller's to wipe. */
  readonly secret: Uint8Array
  readonly publicKey?: Uint8Array
  /** From `labelsFor`. */
  readonly labels: Labels
  readonly origin: 'generated' | 'imported' | 'derived' | 'copied'
}

/** A record whose versions may change. */
export interface ChangeHandle extends ReadHandle {
  /** Adds a version, which is the newest from now on. */
  add(secret: Uint8Array, publicKey: Uint8Array | undefined): RecordOutput
  /** Versions below are refused from now on; with `remove` their bytes go. Never the newest. */
  retire(below: number, remove: boolean): RecordOutput
  /** Narrows the labels. @throws `VaultError` `permission_denied` (`usage`) for what would widen them */
  narrow(asked: AskedLabels): RecordOutput
}

/** A record that may be taken away. */
export interface RemoveHandle extends ReadHandle {
  remove(): void
}

/** The handle that fits a role. */
export type HandleOf<R extends Role> = R['access'] extends 'use'
  ? UseHandle
  : R['access'] extends 'create'
    ? CreateHandle
    : R['access'] extends 'change'
      ? ChangeHandle
      : R['access'] extends 'remove'
        ? RemoveHandle
        : ReadHandle

/** One handle per role; a list where the input's field is a list, `undefined` where an optional field was left out. */
export type HandlesOf<P extends Procedure> = {
  readonly [R in keyof P['roles'] & keyof z.output<P['input']>]: z.output<
    P['input']
  >[R] extends readonly unknown[]
    ? readonly HandleOf<P['roles'][R]>[]
    : P['roles'][R]['access'] extends 'create'
      ? CreateHandle
      : undefined extends z.output<P['input']>[R]
        ? HandleOf<P['roles'][R]> | undefined
        : HandleOf<P['roles'][R]>
}

/** What every implementation is given beside its handles. */
export interface Scope {
  /** Locked memory filled with zeros, wiped when the step ends. */
  scratch(length: number): Uint8Array
  /** Fills with random bytes. */
  random(out: Uint8Array): void
  readonly limits: Readonly<VaultLimits>
  /** Tells the vault to fold its files once the chain is committed: `gc`. */
  compactLater(): void
}

/** Carries out a procedure, synchronously: inside a batch nothing is awaited. */
export type Implementation<P extends Procedure> = (
  input: z.output<P['input']>,
  handles: HandlesOf<P>,
  scope: Scope,
) => z.input<P['output']>

/**
 * Brings an input into a form that is carried out at once: for what takes too long for a batch and needs no record, as
 * the KDF of an encrypted key file. Disposing wipes what the new input holds.
 */
export type Preparation<P extends Procedure> = (
  input: z.output<P['input']>,
  signal?: AbortSignal,
) => Promise<Prepared<z.output<P['input']>>> | undefined

/** An input that was brought into another form. */
export interface Prepared<Input> extends Disposable {
  /**
   * Made of views into secret memory each time it is asked for: ask when it is carried out, not before.
   *
   * @throws `TypeError` once the memory is gone
   */
  readonly input: Input
}

/** A definition with what carries it out. */
export interface Registered {
  readonly procedure: Procedure
  /** Awaited before the batch, where there is one and it gives something; the input that it gives is carried out. */
  readonly prepare:
    ((input: never, signal?: AbortSignal) => Promise<Prepared<unknown>> | undefined) | undefined
  /** Its input was checked by `procedure.input`, its handles were made after `procedure.roles`. */
  readonly carryOut: (input: never, handles: never, scope: Scope) => unknown
}

/** Every procedure of a vault by name. */
export class Registry {
  readonly #byName = new Map<string, Registered>()

  /**
   * Adds a procedure.
   *
   * @throws `TypeError` for one that no `defineProcedure` made, that says no footprint or egress, or whose name is taken
   */
  add<P extends Procedure>(
    procedure: P,
    carryOut: Implementation<P>,
    prepare?: Preparation<P>,
  ): this {
    const { name, roles, egress, input } = procedure as Partial<Procedure>
    if (typeof name !== 'string' || input === undefined)
      throw new TypeError('Cannot register procedure: not one')
    if (typeof roles !== 'object' || typeof egress !== 'string' || !Object.isFrozen(procedure)) {
      throw new TypeError(`Cannot register procedure ${name}: it says no footprint and egress`)
    }
    if (this.#byName.has(name))
      throw new TypeError(`Cannot register procedure ${name}: the name is taken`)
    this.#byName.set(name, { procedure, carryOut, prepare })
    return this
  }

  /** The procedure of that name, or `undefined`. */
  get(name: string): Registered | undefined {
    return this.#byName.get(name)
  }

  /** All of them, in the order in which they were added. */
  all(): readonly Registered[] {
    return [...this.#byName.values()]
  }
}
