/**
 * From a chain that was read to what the rules say about it: cells, decision, binding. Pure over what it is handed; the
 * vault's records come in as a function.
 */
import { toHex } from '@stronghold/core'
import { VaultError } from '@stronghold/vault'
import { formatTags, NO_PATH, placesOf, procedureOf } from '@stronghold/vault/catalog'
import type { Procedure, StepPlaces } from '@stronghold/vault/catalog'

import type { Ask, Standing } from './approvals.ts'
import { boundHash, ruleHash } from './hashes.ts'
import type { HashedBinding, HashedRequest } from './hashed.ts'
import type { Use } from './receipts.ts'
import { decide } from './rules/decide.ts'
import type { Cell, CompiledRules, Decision, Memory } from './rules/decide.ts'
import { SYNC_ROLES } from './sync/rights.ts'

/** A step of a chain as the vault read it. */
export interface DecidedStep {
  readonly procedure: Procedure
  /** As it was asked for. */
  readonly input: unknown
}

/** A record that a request is bound to: its id, 16 bytes, and the version that is used. */
export type BoundRecord = HashedBinding['records'][number]

/** One record touched, with what is known about it now. */
export interface Touched {
  /** Which step, from 0. */
  readonly step: number
  readonly procedure: string
  readonly role: string
  readonly path: string
  /** Id and version; absent for a place where nothing stands. */
  readonly record?: BoundRecord
}

/** What a request touches: for rules, for people, for the audit. */
export interface Reach {
  readonly cells: readonly Cell[]
  readonly touched: readonly Touched[]
  /** Every format that something is signed in, each once, in the order of steps. */
  readonly formats: readonly string[]
  /** What is touched, as the audit says it. */
  readonly use: readonly Use[]
  /** The same as it is hashed. */
  readonly footprint: HashedRequest['footprint']
}

/**
 * What a chain reaches.
 *
 * @param recordAt - the record at a path now, or `undefined`
 * @param places - of these steps, where the vault has read them already
 */
export function reachOf(
  steps: readonly DecidedStep[],
  recordAt: (path: string) => BoundRecord | undefined,
  places: readonly StepPlaces[] = placesOf(steps),
): Reach {
  const cells: Cell[] = []
  const touched: Touched[] = []
  const formats = new Set<string>()
  for (const [index, roles] of places.entries()) {
    const step = steps[index]
    if (step === undefined) continue
    const { name, egress } = step.procedure
    const tags = formatsOf(step.procedure, step.input)
    for (const tag of tags) formats.add(tag)
    const add = (cell: Cell): void => {
      if (tags.length === 0) cells.push(cell)
      for (const format of tags) cells.push({ ...cell, format })
    }
    let count = 0
    for (const [role, found] of roles) {
      const leaves = step.procedure.roles[role]?.egress ?? egress
      for (const { path, version } of found) {
        count++
        add({ procedure: name, role, path, egress: leaves, step: index })
        const text = path.toString()
        const record = path === NO_PATH ? undefined : recordAt(text)
        const bound =
          record === undefined ? {} : { record: { ...record, version: version ?? record.version } }
        touched.push({ step: index, procedure: name, role, path: text, ...bound })
      }
    }
    if (count > 0) continue
    add({ procedure: name, role: NO_PATH, path: NO_PATH, egress, step: index })
    touched.push({ step: index, procedure: name, role: NO_PATH, path: NO_PATH })
  }
  const footprint = touched.map(({ procedure, role, path }) => [procedure, role, path] as const)
  return { cells, touched, formats: [...formats], use: useOf(touched), footprint }
}

/** Who asks. */
export interface DecideContext {
  readonly rules: CompiledRules
  readonly peer: string
  readonly known: boolean
  /** The very same set as long as the peer's tags are the same. */
  readonly tags: ReadonlySet<string>
  readonly nowMs: number
}

/** What the rules say, the last about each reach: it stands where neither time nor what was used before counts. */
export class Decisions {
  readonly #known = new WeakMap<Reach, DecideContext & { readonly decision: Decision }>()

  /** The same as `decide`. @param memory - what of before counts, where it counts */
  of(reach: Reach, context: DecideContext, memory: () => Memory): Decision {
    const { rules, peer, known, tags } = context
    const last = this.#known.get(reach)
    const stands =
      last?.rules === rules && last.peer === peer && last.known === known && last.tags === tags
    if (stands) return last.decision
    const decision = decide(rules, { ...context, cells: reach.cells }, memory())
    if (decision.steady) this.#known.set(reach, { ...context, decision })
    return decision
  }
}

/** What of a request an approval is bound to, beside what it touches. */
export interface DecidedRequest {
  /** 32 bytes. */
  readonly requestHash: Uint8Array
  readonly expiresAtMs: number
}

/** What the rules say now, and what an approval of it would be bound to. */
export interface Decided {
  readonly decision: Decision
  readonly standing: Standing
  /** What an approval or a receipt is bound to, 32 bytes: made when somebody asks for it. */
  boundHash(): Uint8Array
}

/** What a decision means for a request. */
export function bind(
  decision: Decision,
  { touched }: Reach,
  { requestHash, expiresAtMs }: DecidedRequest,
): Decided {
  let made: Uint8Array | undefined
  const bound = (): Uint8Array => {
    const records = touched.flatMap(({ record }) => (record === undefined ? [] : [record]))
    return (made ??= boundHash({ request: requestHash, records, expiresAtMs }))
  }
  const ground = decision.decidedBy?.ground
  if (decision.verdict === 'ask' && ground?.kind === 'rule') {
    const ask: Ask = {
      boundHash: toHex(bound()),
      rule: ground.rule.id,
      ruleHash: toHex(ruleHash(ground.rule)),
    }
    return { decision, standing: { verdict: 'ask', ask }, boundHash: bound }
  }
  const verdict = decision.verdict === 'allow' ? 'allow' : 'deny'
  return { decision, standing: { verdict }, boundHash: bound }
}

/**
 * The formats that something is signed in by a step, by their tags.
 *
 * @throws `VaultError` `invalid_argument` for a format that is not there yet: nobody could decide on it
 */
export function formatsOf(procedure: Procedure, input: unknown): readonly string[] {
  try {
    return formatTags(procedure.name, input)
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    const message = `Cannot ${procedure.name}: field "as" is no format`
    throw new VaultError('invalid_argument', message, { cause })
  }
}

/** What the audit says of what was touched. */
export function useOf(touched: readonly Touched[]): Use[] {
  return touched.map(({ procedure, role, path, record }): Use =>
    record === undefined
      ? [procedure, role, path]
      : [procedure, role, path, record.id, record.version],
  )
}

/** A cell in words: `sign on release/app as sshsig:file`. */
export function useText({ procedure, role, path, format }: Cell): string {
  const known = procedureOf(procedure)
  const roles = known === undefined ? SYNC_ROLES : Object.keys(known.roles)
  const name = roles.length > 1 ? `${procedure}:${role}` : procedure
  const place = path === NO_PATH ? '' : ` on ${path.text}`
  return `${name}${place}${format === undefined ? '' : ` as ${format}`}`
}
