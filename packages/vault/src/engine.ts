/**
 * Carries out chains of procedures: all of a chain or nothing. What is decided is what is done: a chain is read and
 * checked once, its footprint stands before any effect, and the same reading is carried out. It knows procedures by
 * their definitions only, and neither rules nor the disk.
 */
import { parsePath } from '@stronghold/core'

import { isStepOutput, NO_PATH, placesOf, sign, triplesOf } from './catalog/index.ts'
import { MAX_SIGNATURE_BYTES } from './catalog/signatures.ts'
import { MAX_FIELD_BYTES } from './catalog/bounds.ts'
import type { Place, Procedure, StepOutput, StepPlaces, Triple } from './catalog/index.ts'
import { isVaultError, VaultError } from './errors.ts'
import { INPUT_OVERHEAD_BYTES } from './limits.ts'
import type { VaultLimits } from './limits.ts'
import type { Prepared, Registered, Registry } from './procedures/registry.ts'
import type { RecordChanges } from './records.ts'
import { checkInput, checkPart, measure, sentence } from './input.ts'
import type { InputPlace } from './input.ts'
import { Readings } from './readings.ts'
import type { Secret, Slab } from './secret.ts'
import { StepRun } from './step.ts'
import type { ChainState, Flow } from './step.ts'

/** A step as somebody asks for it: a procedure by definition or name, and its input. */
export interface AskedStep {
  readonly procedure: Procedure | string
  readonly input: unknown
}

/** A step that was read and checked. */
export interface ReadyStep {
  readonly procedure: Procedure
  /** Its input as code uses it; without the fields that an earlier step gives. */
  readonly input: Readonly<Record<string, unknown>>
}

/** A chain that was read and checked, and can be carried out. Made by `Engine.read` only. */
export interface Chain {
  readonly steps: readonly ReadyStep[]
  /** Every record that it touches, in which role. Never empty. */
  readonly footprint: readonly Triple[]
  /** The same by step and role. */
  readonly places: readonly StepPlaces[]
  /** Whether each of its procedures may be asked for from another machine. */
  readonly remote: boolean
}

/** What a chain runs in. */
export interface ChainInit {
  readonly records: RecordChanges
  readonly slab: Slab
  readonly random: (out: Uint8Array) => void
  /** Runs `body`; where it throws, nothing of what it changed is left, and the error goes on. */
  savepoint<T>(body: () => T): T
  /** Files are to be folded once all is committed. */
  compactLater(): void
}

/** Where records whose chain they do not outlive are said to stand, in inputs that implementations see. */
const TEMPORARY_PATH = parsePath('temporary')

interface ReadStep extends ReadyStep {
  readonly registered: Registered
  readonly places: StepPlaces
  /** The input as it was asked for, with text where records of earlier steps are named. */
  readonly raw: Readonly<Record<string, unknown>>
  /** Fields that an earlier step gives. */
  readonly chained: readonly (readonly [field: string, from: StepOutput])[]
  /** Outputs that a later step takes. */
  readonly taken: Set<string>
}

/** Reads chains and carries them out. */
export class Engine {
  readonly #registry: Registry
  readonly #limits: Readonly<VaultLimits>
  readonly #readings: Readings
  readonly #prepared = new WeakMap<Chain, ReadonlyMap<number, Prepared<unknown>>>()

  constructor(registry: Registry, limits: Readonly<VaultLimits>) {
    this.#registry = registry
    this.#limits = limits
    this.#readings = new Readings(Math.min(limits.maxInputBytes, MAX_FIELD_BYTES))
  }

