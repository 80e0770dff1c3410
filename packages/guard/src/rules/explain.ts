/** Why a request was decided as it was, in plain words: which rule, which came close, what would be needed. Pure. */
import { NO_PATH } from '@stronghold/vault/catalog'

import { CONDITIONS, decide } from './decide.ts'
import type { Cell, CellDecision, CompiledRules, Decision, Memory, Request } from './decide.ts'
import { printProcedure } from './parse.ts'
import type { WrittenRule } from './parse.ts'
import { sentence } from './print.ts'
import type { PrintContext } from './print.ts'
import type { Effect, Rule } from './rule.ts'
import { printLimit } from './windows.ts'

/** Most rules that are told as close. */
const MAX_NEAR = 3

/** A condition that a rule sets. */
export type Condition = 'peer' | 'procedure' | 'path' | 'format' | 'time'

const CHECKED: readonly Condition[] = Object.keys(CONDITIONS) as (keyof typeof CONDITIONS)[]

/** A rule that would have decided, had a condition or two been otherwise. */
export interface NearMiss {
  readonly rule: Rule
  /** One or two. */
  readonly missing: readonly Condition[]
  /** `r2 comes close: it asks, but only as sshsig`. */
  readonly text: string
}

/** What there is to say about a decision. */
export interface Explanation {
  readonly decision: Decision
  /** One sentence. */
  readonly text: string
  /** Nearest first, at most three. */
  readonly near: readonly NearMiss[]
  /** The narrowest rule that would ask a person about it; `undefined` where it is allowed or no rule could help. */
  readonly needed: WrittenRule | undefined
}

const DONE: Readonly<Record<Effect, string>> = {
  allow: 'allowed',
  ask: 'a person is asked',
  deny: 'denied',
}
const DOES: Readonly<Record<Effect, string>> = { allow: 'allows', ask: 'asks', deny: 'denies' }

/** Decides on a request and says why. */
export function explain(
  compiled: CompiledRules,
  request: Request,
  memory: Memory,
  context: PrintContext,
): Explanation {
  const decision = decide(compiled, request, memory)
  const by = decision.decidedBy
  if (by === undefined) {
    return { decision, text: 'denied: the request touches nothing', near: [], needed: undefined }
  }
  const helpless = by.verdict === 'allow' || by.ground.kind === 'unknown-peer'
  const denied = by.ground.kind === 'rule' && by.verdict === 'deny'
  return {
    decision,
    text: `${DONE[by.verdict]}: ${reason(by, context)}`,
    near: by.verdict === 'deny' ? nearMisses(compiled, request, by.cell, context) : [],
    needed:
      helpless || denied || by.verdict === 'ask' ? undefined : ruleFor(request, by.cell, context),
  }
}

function reason({ cell, ground }: CellDecision, context: PrintContext): string {
  const what = describe(cell, context)
  switch (ground.kind) {
    case 'unknown-peer':
      return 'the peer is not known here'
    case 'nothing':
      return `no rule is about ${what}`
    case 'rule':
      return `by rule ${ground.rule.id} (${sentence(ground.rule, context)}) on ${what}`
    case 'grant':
      return `rule ${ground.rule.id} asks about ${what}, and an earlier approval answers`
    case 'limit':
      return `the limit ${printLimit(ground.limit)} of rule ${ground.rule.id} on ${what} is used up`
  }
}

function nearMisses(
  { rules }: CompiledRules,
  request: Request,
  cell: Cell,
  context: PrintContext,
): NearMiss[] {
  const near: NearMiss[] = []
  for (const rule of rules) {
    if (rule.effect === 'deny') continue
    const missing = CHECKED.filter((condition) => !CONDITIONS[condition](rule, request, cell))
    if (missing.length < 1 || missing.length > 2) continue
    const why = missing.map((condition) => lack(condition, rule, context)).join(' and ')
    near.push({
      rule,
      missing,
      text: `${rule.id} comes close: it ${DOES[rule.effect]}, but ${why}`,
    })
  }
  // Sorting is stable: of equally close ones the earlier stays ahead.
  return near.sort((a, b) => a.missing.length - b.missing.length).slice(0, MAX_NEAR)
}

function lack(condition: Condition, rule: Rule, context: PrintContext): string {
  switch (condition) {
    case 'peer':
      return 'not for this peer'
    case 'procedure':
      return `only ${rule.procedures.map((match) => printProcedure(match, context.vocabulary)).join(', ')}`
    case 'path':
      return `only at ${rule.paths.map(String).join(', ')}`
    case 'format':
      return rule.formats === undefined
        ? 'not in a format that nobody can read'
        : `only as ${rule.formats.join(', ')}`
    case 'time':
      return `only until ${new Date(rule.expiresAtMs ?? 0).toISOString()}`
  }
}

function ruleFor(request: Request, cell: Cell, context: PrintContext): WrittenRule {
  return {
    peers: [context.nameOf(request.peer) ?? request.peer],
    procedures: [printProcedure(cell, context.vocabulary)],
    paths: [cell.path.toString()],
    ...(cell.format !== undefined && { formats: [cell.format] }),
    effect: 'ask',
  }
}

function describe(cell: Cell, context: PrintContext): string {
  const format = cell.format === undefined ? '' : ` as ${cell.format}`
  const place = cell.path === NO_PATH ? '' : ` on ${cell.path.text}`
  return `${printProcedure(cell, context.vocabulary)}${place}${format}`
}
