/**
 * What a procedure is: its name, what goes in and comes out, which records it touches in which role, and what leaves of
 * them. Definitions only, pure: requesters and browsers import them. How a procedure is carried out stands elsewhere.
 */
import type { Path } from '@stronghold/core'
import { z } from 'zod'

import { parseReference } from './fields.ts'
import { EGRESS, isWithin } from './labels.ts'
import type { Egress, RecordType, Usage } from './labels.ts'

/** How a role touches its record. */
export type Access =
  /** Opens the secret. */
  | 'use'
  /** Reads the public half and what is written about the record. */
  | 'read'
  /** Makes a record where none stands; without a path, one that lives as long as its chain. */
  | 'create'
  /** Adds or takes away versions; may open the secret of an older one. */
  | 'change'
  /** Takes the record away for good. */
  | 'remove'

/** One part that a record plays in a procedure. The input's field of the same name says which record. */
export interface Role {
  readonly access: Access
  /** Types that fit. Default: all. */
  readonly types?: readonly RecordType[]
  /** What the record must be allowed to be used for. Required for `use`. */
  readonly usage?: Usage
  /** The most that leaves of the record by this role. */
  readonly egress: Egress
}

/** The fields of an input or output, as zod sees them. */
export type Fields = Readonly<Record<string, z.ZodType>>

/** A procedure, made by `defineProcedure`. */
export interface Procedure<
  Name extends string = string,
  Input extends Fields = Fields,
  Output extends Fields = Fields,
  Roles extends Readonly<Record<string, Role>> = Readonly<Record<string, Role>>,
> {
  readonly name: Name
  /** Grows when input, output or meaning change. */
  readonly version: number
  /** One sentence: what it does. */
  readonly summary: string
  /** Where it is specified: RFC, draft, EIP, our own section. */
  readonly source: string
  /** May be asked for from another machine. */
  readonly remote: boolean
  readonly input: z.ZodObject<Input, z.core.$strict>
  readonly output: z.ZodObject<Output, z.core.$strict>
  /** By the name of the input's field that says which record; empty for a procedure without records. */
  readonly roles: Roles
  /** The most that leaves by it: the widest of its roles, or as said where it has none. */
  readonly egress: Egress
}

/** What `defineProcedure` takes. */
export interface ProcedureInit<
  Name extends string,
  Input extends Fields,
  Output extends Fields,
  Roles extends Readonly<Record<string, Role>>,
> {
  name: Name
  version?: number
  summary: string
  source: string
  remote: boolean
  input: Input
  output: Output
  roles: Roles & { readonly [R in keyof Roles]: R extends keyof Input ? Role : never }
  egress: Egress
  /** Why fields that fit one by one make no sense together; nothing where they do. */
  refuse?: (input: z.output<z.ZodObject<Input, z.core.$strict>>) => string | undefined
}

/** What a caller passes to a procedure: paths are text. */
export type InputOf<P extends Procedure> = z.input<P['input']>
/** What a caller gets from a procedure. */
export type OutputOf<P extends Procedure> = z.output<P['output']>

/**
 * Makes a procedure; it is frozen.
 *
 * @throws `TypeError` for a name, role or egress that does not hold together
 */
export function defineProcedure<
  const Name extends string,
  Input extends Fields,
  Output extends Fields,
  const Roles extends Readonly<Record<string, Role>>,
>(init: ProcedureInit<Name, Input, Output, Roles>): Procedure<Name, Input, Output, Roles> {
  const { name, roles, egress } = init
  const bad = (why: string): TypeError =>
    new TypeError(`Cannot define procedure ${JSON.stringify(name)}: ${why}`)
  if (!/^[a-z][a-z0-9-]{0,31}$/.test(name)) throw bad('no name of a to z, 0 to 9 and -')
  if (!EGRESS.includes(egress)) throw bad('it says no egress')
  if (typeof roles !== 'object' || roles === null) throw bad('it says no roles')
  for (const [role, { access, usage, egress: own }] of Object.entries<Role>(roles)) {
    if (!(role in init.input)) throw bad(`its role ${role} is no field of its input`)
    if (access === 'use' && usage === undefined) throw bad(`its role ${role} says no usage`)
    if (!EGRESS.includes(own)) throw bad(`its role ${role} says no egress`)
    if (!isWithin(own, egress)) throw bad(`more leaves by its role ${role} than by itself`)
  }
  const made = Object.values<Role>(roles).filter(({ access }) => access === 'create')
  if (made.length > 1) throw bad('it makes more than one record')
  const { refuse } = init
  const input = z.strictObject(init.input)
  return Object.freeze({
    name,
    version: init.version ?? 1,
    summary: init.summary,
    source: init.source,
    remote: init.remote,
    input:
      refuse === undefined
        ? input
        : input.superRefine((value, context) => {
            const message = refuse(value)
            if (message !== undefined) context.addIssue({ code: 'custom', message, input: value })
          }),
    output: z.strictObject(init.output),
    roles: Object.freeze(roles),
    egress,
  })
}

