/**
 * What a changed list of rules changes: it tightens, widens, or both. Exact, not sampled. In any case that two lists decide
 * otherwise, one rule decides in the one list and another, or none, in the other. So for each two such rules the barest
 * case that both match is built: a peer with no tag but theirs, a path with words of its own wherever it may have them,
 * the latest time at which both hold, every other limit used up. Whatever else matches it matches each case that both
 * match, so if these two decide anywhere, they decide here.
 */
import { parsePath } from '@stronghold/core'
import type { Path, Pattern } from '@stronghold/core'
import { NO_PATH } from '@stronghold/vault/catalog'

import { compile, decide } from './decide.ts'
import type { Memory, Request } from './decide.ts'
import type { Effect, PeerMatch, ProcedureMatch, Rule, Vocabulary } from './rule.ts'

/** What a change does. */
export type Direction = 'same' | 'tightens' | 'widens' | 'mixed'

/** One case that is decided otherwise. */
export interface Change {
  readonly request: Request
  readonly before: Effect
  readonly after: Effect
  /** Rules whose limits are used up in this case, where that makes the difference. */
  readonly usedUp: readonly string[]
}

/** What two lists of rules differ in. */
export interface Difference {
  readonly direction: Direction
  /** Examples, one per pair of rules and verdicts, at most 64. */
  readonly changes: readonly Change[]
}

const MAX_CHANGES = 64
const LONGEST_PATH = 16
const STRICTNESS: Readonly<Record<Effect, number>> = { allow: 0, ask: 1, deny: 2 }

/** Compares two lists of rules from now on. */
export function diff(
  before: readonly Rule[],
  after: readonly Rule[],
  vocabulary: Vocabulary,
  nowMs: number,
): Difference {
  const rules = [...before, ...after]
  const was = compile(before)
  const is = compile(after)
  const limited = [...new Set(rules.flatMap(({ id, limits }) => (limits.length > 0 ? id : [])))]
  const words = wordsOf(rules)
  const changes: Change[] = []
  let { tighter, wider } = limitsDiffer(before, after)
  for (const [one, two] of pairsOf(before, after)) {
    const seen = new Set<string>()
    for (const request of casesOf(one, two, rules, words, vocabulary, nowMs)) {
      for (const usedUp of spendings(one, two, limited)) {
        const memory = memoryOf(usedUp)
        const old = decide(was, request, memory).verdict
        const now = decide(is, request, memory).verdict
        if (old === now) continue
        if (STRICTNESS[now] > STRICTNESS[old]) tighter = true
        else wider = true
        if (seen.has(old + now) || changes.length === MAX_CHANGES) continue
        seen.add(old + now)
        const unspent = memoryOf([])
        const always =
          decide(was, request, unspent).verdict === old &&
          decide(is, request, unspent).verdict === now
        changes.push({ request, before: old, after: now, usedUp: always ? [] : usedUp })
      }
    }
  }
  const direction = tighter ? (wider ? 'mixed' : 'tightens') : wider ? 'widens' : 'same'
  return { direction, changes }
}

function memoryOf(usedUp: readonly string[]): Memory {
  return { used: (id) => (usedUp.includes(id) ? Infinity : 0), granted: () => false }
}

/**
 * Which rules can decide before and after, where the lists differ: at least one of them was added, removed or changed, or
 * the two changed places.
 */
function* pairsOf(
  before: readonly Rule[],
  after: readonly Rule[],
): Iterable<readonly [Rule | undefined, Rule | undefined]> {
  const places = (rules: readonly Rule[]): Map<string, number> =>
    new Map(rules.map((rule, index) => [JSON.stringify(rule), index]))
  const old = places(before)
  const now = places(after)
  const gone = before.map((rule) => now.get(JSON.stringify(rule)))
  const stood = after.map((rule) => old.get(JSON.stringify(rule)))
  for (const [i, one] of before.entries()) {
    if (gone[i] === undefined) yield [one, undefined]
    for (const [j, two] of after.entries()) {
      const iAfter = gone[i]
      const jBefore = stood[j]
      const swapped = iAfter !== undefined && jBefore !== undefined && jBefore > i !== j > iAfter
      if (iAfter === undefined || jBefore === undefined || swapped) yield [one, two]
    }
  }
  for (const [j, two] of after.entries()) if (stood[j] === undefined) yield [undefined, two]
}

/** Every other limited rule used up, and each of these two used up or not. */
function spendings(
  one: Rule | undefined,
  two: Rule | undefined,
  limited: readonly string[],
): string[][] {
  const own = [one?.id, two?.id]
  const others = limited.filter((id) => !own.includes(id))
  const mine = limited.filter((id) => own.includes(id))
  return [[], ...mine.map((id) => [id]), ...(mine.length > 1 ? [mine] : [])].map((spent) => [
    ...others,
    ...spent,
  ])
}

/** How often a rule that stayed may be used changes no single verdict, so it is compared by itself. */
function limitsDiffer(
  before: readonly Rule[],
  after: readonly Rule[],
): { tighter: boolean; wider: boolean } {
  const holds = (lax: Rule, strict: Rule): boolean =>
    lax.limits.every(({ count, windowMs }) =>
      strict.limits.some((limit) => limit.count <= count && limit.windowMs >= windowMs),
    )
  let tighter = false
  let wider = false
  for (const rule of after) {
    const old = before.find(({ id }) => id === rule.id)
    if (old === undefined || old.limits.length === 0 || rule.limits.length === 0) continue
    tighter ||= !holds(rule, old)
    wider ||= !holds(old, rule)
  }
  return { tighter, wider }
}

