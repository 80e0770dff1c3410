/**
 * Whether a request may run. Pure and total: what no rule allows is denied. A request touches several records in several
 * roles; each of these cells is decided by itself, and the strictest wins.
 */
import type { Path, Pattern } from '@stronghold/core'
import { matches } from '@stronghold/core'
import { BLIND_FORMATS, isWithin, NO_PATH } from '@stronghold/vault/catalog'
import type { Egress } from '@stronghold/vault/catalog'

import type { Effect, Limit, Rule } from './rule.ts'

/** One record in one role, in one format of what is signed there. */
export interface Cell {
  readonly procedure: string
  readonly role: string
  readonly path: Path | typeof NO_PATH
  /** `sshsig:git`, `raw` …; absent where the procedure has no formats. */
  readonly format?: string
  /** The most that leaves of the record. */
  readonly egress: Egress
  /** Which step of a chain it belongs to, from 0: each step is a use of its own. Default 0. */
  readonly step?: number
}

/** Who asks for what, when. */
export interface Request {
  readonly peer: string
  /** Added by the owner. Who is not known gets nothing, whatever rules say. */
  readonly known: boolean
  readonly tags: ReadonlySet<string>
  /** At least one; an empty list is denied. */
  readonly cells: readonly Cell[]
  readonly nowMs: number
}

/** What was used before: counted and remembered elsewhere. */
export interface Memory {
  /** Uses of a rule within a window that ends now: executed and reserved ones. */
  used(ruleId: string, windowMs: number): number
  /** Is there an unexpired approval that was remembered for this cell, made under this rule. */
  granted(cell: Cell, rule: Rule): boolean
}

/** Why a cell was decided as it was. */
export type Ground =
  | { readonly kind: 'rule'; readonly rule: Rule }
  /** A limit of the rule is used up. */
  | { readonly kind: 'limit'; readonly rule: Rule; readonly limit: Limit }
  /** The rule asks, and a remembered approval answers. */
  | { readonly kind: 'grant'; readonly rule: Rule }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'unknown-peer' }

/** What was decided about one cell. */
export interface CellDecision {
  readonly cell: Cell
  readonly verdict: Effect
  readonly ground: Ground
}

/** What was decided about a request: the strictest of its cells. */
export interface Decision {
  readonly verdict: Effect
  /** The cell that decided: the first of the strictest; `undefined` for a request without cells. */
  readonly decidedBy: CellDecision | undefined
  readonly cells: readonly CellDecision[]
  /** Rules whose limits this request uses, each once for every step that it decides. */
  readonly charges: readonly Rule[]
  /** Whether the same is decided at any time and whatever was used or approved before, as long as rules and peers stay. */
  readonly steady: boolean
}

/** A list of rules made ready to decide: made once per change, used for every request. */
export interface CompiledRules {
  readonly rules: readonly Rule[]
  /** By `procedure:role`; denials apart, the others in order. */
  readonly byUse: ReadonlyMap<string, { denials: readonly Rule[]; ordered: readonly Rule[] }>
}

const STRICTNESS: Readonly<Record<Effect, number>> = { allow: 0, ask: 1, deny: 2 }

/** Makes rules ready. Their order is the order of decision. */
export function compile(rules: readonly Rule[]): CompiledRules {
  const byUse = new Map<string, { denials: Rule[]; ordered: Rule[] }>()
  for (const rule of rules) {
    const uses = new Set(rule.procedures.map(({ procedure, role }) => useOf(procedure, role)))
    for (const use of uses) {
      let lists = byUse.get(use)
      if (lists === undefined) byUse.set(use, (lists = { denials: [], ordered: [] }))
      ;(rule.effect === 'deny' ? lists.denials : lists.ordered).push(rule)
    }
  }
  return { rules, byUse }
}

/** Decides on a request. Never throws: a memory that throws denies. */
export function decide(compiled: CompiledRules, request: Request, memory: Memory): Decision {
  const uses = new Uses(memory)
  const cells = request.cells.map((cell) => decideCell(compiled, request, cell, uses))
  let decidedBy: CellDecision | undefined
  for (const cell of cells) {
    if (decidedBy === undefined || STRICTNESS[cell.verdict] > STRICTNESS[decidedBy.verdict]) {
      decidedBy = cell
    }
  }
  const { charges, steady } = uses
  return { verdict: decidedBy?.verdict ?? 'deny', decidedBy, cells, charges, steady }
}

/** What was used before, and what the steps of this request use: a chain gets no further than requests one by one. */
class Uses {
  readonly memory: Memory
  /** No rule was looked at that ends, is limited or asks. */
  steady = true
  readonly #steps = new Map<Rule, Set<number>>()

  constructor(memory: Memory) {
    this.memory = memory
  }