  /**
   * Reads and checks a chain; nothing happens yet.
   *
   * @throws `VaultError` `invalid_argument` for a procedure that is unknown, a field that is unknown, missing or not as it
   *   has to be, a step that points at none before it, more than `maxChainSteps` steps, more than `maxInputBytes`
   */
  read(asked: readonly AskedStep[]): Chain {
    const { maxChainSteps } = this.#limits
    if (asked.length < 1 || asked.length > maxChainSteps) {
      throw invalid(
        `Cannot run chain: ${asked.length} steps where 1 to ${maxChainSteps} are allowed`,
      )
    }
    const [first] = asked
    const alone = asked.length === 1
    const signs = alone && first?.procedure === sign ? first : undefined
    const again = signs === undefined ? undefined : this.#again(signs.input)
    if (again !== undefined) return again
    const copied = asked.map((step) => this.#copy(step))
    const { triples, places } = this.#touch(copied)
    const steps: ReadStep[] = []
    for (const [index, step] of copied.entries()) {
      const where = { procedure: step.procedure.name, step: alone ? undefined : index }
      steps.push(this.#check(step, places[index] ?? new Map(), steps, where))
    }
    const [input] = steps.map((step) => step.input)
    if (signs !== undefined && input !== undefined) {
      // As it was read: whoever asks may say something else when it is looked at again.
      const asked = { ...input, key: copied[0]?.input['key'] }
      this.#readings.keep(asked, { triples, places, input })
    }
    return new ReadChain(this, steps, triples, places)
  }

  /** A signature as one before, over another message: of the same places, the very same objects. */
  #again(asked: unknown): Chain | undefined {
    const registered = this.#registry.get(sign.name)
    const reading = this.#readings.again(asked)
    if (reading === undefined || registered?.procedure !== sign) return undefined
    const { triples, places, input } = reading
    const step: ReadStep = {
      registered,
      procedure: sign,
      input,
      places: places[0] ?? new Map(),
      raw: input,
      chained: [],
      taken: new Set(),
    }
    return new ReadChain(this, [step], triples, places)
  }

  /**
   * Does ahead what takes too long for a batch and touches no record. To be awaited before the chain is run.
   *
   * @returns `undefined` where there is nothing to do; else what is to be disposed of when the chain ran or never will
   * @throws what a preparation throws
   */
  prepare(chain: Chain, signal?: AbortSignal): Promise<Disposable> | undefined {
    const steps = ReadChain.stepsOf(chain, this) ?? []
    const begun = steps.flatMap(({ registered, input, chained }, index) => {
      const prepared =
        chained.length === 0 ? registered.prepare?.(input as never, signal) : undefined
      return prepared === undefined ? [] : [prepared.then((done) => [index, done] as const)]
    })
    return begun.length === 0 ? undefined : this.#hold(chain, begun)
  }

  async #hold(
    chain: Chain,
    begun: readonly Promise<readonly [number, Prepared<unknown>]>[],
  ): Promise<Disposable> {
    const ended = await Promise.allSettled(begun)
    const done = ended.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    const wipe = (): void => {
      this.#prepared.delete(chain)
      for (const [, prepared] of done) prepared[Symbol.dispose]()
    }
    const failed = ended.find((one) => one.status === 'rejected')
    if (failed !== undefined) {
      wipe()
      throw asVaultError(failed.reason, 'prepare chain')
    }
    this.#prepared.set(chain, new Map(done))
    return { [Symbol.dispose]: wipe }
  }

  /**
   * Carries a chain out: all of it, or nothing is changed. What opens on the way is wiped before this returns.
   *
   * @returns for each step its output, without what a later step took
   * @throws `VaultError`: what the procedures throw; `permission_denied` (`usage`) where labels do not allow it,
   *   `not_found`, `failed_precondition`; `internal` for a fault of a procedure
   */
  run(chain: Chain, init: ChainInit): Record<string, unknown>[] {
    const steps = ReadChain.stepsOf(chain, this)
    if (steps === undefined) throw new TypeError('Cannot run chain: it was not read here')
    return init.savepoint(() => {
      const running = new ChainRun(init, this.#limits)
      try {
        return steps.map((step, index) => {
          const prepared = this.#prepared.get(chain)?.get(index)
          return running.step(step, index, prepared?.input as ReadStep['input'] | undefined)
        })
      } catch (error) {
        running.takeBack()
        throw error
      } finally {
        running.end()
      }
    })
  }

  /** Takes the fields as they are at this moment, so that nobody changes what was decided. */
  #copy({ procedure, input }: AskedStep): CopiedStep {
    const name = typeof procedure === 'string' ? procedure : procedure.name
    const registered = this.#registry.get(name)
    if (registered === undefined) {
      throw invalid(`Cannot run ${JSON.stringify(name.slice(0, 64))}: no procedure is called so`)
    }
    const own = registered.procedure
    if (typeof procedure !== 'string' && procedure.version !== own.version) {
      throw invalid(
        `Cannot run ${name}: version ${procedure.version} where ${own.version} is known`,
      )
    }
    if (typeof input !== 'object' || input === null || Array.isArray(input)) {
      throw invalid(`Cannot run ${name}: its input is not an object`)
    }
    const fields: Record<string, unknown> = {}
    for (const [key, value] of Object.entries(input)) {
      // A field of this name would become the prototype; no procedure has one.
      if (key === '__proto__') throw invalid(`Cannot run ${name}: unknown field "__proto__"`)
      if (isStepOutput(value)) fields[key] = { step: value.step, output: value.output }
      else fields[key] = Array.isArray(value) ? Array.from<unknown>(value) : value
    }
    const most = this.#limits.maxInputBytes + INPUT_OVERHEAD_BYTES
    if (measure(fields, most) > most) {
      throw invalid(
        `Cannot run ${name}: its input is longer than ${this.#limits.maxInputBytes} bytes`,
      )
    }
    return { registered, procedure: own, input: fields }
  }