/** An earlier step's output in place of a value or a path: chains only. */
export interface StepOutput {
  /** Which step, from 0. */
  readonly step: number
  /** Which field of its output; `record` stands for the record itself where a path is expected. */
  readonly output: string
}

/** One step of a chain: a procedure and its input, in which a field, or one of a list of records, may be a `StepOutput`. */
export interface Step<P extends Procedure = Procedure> {
  readonly procedure: P
  readonly input: { readonly [F in keyof InputOf<P>]: Chained<InputOf<P>[F]> }
}

/** A field's value, or what an earlier step gave in its place. */
export type Chained<T> =
  T | StepOutput | (T extends readonly string[] ? readonly (string | StepOutput)[] : never)

/** Is a value an earlier step's output. */
export function isStepOutput(value: unknown): value is StepOutput {
  return (
    typeof value === 'object' &&
    value !== null &&
    'step' in value &&
    Number.isSafeInteger(value.step) &&
    'output' in value &&
    typeof value.output === 'string' &&
    // Last: of long bytes it would name every one.
    Object.keys(value).length === 2
  )
}

/** The output that stands for the record which a step made, where a path is expected. */
export const RECORD_OUTPUT = 'record'

/** Marker of what has no path; no pattern but `-` itself matches it. */
export const NO_PATH = '-'

/** One record touched: by which procedure, in which role, where. */
export interface Triple {
  readonly procedure: string
  /** Name of the role, `-` for a procedure without roles. */
  readonly role: string
  readonly path: Path | typeof NO_PATH
}

/** Where a role finds its record, or is to make one. */
export interface Place {
  /** `-` for a record that lives no longer than its chain. */
  readonly path: Path | typeof NO_PATH
  /** The version that a reference names. */
  readonly version?: number
  /** The earlier step that makes the record. */
  readonly madeBy?: number
}

/** The places of one step by role, in the order in which the procedure names its roles. */
export type StepPlaces = ReadonlyMap<string, readonly Place[]>

/**
 * The records that a chain will touch, from its inputs alone and before any effect; one procedure is a chain of one
 * step. Never empty. A role whose field is left out gives a triple only where it would make a record.
 *
 * @throws `SyntaxError` for text that is no path, `RangeError` for a step that points at none before it, `TypeError` for
 *   a field of another shape
 */
export function footprint(steps: readonly { procedure: Procedure; input: unknown }[]): Triple[] {
  return triplesOf(steps, placesOf(steps))
}

/** The footprint of steps whose places are known. */
export function triplesOf(
  steps: readonly { procedure: Procedure }[],
  places: readonly StepPlaces[],
): Triple[] {
  const triples: Triple[] = []
  for (const [index, { procedure }] of steps.entries()) {
    const { name } = procedure
    const before = triples.length
    for (const [role, found] of places[index] ?? []) {
      for (const { path } of found) triples.push({ procedure: name, role, path })
    }
    if (triples.length === before) {
      triples.push({ procedure: name, role: NO_PATH, path: NO_PATH })
    }
  }
  return triples
}

/** The same by step and role, for whoever carries a chain out: what is decided is what is done. Throws alike. */
export function placesOf(steps: readonly { procedure: Procedure; input: unknown }[]): StepPlaces[] {
  const made: (Place | undefined)[] = []
  return steps.map(({ procedure, input }, index) => {
    if (typeof input !== 'object' || input === null) {
      throw new TypeError(`Cannot read input of step ${index}: not an object`)
    }
    const fields = input as Readonly<Record<string, unknown>>
    const roles = new Map<string, readonly Place[]>()
    for (const [role, { access }] of Object.entries(procedure.roles)) {
      const field = Object.hasOwn(fields, role) ? fields[role] : undefined
      const places = placesIn(field, made, index)
      if (places.length === 0 && access === 'create') places.push({ path: NO_PATH })
      if (access === 'create' && places[0] !== undefined) {
        if (places.length > 1 || isStepOutput(field)) {
          throw new TypeError(`Cannot read place of ${role} in step ${index}: not one path`)
        }
        made[index] = { path: places[0].path, madeBy: index }
      }
      roles.set(role, places)
    }
    return roles
  })
}

function placesIn(field: unknown, made: readonly (Place | undefined)[], index: number): Place[] {
  if (field === undefined) return []
  if (Array.isArray(field)) return field.flatMap((one) => placesIn(one, made, index))
  if (typeof field === 'string') return [parseReference(field)]
  if (isStepOutput(field)) {
    const place = field.step >= 0 && field.step < index ? made[field.step] : undefined
    if (place === undefined || field.output !== RECORD_OUTPUT) {
      throw new RangeError(`Cannot find record of step ${field.step}: no step before it makes one`)
    }
    return [place]
  }
  throw new TypeError(`Cannot read place in step ${index}: not text`)
}