/** The barest cases that two rules both match, or that the one matches where the other is `undefined`. */
function* casesOf(
  one: Rule | undefined,
  two: Rule | undefined,
  rules: readonly Rule[],
  words: Words,
  vocabulary: Vocabulary,
  nowMs: number,
): Iterable<Request> {
  const some = one ?? two
  if (some === undefined) return
  const other = one === undefined ? undefined : two
  const at = latest(some, other, rules, nowMs)
  if (at === undefined) return
  const named = formatsOf(some, other, vocabulary)
  for (const { procedure, role } of sharedUses(some, other)) {
    const formats = vocabulary.hasFormats(procedure) ? named : [undefined]
    for (const path of sharedPaths(some, other, words)) {
      for (const who of sharedPeers(some, other, words)) {
        for (const format of formats) {
          const cell = { procedure, role, path, egress: 'public' as const }
          const cells = [format === undefined ? cell : { ...cell, format }]
          yield { ...who, known: true, cells, nowMs: at }
        }
      }
    }
  }
}

/** The last moment at which both hold, beyond the end of every other where they have none; `undefined` when it is past. */
function latest(
  one: Rule,
  two: Rule | undefined,
  rules: readonly Rule[],
  nowMs: number,
): number | undefined {
  const end = Math.min(one.expiresAtMs ?? Infinity, two?.expiresAtMs ?? Infinity)
  if (end !== Infinity) return end > nowMs ? end - 1 : undefined
  return Math.max(nowMs, ...rules.flatMap(({ expiresAtMs }) => expiresAtMs ?? []))
}

function sharedUses(one: Rule, two: Rule | undefined): readonly ProcedureMatch[] {
  if (two === undefined) return one.procedures
  return one.procedures.filter(({ procedure, role }) =>
    two.procedures.some((match) => match.procedure === procedure && match.role === role),
  )
}

/** Formats that either names, all there are where one names none. */
function formatsOf(one: Rule, two: Rule | undefined, vocabulary: Vocabulary): string[] {
  const lists = [one.formats, ...(two === undefined ? [] : [two.formats])]
  const named = lists.flatMap((list) => list ?? vocabulary.formats)
  return [...new Set(named)]
}

function sharedPeers(
  one: Rule,
  two: Rule | undefined,
  words: Words,
): { peer: string; tags: ReadonlySet<string> }[] {
  const pairs = one.peers.flatMap((a) => (two?.peers ?? [undefined]).map((b) => [a, b] as const))
  return pairs.flatMap(([a, b]) => {
    const matches = [a, b].filter((match): match is PeerMatch => match !== undefined)
    const ids = new Set(matches.flatMap((match) => (match.kind === 'peer' ? match.id : [])))
    if (ids.size > 1) return []
    const tags = matches.flatMap((match) => (match.kind === 'tag' ? match.tag : []))
    return { peer: [...ids][0] ?? words.fresh, tags: new Set(tags) }
  })
}

/** Words of all paths, and one that is none of them. */
interface Words {
  readonly fresh: string
  /** Beyond this length no pattern tells one length from the next. */
  readonly longest: number
}

function wordsOf(rules: readonly Rule[]): Words {
  const shapes = rules.flatMap(({ paths }) => paths.map((path) => path.toString().split('/')))
  const words = new Set(shapes.flat())
  let fresh = 'any'
  while (words.has(fresh)) fresh += 'x'
  const longest = Math.max(0, ...shapes.map(({ length }) => length)) + 1
  return { fresh, longest: Math.min(LONGEST_PATH, longest) }
}

function sharedPaths(
  one: Rule,
  two: Rule | undefined,
  { fresh, longest }: Words,
): (Path | typeof NO_PATH)[] {
  const texts = new Set<string>()
  for (const a of one.paths) {
    for (const b of two?.paths ?? [a]) {
      if (a === NO_PATH || b === NO_PATH) {
        if (a === b) texts.add(NO_PATH)
        continue
      }
      for (let length = 1; length <= longest; length++) {
        const text = barest(a, b, length, fresh)
        if (text !== undefined) texts.add(text)
      }
    }
  }
  return [...texts].map((text) => (text === NO_PATH ? NO_PATH : parsePath(text)))
}

function barest(a: Pattern, b: Pattern, length: number, fresh: string): string | undefined {
  const shapes = [a.text.split('/'), b.text.split('/')] as const
  const segments: string[] = []
  for (let index = 0; index < length; index++) {
    const one = segmentAt(shapes[0], index, length)
    const two = segmentAt(shapes[1], index, length)
    if (one === undefined || two === undefined) return undefined
    if (one !== '*' && two !== '*' && one !== two) return undefined
    segments.push(one !== '*' ? one : two !== '*' ? two : fresh)
  }
  return segments.join('/')
}

/** What a pattern wants at a place of a path of that length: a word, `*` for any, `undefined` where it holds none such. */
function segmentAt(pattern: readonly string[], index: number, length: number): string | undefined {
  const open = pattern.at(-1) === '**'
  if (open ? length < pattern.length : length !== pattern.length) return undefined
  const segment = pattern[Math.min(index, pattern.length - 1)]
  return segment === '**' ? '*' : segment
}