  #touch(steps: readonly CopiedStep[]): { triples: readonly Triple[]; places: StepPlaces[] } {
    try {
      const places = placesOf(steps)
      return { triples: triplesOf(steps, places), places }
    } catch (cause) {
      if (cause instanceof Error) throw invalid(cause.message, cause)
      throw cause
    }
  }

  #check(
    step: CopiedStep,
    places: StepPlaces,
    before: readonly ReadStep[],
    where: InputPlace,
  ): ReadStep {
    const { registered, procedure } = step
    const raw: Record<string, unknown> = {}
    const chained: [string, StepOutput][] = []
    for (const [field, value] of Object.entries(step.input)) {
      if (procedure.roles[field] !== undefined) {
        raw[field] = named(value, places.get(field) ?? [])
        for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) {
          if (isStepOutput(one)) before[one.step]?.taken.add(one.output)
        }
      } else if (isStepOutput(value)) {
        const from = before[value.step]
        if (from === undefined || !Object.hasOwn(from.procedure.output.shape, value.output)) {
          throw sentence(where, field, 'no step before it gives that')
        }
        from.taken.add(value.output)
        chained.push([field, value])
      } else raw[field] = value
    }
    const names = chained.map(([field]) => field)
    const input =
      chained.length === 0
        ? checkInput(procedure, raw, where)
        : checkPart(procedure, raw, names, where)
    return {
      registered,
      procedure,
      input: Object.freeze(input),
      places,
      raw,
      chained,
      taken: new Set(),
    }
  }
}

/** A chain as an engine read it; nobody else makes one. */
class ReadChain implements Chain {
  readonly #engine: Engine
  readonly #read: readonly ReadStep[]
  readonly steps: readonly ReadyStep[]
  readonly footprint: readonly Triple[]
  readonly places: readonly StepPlaces[]
  readonly remote: boolean

  constructor(
    engine: Engine,
    read: readonly ReadStep[],
    footprint: readonly Triple[],
    places: readonly StepPlaces[],
  ) {
    this.#engine = engine
    this.#read = read
    this.steps = Object.freeze(
      read.map(({ procedure, input }) => Object.freeze({ procedure, input })),
    )
    this.footprint = Object.freeze(footprint)
    this.places = Object.freeze(places)
    this.remote = read.every(({ procedure }) => procedure.remote)
    Object.freeze(this)
  }

  /** The steps of a chain that this engine read, or `undefined`. */
  static stepsOf(chain: Chain, engine: Engine): readonly ReadStep[] | undefined {
    return #read in chain && chain.#engine === engine ? chain.#read : undefined
  }
}

interface CopiedStep {
  readonly registered: Registered
  readonly procedure: Procedure
  readonly input: Readonly<Record<string, unknown>>
}

/** The text of a reference in place of a step whose record is meant. */
function named(value: unknown, places: readonly Place[]): unknown {
  const text = (one: unknown, at: number): unknown => {
    if (!isStepOutput(one)) return one
    const path = places[at]?.path ?? NO_PATH
    return path === NO_PATH ? TEMPORARY_PATH.text : path.text
  }
  return Array.isArray(value) ? value.map(text) : text(value, 0)
}

/** One run of a chain: what its steps made for each other. */
class ChainRun {
  readonly #state: ChainState
  readonly #slab: Slab
  readonly #flows: Flow[] = []
  /** What a later step takes, by step and output; bytes lie in the slab. */
  readonly #values: Map<string, unknown>[] = []
  readonly #held: Secret[] = []
  /** Copies that are about to leave. */
  readonly #leaving: Uint8Array[] = []

