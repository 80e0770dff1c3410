/** The rules' meaning once more, as plainly as it can be written: what the fast one must equal. */
import type { Effect, Rule } from '../../src/rules/rule.ts'

/** A cell in text, so that nothing is shared with the code under test. */
export interface NaiveCell {
  procedure: string
  role: string
  path: string
  format: string | undefined
  egress: string
  step: number
}

/** Does a pattern match a path: tried segment by segment, `**` as any number of them from one up. */
export function naiveMatches(pattern: string[], path: string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return path.length === 0
  if (path.length === 0) return false
  if (first === '**') return path.some((_, cut) => naiveMatches(rest, path.slice(cut + 1)))
  return (first === '*' || first === path[0]) && naiveMatches(rest, path.slice(1))
}

/** What is decided about a request, the strictest of its cells. */
export function naiveDecide(
  rules: readonly Rule[],
  request: { peer: string; known: boolean; tags: string[]; cells: NaiveCell[]; nowMs: number },
  usedUp: (rule: string, windowMs: number) => number,
  granted: (rule: string, cell: NaiveCell) => boolean,
): Effect {
  const taken: string[] = []
  const verdicts = request.cells.map((cell): Effect => {
    if (!request.known) return 'deny'
    const matching = rules.filter((rule) => {
      const ended = rule.expiresAtMs !== undefined && rule.expiresAtMs <= request.nowMs
      const peers = rule.peers.map((p) =>
        p.kind === 'known' ? '*' : p.kind === 'tag' ? '@' + p.tag : p.id,
      )
      const who = ['*', request.peer, ...request.tags.map((tag) => '@' + tag)]
      const uses = rule.procedures.map((p) => p.procedure + ':' + p.role)
      const places = rule.paths.map((path) => path.toString())
      const there =
        cell.path === '-'
          ? places.includes('-')
          : places.some((place) => naiveMatches(place.split('/'), cell.path.split('/')))
      const blind = cell.format === 'raw' || cell.format === 'digest'
      const format = cell.format
      const formatFits =
        format === undefined ||
        (rule.formats === undefined
          ? rule.effect === 'allow'
            ? !blind
            : true
          : rule.formats.some((f) => format === f || format.startsWith(f + ':')))
      return (
        !ended &&
        peers.some((p) => who.includes(p)) &&
        uses.includes(cell.procedure + ':' + cell.role) &&
        there &&
        formatFits
      )
    })
    if (matching.some((rule) => rule.effect === 'deny')) return 'deny'
    for (const rule of matching) {
      const others = taken.filter(
        (use) => use.startsWith(rule.id + ' ') && use !== useOf(rule, cell),
      )
      const here = new Set(others).size
      const full = rule.limits.some((l) => usedUp(rule.id, l.windowMs) + here >= l.count)
      if (full && rule.whenUsedUp === 'next') continue
      if (full) return 'deny'
      taken.push(useOf(rule, cell))
      if (rule.effect === 'allow') return 'allow'
      const never = cell.format === 'raw' || cell.format === 'digest' || cell.egress === 'material'
      return !never && granted(rule.id, cell) ? 'allow' : 'ask'
    }
    return 'deny'
  })
  if (verdicts.length === 0 || verdicts.includes('deny')) return 'deny'
  return verdicts.includes('ask') ? 'ask' : 'allow'
}

/** One use of a rule: what one step does under it. */
function useOf(rule: Rule, { step }: NaiveCell): string {
  return `${rule.id} ${step}`
}