  /** Each rule with limits, once for every step that it decides. */
  get charges(): Rule[] {
    return [...this.#steps].flatMap(([rule, { size }]) => Array.from({ length: size }, () => rule))
  }

  /** A rule is looked at. */
  look(rule: Rule): Rule {
    const { effect, expiresAtMs, limits } = rule
    this.steady &&= effect !== 'ask' && expiresAtMs === undefined && limits.length === 0
    return rule
  }

  charge(rule: Rule, { step = 0 }: Cell): void {
    if (rule.limits.length === 0) return
    const steps = this.#steps.get(rule)
    if (steps === undefined) this.#steps.set(rule, new Set([step]))
    else steps.add(step)
  }

  /** How often a rule was used within a window before a cell, this request's other steps included. */
  of(rule: Rule, windowMs: number, { step = 0 }: Cell): number {
    const steps = this.#steps.get(rule)
    const own = steps === undefined ? 0 : steps.size - Number(steps.has(step))
    return this.memory.used(rule.id, windowMs) + own
  }
}

function decideCell(
  compiled: CompiledRules,
  request: Request,
  cell: Cell,
  uses: Uses,
): CellDecision {
  if (!request.known) return { cell, verdict: 'deny', ground: { kind: 'unknown-peer' } }
  const lists = compiled.byUse.get(useOf(cell.procedure, cell.role))
  for (const rule of lists?.denials ?? []) {
    if (applies(uses.look(rule), request, cell))
      return { cell, verdict: 'deny', ground: { kind: 'rule', rule } }
  }
  for (const rule of lists?.ordered ?? []) {
    if (!applies(uses.look(rule), request, cell)) continue
    const limit = rule.limits.find((one) => isUsedUp(rule, one, cell, uses))
    if (limit !== undefined) {
      if (rule.whenUsedUp === 'next') continue
      return { cell, verdict: 'deny', ground: { kind: 'limit', rule, limit } }
    }
    uses.charge(rule, cell)
    if (rule.effect === 'allow') return { cell, verdict: 'allow', ground: { kind: 'rule', rule } }
    const granted = isGrantable(cell) && isGranted(cell, rule, uses.memory)
    return granted
      ? { cell, verdict: 'allow', ground: { kind: 'grant', rule } }
      : { cell, verdict: 'ask', ground: { kind: 'rule', rule } }
  }
  return { cell, verdict: 'deny', ground: { kind: 'nothing' } }
}

/** May an approval of this cell be remembered: never where nobody saw what was signed, nor where the secret itself leaves. */
export function isGrantable(cell: Cell): boolean {
  return !(cell.format !== undefined && isBlind(cell.format)) && isWithin(cell.egress, 'derived')
}

/** What a rule matches on, each by itself, so that `explain` can tell what is missing. */
export const CONDITIONS = {
  peer: (rule: Rule, { peer, tags }: Request): boolean =>
    rule.peers.some((match) =>
      match.kind === 'peer' ? match.id === peer : match.kind === 'tag' ? tags.has(match.tag) : true,
    ),
  procedure: (rule: Rule, _request: Request, { procedure, role }: Cell): boolean =>
    rule.procedures.some((match) => match.procedure === procedure && match.role === role),
  path: (rule: Rule, _request: Request, { path }: Cell): boolean =>
    rule.paths.some((pattern) => isAt(pattern, path)),
  format: (rule: Rule, _request: Request, { format }: Cell): boolean =>
    format === undefined || coversFormat(rule, format),
  time: ({ expiresAtMs }: Rule, { nowMs }: Request): boolean =>
    expiresAtMs === undefined || nowMs < expiresAtMs,
} as const

/** Does every condition of a rule hold for a cell; limits apart. */
export function applies(rule: Rule, request: Request, cell: Cell): boolean {
  return (
    CONDITIONS.time(rule, request) &&
    CONDITIONS.peer(rule, request) &&
    CONDITIONS.procedure(rule, request, cell) &&
    CONDITIONS.path(rule, request, cell) &&
    CONDITIONS.format(rule, request, cell)
  )
}

/** Does a pattern hold a place. `-` matches itself alone. */
export function isAt(pattern: Pattern | typeof NO_PATH, path: Path | typeof NO_PATH): boolean {
  if (pattern === NO_PATH || path === NO_PATH) return pattern === path
  return matches(pattern, path)
}

/** Does a rule's list of formats, or its absence, cover a format. */
export function coversFormat(rule: Rule, format: string): boolean {
  if (rule.formats === undefined) return rule.effect !== 'allow' || !isBlind(format)
  const family = format.split(':', 1)[0]
  return rule.formats.some((one) => one === format || one === family)
}

function isBlind(format: string): boolean {
  return BLIND_FORMATS.has(format)
}

function isUsedUp(rule: Rule, limit: Limit, cell: Cell, uses: Uses): boolean {
  try {
    return !(uses.of(rule, limit.windowMs, cell) < limit.count)
  } catch {
    return true
  }
}

function isGranted(cell: Cell, rule: Rule, memory: Memory): boolean {
  try {
    return memory.granted(cell, rule)
  } catch {
    return false
  }
}

function useOf(procedure: string, role: string): string {
  return `${procedure}:${role}`
}