  constructor(init: ChainInit, limits: Readonly<VaultLimits>) {
    this.#slab = init.slab
    this.#state = {
      records: init.records,
      slab: init.slab,
      limits,
      random: init.random,
      temporaries: new Map(),
      compactLater: () => {
        init.compactLater()
      },
    }
  }

  /** Runs one step; what it opened is wiped when this returns. */
  step(step: ReadStep, index: number, prepared?: ReadStep['input']): Record<string, unknown> {
    const { procedure, chained } = step
    const flows = chained.map(([, from]) => this.#flow(from))
    const run = new StepRun(this.#state, procedure, index, flows)
    try {
      return this.#run(step, index, run, prepared)
    } finally {
      run[Symbol.dispose]()
    }
  }

  #run(
    step: ReadStep,
    index: number,
    run: StepRun,
    prepared: ReadStep['input'] | undefined,
  ): Record<string, unknown> {
    const { procedure, places, chained } = step
    const input = prepared ?? (chained.length === 0 ? step.input : this.#fill(step, index))
    const handles: Record<string, unknown> = {}
    for (const [role, definition] of Object.entries(procedure.roles)) {
      handles[role] = run.handles(definition, places.get(role) ?? [], Array.isArray(input[role]))
    }
    const output = this.#carryOut(step, input, handles, run)
    if (step.taken.size > 0) this.#flows[index] = run.flow
    const kept = new Map<string, unknown>()
    const leaving: Record<string, unknown> = {}
    for (const [field, value] of Object.entries(output)) {
      if (step.taken.has(field)) kept.set(field, this.#keep(value))
      else leaving[field] = this.#release(value)
    }
    this.#values[index] = kept
    return leaving
  }

  /** The chain failed: what was about to leave does not. */
  takeBack(): void {
    for (const bytes of this.#leaving) bytes.fill(0)
  }

  /** Wipes what steps made for each other. */
  end(): void {
    for (const secret of this.#held) secret.wipe()
    for (const { secret } of this.#state.temporaries.values()) secret.wipe()
  }

  #flow(from: StepOutput): Flow {
    const flow = this.#flows[from.step]
    if (flow === undefined) throw new TypeError('Cannot chain value: its step has not run')
    return flow
  }

  #fill({ procedure, raw, chained }: ReadStep, index: number): Record<string, unknown> {
    const where = { procedure: procedure.name, step: index }
    const filled = { ...raw }
    for (const [field, { step, output }] of chained) {
      const value = this.#values[step]?.get(output)
      // What an optional output did not give must not pass for a field that was left out.
      if (value === undefined) throw sentence(where, field, `step ${step} gave no ${output}`)
      filled[field] = value
    }
    return checkInput(procedure, filled, where)
  }

  #carryOut(
    { registered, procedure }: ReadStep,
    input: unknown,
    handles: unknown,
    run: StepRun,
  ): Record<string, unknown> {
    let output: unknown
    try {
      output = registered.carryOut(input as never, handles as never, run.scope)
    } catch (error) {
      throw asVaultError(error, procedure.name)
    }
    if (procedure === sign && isSignature(output)) return output
    const read = procedure.output.safeParse(output)
    if (read.success) return read.data
    const at = read.error.issues.map(({ path }) => path.join('.')).join(', ')
    throw new VaultError('internal', `Cannot ${procedure.name}: its output is wrong at ${at}`)
  }

  /** Bytes that a later step takes may be secret: they go into the slab, and where they came from is wiped. */
  #keep(value: unknown): unknown {
    if (!(value instanceof Uint8Array)) return value
    const secret = this.#slab.copy(value)
    this.#held.push(secret)
    if (!this.#slab.holds(value)) value.fill(0)
    return secret.bytes
  }

  /** What leaves and still lies in the slab is copied out of it, to memory of its own that its owner can wipe. */
  #release(value: unknown): unknown {
    if (value instanceof Uint8Array) {
      if (!this.#slab.holds(value)) return value
      const copy = new Uint8Array(new ArrayBuffer(value.byteLength))
      copy.set(value)
      this.#leaving.push(copy)
      return copy
    }
    if (Array.isArray(value)) return value.map((one) => this.#release(one))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, this.#release(one)]))
  }
}

/** At a glance what the schema of `sign`’s output takes; whatever else is left to it. */
function isSignature(output: unknown): output is Record<string, unknown> {
  if (typeof output !== 'object' || output === null) return false
  const { signature, version } = output as Readonly<Record<string, unknown>>
  if (!(signature instanceof Uint8Array) || Object.keys(output).length !== 2) return false
  const { byteLength } = signature
  return byteLength > 0 && byteLength <= MAX_SIGNATURE_BYTES && isPositive(version)
}

function isPositive(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) > 0
}

function asVaultError(error: unknown, action: string): unknown {
  if (isVaultError(error)) return error
  // Formats and primitives say so where bytes that somebody gave them are not what they have to be.
  if (error instanceof SyntaxError || error instanceof RangeError)
    return invalid(error.message, error)
  if (error instanceof Error && error.name === 'AbortError') return error
  return new VaultError('internal', `Cannot ${action}: the procedure failed`, { cause: error })
}

function invalid(message: string, cause?: unknown): VaultError {
  return new VaultError('invalid_argument', message, { cause })
}
